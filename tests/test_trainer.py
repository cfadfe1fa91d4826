import pytest

from stylize.trainer import FINAL_LR, WARMUP_STEPS, learning_rate_factor


def test_learning_rate_on_paper():
    steps = 1000
    assert learning_rate_factor(0, steps) == pytest.approx(1 / WARMUP_STEPS)
    assert learning_rate_factor(500, steps) == pytest.approx((1 + FINAL_LR) / 2)
    assert learning_rate_factor(999, steps) == pytest.approx(FINAL_LR, rel=1e-3)


def test_learning_rate_rises_then_falls():
    factors = [learning_rate_factor(step, 500) for step in range(500)]
    top = factors.index(max(factors))
    assert top == WARMUP_STEPS - 1
    assert factors[:top] == sorted(factors[:top])
    assert factors[top:] == sorted(factors[top:], reverse=True)

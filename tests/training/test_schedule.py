import pytest

from stylize.training.schedule import (
    FINAL_LR,
    WARMUP_STEPS,
    crop_size,
    learning_rate_factor,
)


def test_learning_rate_on_paper():
    steps = 1000
    assert learning_rate_factor(0, steps) == pytest.approx(1 / WARMUP_STEPS)
    assert learning_rate_factor(19, steps) == learning_rate_factor(500, steps) == 1
    assert learning_rate_factor(750, steps) == pytest.approx((1 + FINAL_LR) / 2)
    assert learning_rate_factor(1000, steps) == pytest.approx(FINAL_LR)


def test_crops_grow_on_paper():
    sizes = [crop_size(step, 8, 256) for step in range(8)]
    assert sizes == [128, 128, 128, 128, 192, 192, 256, 256]
    assert crop_size(0, 8, 32) == 32
    assert crop_size(0, 8, 100) == 48


def test_learning_rate_rises_then_falls():
    factors = [learning_rate_factor(step, 500) for step in range(500)]
    top = factors.index(max(factors))
    assert top == WARMUP_STEPS - 1
    assert factors[:top] == sorted(factors[:top])
    assert factors[top:] == sorted(factors[top:], reverse=True)

import pytest

from stylize.training.schedule import (
    FINAL_LR,
    WARMUP_STEPS,
    Schedule,
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


def test_stages_on_paper():
    schedule = Schedule(True, steps=10, size=64, batch_size=2)
    parts = ["draft"] * 5 + ["reviser"] * 3 + ["finisher"] * 2
    assert [schedule.part(step) for step in range(10)] == parts
    assert schedule.starts == [0, 5, 8, 10]
    assert [schedule.crop_size(step, 10) for step in range(10)] == [32] * 5 + [64] * 5
    assert [schedule.photos(step) for step in range(10)] == [2] * 5 + [1] * 5
    rates = [Schedule(True, 500, 64, 2).learning_rate(step, 500) for step in range(500)]
    stages = [[learning_rate_factor(step, n) for step in range(n)] for n in (250, 150, 100)]
    assert rates == [rate for stage in stages for rate in stage]


def test_the_shortest_training_learns_a_draft():
    assert Schedule(True, steps=1, size=64, batch_size=2).part(0) == "draft"


def test_batches_that_cannot_be_halved_stay_whole():
    assert Schedule(True, 6, 64, batch_size=1).photos(5) == 1
    assert Schedule(True, 6, 64, batch_size=6, processes=2).photos(5) == 6
    assert Schedule(True, 6, 64, batch_size=8, processes=2).photos(5) == 4


def test_without_a_draft_there_is_one_stage():
    schedule = Schedule(False, steps=8, size=256, batch_size=2)
    assert [schedule.part(step) for step in range(8)] == [""] * 8
    assert [schedule.photos(step) for step in range(8)] == [2] * 8
    assert schedule.crop_size(7, 8) == 256
    assert schedule.learning_rate(6, 8) == learning_rate_factor(6, 8)

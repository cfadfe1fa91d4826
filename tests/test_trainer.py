import pytest
import torch
from conftest import TINY, draw_picture

from stylize.config import TrainConfig
from stylize.device import choose
from stylize.errors import TrainingError
from stylize.header import StyleHeader, StylePicture
from stylize.trainer import FINAL_LR, WARMUP_STEPS, Trainer, crop_size, learning_rate_factor


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


def test_a_gradient_that_is_no_number_changes_nothing():
    config = TrainConfig(size=32, style_size=32, batch_size=1, steps=4, base="")
    header = StyleHeader("x", TINY, config, [StylePicture("", "", "", "", "")])
    trainer = Trainer(header, [draw_picture(0)], choose("cpu", "fp32"))
    before = {key: value.clone() for key, value in trainer.network.state_dict().items()}
    # Finite on the way forward, and not on the way back.
    trainer.network.up3.conv.bias.register_hook(lambda gradient: gradient * float("nan"))
    with pytest.raises(TrainingError, match="the gradient is nan at step 1"):
        trainer.train_step(torch.rand(1, 3, 32, 32))
    after = trainer.network.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)

import pytest
import torch
from conftest import TINY, draw_picture

from stylize.config import TrainConfig
from stylize.errors import TrainingError
from stylize.network.device import choose
from stylize.network.style_header import StyleHeader, StylePicture
from stylize.objective.vgg_statistics import channel_statistics, distance, unpack
from stylize.photos.lighting import random_light, relight
from stylize.photos.photo import to_tensor, with_short_side
from stylize.training.trainer import SEEDS, Trainer


def trainer_of(**settings) -> Trainer:
    config = TrainConfig(size=32, style_size=32, batch_size=2, steps=4, base="", **settings)
    header = StyleHeader("x", TINY, config, [StylePicture("", "", "", "", "")])
    return Trainer(header, [draw_picture(0)], choose("cpu", "fp32"))


def test_the_network_sees_another_light_and_the_objective_the_photo_as_it_was():
    photos = torch.stack([to_tensor(draw_picture(seed, 32, 32)) for seed in (1, 2)])
    trainer = trainer_of(lighting=1.0, seed=3)
    places = [3 * SEEDS, 3 * SEEDS + 1]
    lit = relight(photos, [random_light(place) for place in places])
    assert not torch.allclose(lit, photos, atol=0.05)
    with torch.no_grad():
        result = trainer.network(lit, seeds=torch.tensor(places))
        objective = trainer.objectives[0]
        expected = objective(result, photos, objective.content_target(photos))
    row, _ = trainer.train_step(photos)
    assert row == pytest.approx({name: loss.item() for name, loss in expected.items()}, rel=1e-4)
    plain, _ = trainer_of(lighting=0.0, seed=3).train_step(photos)
    assert abs(plain["content"] - row["content"]) > 1e-3


def test_a_style_remembers_what_its_picture_looks_like():
    trainer = trainer_of()
    picture = to_tensor(with_short_side(draw_picture(0), 32))[None]
    known = channel_statistics(trainer.objectives[0].vgg, picture)
    assert distance(unpack(trainer.header().target), known) < 1e-2


def test_a_gradient_that_is_no_number_changes_nothing():
    trainer = trainer_of()
    before = {key: value.clone() for key, value in trainer.network.state_dict().items()}
    # Finite on the way forward, and not on the way back.
    trainer.network.up3.conv.bias.register_hook(lambda gradient: gradient * float("nan"))
    with pytest.raises(TrainingError, match="the gradient is nan at step 1"):
        trainer.train_step(torch.rand(2, 3, 32, 32))
    after = trainer.network.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)

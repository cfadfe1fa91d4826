import pytest
import torch
from conftest import draw_picture

from stylize.config import TrainConfig
from stylize.objective.losses import LAYERS, Objective, weighted_sum
from stylize.objective.refine import refine
from stylize.objective.style_targets import StyleTargets
from stylize.objective.vgg import load_vgg16
from stylize.photos.photo import to_tensor

CONFIG = TrainConfig()


@pytest.fixture(scope="module")
def objective():
    vgg = load_vgg16("shipped", LAYERS)
    return Objective(vgg, StyleTargets.of(vgg, [to_tensor(draw_picture(0, 64, 64))[None]]))


def test_the_objective_falls_with_the_steps(objective):
    photo = to_tensor(draw_picture(1, 64, 48))[None]
    content = objective.content_target(photo)
    totals = []
    for steps in (1, 5, 15):
        found = refine(photo, photo, objective, CONFIG, steps)
        assert found.shape == photo.shape
        assert 0 <= found.min() <= found.max() <= 1
        totals.append(float(weighted_sum(objective(found, photo, content), CONFIG)))
    start = float(weighted_sum(objective(photo, photo, content), CONFIG))
    assert start > totals[0] > totals[1] > totals[2]
    assert totals[2] < 0.7 * start


def test_it_works_where_gradients_are_off(objective):
    photo = to_tensor(draw_picture(1, 48, 48))[None]
    with torch.inference_mode():
        found = refine(photo.clone(), photo.clone(), objective, CONFIG, 3)
    assert torch.equal(found, refine(photo, photo, objective, CONFIG, 3))
    assert not found.requires_grad

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from conftest import draw_picture

from stylize.errors import StyleFileError
from stylize.objective.losses import LAYERS
from stylize.objective.style_targets import StyleTargets
from stylize.objective.vgg import load_vgg16
from stylize.photos.photo import to_tensor

CPU = torch.device("cpu")
PATH = Path("mine.safetensors")


@pytest.fixture(scope="module")
def vgg():
    return load_vgg16("shipped", LAYERS)


@pytest.fixture(scope="module")
def targets(vgg):
    return StyleTargets.of(vgg, [to_tensor(draw_picture(0, 96, 80))[None]])


def test_in_a_file_they_are_small_and_almost_the_same(targets):
    kept = targets.to_tensors()
    assert sum(tensor.nbytes for tensor in kept.values()) < 1.5e6
    again = StyleTargets.from_tensors(kept, PATH, CPU)
    for layer, moments in again.moments.items():
        assert torch.equal(moments, targets.moments[layer])
    assert torch.equal(again.shares, targets.shares)
    assert again.variety == pytest.approx(targets.variety)
    assert torch.allclose(again.palette.quantiles, targets.palette.quantiles, atol=1e-3)
    assert {scale for scale, _ in again.grams} == {1}
    for place, grams in again.grams.items():
        for found, wanted in zip(grams[0], targets.grams[place][0], strict=True):
            assert torch.equal(found, found.T)
            assert (found - wanted).norm() < 1e-3 * wanted.norm()


def test_several_pictures_have_the_weighted_mean(vgg):
    torch.manual_seed(0)
    one, two = torch.rand(1, 3, 48, 48), F.interpolate(torch.rand(1, 3, 8, 8), scale_factor=6)
    both, first, second = (
        StyleTargets.of(vgg, *arguments) for arguments in (([one, two], [3, 1]), ([one],), ([two],))
    )
    for place, grams in both.grams.items():
        expected = 0.75 * first.grams[place] + 0.25 * second.grams[place]
        assert torch.allclose(grams, expected, rtol=1e-5)
    assert torch.allclose(both.shares, 0.75 * first.shares + 0.25 * second.shares)
    assert both.variety == pytest.approx(0.75 * first.variety + 0.25 * second.variety)


@pytest.mark.parametrize(
    "name", ["gram.relu3_3", "norm.relu1_2", "shares", "moments.relu2_2", "palette", "variety"]
)
@pytest.mark.parametrize("damage", [None, torch.zeros(3), float("nan")])
def test_damaged_targets_are_named(targets, name, damage):
    kept = targets.to_tensors()
    if damage is None:
        del kept[name]
    elif isinstance(damage, float):
        kept[name] = kept[name] * damage
    else:
        kept[name] = damage
    with pytest.raises(StyleFileError, match=f"mine.safetensors: target .{name}"):
        StyleTargets.from_tensors(kept, PATH, CPU)

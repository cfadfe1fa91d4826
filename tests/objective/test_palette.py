import pytest
import torch
import torch.nn.functional as F

from stylize.objective.palette import Palette


def grey(level: float, size: int = 64) -> torch.Tensor:
    return torch.full((1, 3, size, size), level)


def test_a_palette_knows_its_own_colours_wherever_they_are():
    torch.manual_seed(0)
    colours = torch.rand(1, 3, 8, 8)
    picture = F.interpolate(colours, scale_factor=8)
    mixed = colours.flatten(2)[..., torch.randperm(64)].view(1, 3, 8, 8)
    palette = Palette.of([picture], [1.0])
    assert palette(picture).item() == pytest.approx(0, abs=1e-3)
    assert palette(F.interpolate(mixed, scale_factor=8)).item() == pytest.approx(0, abs=1e-3)
    # Strokes within a cell are free, other colours are not.
    assert palette(1 - picture) > 0.1
    assert palette(picture.mean((2, 3), keepdim=True).expand_as(picture)) > 0.3


def test_a_palette_of_greys_on_paper():
    """Greys lie on the axis of lightness: along a direction, two of them are as far apart as their
    lightness, times the cosine; of black and white, that is 1 times the cosine."""
    both = torch.cat([grey(0.0), grey(1.0)], dim=3)
    found, unit = Palette.of([both], [1.0])(grey(0.0)), 0.5 * (128 / 127) ** 0.5
    assert found.item() == pytest.approx(0.5 / unit, rel=0.02)


def test_the_palette_of_several_pictures_lies_between_them():
    palette = Palette.of([grey(0.0), grey(1.0)], [1.0, 3.0])
    lightness = [palette(grey(level)).item() for level in (0.0, 0.6, 1.0)]
    assert lightness[1] < lightness[2] < lightness[0]


def test_values_outside_of_the_range_count_as_its_ends():
    """As a network in training may have them."""
    palette = Palette.of([grey(0.0)], [1.0])
    assert palette(grey(-0.5)).item() == pytest.approx(0, abs=1e-6)
    assert palette(grey(1.5)).item() == pytest.approx(palette(grey(1.0)).item())

from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from conftest import draw_picture
from torch import Tensor

from stylize.config import Look
from stylize.photos.blend import (
    REACH,
    SHRINK,
    apply_look,
    fuse,
    keep_background,
    preserve_color,
    recolour,
)
from stylize.photos.color import to_oklab
from stylize.photos.photo import to_tensor


def picture(seed: int, width: int = 64, height: int = 64) -> Tensor:
    return to_tensor(draw_picture(seed, width, height))[None]


def colours() -> Tensor:
    """All of 18^3 evenly spaced sRGB colours, shuffled: (1, 3, 81, 72)."""
    steps = torch.linspace(0, 1, 18)
    every = torch.cartesian_prod(steps, steps, steps)
    return every[torch.randperm(18**3, generator=torch.Generator().manual_seed(0))].T.view(
        1, 3, 81, 72
    )


def test_a_picture_with_its_own_colours_is_itself():
    assert torch.allclose(preserve_color(colours(), colours()), colours(), atol=1e-3)


def test_a_grey_photo_gives_grey():
    grey = colours().mean(dim=1, keepdim=True).expand(-1, 3, -1, -1)
    found = preserve_color(colours().flip(2), grey)
    assert (found.amax(dim=1) - found.amin(dim=1)).max() < 1e-3


def test_lightness_and_hue_hold_and_chroma_does_not_grow():
    stylized, photo = colours(), colours().flip(2)
    found = preserve_color(stylized, photo)
    assert 0 <= found.min() <= found.max() <= 1
    lab, light, colour = (to_oklab(image) for image in (found, stylized, photo))
    visible = light[:, 0] > 0.1  # lightness is steep near black
    assert (lab - light)[:, 0][visible].abs().max() < 1e-3
    assert (found - stylized).movedim(1, -1)[light[:, 0] == 0].abs().max() < 0.5 / 255
    chroma, wanted = (value[:, 1:].norm(dim=1) for value in (lab, colour))
    assert (chroma - wanted).max() < 1e-3
    across = lab[:, 1] * colour[:, 2] - lab[:, 2] * colour[:, 1]  # of the hues' directions
    assert (across / wanted.clamp_min(1e-2))[visible].abs().max() < 2e-3


def test_chroma_is_only_reduced_where_it_must_be():
    """What lost more than a hundredth of its chroma lies on the border of sRGB."""
    photo = colours().flip(2)
    found = preserve_color(colours(), photo)
    lost = to_oklab(photo)[:, 1:].norm(dim=1) - to_oklab(found)[:, 1:].norm(dim=1)
    border = (found.amin(dim=1) < 0.02) | (found.amax(dim=1) > 0.98)
    assert (lost > 0.01).any()
    assert border[lost > 0.01].all()


def test_strength_from_the_photo_to_the_stylized_picture():
    stylized, photo = picture(1, 50, 37), picture(2, 50, 37)
    assert torch.equal(fuse(stylized, photo, 0.0), photo)
    assert torch.equal(fuse(stylized, photo, 1.0), stylized)
    ways = [fuse(stylized, photo, step / 20) for step in range(21)]
    to_photo = [(way - photo).square().mean().item() for way in ways]
    to_stylized = [(way - stylized).square().mean().item() for way in ways]
    assert to_photo == sorted(to_photo)
    assert to_stylized == sorted(to_stylized, reverse=True)
    for one, two in pairwise(ways):
        assert 0 <= two.min() <= two.max() <= 1
        assert (one - two).abs().max() <= 2 / 20 + 1e-6  # a Bezier curve within a unit cube


def test_a_photo_in_other_colours_is_found_by_recolouring():
    """A gain and an offset for each channel are what it can find, where there are edges."""
    photo = picture(3)
    gain, offset = (torch.tensor(v).view(1, 3, 1, 1) for v in ((0.5, 0.8, 0.3), (0.4, 0.1, 0.2)))
    stylized = photo * gain + offset
    left = (recolour(photo, stylized) - stylized).abs().mean()
    assert left < 0.2 * (photo - stylized).abs().mean()


def test_recolouring_keeps_texture():
    """Of an even colour, only the colour is taken; what is fine in the photo stays."""
    photo = 0.5 + 0.02 * torch.rand(1, 3, 64, 64)
    found = recolour(photo, torch.full_like(photo, 0.7))
    assert found.mean().item() == pytest.approx(0.7, abs=1e-3)
    assert found.std().item() == pytest.approx(photo.std().item(), rel=0.1)


def test_recolouring_keeps_an_edge_sharp():
    """Both sides get their new colour up to the edge; nothing bleeds across."""
    photo = torch.zeros(1, 3, 64, 64)
    photo[..., 32:] = 1
    stylized = torch.where(photo > 0, 0.8, 0.3)
    found = recolour(photo, stylized)
    assert (found - stylized).abs().max() < 0.05
    soft = F.avg_pool2d(F.pad(stylized, (4, 4, 4, 4), mode="replicate"), 9, 1)
    assert (recolour(photo, soft)[..., 32] - recolour(photo, soft)[..., 31]).min() > 0.3


@pytest.mark.parametrize("size", [(1, 1), (2, 9), (5, 3)])
def test_small_pictures(size):
    one, two = torch.rand(2, 1, 3, *size)
    look = Look(strength=0.5, preserve_color=True, background="keep")
    found = apply_look(one, two, torch.rand(1, 1, *size), look)
    assert found.shape == one.shape
    assert 0 <= found.min() <= found.max() <= 1


def test_background_stays_bit_by_bit():
    stylized, photo = picture(1), picture(2)
    mask = picture(3)[:, :1].sub(0.4).mul(5).clamp(0, 1)
    found = keep_background(stylized, photo, mask)
    nothing, everything = (mask == level for level in (0, 1))
    assert nothing.any()
    assert everything.any()
    assert torch.equal(torch.where(nothing, found, 0), torch.where(nothing, photo, 0))
    assert torch.equal(torch.where(everything, found, 0), torch.where(everything, stylized, 0))


def test_no_halo_in_a_soft_edge():
    """A black product on white, painted light red: no pixel darker than the paint, or mixed."""
    share = torch.linspace(-5, 5.25, 42).clamp(0, 1).expand(1, 1, 20, 42)
    photo = (1 - share).expand(-1, 3, -1, -1)
    paint = torch.tensor([0.9, 0.6, 0.6]).view(1, 3, 1, 1)
    seam = torch.zeros(1, 3, 1, 1)  # what a network may make of an edge
    stylized = torch.where(share == 1, paint, seam)
    found = keep_background(stylized, photo, share)
    expected = share * paint + (1 - share)
    wide = (share > 0) & (share < 1)
    assert wide[0, 0, 0].sum() == 3
    assert torch.allclose(found, expected, atol=1e-5)


def test_the_order_and_the_defaults():
    stylized, photo = picture(1), picture(2)
    mask = torch.zeros(1, 1, 64, 64)
    mask[..., 20:40] = 1
    assert apply_look(stylized, photo, mask, Look()) is stylized
    found = apply_look(stylized, photo, mask, Look(0.6, preserve_color=True, background="keep"))
    expected = keep_background(fuse(preserve_color(stylized, photo), photo, 0.6), photo, mask)
    assert torch.equal(found, expected)
    assert apply_look(stylized, photo, None, Look(background="keep")) is stylized


@pytest.mark.parametrize("height", [64, 61, 40])
def test_rows_far_away_have_no_influence(height):
    """So it can be done strip by strip, if these begin at a whole square."""
    stylized, photo = picture(1)[:, :, :height], picture(2)[:, :, :height]
    mask = torch.zeros(1, 1, height, 64)
    mask[..., 20:30] = 0.5
    mask[..., 30:40] = 1
    look = Look(0.6, preserve_color=True, background="keep")
    whole = apply_look(stylized, photo, mask, look)
    for top, bottom in ((0, 9), (30, 37), (36, height)):
        first, last = max(0, top - REACH) // SHRINK * SHRINK, bottom + REACH
        part = apply_look(*(x[:, :, first:last] for x in (stylized, photo, mask)), look)
        expected = whole[:, :, top:bottom]
        assert torch.allclose(part[:, :, top - first : bottom - first], expected, atol=1e-5)

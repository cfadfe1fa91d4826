"""Shading is found on the frame as it was drawn, and left out of what a network sees."""

import math
from dataclasses import astuple, replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from conftest import draw_picture
from PIL import Image

from stylize.config import Look
from stylize.consistency.appearance import color_difference
from stylize.photos.lighting import LIGHTINGS, relight
from stylize.photos.photo import Photo, to_picture, to_tensor
from stylize.photos.shading import DARK, MOST, Shading, find_shading
from stylize.style import load_style

SIZE = 160, 120
TRUE = Shading(across=0.3, down=-0.2, outward=-0.15)


def draw_ground(shading: Shading, size: tuple[int, int] = SIZE) -> Image.Image:
    """A grey ground in such light."""
    width, height = size
    light = 0.5 / shading.gain(width, height, 0, height).numpy()
    # As it is seen: with a little added to keep away from the logarithm of zero.
    levels = np.round((light * (1 + DARK / 0.5) - DARK) * 255).clip(0, 255).astype(np.uint8)
    return Image.fromarray(np.repeat(levels[..., None], 3, axis=2))


def put(ground: Image.Image, box: tuple[int, int, int, int], seed: int = 1) -> Image.Image:
    """With a product in this place."""
    picture = draw_picture(seed, box[2] - box[0], box[3] - box[1])
    ground.paste(picture.point(lambda level: level // 3), box[:2])
    return ground


def test_the_gain_of_a_known_shading():
    """At the middle of the right edge of a square, x is 1 less half a pixel, and y half a pixel."""
    gain = Shading(0.5, 0, 0).gain(4, 4, 0, 4)
    assert gain.shape == (4, 4)
    assert torch.allclose(gain[2], torch.exp(-0.5 * torch.tensor([-0.75, -0.25, 0.25, 0.75])))
    corner = Shading(0, 0, -1.0).gain(4, 4, 0, 4)[0, 0]
    assert float(corner) == pytest.approx(math.exp(2 * 0.75**2))


def test_a_strip_is_cut_from_the_whole():
    assert torch.equal(TRUE.gain(40, 30, 7, 19), TRUE.gain(40, 30, 0, 30)[7:19])


def test_the_light_on_a_plain_ground_is_found():
    found = find_shading(draw_ground(TRUE))
    assert found is not None
    assert astuple(found) == pytest.approx(astuple(TRUE), abs=0.03)


def test_a_product_that_reaches_into_the_frame_changes_little():
    found = find_shading(put(draw_ground(TRUE), (50, 30, 110, 120)))
    assert found is not None
    assert found.across == pytest.approx(TRUE.across, rel=0.35)
    assert np.sign([found.down, found.outward]).tolist() == [-1, -1]


def test_the_product_itself_does_not_count():
    one, other = (put(draw_ground(TRUE), (20, 20, 140, 100), seed) for seed in (1, 2))
    assert find_shading(one) == find_shading(other)


def test_the_size_of_a_photo_does_not_count():
    one, other = (find_shading(draw_ground(TRUE, size)) for size in (SIZE, (800, 600)))
    assert one is not None
    assert other is not None
    assert astuple(one) == pytest.approx(astuple(other), abs=0.01)


@pytest.mark.parametrize("box", [(40, 30, 120, 90), (0, 0, 70, 60), (50, 30, 110, 120)])
def test_an_even_ground_has_none_whatever_stands_on_it(box):
    assert find_shading(put(Image.new("RGB", SIZE, (250, 248, 245)), box)) is None


def test_between_even_and_uneven_there_is_no_step():
    """A ground that is flat for a part of its width and falls off beyond it."""
    gains = []
    for flat in range(60, 120):
        ground = np.full((SIZE[1], SIZE[0]), 180.0)
        ground[:, flat:] = np.linspace(180, 60, SIZE[0] - flat)
        found = find_shading(Image.fromarray(ground.astype(np.uint8)).convert("RGB"))
        gains.append(0.0 if found is None else float(found.gain(*SIZE, 60, 61)[0, -1].log()))
    assert gains[0] > 0.3
    assert gains[-1] == 0
    assert max(abs(a - b) for a, b in pairwise(gains)) < 0.12


def test_transparency_gives_no_light(style_file, photo):
    """Nobody sees what colour is there."""
    style = load_style(str(style_file), "cpu", "fp32")
    lit = to_picture(relight(to_tensor(photo)[None], [LIGHTINGS["from the left"]])[0])
    lit.putalpha(0)
    assert style.stylize(lit, Look()) == style.stylize(lit, Look(even_light=False))


def test_without_a_slope_in_the_frame_there_is_next_to_none():
    """Seeded noise, coarse enough to be seen in the small copy."""
    noise = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    found = find_shading(Image.fromarray(noise).resize(SIZE, Image.Resampling.NEAREST))
    assert found is not None
    gain = found.gain(*SIZE, 0, SIZE[1])
    assert float(gain.max() / gain.min()) < 1.3


def test_no_gain_is_larger_than_allowed():
    """Half white, half black: e times as light and as dark as the middle."""
    picture = Image.new("RGB", SIZE)
    picture.paste((255, 255, 255), (0, 0, 80, 120))
    found = find_shading(picture)
    assert found is not None
    gain = found.gain(*SIZE, 0, SIZE[1])
    assert MOST / 2 <= gain.log().abs().max() <= MOST + 1e-5


@pytest.mark.parametrize("size", [(1, 1), (2, 1), (1, 500), (3, 3), (2000, 2)])
def test_pictures_of_any_size(size):
    found = find_shading(draw_picture(3, *size))
    if found is not None:  # a single pixel has no slope
        assert found.gain(*size, 0, size[1]).isfinite().all()


@pytest.fixture
def photo():
    """A product on a flat ground, not so light that light from the side cuts it off."""
    return put(Image.new("RGB", SIZE, (150, 150, 150)), (50, 35, 110, 85))


@pytest.mark.parametrize("light", ["from the left", "from above", "vignette"])
def test_a_result_depends_less_on_how_light_falls_off(style_file, photo, light):
    style = load_style(str(style_file), "cpu", "fp32")
    lit = to_picture(relight(to_tensor(photo)[None], [LIGHTINGS[light]])[0])

    def difference(look: Look) -> float:
        return color_difference(style.stylize(lit, look), style.stylize(photo, look))

    assert difference(Look()) < difference(Look(even_light=False)) / 2


def test_an_evenly_lit_photo_is_stylized_as_without(style_file, photo):
    style = load_style(str(style_file), "cpu", "fp32")
    assert style.stylize(photo, Look()) == style.stylize(photo, Look(even_light=False))


def test_a_background_that_is_kept_gives_no_light(style_file, photo):
    """What lies outside of a mask has no influence on the product."""
    style = load_style(str(style_file), "cpu", "fp32")
    lit = to_picture(relight(to_tensor(photo)[None], [LIGHTINGS["from the left"]])[0])
    mask = Image.new("L", SIZE)
    mask.paste(255, (50, 35, 110, 85))
    shaded = Photo(lit, mask=mask)
    keep = Look(background="keep")
    (one,), (other,) = (
        style.stylize_photos([shaded], look) for look in (keep, replace(keep, even_light=False))
    )
    assert one == other

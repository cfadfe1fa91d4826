import math

import numpy as np
import pytest
from conftest import draw_picture
from PIL import Image, ImageDraw

from stylize.config import STYLE_LAYERS
from stylize.consistency.appearance import color_difference, lab_of, look_at, stroke_scale
from stylize.objective.vgg import load_vgg16
from stylize.objective.vgg_statistics import distance
from stylize.photos.photo import Photo


@pytest.fixture(scope="module")
def vgg():
    return load_vgg16("shipped", STYLE_LAYERS)


def product(ground=(255, 255, 255), colour=(30, 60, 160), radius=60) -> Photo:
    picture = Image.new("RGB", (256, 256), ground)
    box = (128 - radius, 128 - radius, 128 + radius, 128 + radius)
    ImageDraw.Draw(picture).ellipse(box, fill=colour)
    return Photo(picture)


def test_known_colours():
    lab = lab_of(Image.new("RGB", (1, 1), (255, 0, 0)))
    assert lab[0, 0] == pytest.approx((53.24, 80.09, 67.20), abs=0.02)


def test_colour_difference_of_known_colours():
    """Red and green of sRGB: 86.6 in CIEDE2000."""
    one, other = (Image.new("RGB", (2, 2), colour) for colour in ("red", "lime"))
    assert color_difference(one, other) == pytest.approx(86.6, abs=0.1)
    assert color_difference(one, one) == 0


@pytest.mark.parametrize("wavelength", [6, 10, 16])
def test_the_scale_of_a_wave_is_its_length(wavelength):
    wave = np.sin(2 * math.pi * np.arange(480) / wavelength)[None].repeat(480, axis=0) * 30 + 50
    assert stroke_scale(wave) == pytest.approx(wavelength, rel=0.08)
    assert stroke_scale(wave.T) == pytest.approx(wavelength, rel=0.08)


def test_a_flat_picture_has_no_strokes():
    assert stroke_scale(np.full((64, 64), 40.0)) == 1


def test_ground_and_product_are_told_apart(vgg):
    measures = look_at(product(), vgg).measures
    assert measures["ground lightness"] == pytest.approx(100, abs=0.1)
    assert measures["lightness"] == pytest.approx(
        lab_of(Image.new("RGB", (1, 1), (30, 60, 160)))[0, 0, 0], abs=2
    )
    assert measures["share"] == pytest.approx(math.pi * 60**2 / 256**2, rel=0.03)
    assert measures["cut"] == 0


def test_without_a_flat_ground_there_is_none(vgg):
    measures = look_at(Photo(draw_picture(1, 256, 256)), vgg).measures
    assert "share" not in measures
    assert measures["cut"] > 0.25
    assert "ground lightness" not in measures


@pytest.mark.parametrize("size", [(1, 1), (1000, 1), (3, 900), (5, 4)])
def test_any_size_is_measured(vgg, size):
    measures = look_at(Photo(Image.new("RGB", size, (90, 90, 200))), vgg).measures
    assert all(math.isfinite(value) for value in measures.values())


def test_what_cannot_be_seen_does_not_count(vgg):
    alpha = Image.new("L", (64, 64))
    alpha.paste(255, (20, 20, 44, 44))
    one, other = (Image.new("RGB", (64, 64), colour) for colour in ("black", "lime"))
    for picture in (one, other):
        picture.paste((200, 30, 30), (20, 20, 44, 44))
    seen = [look_at(Photo(picture, alpha), vgg) for picture in (one, other)]
    assert seen[0].measures == pytest.approx(seen[1].measures, abs=2)
    assert seen[0].measures["ground lightness"] == pytest.approx(100, abs=0.1)


def test_haze_leaves_nothing_dark(vgg):
    clear = product(colour=(0, 40, 90))
    hazy = Photo(Image.blend(clear.rgb, Image.new("RGB", clear.size, "white"), 0.35))
    assert look_at(clear, vgg).measures["veil"] < 1
    assert look_at(hazy, vgg).measures["veil"] == pytest.approx(35, abs=1.5)


def test_a_pictures_size_makes_little_difference(vgg):
    picture = draw_picture(2, 512, 512)
    small = Photo(picture.resize((300, 300), Image.Resampling.LANCZOS))
    one, other = look_at(Photo(picture), vgg), look_at(small, vgg)
    assert distance(one.statistics, other.statistics) < 0.05

import io
from collections import deque

import numpy as np
import pytest
from conftest import ROOT, draw_picture
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFilter

from stylize.photos.decoder import read_photo
from stylize.photos.masks import (
    balance,
    connected_to_border,
    flat_background,
    from_alpha,
    product_mask,
)
from stylize.photos.photo import Photo

ON_FLAT_GROUND = {"anemone", "cherries", "light-bulb", "stethoscope", "tractor-wheel"}


def disc(
    size: int, ground: tuple[int, int, int], colour: tuple[int, int, int], radius: float = 0.3
) -> tuple[Image.Image, np.ndarray]:
    """A disc with a white middle, drawn at eight times the size; and the disc's share in pixels."""
    middle, reach = size * 4, radius * size * 8
    share = Image.new("L", (size * 8, size * 8))
    box = (middle - reach, middle - reach, middle + reach, middle + reach)
    ImageDraw.Draw(share).ellipse(box, fill=255)
    share = share.resize((size, size), Image.Resampling.BOX)
    inner = Image.new("RGB", (size, size), colour)
    inner.paste((255, 255, 255), (size // 2 - 4, size // 2 - 4, size // 2 + 4, size // 2 + 4))
    return Image.composite(inner, Image.new("RGB", (size, size), ground), share), np.asarray(share)


@pytest.mark.parametrize("ground", [(255, 255, 255), (0, 0, 0), (139, 64, 159)])
def test_a_disc_on_a_flat_ground(ground):
    """The matte is the share of the disc; the white in its middle, too, belongs to it."""
    picture, share = disc(96, ground, (200, 30, 20))
    mask = np.asarray(flat_background(picture), int)
    assert np.abs(mask - share).max() <= 12
    assert (mask[share == 255] == 255).all()
    assert (mask[share == 0] == 0).all()


def test_noise_of_jpeg_is_tolerated():
    picture, share = disc(160, (255, 255, 255), (40, 90, 160))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=75)
    mask = np.asarray(flat_background(Image.open(buffer).convert("RGB")), int)
    assert (mask[share == 255] == 255).mean() > 0.99
    # A block of JPEG is 16 pixels wide where colours are stored at half the resolution.
    far = np.asarray(Image.fromarray(share).filter(ImageFilter.MaxFilter(37))) == 0
    assert (mask[far] == 0).all()
    assert np.abs(mask - share).mean() < 3


def test_a_product_that_touches_a_side():
    picture = Image.new("RGB", (80, 60), (250, 250, 250))
    picture.paste((90, 20, 20), (10, 20, 70, 60))
    expected = np.zeros((60, 80), np.uint8)
    expected[20:, 10:70] = 255
    assert np.array_equal(flat_background(picture), expected)


@pytest.mark.parametrize("seed", range(4))
def test_pictures_without_a_flat_ground_have_none(seed):
    assert flat_background(draw_picture(seed)) is None


def test_a_gradient_is_no_flat_ground():
    ramp = np.linspace(225, 245, 90).astype(np.uint8)
    picture = Image.fromarray(np.broadcast_to(ramp[:, None, None], (90, 70, 3)).copy())
    picture.paste((10, 10, 10), (20, 20, 50, 60))
    assert flat_background(picture) is None


def test_one_colour_everywhere_is_all_background():
    assert flat_background(Image.new("RGB", (9, 7), (1, 2, 3))).getextrema() == (0, 0)


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (3, 2)])
def test_small_pictures(size):
    mask = flat_background(Image.new("RGB", size, "white"))
    assert mask.size == size
    assert mask.mode == "L"


def test_sample_photos():
    """Products on white have a mask, and none of it in the corners; others have none."""
    found = {
        path.stem: flat_background(read_photo(path).rgb)
        for path in (ROOT / "samples" / "photos").rglob("*")
        if path.is_file()
    }
    assert {name for name, mask in found.items() if mask} == ON_FLAT_GROUND
    for name in ON_FLAT_GROUND:
        assert 0.1 < np.mean(found[name]) / 255 < 0.9
        assert found[name].getpixel((0, 0)) == 0


def flood(region: np.ndarray) -> np.ndarray:
    """The same pixel by pixel, from the border inwards."""
    height, width = region.shape
    reached = np.zeros_like(region)
    waiting = deque(
        (row, column)
        for row in range(height)
        for column in range(width)
        if row in (0, height - 1) or column in (0, width - 1)
    )
    while waiting:
        row, column = waiting.popleft()
        inside = 0 <= row < height and 0 <= column < width
        if inside and region[row, column] and not reached[row, column]:
            reached[row, column] = True
            waiting += [(row + 1, column), (row - 1, column), (row, column + 1), (row, column - 1)]
    return reached


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_connection_to_the_border_against_a_flood(height, width, seed, share):
    region = np.random.default_rng(seed).random((height, width)) < share
    assert np.array_equal(connected_to_border(region), flood(region))


def test_connection_through_a_maze():
    """A single way through the whole picture, with a turn at the end of every row."""
    maze = np.zeros((201, 60), bool)
    maze[1:-1:2, 1:-1] = True
    maze[2:-1:4, -2] = maze[4:-1:4, 1] = True
    assert not connected_to_border(maze).any()
    maze[0, 1] = True
    assert np.array_equal(connected_to_border(maze), maze)
    assert np.array_equal(connected_to_border(maze.T.copy()), maze.T)


def test_what_a_mask_comes_from():
    picture, _ = disc(48, (255, 255, 255), (0, 80, 0))
    own = Image.new("L", (48, 48), 7)
    seen = Image.new("L", (48, 48))
    seen.paste(1, (0, 0, 10, 48))
    opaque = Image.new("L", (48, 48), 255)
    assert product_mask(Photo(picture, seen, own)) is own
    assert np.array_equal(product_mask(Photo(picture, seen)), from_alpha(seen))
    assert np.array_equal(product_mask(Photo(picture, opaque)), flat_background(picture))
    assert product_mask(Photo(draw_picture(0))) is None


def test_alpha_counts_where_anything_is_seen():
    alpha = Image.fromarray(np.array([[0, 1, 128, 255]], np.uint8))
    assert np.asarray(from_alpha(alpha)).tolist() == [[0, 255, 255, 255]]


def test_a_small_product_counts_for_a_quarter():
    picture, share = disc(400, (255, 255, 255), (0, 80, 0), radius=0.1)
    weights = np.asarray(balance(picture), float) / 255
    product = share / 255
    assert product.mean() < 0.05
    assert (weights * product).sum() / weights.sum() == pytest.approx(0.25, rel=0.1)
    assert weights[share == 255].mean() > 0.95
    assert weights[0, 0] == weights[-1, -1] == weights.min()


def test_a_speck_of_dust_is_not_what_counts():
    picture = Image.new("RGB", (100, 100), "white")
    picture.putpixel((50, 50), (0, 0, 0))
    weights = np.asarray(balance(picture), float)
    assert weights[50, 50] / weights.sum() < 0.01


def test_other_photos_are_balanced_as_they_are():
    large, _ = disc(200, (255, 255, 255), (0, 80, 0), radius=0.35)
    for picture in (large, draw_picture(0), Image.new("RGB", (40, 30), "white")):
        assert balance(picture) is None


@pytest.mark.parametrize("ground", ["white", "navy"])
def test_balance_is_continuous_in_the_size_of_the_product(ground):
    """Where it sets in, at a quarter of the photo, it changes nothing yet."""
    picture = Image.new("RGB", (100, 100), ground)
    picture.paste((200, 60, 40), (10, 10, 60, 59))  # 24.5 %
    assert 0.95 < np.asarray(balance(picture)).min() / 255 < 1

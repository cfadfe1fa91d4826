from dataclasses import replace

import numpy as np
import pytest
import torch
from clips import moving
from conftest import TINY_DRAFT, draw_picture
from PIL import Image

from stylize.config import Look, TrainConfig
from stylize.network.architectures import build_network
from stylize.network.device import choose
from stylize.network.style_header import StyleHeader
from stylize.photos.photo import Photo
from stylize.style import IN_ONE_PASS, Style
from stylize.video.steady import SteadyPainter, read_state, write_state

LOOK = Look(even_light=False)


@pytest.fixture(scope="module")
def style():
    torch.manual_seed(0)
    header = StyleHeader("tiny", TINY_DRAFT, TrainConfig(steps=1), [])
    return Style(build_network(TINY_DRAFT).eval(), header, choose("cpu", "fp32"))


def photos(frames):
    return [Photo(Image.fromarray(frame)) for frame in frames]


def painter(style, tmp_path, look=LOOK):
    return SteadyPainter(style, look, IN_ONE_PASS, tmp_path)


def paint(steady, photo):
    return steady.hold(steady.paint(steady.see(photo)))


def noisy(count):
    random, still = np.random.default_rng(0), np.asarray(draw_picture(2, 96, 72), float)
    return [
        (still + random.normal(0, 6, still.shape)).clip(0, 255).astype(np.uint8)
        for _ in range(count)
    ]


def flicker(paintings):
    levels = np.stack([np.asarray(each, float) for each in paintings])
    return np.diff(levels, axis=0).std()


def by_themselves(style, frames):
    return [style.stylize_photos([photo], LOOK)[0] for photo in photos(frames)]


def test_the_first_frame_is_painted_as_a_photo(style, tmp_path):
    (photo,) = photos(moving(1))
    assert paint(painter(style, tmp_path), photo).image == style.stylize_photos([photo], LOOK)[0]


def test_paintings_of_a_still_scene_flicker_a_third_as_much(style, tmp_path):
    frames, steady = noisy(8), painter(style, tmp_path)
    held = [paint(steady, photo).image for photo in photos(frames)]
    assert 3 * flicker(held[2:]) < flicker(by_themselves(style, frames)[2:])


def test_after_a_cut_nothing_is_left_of_the_shot_before(style, tmp_path):
    steady = painter(style, tmp_path)
    for photo in photos(moving(3, 96, 72)):
        paint(steady, photo)
    (after,) = photos([np.asarray(draw_picture(11, 96, 72))])
    assert paint(steady, after).image == style.stylize_photos([after], LOOK)[0]


def test_what_stays_the_same_stays_painted_the_same(style, tmp_path):
    steady = painter(style, tmp_path)
    (photo,) = photos(moving(1))
    first, *others = (paint(steady, photo).image for _ in range(4))
    for other in others:
        assert np.abs(np.asarray(other, int) - np.asarray(first, int)).max() <= 1


def test_another_painter_goes_on_with_the_same_bits(style, tmp_path):
    first, second = painter(style, tmp_path), painter(style, tmp_path)
    *begun, last = photos(noisy(4))
    for photo in begun:
        state = paint(first, photo).state
    second.go_on_from(read_state(write_state(state)))
    assert paint(second, last).image == paint(first, last).image


def test_frames_are_seen_and_held_side_by_side_with_the_same_bits(style, tmp_path):
    frames, side_by_side = photos(noisy(5)), painter(style, tmp_path)
    seen = [side_by_side.see(photo, time) for time, photo in enumerate(frames)]
    painted = [side_by_side.paint(each) for each in seen]
    held = [side_by_side.hold(each) for each in painted]
    alone = painter(style, tmp_path)
    assert [each.image for each in held] == [paint(alone, photo).image for photo in frames]
    assert [each.time for each in held] == list(range(5))


def test_a_background_that_is_kept_is_not_mixed_with_the_last(style, tmp_path):
    steady = painter(style, tmp_path, replace(LOOK, background="keep"))
    mask = Image.new("L", (96, 72), 0)
    for frame in noisy(3):
        painted = paint(steady, Photo(Image.fromarray(frame), mask=mask)).image
    assert np.array_equal(np.asarray(painted), frame)

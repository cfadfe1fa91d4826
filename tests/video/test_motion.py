import numpy as np
import pytest
from conftest import draw_picture

from stylize.video.motion import Motion, find_motion, local_mean, small

WIDE = np.asarray(draw_picture(3, 200, 140))


def window(left, top, width=120, height=96):
    return small(np.ascontiguousarray(WIDE[top : top + height, left : left + width]))


@pytest.mark.parametrize(("right", "down"), [(0, 0), (3, 0), (-4, 2), (5, -6)])
def test_the_flow_of_a_pan_is_its_way(right, down):
    motion = find_motion(window(20, 20), window(20 + right, 20 + down))
    inside = np.s_[12:-12, 12:-12]
    assert np.abs(np.median(motion.flow[inside], axis=(0, 1)) - (right, down)).max() < 0.25
    assert motion.kept[inside].mean() > 0.9


def test_noise_does_not_move():
    random = np.random.default_rng(0)
    frames = [
        (window(20, 20) + random.normal(0, 4, (96, 120))).round().clip(0, 255).astype(np.uint8)
        for _ in range(2)
    ]
    motion = find_motion(*frames)
    assert not motion.flow.any()
    assert motion.kept.all()


def test_little_is_kept_of_another_picture():
    other = small(np.asarray(draw_picture(9, 120, 96)))
    assert find_motion(window(20, 20), other).kept.mean() < 1 / 3


def test_what_was_hidden_is_new():
    before, now = window(20, 20).copy(), window(20, 20)
    before[30:60, 40:80] = 255
    kept = find_motion(before, now).kept
    assert not kept[36:54, 46:74].any()
    assert kept[:, :20].mean() > 0.9


def test_pictures_are_moved_by_the_flow():
    before = np.arange(40, dtype=np.float32)[None].repeat(30, 0)
    flow = np.zeros((30, 40, 2), np.float32)
    flow[..., 0] = 2
    moved = Motion(flow, np.ones((30, 40), np.float32)).warp(before)
    assert np.allclose(moved[:, 8:-8], before[:, 8:-8] + 2, atol=1e-3)


def test_at_another_size_the_way_is_as_long_relative_to_the_picture():
    motion = Motion(np.full((30, 40, 2), 3, np.float32), np.ones((30, 40), np.float32))
    larger = motion.at(80, 90)
    assert larger.flow.shape == (90, 80, 2)
    assert np.allclose(larger.flow, (6, 9))
    assert np.allclose(larger.kept, 1)


def test_any_size_can_be_searched():
    for width, height in ((1, 1), (2, 500), (3000, 40)):
        frame = small(np.zeros((height, width, 3), np.uint8))
        assert not find_motion(frame, frame).flow.any()


def test_the_mean_of_a_neighbourhood():
    spot = np.zeros((30, 30), np.float32)
    spot[15, 15] = 81
    mean = local_mean(spot)
    assert np.allclose(mean[11:20, 11:20], 1)
    assert np.isclose(mean.sum(), 81)

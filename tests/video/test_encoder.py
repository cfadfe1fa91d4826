from fractions import Fraction

import av
import numpy as np
import pytest
from clips import moving, write_clip
from PIL import Image

from stylize.video.clip import Frame, measure_clip, read_frames
from stylize.video.encoder import ENCODERS, SegmentEncoder

TIMES = [0, 512, 2000, 2001, 9000]


def encoded(clip, pictures, path, codec="h264", crf=None):
    encoder = SegmentEncoder(clip, codec, crf)
    for picture, time in zip(pictures, TIMES, strict=True):
        encoder.add(Frame(Image.fromarray(picture), time))
    path.write_bytes(encoder.finish())
    return path


@pytest.fixture
def clip(tmp_path):
    return measure_clip(write_clip(tmp_path / "source.mp4", moving(5), TIMES))


@pytest.mark.parametrize("codec", ENCODERS)
def test_a_segment_has_the_time_stamps_and_says_its_colours(codec, clip, tmp_path):
    path = encoded(clip, moving(5), tmp_path / "a.nut", codec)
    found = measure_clip(path)
    ticks = [frame.time * found.time_base / Fraction(1, 12800) for frame in read_frames(found)]
    assert ticks == TIMES
    with av.open(str(path)) as container:
        context = container.streams.video[0].codec_context
        assert (context.color_primaries, context.color_trc, context.colorspace) == (1, 1, 1)
        assert (context.color_range, context.pix_fmt) == (1, "yuv420p")


def test_no_frame_needs_a_later_one(clip, tmp_path):
    with av.open(str(encoded(clip, moving(5), tmp_path / "a.nut"))) as container:
        packets = [packet for packet in container.demux(video=0) if packet.dts is not None]
    assert [packet.pts for packet in packets] == [packet.dts for packet in packets]
    assert packets[0].is_keyframe


def test_colours_stay(clip, tmp_path):
    colours = ([255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255], [90, 140, 30])
    pictures = [np.full((48, 64, 3), colour, np.uint8) for colour in colours]
    found = read_frames(measure_clip(encoded(clip, pictures, tmp_path / "a.nut", crf=1)))
    for frame, picture in zip(found, pictures, strict=True):
        assert np.abs(np.asarray(frame.rgb).astype(int) - picture).max() <= 4


def test_a_higher_rate_factor_makes_smaller_files(clip, tmp_path):
    sizes = [
        encoded(clip, moving(5), tmp_path / "a.nut", crf=crf).stat().st_size for crf in (5, 45)
    ]
    assert sizes[0] > 2 * sizes[1]

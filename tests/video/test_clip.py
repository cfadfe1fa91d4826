from fractions import Fraction

import av
import numpy as np
import pytest
from clips import moving, write_clip, write_tone

from stylize.errors import ImageError
from stylize.video.clip import measure_clip, read_frames

# Y, Cb and Cr of pure red with video levels: ITU-R BT.709-6 and BT.601-7, section 3 and 2.5.
RED_709, RED_601 = (63, 102, 240), (81, 90, 240)
UNSAID = 2  # of a matrix


def levels(clip):
    return [np.asarray(frame.rgb) for frame in read_frames(clip)]


def write_flat(path, values, matrix, width=64, height=48):
    """A lossless clip of one frame with these Y, Cb and Cr."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.colorspace, stream.codec_context.color_range = matrix, 1
        frame = av.VideoFrame(width, height, "yuv420p")
        for plane, value in zip(frame.planes, values, strict=True):
            plane.update(bytes([value]) * plane.buffer_size)
        frame.pts = 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ("values", "matrix", "height"),
    [
        (RED_709, 1, 48),
        (RED_601, 5, 48),
        (RED_601, 6, 48),
        (RED_601, UNSAID, 480),
        (RED_709, UNSAID, 720),
    ],
)
def test_colours_have_the_matrix_that_the_clip_says_or_its_height_suggests(
    values, matrix, height, tmp_path
):
    clip = measure_clip(write_flat(tmp_path / "red.mkv", values, matrix, height=height))
    (red,) = levels(clip)
    assert np.abs(red.astype(int) - (255, 0, 0)).max() <= 2


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_rotated_clips_are_read_upright(rotation, tmp_path):
    upright = moving(2)
    stored = [np.ascontiguousarray(np.rot90(frame, -rotation // 90)) for frame in upright]
    path = write_clip(tmp_path / "a.mp4", stored, pix_fmt="yuv444p", rotation=rotation)
    clip = measure_clip(path)
    assert clip.size == (64, 48)
    for found, frame in zip(levels(clip), upright, strict=True):
        assert np.abs(found.astype(int) - frame).mean() < 6  # what the codec loses


@pytest.mark.parametrize(
    ("width", "height", "longest", "size"),
    [
        (65, 49, None, (64, 48)),
        (64, 48, 33, (32, 24)),
        (64, 48, 200, (64, 48)),
        (50, 3, 25, (24, 2)),
    ],
)
def test_sides_are_even_and_no_longer_than_asked(width, height, longest, size, tmp_path):
    path = write_clip(tmp_path / "a.mkv", moving(1, width, height), codec="ffv1", pix_fmt="bgr0")
    clip = measure_clip(path, longest)
    assert clip.size == size
    assert {frame.rgb.size for frame in read_frames(clip)} == {size}


def test_an_odd_last_row_and_column_are_left_out(tmp_path):
    (frame,) = frames = moving(1, 65, 49)
    clip = measure_clip(write_clip(tmp_path / "a.mkv", frames, codec="ffv1", pix_fmt="bgr0"))
    assert np.array_equal(levels(clip)[0], frame[:48, :64])


def test_time_stamps_of_a_variable_rate_are_kept(tmp_path):
    times = [0, 512, 2000, 2001, 9000]
    clip = measure_clip(write_clip(tmp_path / "a.mp4", moving(5), times))
    assert clip.time_base == Fraction(1, 12800)
    assert [frame.time for frame in read_frames(clip)] == times
    assert [frame.time for frame in read_frames(clip, skip=3)] == times[3:]


def test_a_single_frame(tmp_path):
    clip = measure_clip(write_clip(tmp_path / "a.mp4", moving(1)))
    assert len(list(read_frames(clip))) == clip.count == 1


def test_only_sound(tmp_path):
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        write_tone(container, container.add_stream("aac", rate=44100, layout="mono"))
    with pytest.raises(ImageError, match="no moving picture"):
        measure_clip(tmp_path / "a.mp4")


def test_the_picture_of_a_cover_does_not_move(tmp_path):
    cover = tmp_path / "a.mp4"
    with av.open(str(cover), "w") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        stream.disposition = av.stream.Disposition.attached_pic
        frame = av.VideoFrame.from_ndarray(moving(1)[0], "rgb24").reformat(format="yuvj420p")
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(ImageError, match="no moving picture"):
        measure_clip(cover)


@pytest.mark.parametrize("colours", [{"color_trc": 16}, {"color_trc": 18}, {"color_primaries": 9}])
def test_hdr_and_wide_colours_are_refused(colours, tmp_path):
    path = write_clip(tmp_path / "a.mp4", moving(1), pix_fmt="yuv420p10le", **colours)
    with pytest.raises(ImageError, match=r"HDR or wide colours; convert it to BT\.709"):
        measure_clip(path)


def test_ten_bits_become_eight(tmp_path):
    grey = np.full((48, 64, 3), 158, np.uint8)
    clip = measure_clip(write_clip(tmp_path / "a.mp4", [grey], pix_fmt="yuv420p10le"))
    assert np.abs(levels(clip)[0].astype(int) - 158).max() <= 1


def test_transparency_is_refused(tmp_path):
    path = write_clip(tmp_path / "a.mkv", moving(1), codec="ffv1", pix_fmt="yuva420p")
    with pytest.raises(ImageError, match="transparent"):
        measure_clip(path)


def test_frames_of_too_many_pixels_are_refused(tmp_path):
    path = write_clip(tmp_path / "a.mp4", moving(1))
    with pytest.raises(ImageError, match="max-megapixels"):
        measure_clip(path, most=64 * 48 - 1)
    assert measure_clip(path, most=64 * 48).size == (64, 48)


def test_a_file_that_is_no_clip(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"no clip" * 100)
    with pytest.raises(ImageError, match="no clip, or damaged"):
        measure_clip(tmp_path / "a.mp4")


def test_a_playlist_opens_no_other_file(tmp_path):
    other = write_clip(tmp_path / "secret.mp4", moving(1))
    text = f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{other}\n#EXT-X-ENDLIST\n"
    (tmp_path / "a.mp4").write_text(text)
    (tmp_path / "b.mp4").write_text(f"ffconcat version 1.0\nfile '{other.name}'\n")
    for name in ("a.mp4", "b.mp4"):
        with pytest.raises(ImageError):
            measure_clip(tmp_path / name)


def test_half_a_file(tmp_path):
    path = write_clip(tmp_path / "a.mp4", moving(50))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ImageError, match="no clip, or damaged"):
        measure_clip(path)

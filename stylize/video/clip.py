"""A clip: the frames of a video file, upright and in sRGB, with their time stamps.

PyAV, an optional part, reads every container and codec that FFmpeg does.
"""

import errno
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from stylize.errors import ImageError, install
from stylize.files import open_file
from stylize.photos.decoder import check_pixels
from stylize.photos.photo import scaled_down

if TYPE_CHECKING:
    import av
    from av.container import InputContainer

# A file can name others, as a playlist does. No protocol is allowed to open them with.
ALONE = {"protocol_whitelist": "none"}
# ITU-T H.273, tables 2 to 4: codes of primaries, transfer functions and matrices.
BT709, UNKNOWN, BT601, BT2020, PQ, HLG = 1, 2, 5, 9, 16, 18
HD = 720  # rows from which a clip that does not say so has the matrix of BT.709
USUAL_RATE = Fraction(25)  # frames a second, where a file does not say
TURNS = {
    90: Image.Transpose.ROTATE_90,
    180: Image.Transpose.ROTATE_180,
    270: Image.Transpose.ROTATE_270,
}


@dataclass(frozen=True)
class Clip:
    """The moving picture of a file.

    `stored` is the (width, height) of its frames after they are scaled down, `size` that of upright
    ones: even, as most codecs need it. `count` is the number of frames that the file promises, 0 if
    it does not. A time stamp counts units of `time_base` seconds; `rate` is the usual number
    of frames a second. `aspect` is the shape of an upright pixel, width to height.
    """

    path: Path
    stored: tuple[int, int]
    rotation: int
    count: int
    time_base: Fraction
    rate: Fraction
    aspect: Fraction

    @property
    def sideways(self) -> bool:
        return self.rotation in (90, 270)

    @property
    def size(self) -> tuple[int, int]:
        """An odd last column or row is left out: nothing has to be resampled for it."""
        width, height = reversed(self.stored) if self.sideways else self.stored
        return width // 2 * 2, height // 2 * 2


@dataclass(frozen=True)
class Frame:
    """A frame in mode RGB and its time stamp."""

    rgb: Image.Image
    time: int


def measure_clip(path: Path, longest: int | None = None, most: float = math.inf) -> Clip:
    """The clip in a file, with no side above `longest`. Decodes its first frame.

    Raises:
        ImageError: PyAV or OpenCV is not installed, or the file has no moving picture that can be
            read, or one in HDR, in wide colours, with transparency, or with frames of more than
            `most` or less than 2 x 2 pixels.
        OSError: it cannot be opened.
    """
    if find_spec("av") is None or find_spec("cv2") is None:
        raise ImageError(f"clips need PyAV and OpenCV: {install('video')}")
    with open_container(path) as container:
        stream = _moving(path, container)
        context = stream.codec_context
        check_pixels(context.width * context.height, most)
        first = next(container.decode(stream), None)
        if first is None:
            raise ImageError(f"{path}: no frames in it")
        _check(first, path)
        rotation = round(first.rotation / 90) * 90 % 360
        aspect = stream.sample_aspect_ratio or Fraction(1)
        time_base, rate = stream.time_base, stream.guessed_rate or USUAL_RATE
        assert time_base is not None  # noqa: S101 for the type checker: FFmpeg always has one
        clip = Clip(
            path,
            scaled_down((first.width, first.height), longest),
            rotation,
            stream.frames or round((stream.duration or 0) * time_base * rate),
            time_base,
            rate,
            1 / aspect if rotation in (90, 270) else aspect,
        )
    if 0 in clip.size:
        raise ImageError(f"{path}: frames of {clip.stored[0]} x {clip.stored[1]} pixels, too small")
    return clip


def read_frames(clip: Clip, skip: int = 0) -> Iterator[Frame]:
    """The frames in the order that they are shown in, without the first `skip`. These are decoded,
    too: a jump into a file does not always end at the same frame.

    A time stamp that is missing or does not rise becomes the one after the last. Raises ImageError:
    the file is damaged.
    """
    with open_container(clip.path) as container:
        stream = _moving(clip.path, container)
        stream.thread_type = "AUTO"
        last = None
        for number, frame in enumerate(container.decode(stream)):
            after = frame.pts or 0 if last is None else last + 1
            last = after if frame.pts is None else max(after, frame.pts)
            if number >= skip:
                yield Frame(_upright(frame, clip), last)


@contextmanager
def open_container(path: Path) -> "Iterator[InputContainer]":
    """The streams of a file. Errors of FFmpeg in the `with` block become ImageErrors, or OSErrors
    where a file that is written there finds no room."""
    import av

    try:
        with open_file(path) as file, av.open(file, "r", options=ALONE) as container:
            yield container
    except av.error.FFmpegError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise OSError(error.errno, error.strerror) from error
        raise ImageError(f"{path}: no clip, or damaged ({error.strerror})") from error


def _moving(path: Path, container: "InputContainer") -> "av.VideoStream":
    """The first video stream that is not the picture of a cover."""
    from av.stream import Disposition

    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic:
            return stream
    raise ImageError(f"{path}: no moving picture in it")


def _check(frame: "av.VideoFrame", path: Path) -> None:
    """Raise ImageError for what 8 bits in BT.709 without transparency cannot hold."""
    if frame.color_trc in (PQ, HLG) or frame.color_primaries == BT2020:
        raise ImageError(f"{path}: HDR or wide colours; convert it to BT.709 first")
    if any(component.is_alpha for component in frame.format.components):
        raise ImageError(f"{path}: transparent, which the codecs of clips cannot keep")


def _upright(frame: "av.VideoFrame", clip: Clip) -> Image.Image:
    space = frame.colorspace
    if space == UNKNOWN:
        space = BT709 if frame.height >= HD else BT601
    flat = frame.reformat(*clip.stored, "rgb24", src_colorspace=space, interpolation="LANCZOS")
    rgb = Image.fromarray(flat.to_ndarray())
    if clip.rotation:
        rgb = rgb.transpose(TURNS[clip.rotation])
    return rgb.crop((0, 0, *clip.size))

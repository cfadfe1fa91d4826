"""Painted frames -> a segment: an encoded piece of a clip that begins with a key frame."""

from io import BytesIO
from typing import Any

import av
import numpy as np

from stylize.errors import ImageError
from stylize.video.clip import BT709, Clip, Frame

# Name of a codec -> FFmpeg's encoder and its usual constant rate factor.
ENCODERS = {"h264": ("libx264", 18), "h265": ("libx265", 20), "av1": ("libsvtav1", 24)}
OPTIONS = {
    # "faster" takes half the time of the default. With its mb-tree, libx264 gives other bytes for
    # the same frames from time to time, and a run that was killed would end with others.
    "libx264": {"preset": "faster", "x264-params": "mbtree=0"},
    "libx265": {"x265-params": "log-level=none"},  # it writes to the terminal by itself
}
VIDEO_LEVELS = 1  # ITU-T H.273: black is 16 and white 235
CONTAINER = "nut"  # keeps time stamps in any unit


class SegmentEncoder:
    """Encodes one segment of a clip, with the clip's time stamps.

    In 8 bits and 4:2:0, with the matrix of BT.709 and video levels, and tagged as such: what every
    player shows. No frame is predicted from later ones (B-frames), so segments can follow each
    other, whatever their time stamps are. All methods raise ImageError if the encoder refuses.
    """

    def __init__(self, clip: Clip, codec: str, crf: int | None) -> None:
        encoder, usual = ENCODERS[codec]
        if encoder not in av.codecs_available:
            raise ImageError(f"this build of PyAV has no {encoder}; choose another --codec")
        self._buffer = BytesIO()
        self._container = av.open(self._buffer, "w", format=CONTAINER)
        options = {"crf": str(usual if crf is None else crf), **OPTIONS.get(encoder, {})}
        made: Any = self._container.add_stream(encoder, rate=clip.rate, options=options)
        self._stream: av.VideoStream = made
        self._stream.width, self._stream.height = clip.size
        self._stream.pix_fmt = "yuv420p"
        context = self._stream.codec_context
        context.time_base = clip.time_base
        context.sample_aspect_ratio = clip.aspect
        context.max_b_frames = 0
        context.color_primaries = context.color_trc = context.colorspace = BT709
        context.color_range = VIDEO_LEVELS
        self._clip = clip

    def add(self, frame: Frame) -> None:
        coded = av.VideoFrame.from_ndarray(np.asarray(frame.rgb), "rgb24").reformat(
            format="yuv420p", dst_colorspace=BT709, dst_color_range=VIDEO_LEVELS
        )
        coded.pts, coded.time_base = frame.time, self._clip.time_base
        self._encode(coded)

    def finish(self) -> bytes:
        """The whole segment."""
        self._encode(None)
        self._container.close()
        return self._buffer.getvalue()

    def _encode(self, frame: av.VideoFrame | None) -> None:
        try:
            self._container.mux(self._stream.encode(frame))
        except av.error.FFmpegError as error:
            raise ImageError(f"cannot be encoded ({error.strerror})") from error

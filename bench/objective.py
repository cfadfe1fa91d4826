"""One forward pass against optimising the pixels (Gatys et al. 2016): how many evaluations is it?

For each photo, cropped to squares of each size, the objective of the style's training is computed
in fp32: once for the network's result, and along a run of L-BFGS on the pixels (history 20, strong
Wolfe conditions), from the photo and from noise. The figure is the number of evaluations of
objective and gradient until the best one is not above the network's. Pixels are not held to [0, 1],
which favours the optimisation: the network's are. For a style that drafts, the style picture has
the size of the photo, as in its training; for others, the size that it had in training.

    python bench/objective.py PHOTOS --pictures PICTURE --styles STYLE [STYLE ...] [--device auto]

PICTURE is the style picture, or all of them in order. The first STYLE sets the objective; the
others, such as the same style after fewer steps, are compared with the same curves. --refine N adds
each style with N steps of `stylize apply --refine`. A run ends when it is below all styles, or
after --most evaluations.
"""

import argparse
import contextlib
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from common import machine, record, some_photos
from curves import objective_of
from matplotlib.figure import Figure
from PIL import Image, ImageOps
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor

from stylize import load_style
from stylize.network.device import choose
from stylize.objective.losses import weighted_sum
from stylize.photos.decoder import read_photo
from stylize.photos.photo import to_tensor

HISTORY = 20
NOISE = 0.1  # standard deviation around grey
STARTS = ("photo", "noise")


class Enough(Exception):  # noqa: N818  no error
    """The run is below all that it is compared with, or has had its evaluations."""


@dataclass(frozen=True)
class Run:
    """One photo at one size: the styles' own totals, and a curve for each start."""

    photo: str
    size: int
    styles: dict[str, float]
    curves: dict[str, list[float]]

    def reached(self, start: str, style: str) -> int | None:
        """After how many evaluations the optimisation is not above the style; None: never."""
        below = (n for n, v in enumerate(self.curves[start], 1) if v <= self.styles[style])
        return next(below, None)


def optimise(
    total: Callable[[Tensor], Tensor], photo: Tensor, start: str, below: float, most: int
) -> list[float]:
    """The objective at each evaluation of an L-BFGS run on the pixels of one (1, 3, H, W) photo."""
    pixels = photo.clone()
    if start == "noise":
        generator = torch.Generator().manual_seed(0)
        pixels = 0.5 + NOISE * torch.randn(photo.shape, generator=generator).to(photo.device)
    pixels.requires_grad_(True)
    curve: list[float] = []
    optimizer = torch.optim.LBFGS(
        [pixels],
        max_iter=most,
        max_eval=most,
        history_size=HISTORY,
        tolerance_grad=0,
        tolerance_change=0,
        line_search_fn="strong_wolfe",
    )

    def evaluate() -> Tensor:
        optimizer.zero_grad()
        loss = total(pixels)
        loss.backward()
        pixels.grad = pixels.grad.contiguous()  # channels_last cannot be flattened as a view
        curve.append(loss.item())
        if len(curve) >= most or curve[-1] <= below:
            raise Enough
        return loss

    with contextlib.suppress(Enough):
        optimizer.step(evaluate)
    return curve


def median_curve(runs: list[Run], start: str, most: int) -> list[float]:
    """Of the best so far; a run that ended early stays at its end."""
    best = []
    for run in runs:
        curve = run.curves[start]
        lowest = [min(curve[: n + 1]) for n in range(len(curve))]
        best.append(lowest + [lowest[-1]] * (most - len(lowest)))
    return [statistics.median(values) for values in zip(*best, strict=True)]


def plot(runs: list[Run], sizes: list[int], styles: list[str], most: int, path: Path) -> None:
    figure = Figure(figsize=(5 * len(sizes), 4.5), layout="constrained")
    for axes, size in zip(figure.subplots(1, len(sizes), squeeze=False)[0], sizes, strict=True):
        there = [run for run in runs if run.size == size]
        for start in STARTS:
            shown = max(len(run.curves[start]) for run in there)
            curve = median_curve(there, start, most)[:shown]
            axes.plot(range(1, shown + 1), curve, label=f"L-BFGS from {start}")
        for number, style in enumerate(styles):
            value = statistics.median(run.styles[style] for run in there)
            axes.axhline(value, label=style, color=f"C{number + 2}", linestyle="--")
        axes.set(xlabel="evaluations", yscale="log", title=f"{size} px, {len(there)} photos")
        axes.grid(alpha=0.3, which="both")
    axes.legend()
    figure.supylabel("objective, median over photos")
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", type=Path)
    parser.add_argument("--pictures", type=Path, nargs="+", required=True)
    parser.add_argument("--styles", nargs="+", required=True)
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 512, 1024])
    parser.add_argument("--count", type=int, nargs="+", default=[16], help="photos, of each size")
    parser.add_argument("--most", type=int, default=150)
    parser.add_argument("--refine", type=int, default=0)
    parser.add_argument("--plot", type=Path, default=Path("objective.png"))
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    device = choose(options.device).device
    loaded = [load_style(name, str(device), precision="fp32") for name in options.styles]
    styles = {style.header.name: style for style in loaded}
    if options.refine:
        refined = {
            f"{name}, refined": partial(style, refine=options.refine)
            for name, style in styles.items()
        }
        styles |= refined
    header = loaded[0].header
    config = header.training

    console = Console(width=110)
    console.print(machine(device))
    runs = []
    counts = options.count if len(options.count) > 1 else options.count * len(options.sizes)
    jobs = [
        (size, path)
        for size, count in zip(options.sizes, counts, strict=True)
        for path in some_photos(options.photos, count)
    ]
    objectives = {
        size: objective_of(
            header, options.pictures, size if header.drafts else config.style_size, device
        )
        for size in options.sizes
    }
    for size, path in track(jobs, console=console):
        objective = objectives[size]
        square = ImageOps.fit(read_photo(path).rgb, (size, size), Image.Resampling.LANCZOS)
        photo = to_tensor(square)[None].to(device)
        content = objective.content_target(photo)

        def total(image: Tensor, photo=photo, content=content, objective=objective) -> Tensor:
            return weighted_sum(objective(image, photo, content), config)

        with torch.no_grad():
            ours = {name: total(style(photo)).item() for name, style in styles.items()}
        below = min(ours.values())
        curves = {start: optimise(total, photo, start, below, options.most) for start in STARTS}
        runs.append(Run(path.name, size, ours, curves))

    figures = []
    table = Table("size", "style", "start", "objective", "equals evaluations: median, range")
    for size in options.sizes:
        there = [run for run in runs if run.size == size]
        for name in styles:
            value = statistics.median(run.styles[name] for run in there)
            for start in STARTS:
                reached = sorted(run.reached(start, name) or options.most + 1 for run in there)
                median = statistics.median(reached)
                words = f"{median:g}, {reached[0]} to {reached[-1]}"
                table.add_row(f"{size} px", name, start, f"{value:.3f}", words)
                figures.append(
                    {
                        "size": size,
                        "style": name,
                        "start": start,
                        "objective": value,
                        "photos": len(there),
                        "median": median,
                        "least": reached[0],
                    }
                )
    console.print(table)
    console.print(f"{options.most + 1} stands for more than {options.most}")
    plot(runs, options.sizes, [*styles], options.most, options.plot)
    record("objective", device, {"rows": figures})


if __name__ == "__main__":
    main()

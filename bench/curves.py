"""What benchmarks of trainings share: loss curves in training and on unseen photos."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from common import some_photos
from matplotlib.figure import Figure
from PIL import Image, ImageOps
from rich.progress import track
from torch import Tensor

from stylize.network.style_header import StyleHeader
from stylize.objective.losses import LAYERS, Objective, weighted_sum
from stylize.objective.style_targets import StyleTargets
from stylize.objective.vgg import load_vgg16
from stylize.photos.decoder import read_photo
from stylize.photos.photo import to_tensor, with_short_side
from stylize.training.content_photos import ContentPhotos, usable_photos
from stylize.training.trainer import Trainer

CACHE = 2e9  # bytes


@dataclass
class Curve:
    """The objective at each step in training, and on unseen photos after so many steps and
    minutes, which are those of training alone."""

    training: list[float] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    minutes: list[float] = field(default_factory=list)
    objective: list[float] = field(default_factory=list)


def read_style(path: Path, short: int) -> Image.Image:
    return with_short_side(read_photo(path).rgb, short)


def objective_of(
    header: StyleHeader, pictures: list[Path], short: int, device: torch.device
) -> Objective:
    """The objective of a style's training, with its pictures at that short side."""
    targets = [to_tensor(read_style(path, short))[None].to(device) for path in pictures]
    vgg = load_vgg16(header.training.vgg, LAYERS).to(device)
    weights = [picture.weight for picture in header.pictures]
    return Objective(vgg, StyleTargets.of(vgg, targets, weights))


def read_content(folder: Path, size: int) -> list[Path]:
    photos, _ = usable_photos(folder, size, without=folder / "styles")
    return photos


def read_squares(folder: Path, count: int, size: int, device: torch.device) -> list[Tensor]:
    """Photos cut to squares of that size."""
    return [
        to_tensor(ImageOps.fit(read_photo(path).rgb, (size, size))).to(device)
        for path in some_photos(folder, count)
    ]


def objective(
    trainer: Trainer, photos: list[Tensor], paint: Callable[[Tensor], Tensor] | None = None
) -> float:
    """The median objective of single photos, as in use; of what `paint` makes of them, if given."""
    measure, totals = trainer._objectives[-1][0], []  # the same in all stages
    paint = paint or trainer.stylize
    with torch.no_grad(), trainer.autocast():
        for photo in photos:
            batch = photo[None]
            losses = measure(paint(photo)[None], batch, measure.content_target(batch))
            totals.append(weighted_sum(losses, trainer.config).item())
    return statistics.median(totals)


def learn(
    name: str,
    trainer: Trainer,
    content: list[Path],
    photos: list[Tensor],
    rows: int,
    steps: int | None = None,
) -> Curve:
    """Train to the end, or for so many steps, looking at `photos`, if any, so many times."""
    config = trainer.config
    steps = steps or config.steps
    crops = ContentPhotos(content, config.size, config.seed, CACHE)
    batches = crops.batches(
        lambda step: trainer.schedule.crop_size(step, config.steps),
        config.batch_size,
        0,
        trainer.share,
    )
    curve, seconds = Curve(), 0.0
    for step in track(range(1, steps + 1), name):
        started = time.monotonic()
        _, total = trainer.train_step(next(batches))
        seconds += time.monotonic() - started
        curve.training.append(total)
        if step % max(1, steps // rows) == 0:
            curve.steps.append(step)
            curve.minutes.append(seconds / 60)
            if photos:
                curve.objective.append(objective(trainer, photos))
    return curve


def plot(curves: dict[str, Curve], path: Path) -> None:
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    for name, curve in curves.items():
        window = max(1, len(curve.training) // 40)
        starts = range(0, len(curve.training) - window + 1, window)
        means = [statistics.fmean(curve.training[n : n + window]) for n in starts]
        left.plot([n + window / 2 for n in starts], means, label=name)
        right.plot(curve.steps, curve.objective, label=name, marker=".")
    left.set(xlabel="step", ylabel="objective", yscale="log", title="in training")
    right.set(xlabel="step", yscale="log", title="of unseen photos, as in use")
    for axes in (left, right):
        axes.grid(alpha=0.3, which="both")
    right.legend()
    figure.savefig(path, dpi=120)

"""What instance norm does for style transfer: the same network with batch norm, and with none.

Three networks learn the same style from the same crops, in the same number of steps, with the same
optimizer and seed; only the norm differs. Every so many steps the objective of each is taken on
unseen photos, as in use: one by one, batch norm with its running statistics.

    python bench/norms.py PICTURE CONTENT PHOTOS [--steps 600] [--size 192]
"""

import argparse
import statistics
import time
from pathlib import Path

import torch
from common import machine, record, some_photos
from matplotlib.figure import Figure
from PIL import Image, ImageOps
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor, nn

from stylize.batches import ContentPhotos
from stylize.config import NetworkConfig, TrainConfig
from stylize.content import usable_photos
from stylize.device import Compute, choose
from stylize.header import StyleHeader, StylePicture
from stylize.images import read_photo, with_short_side
from stylize.instance_norm import InstanceNorm2d
from stylize.loss import weighted_sum
from stylize.tensors import to_tensor
from stylize.trainer import Trainer, crop_size, resolved

CACHE = 2e9  # bytes


class Replaced(nn.Module):
    """Another norm in the place of instance norm, with sum and ReLU by themselves."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.norm = norm

    def forward(
        self, x: Tensor, residual: Tensor | None = None, relu: bool = False, mask: None = None
    ) -> Tensor:
        y = self.norm(x)
        y = y if residual is None else y + residual
        return y.relu() if relu else y


class NoNorm(nn.Module):
    """A scale and a shift for each channel, and nothing else."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight + self.bias


NORMS = {"instance norm": None, "batch norm": nn.BatchNorm2d, "no norm": NoNorm}


class NormTrainer(Trainer):
    """A trainer whose network has one of NORMS."""

    def __init__(self, norm: str, *arguments: object) -> None:
        self._norm = NORMS[norm]
        super().__init__(*arguments)

    def _build(self, start: None) -> nn.Module:
        network = super()._build(start)
        if self._norm is not None:
            for place, module in list(network.named_modules()):
                if isinstance(module, InstanceNorm2d):
                    network.set_submodule(place, Replaced(self._norm(module.num_features)))
        return network

    def evaluate(self, photos: list[Tensor]) -> float:
        """The median objective of single photos, as in use."""
        # Running statistics are no parameters, so the moving average does not have them.
        for own, now in zip(self.average.buffers(), self.network.buffers(), strict=True):
            own.copy_(now)
        objective, totals = self.objectives[0], []
        with torch.no_grad(), self.autocast():
            for photo in photos:
                batch = photo[None]
                losses = objective(self.average(batch), batch, objective.content_target(batch))
                totals.append(weighted_sum(losses, self.config).item())
        return statistics.median(totals)


def train(
    norm: str,
    style: Image.Image,
    content: list[Path],
    photos: list[Tensor],
    config: TrainConfig,
    compute: Compute,
    every: int,
) -> dict[str, list[float]]:
    picture = StylePicture("", "", "", "", "")
    header = StyleHeader("x", NetworkConfig(), config, [picture])
    trainer = NormTrainer(norm, header, [style], compute)
    crops = ContentPhotos(content, config.size, config.seed, CACHE)
    batches = crops.batches(
        lambda step: crop_size(step, config.steps, config.size),
        config.batch_size,
        0,
        slice(config.batch_size),
    )
    curves: dict[str, list[float]] = {"training": [], "steps": [], "objective": []}
    for step in track(range(1, config.steps + 1), norm):
        _, total = trainer.train_step(next(batches))
        curves["training"].append(total)
        if step % every == 0:
            curves["steps"].append(step)
            curves["objective"].append(trainer.evaluate(photos))
    return curves


def plot(curves: dict[str, dict[str, list[float]]], path: Path) -> None:
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for norm, of in curves.items():
        window = max(1, len(of["training"]) // 40)
        means = [
            statistics.fmean(of["training"][n : n + window])
            for n in range(0, len(of["training"]) - window + 1, window)
        ]
        left.plot([window * (n + 0.5) for n in range(len(means))], means, label=norm)
        right.plot(of["steps"], of["objective"], label=norm, marker=".")
    left.set(xlabel="step", ylabel="objective", yscale="log", title="in training")
    right.set(xlabel="step", title="of unseen photos, as in use")
    for axes in (left, right):
        axes.grid(alpha=0.3, which="both")
    right.legend()
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("picture", type=Path)
    parser.add_argument("content", type=Path)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--size", type=int, default=192)
    parser.add_argument("--count", type=int, default=16)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--plot", type=Path, default=Path("norms.png"))
    options = parser.parse_args()
    compute = choose(options.device)
    config = resolved(TrainConfig(steps=options.steps, size=options.size, base=""), compute)
    style = with_short_side(read_photo(options.picture).rgb, config.style_size)
    content, _ = usable_photos(options.content, options.size, without=options.content / "styles")
    square = (options.size, options.size)
    photos = [
        to_tensor(ImageOps.fit(read_photo(path).rgb, square)).to(compute.device)
        for path in some_photos(options.photos, options.count)
    ]

    console = Console(width=110)
    console.print(machine(compute.device))
    curves, table = {}, Table("norm", "objective of unseen photos", "minutes")
    for norm in NORMS:
        started = time.monotonic()
        every = max(1, options.steps // 12)
        curves[norm] = train(norm, style, content, photos, config, compute, every)
        minutes = (time.monotonic() - started) / 60
        table.add_row(norm, f"{curves[norm]['objective'][-1]:.3f}", f"{minutes:.1f}")
    console.print(table)
    plot(curves, options.plot)
    last = {norm: of["objective"][-1] for norm, of in curves.items()}
    record("norms", compute.device, {"steps": options.steps, "size": options.size, **last})


if __name__ == "__main__":
    main()

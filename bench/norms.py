"""What instance norm does for style transfer: the same network with batch norm, and with no norm.

Three networks learn the same style from the same crops, in the same number of steps, with the same
optimizer and seed; only the norm differs. At intervals, the objective of each is measured on unseen
photos, as in use: one at a time, batch norm with its running statistics.

    python bench/norms.py PICTURE CONTENT PHOTOS [--steps 600] [--size 192]
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from common import machine, record
from curves import learn, plot, read_content, read_squares, read_style
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from stylize.config import NetworkConfig, TrainConfig
from stylize.network.device import choose
from stylize.network.instance_norm.layer import InstanceNorm2d
from stylize.network.style_header import StyleHeader, StylePicture
from stylize.training.schedule import resolved
from stylize.training.trainer import Trainer

ROWS = 12  # looks at unseen photos


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

    def _build(self, start: Sequence[Mapping[str, Tensor]]) -> nn.Module:
        network = super()._build(start)
        if self._norm is not None:
            for place, module in list(network.named_modules()):
                if isinstance(module, InstanceNorm2d):
                    network.set_submodule(place, Replaced(self._norm(module.num_features)))
        return network

    def train_step(self, photos: Tensor) -> tuple[dict[str, float], float]:
        result = super().train_step(photos)
        # Running statistics are no parameters, so the moving average does not have them.
        for own, now in zip(self.average.buffers(), self.network.buffers(), strict=True):
            own.copy_(now)
        return result


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
    config = TrainConfig(steps=options.steps, size=options.size, base="", lighting=0)
    config = resolved(config, NetworkConfig().architecture, compute)
    style = read_style(options.picture, config.style_size)
    header = StyleHeader("x", NetworkConfig(), config, [StylePicture("", "", "", "", "")])
    content = read_content(options.content, options.size)
    photos = read_squares(options.photos, options.count, options.size, compute.device)

    console = Console(width=110)
    console.print(machine(compute.device))
    curves, table = {}, Table("norm", "objective of unseen photos", "minutes")
    for norm in NORMS:
        trainer = NormTrainer(norm, header, [style], compute)
        curves[norm] = learn(norm, trainer, content, photos, ROWS)
        last, minutes = curves[norm].objective[-1], curves[norm].minutes[-1]
        table.add_row(norm, f"{last:.3f}", f"{minutes:.1f}")
    console.print(table)
    plot(curves, options.plot)
    figures = {norm: curve.objective[-1] for norm, curve in curves.items()}
    record("norms", compute.device, {"steps": options.steps, "size": options.size, **figures})


if __name__ == "__main__":
    main()

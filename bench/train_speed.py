"""How long does a training step take, and where? The default network beside the paper's.

A third row is the default network with torch's group norm (one group per channel), and sum and ReLU
as separate operations, instead of our layer. All learn from the same crops with the same objective,
in turn, as in `stylize train`.

    python bench/train_speed.py [--device cpu] [--steps 5]
"""

import argparse
import statistics

import torch
from common import machine, median_ratio, record, replace_norms, side_by_side
from PIL import Image
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.profiler import profile

from stylize.config import NetworkConfig, TrainConfig
from stylize.network.device import choose
from stylize.network.instance_norm.layer import InstanceNorm2d
from stylize.network.style_header import StyleHeader, StylePicture
from stylize.training.schedule import resolved
from stylize.training.trainer import Trainer

PARTS_SHOWN = 12


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--steps", type=int, default=5)
    options = parser.parse_args()
    compute = choose(options.device)
    config = resolved(TrainConfig(base=""), "quarter", compute)
    torch.manual_seed(0)
    photos = torch.rand(config.batch_size, 3, config.size, config.size)
    style = Image.effect_noise((640, 512), 80).convert("RGB")
    picture = StylePicture("", "", "", "", "")
    networks = {"quarter": "quarter", "with group_norm": "quarter", "johnson": "johnson"}
    trainers = {
        name: Trainer(
            StyleHeader("x", NetworkConfig(architecture), config, [picture]),
            [style],
            compute,
        )
        for name, architecture in networks.items()
    }
    replace_norms(trainers["with group_norm"].network, group_norm)
    functions = {
        name: lambda trainer=trainer: trainer.train_step(photos)
        for name, trainer in trainers.items()
    }
    seconds = side_by_side(functions, options.steps, compute.device)
    ratios = {
        name: median_ratio(times, seconds["quarter"])
        for name, times in seconds.items()
        if name != "quarter"
    }

    console = Console(width=110)
    console.print(machine(compute.device))
    shape = f"batch {config.batch_size} at {config.size} px, {compute.precision}"
    table = Table("network", "s/step", "photos/s", f"minutes for {config.steps} steps", title=shape)
    figures = {"shape": shape, **{f"{name} / quarter": ratio for name, ratio in ratios.items()}}
    for name, times in seconds.items():
        step = statistics.median(times)
        photos_per_second, minutes = config.batch_size / step, config.steps * step / 60
        table.add_row(name, f"{step:.3f}", f"{photos_per_second:.2f}", f"{minutes:.0f}")
        figures[f"{name} s/step"] = step
    console.print(table)
    for name, ratio in ratios.items():
        console.print(f"a step of {name} takes {ratio:.2f} times as long")
    for name in ("with group_norm", "quarter"):
        console.print(profiled(name, trainers[name], photos))
    record("train_speed", compute.device, figures)


def group_norm(layer: InstanceNorm2d, x: Tensor) -> Tensor:
    return torch.group_norm(x, layer.num_features, layer.weight, layer.bias, layer.eps)


def profiled(name: str, trainer: Trainer, photos: Tensor) -> Table:
    """Where the time of one step goes."""
    with profile() as profiler:
        trainer.train_step(photos)
    parts = [part for part in profiler.key_averages() if part.key.startswith("aten::")]
    whole = sum(part.self_cpu_time_total for part in parts)
    table = Table("operation", "ms", "share of CPU time", title=f"one step: {name}")
    for part in sorted(parts, key=lambda part: -part.self_cpu_time_total)[:PARTS_SHOWN]:
        time = part.self_cpu_time_total
        table.add_row(part.key, f"{time / 1e3:.1f}", f"{time / whole:.0%}")
    return table


if __name__ == "__main__":
    main()

"""How long a training step takes, and where: the default network beside the paper's.

Both learn from the same crops with the same objective, in turn, as `stylize train` would run them.

    python bench/train_speed.py [--device cpu] [--steps 5]
"""

import argparse
import statistics
from dataclasses import replace

import torch
from common import machine, median_ratio, record, side_by_side
from PIL import Image
from rich.console import Console
from rich.table import Table
from torch.profiler import profile

from stylize.config import NetworkConfig, TrainConfig
from stylize.device import choose
from stylize.header import StyleHeader, StylePicture
from stylize.trainer import Trainer

PARTS_SHOWN = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--steps", type=int, default=5)
    options = parser.parse_args()
    compute = choose(options.device)
    config = replace(TrainConfig(), device=compute.device.type, precision=compute.precision)
    torch.manual_seed(0)
    photos = torch.rand(config.batch_size, 3, config.size, config.size)
    style = Image.effect_noise((640, 512), 80).convert("RGB")
    trainers = {
        architecture: Trainer(
            StyleHeader("x", NetworkConfig(architecture), config, StylePicture("", "", "", "", "")),
            style,
            compute,
        )
        for architecture in ("quarter", "johnson")
    }
    functions = {
        name: lambda trainer=trainer: trainer.train_step(photos)
        for name, trainer in trainers.items()
    }
    seconds = side_by_side(functions, options.steps, compute.device)
    ratio = median_ratio(seconds["johnson"], seconds["quarter"])

    console = Console(width=110)
    console.print(machine(compute.device))
    shape = f"batch {config.batch_size} at {config.size} px, {compute.precision}"
    table = Table("network", "s/step", "photos/s", f"minutes for {config.steps} steps", title=shape)
    figures = {"shape": shape, "johnson / quarter": ratio}
    for name, times in seconds.items():
        step = statistics.median(times)
        photos_per_second, minutes = config.batch_size / step, config.steps * step / 60
        table.add_row(name, f"{step:.3f}", f"{photos_per_second:.2f}", f"{minutes:.0f}")
        figures[f"{name} s/step"] = step
    console.print(table)
    console.print(f"a step of the paper's network takes {ratio:.2f} times as long")

    with profile() as profiler:
        trainers["quarter"].train_step(photos)
    parts = [part for part in profiler.key_averages() if part.key.startswith("aten::")]
    whole = sum(part.self_cpu_time_total for part in parts)
    table = Table("operation", "share of CPU time", title="one step of the default network")
    for part in sorted(parts, key=lambda part: -part.self_cpu_time_total)[:PARTS_SHOWN]:
        table.add_row(part.key, f"{part.self_cpu_time_total / whole:.0%}")
    console.print(table)
    record("train_speed", compute.device, figures)


if __name__ == "__main__":
    main()

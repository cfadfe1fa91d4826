"""What a base to start from saves: the same style from random weights, from it, and its norms only.

From the base in a quarter of the steps. The objective is taken on unseen photos along the way.

    python bench/start.py PICTURE CONTENT PHOTOS [--steps 4000] [--base base]
"""

import argparse
from dataclasses import replace
from pathlib import Path

from common import machine, record
from curves import learn, plot, read_content, read_squares, read_style
from rich.console import Console
from rich.table import Table

from stylize.assets import find_base
from stylize.checkpoint import load_network
from stylize.config import TrainConfig
from stylize.device import choose
from stylize.header import StyleHeader, StylePicture
from stylize.trainer import Trainer, resolved

ROWS = 20  # looks at unseen photos


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("picture", type=Path)
    parser.add_argument("content", type=Path)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--base", default="base")
    parser.add_argument("--count", type=int, default=16)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--plot", type=Path, default=Path("start.png"))
    options = parser.parse_args()
    compute = choose(options.device)
    base, base_header = load_network(find_base(options.base))
    scratch = resolved(TrainConfig(steps=options.steps, base=""), compute)
    short = replace(scratch, steps=options.steps // 4, base=options.base)
    starts = {
        "random weights": (scratch, None),
        "the base": (short, base.state_dict()),
        "the base, norms only": (replace(short, only_norm=True), base.state_dict()),
    }
    style = read_style(options.picture, scratch.style_size)
    content = read_content(options.content, scratch.size)
    photos = read_squares(options.photos, options.count, scratch.size, compute.device)

    console = Console(width=110)
    console.print(machine(compute.device))
    curves, table = {}, Table("start", "learned", "steps", "minutes", "objective of unseen photos")
    for name, (config, start) in starts.items():
        picture = StylePicture("", "", "", "", "")
        header = StyleHeader("x", base_header.network, config, [picture])
        trainer = Trainer(header, [style], compute, start=start)
        curves[name] = curve = learn(name, trainer, content, photos, ROWS)
        table.add_row(
            name,
            f"{trainer.parameters}",
            f"{config.steps}",
            f"{curve.minutes[-1]:.1f}",
            f"{curve.objective[-1]:.3f}",
        )
    console.print(table)
    plot(curves, options.plot, over_minutes=True)
    figures = {name: curve.objective[-1] for name, curve in curves.items()}
    record("start", compute.device, {"steps": options.steps, **figures})


if __name__ == "__main__":
    main()

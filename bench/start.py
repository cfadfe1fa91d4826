"""What does a base save? The same style from random weights, from the base, and its norms only.

Trains from random weights for the given steps, and from the base for a quarter of them, all weights
or the norms only. Measures the objective on unseen photos along the way, and keeps the styles.

    python bench/start.py PICTURE CONTENT PHOTOS [--steps 4000] [--base base] [--output started]
"""

import argparse
from dataclasses import replace
from pathlib import Path

from common import machine, record
from curves import learn, plot, read_content, read_squares, read_style
from rich.console import Console
from rich.table import Table

from stylize.assets import find_base
from stylize.config import TrainConfig
from stylize.files import digest
from stylize.network.device import choose
from stylize.network.style_file import load_network, save_style
from stylize.network.style_header import StyleHeader, StylePicture
from stylize.training.schedule import picture_size, resolved
from stylize.training.trainer import Trainer

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
    parser.add_argument("--output", type=Path, default=Path("started"))
    parser.add_argument("--plot", type=Path, default=Path("start.png"))
    options = parser.parse_args()
    compute = choose(options.device)
    path = find_base(options.base)
    base, base_header = load_network(path)
    architecture = base_header.network.architecture
    scratch = resolved(TrainConfig(steps=options.steps, base=""), architecture, compute)
    quarter = replace(scratch, base=options.base, steps=options.steps // 4)
    starts = {
        "the base, a quarter": quarter,
        "the base, norms only": replace(quarter, only_norm=True),
        "random weights": scratch,
    }
    options.output.mkdir(parents=True, exist_ok=True)
    style = read_style(options.picture, picture_size(scratch, drafts=base_header.drafts))
    content = read_content(options.content, scratch.size)
    photos = read_squares(options.photos, options.count, scratch.size, compute.device)

    console = Console(width=110)
    console.print(machine(compute.device))
    curves, table = {}, Table("start", "learned", "steps", "minutes", "objective of unseen photos")
    for name, config in starts.items():
        header = StyleHeader(
            name=name,
            network=base_header.network,
            training=config,
            pictures=[StylePicture("", "", "", "", "")],
            base_sha256=digest(path) if config.base else "",
        )
        start = base.state_dict() if config.base else None
        trainer = Trainer(header, [style], compute, start=start)
        curves[name] = curve = learn(name, trainer, content, photos, ROWS)
        rows = zip(curve.steps, curve.objective, strict=True)
        console.print(name, {step: round(value, 3) for step, value in rows})
        style_file = options.output / f"{name.replace(', ', '-').replace(' ', '-')}.safetensors"
        save_style(style_file, trainer.weights(), trainer.header())
        table.add_row(
            name,
            f"{trainer.parameters}",
            f"{config.steps}",
            f"{curve.minutes[-1]:.1f}",
            f"{curve.objective[-1]:.3f}",
        )
        plot(curves, options.plot)
    console.print(table)
    figures = {name: curve.objective[-1] for name, curve in curves.items()}
    record("start", compute.device, {"steps": options.steps, **figures})


if __name__ == "__main__":
    main()

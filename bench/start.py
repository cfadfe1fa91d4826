"""What does a base save? The same style from the base, its norms only, and from random weights.

Trains once for each number of steps, as the stages of a training share its steps. Measures the
objective on unseen photos at the end, and keeps the styles.

    python bench/start.py PICTURE CONTENT PHOTOS [--steps 300 1000 3000] [--starts base random ...]
"""

import argparse
from dataclasses import replace
from pathlib import Path

from common import machine, record
from curves import Curve, learn, read_content, read_squares, read_style
from matplotlib.figure import Figure
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

STARTS = ("base", "norms", "random")  # from the base, only its norms, from random weights


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("picture", type=Path)
    parser.add_argument("content", type=Path)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--steps", type=int, nargs="+", default=[300, 1000, 3000])
    parser.add_argument("--base", default="base")
    parser.add_argument("--starts", choices=STARTS, nargs="+", default=STARTS)
    parser.add_argument("--count", type=int, default=16)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--output", type=Path, default=Path("started"))
    parser.add_argument("--plot", type=Path, default=Path("start.png"))
    options = parser.parse_args()
    compute = choose(options.device)
    path = find_base(options.base)
    base, base_header = load_network(path)
    usual = resolved(TrainConfig(base=options.base), base_header.network.architecture, compute)
    settings = (usual, replace(usual, only_norm=True), replace(usual, base=""))
    starts = {
        name: config
        for name, config in zip(STARTS, settings, strict=True)
        if name in options.starts
    }
    options.output.mkdir(parents=True, exist_ok=True)
    style = read_style(options.picture, picture_size(usual, drafts=base_header.drafts))
    content = read_content(options.content, usual.size)
    photos = read_squares(options.photos, options.count, usual.size, compute.device)

    console = Console(width=110)
    console.print(machine(compute.device))
    curves: dict[str, Curve] = {name: Curve() for name in starts}
    table = Table("start", "learned", "steps", "minutes", "objective of unseen photos")
    for steps in options.steps:
        for name, start in starts.items():
            config = replace(start, steps=steps)
            header = StyleHeader(
                name=name,
                network=base_header.network,
                training=config,
                pictures=[StylePicture("", "", "", "", "")],
                base_sha256=digest(path) if config.base else "",
            )
            weights = [base.state_dict()] if config.base else []
            trainer = Trainer(header, [style], compute, start=weights)
            learned = learn(name, trainer, content, photos, rows=1)
            curve = curves[name]
            curve.steps.append(steps)
            curve.minutes += learned.minutes
            curve.objective += learned.objective
            row = (f"{steps}", f"{curve.minutes[-1]:.1f}", f"{curve.objective[-1]:.3f}")
            console.print(name, *row)
            table.add_row(name, f"{trainer.parameters}", *row)
            save_style(
                options.output / f"{name}-{steps}.safetensors", trainer.weights(), trainer.header()
            )
            plot(curves, options.plot)
    console.print(table)
    figures = {name: {"steps": c.steps, "objective": c.objective} for name, c in curves.items()}
    record("start", compute.device, figures)


def plot(curves: dict[str, Curve], path: Path) -> None:
    figure = Figure(figsize=(6, 4.5), layout="constrained")
    axes = figure.subplots()
    for name, curve in curves.items():
        axes.plot(curve.steps, curve.objective, label=name, marker=".")
    axes.set(xlabel="steps", ylabel="objective of unseen photos", xscale="log")
    axes.grid(alpha=0.3, which="both")
    axes.legend()
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()

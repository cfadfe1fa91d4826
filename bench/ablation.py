"""What does each part of the objective buy? Drafts trained with it and without it.

Each row trains the draft from the base in the same number of steps, with one part of the objective
changed, and `bench/pictures.py` judges its paintings of unseen photos: all at the size of drafts,
at scales 1 and 1/2. Less is better but for chroma and contrast, where 1 is the style picture's.

    python bench/ablation.py PICTURE CONTENT PHOTOS [--steps 500] [--rows ROW ...] [--device auto]
"""

import argparse
import statistics
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from common import machine, record, some_photos
from curves import learn, read_content
from pictures import LAYERS, Seen, judge
from rich.console import Console
from rich.table import Table

from stylize.assets import find_base
from stylize.config import STYLE_LAYERS, TrainConfig
from stylize.files import digest
from stylize.network.device import choose
from stylize.network.style_file import load_network
from stylize.network.style_header import StyleHeader, StylePicture
from stylize.objective import losses, style_targets
from stylize.objective.vgg import load_vgg16
from stylize.photos.decoder import read_photo
from stylize.photos.photo import to_tensor, with_short_side
from stylize.training import trainer as training
from stylize.training.schedule import DRAFTED, resolved

SCALES = (1, 2)  # of the judge
SHOWN = ("style", "coverage", "colour", "chroma", "contrast", "weave", "content")


@dataclass(frozen=True)
class Row:
    """Settings of the training and constants of `stylize.objective.losses` that are changed."""

    settings: dict[str, float] = field(default_factory=dict)
    constants: dict[str, float | str] = field(default_factory=dict)
    scales: tuple[int, ...] = (1, 2)

    @contextmanager
    def in_force(self) -> Iterator[None]:
        scales = {scale: 1 / scale for scale in self.scales}
        with (
            patch.dict(style_targets.SCALES, scales, clear=True),
            patch.dict(vars(losses), self.constants),
        ):
            yield


def parts(guided: float, overall: float, moments: float) -> Row:
    """With these parts of the style loss."""
    return Row(constants={"GUIDED": guided, "OVERALL": overall, "MOMENTS": moments})


ROWS = {
    "the default": Row(),
    "guided Gram matrices alone": parts(1, 0, 0),
    "Gram matrices of whole pictures alone": parts(0, 1, 0),
    "both, without means and deviations": parts(0.5, 0.5, 0),
    "means and deviations alone": parts(0, 0, 1),
    "scale 1 alone": Row(scales=(1,)),
    "scales 1, 1/2 and 1/4": Row(scales=(1, 2, 4)),
    "content at relu4_3": Row(constants={"CONTENT_LAYER": "relu4_3"}),
    "content weight 1.5": Row({"content_weight": 1.5}),
    "no palette": Row({"palette_weight": 0}),
    "no tone": Row({"tone_weight": 0}),
    "no evenness": Row({"even_weight": 0}),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("picture", type=Path)
    parser.add_argument("content", type=Path)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--rows", nargs="+", default=[*ROWS], choices=ROWS, metavar="ROW")
    parser.add_argument("--count", type=int, default=8)
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    compute = choose(options.device)
    path = find_base("base")
    base, base_header = load_network(path)
    drafted = TrainConfig(steps=round(options.steps / DRAFTED))
    usual = resolved(drafted, base_header.network.architecture, compute)
    vgg = load_vgg16("shipped", tuple({*LAYERS, *STYLE_LAYERS}))
    painting = with_short_side(read_photo(options.picture).rgb, usual.style_size)
    picture = to_tensor(painting)[None]
    with torch.no_grad():
        seen = Seen(picture, vgg, SCALES)
        photos = [
            to_tensor(with_short_side(read_photo(p).rgb, usual.size // 2))[None]
            for p in some_photos(options.photos, options.count)
        ]
        looks = [Seen(photo, vgg, SCALES) for photo in photos]
    content = read_content(options.content, usual.size)
    console = Console(width=130)
    console.print(machine(compute.device))
    table = Table("objective", "minutes", *SHOWN)
    everything: dict[str, Any] = {}
    for name in options.rows:
        row = ROWS[name]
        header = StyleHeader(
            name=name,
            network=base_header.network,
            training=TrainConfig(**vars(usual) | row.settings),
            pictures=[StylePicture("", "", "", "", "")],
            base_sha256=digest(path),
        )
        with row.in_force():
            trainer = training.Trainer(header, [painting], compute, start=[base.state_dict()])
            curve = learn(name, trainer, content, [], rows=1, steps=options.steps)
        judged: dict[str, list[float]] = defaultdict(list)
        with torch.no_grad():
            for photo, look in zip(photos, looks, strict=True):
                draft = trainer.average(photo.to(compute.device), part="draft").clamp(0, 1).cpu()
                for key, value in judge(Seen(draft, vgg, SCALES), look, seen, None).items():
                    judged[key].append(value)
        figures = {key: statistics.median(judged[key]) for key in SHOWN}
        everything[name] = figures
        cells = (f"{curve.minutes[-1]:.1f}", *(f"{value:.3f}" for value in figures.values()))
        console.print(name, *cells)
        table.add_row(name, *cells)
    console.print(table)
    record("ablation", compute.device, {"picture": options.picture.name, "rows": everything})


if __name__ == "__main__":
    main()

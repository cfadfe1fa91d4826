"""Measure the shipped styles and write the figures into their files, for `stylize styles NAME`.

The figures are the objective of unseen photos at the size of training (median), the dependence of
the sample photos on their light (median CIEDE2000 over twelve lights), and the seconds per
megapixel. Style pictures are found by their digests. This changes the digests of the style files,
which the READMEs list.

    python bench/cards.py PHOTOS PICTURES [--styles STYLE ...] [--count 16]
"""

import argparse
import statistics
import time
from dataclasses import replace
from pathlib import Path

import torch
from common import COFFEE, PHOTOS, by_digest, machine, record
from curves import objective_of, read_squares
from rich.console import Console
from rich.table import Table

from stylize.assets import SUFFIX, shipped
from stylize.consistency.lighting_audit import light_spread
from stylize.events import LightingDone
from stylize.network.device import choose
from stylize.network.style_file import replace_header
from stylize.network.style_header import read_header
from stylize.objective.losses import weighted_sum
from stylize.photos.decoder import read_photo
from stylize.style import Style, load_style
from stylize.training.schedule import picture_size

LARGE = 1024  # pixels on the longest side: of the time
REPEATS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", type=Path)
    parser.add_argument("pictures", type=Path, nargs="+")
    parser.add_argument("--styles", nargs="+", default=[], help="default: all shipped ones")
    parser.add_argument("--count", type=int, default=16)
    options = parser.parse_args()
    compute = choose("cpu")
    console = Console(width=110)
    console.print(machine(compute.device))
    pictures = by_digest(options.pictures)
    table = Table("style", "objective", "lighting spread", "seconds per megapixel")
    everything = {}
    names = options.styles or [p.stem for p in sorted(shipped("models").glob("*" + SUFFIX))]
    for path in (shipped("models") / (name + SUFFIX) for name in names):
        style = load_style(str(path), "cpu")
        figures = {
            "objective": round(unseen(style, options.photos, options.count, pictures), 3),
            "lighting spread": round(spread(path), 2),
            "seconds per megapixel": round(seconds(style), 3),
        }
        replace_header(path, replace(read_header(path), figures=figures))
        table.add_row(path.name.removesuffix(SUFFIX), *(f"{v:g}" for v in figures.values()))
        everything[path.name.removesuffix(SUFFIX)] = figures
    console.print(table)
    record("cards", compute.device, everything)


def unseen(style: Style, photos: Path, count: int, pictures: dict[str, Path]) -> float:
    """The median objective of single photos."""
    header = style.header
    paths = [pictures[picture.sha256] for picture in header.pictures]
    short = picture_size(header.training, drafts=header.drafts)
    measure = objective_of(header, paths, short, style.compute.device)
    squares = read_squares(photos, count, header.training.size, style.compute.device)
    totals = []
    with torch.no_grad():
        for square in squares:
            photo = square[None]
            losses = measure(style(photo), photo, measure.content_target(photo))
            totals.append(float(weighted_sum(losses, header.training)))
    return statistics.median(totals)


def spread(path: Path) -> float:
    events = light_spread(str(path), PHOTOS, "cpu")
    return next(event.spread for event in events if isinstance(event, LightingDone))


def seconds(style: Style) -> float:
    photo = read_photo(COFFEE).rgb
    photo = photo.resize((LARGE, LARGE * photo.height // photo.width))
    times = []
    for _ in range(REPEATS):
        started = time.monotonic()
        style.stylize(photo)
        times.append(time.monotonic() - started)
    return statistics.median(times) / (photo.width * photo.height / 1e6)


if __name__ == "__main__":
    main()

"""Is white ground painted evenly? Blotches, halos and marks along the border.

Cut-out sample photos are placed in the middle of a white square, 512 of 1024 pixels large, and
stylized. Everything at least 64 pixels from the product is divided into cells of 64 pixels, and the
mean colour of each cell is compared with the median of all (CIEDE2000; 1 is just visible side by
side).

- uneven: the difference that 95 % of the cells stay below;
- border: of the four sides, the largest median difference of its outermost cells.

    python bench/white.py [STYLE ...]
"""

import argparse
import statistics
from pathlib import Path

import numpy as np
import torch
from common import PHOTOS, machine, record
from PIL import Image
from rich.console import Console
from rich.table import Table
from skimage.color import deltaE_ciede2000

from stylize import load_style
from stylize.assets import style_files
from stylize.consistency.appearance import lab_of
from stylize.photos.decoder import read_photo

PRODUCTS = (
    "kitchen/cherries.jpg",
    "workshop/light-bulb.jpg",
    "workshop/stethoscope.jpg",
    "workshop/tractor-wheel.jpg",
)
SIDE, CELL = 1024, 64  # pixels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("styles", nargs="*", metavar="STYLE")
    options = parser.parse_args()
    device = torch.device("cpu")
    console = Console(width=110)
    console.print(machine(device))
    table = Table("style", "uneven", "border")
    everything = {}
    for name in options.styles or style_files():
        style = load_style(name, "cpu")
        both = [unevenness(style.stylize(on_white(PHOTOS / photo))) for photo in PRODUCTS]
        uneven, border = (statistics.median(values) for values in zip(*both, strict=True))
        table.add_row(name, f"{uneven:.1f}", f"{border:.1f}")
        everything[name] = {"uneven": uneven, "border": border}
    console.print(table)
    record("white", device, everything)


def on_white(path: Path) -> Image.Image:
    """The photo in the middle quarter of a white square."""
    photo = read_photo(path).rgb
    scale = SIDE / 2 / max(photo.size)
    photo = photo.resize([round(side * scale) for side in photo.size], Image.Resampling.LANCZOS)
    square = Image.new("RGB", (SIDE, SIDE), "white")
    square.paste(photo, ((SIDE - photo.width) // 2, (SIDE - photo.height) // 2))
    return square


def unevenness(picture: Image.Image) -> tuple[float, float]:
    """The two figures of a stylized square."""
    cells = SIDE // CELL
    lab = lab_of(picture).reshape(cells, CELL, cells, CELL, 3).mean(axis=(1, 3))
    ground = np.ones((cells, cells), bool)
    product = slice(cells // 4 - 1, -(cells // 4 - 1))
    ground[product, product] = False
    usual = np.broadcast_to(np.median(lab[ground], axis=0), lab.shape)
    difference = deltaE_ciede2000(lab, usual)
    sides = (difference[0], difference[-1], difference[:, 0], difference[:, -1])
    return (
        float(np.percentile(difference[ground], 95)),
        float(max(np.median(side) for side in sides)),
    )


if __name__ == "__main__":
    main()

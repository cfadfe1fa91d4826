"""Does a mix of two styles lie between them? Nearer to both paintings than the mean of pixels.

    python bench/mixing.py PHOTOS --pictures FOLDER [FOLDER ...] [--pairs A,B ...] [--count 4]

For each pair, the photos are painted in the middle (weights 1 and 1) and compared with both style
pictures by the measures of bench/pictures.py: style, coverage and colour, at a short side of 256
px. 1 is the distance of the photo, lower is nearer. Beside the mix stand:

- pixels: the mean of the two styles' pixels;
- norms on the first, on the second: only the norms are in the middle (Dumoulin et al. 2017), the
  kernels are those of one style;
- the two styles themselves.

The exit code is 1 unless the mix is nearer in style to both pictures than the pixels, in each pair.
"""

import argparse
import statistics
import sys
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from common import by_digest, machine, record, some_photos
from pictures import LAYERS, Seen, coverage, sliced_distance, style_distance
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor

from stylize.assets import find_style, shipped
from stylize.network.architectures import build_network
from stylize.network.conditional_norm import norm_names
from stylize.network.device import choose
from stylize.network.mixing import load_mixture
from stylize.network.mixture import Mixture
from stylize.network.style_file import load_network
from stylize.objective.vgg import load_vgg16
from stylize.photos.decoder import read_photo
from stylize.photos.photo import Photo, to_tensor, with_short_side
from stylize.style import Style

SHORT = 256  # pixels
PAIRS = ("woodblock,swirling-oil", "ink,watercolour", "mosaic,starry-night", "scream,udnie")
MEASURES = ("style", "coverage", "colour")
MIX, PIXELS = "mix", "pixels"


class Target:
    """A style picture, with what photos are compared by."""

    def __init__(self, picture: Seen) -> None:
        self._picture = picture
        self._floor = picture.halves()

    def distances(self, one: Seen) -> list[float]:
        """As MEASURES, in units of their own."""
        return [
            style_distance(one, self._picture) - self._floor,
            coverage(self._picture, one),
            sliced_distance(one.pixels, self._picture.pixels),
        ]


def middles(one: str, other: str) -> dict[str, Style]:
    """Both styles, their mix, and networks of which only the norms are in the middle."""
    compute = choose("cpu")
    mixed, header = load_mixture(Mixture.of({one: 1, other: 1}))
    norms = norm_names(mixed)
    made = {MIX: mixed}
    for name, place in ((one, "first"), (other, "second")):
        made[name] = load_network(find_style(name))[0]
        network = build_network(header.network)
        weights = dict(made[name].state_dict())
        network.load_state_dict(weights | {key: mixed.state_dict()[key] for key in norms})
        made[f"norms on the {place}"] = network
    return {name: Style(network.eval(), header, compute) for name, network in made.items()}


def paint(styles: Mapping[str, Style], one: str, other: str, photo: Photo) -> dict[str, Tensor]:
    """Name -> (1, 3, H, W)."""
    found = {
        name: to_tensor(style.stylize_photos([photo])[0].convert("RGB"))[None]
        for name, style in styles.items()
    }
    return found | {PIXELS: (found[one] + found[other]) / 2}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", type=Path)
    parser.add_argument("--pictures", type=Path, nargs="+", default=[])
    parser.add_argument("--pairs", nargs="+", default=PAIRS)
    parser.add_argument("--count", type=int, default=4)
    options = parser.parse_args()
    device = torch.device("cpu")
    console = Console(width=130)
    console.print(machine(device))
    samples = shipped("models").parent / "samples" / "styles"
    known = by_digest([samples, *options.pictures])
    vgg = load_vgg16("shipped", LAYERS)
    rows: dict[str, dict[str, list[float]]] = {}
    nearer = True
    with torch.inference_mode():
        paths = some_photos(options.photos, options.count)
        photos = [Photo(with_short_side(read_photo(path).rgb, SHORT)) for path in paths]
        seen = [Seen(to_tensor(photo.rgb)[None], vgg) for photo in photos]
        for pair in options.pairs:
            one, other = pair.split(",")
            styles = middles(one, other)
            targets = []
            for name in (one, other):
                sha256 = load_network(find_style(name))[1].pictures[0].sha256
                if sha256 not in known:
                    parser.error(f"the picture of {name} is in none of the folders of --pictures")
                picture = with_short_side(read_photo(known[sha256]).rgb, SHORT)
                targets.append(Target(Seen(to_tensor(picture)[None], vgg)))
            found: dict[str, list[list[float]]] = defaultdict(list)
            jobs = list(zip(photos, seen, strict=True))
            for photo, before in track(jobs, pair, console=console, transient=True):
                whole = [target.distances(before) for target in targets]
                for name, image in paint(styles, one, other, photo).items():
                    result = Seen(image, vgg)
                    near = [target.distances(result) for target in targets]
                    shares = np.array(near) / np.array(whole)  # (pictures, MEASURES)
                    found[name].append(shares.T.flatten().tolist())
            rows[pair] = {
                name: [statistics.median(column) for column in zip(*each, strict=True)]
                for name, each in found.items()
            }
            table = Table(pair, *(f"{name}, {n}" for name in MEASURES for n in (1, 2)))
            for name, row in rows[pair].items():
                table.add_row(name, *(f"{value:.2f}" for value in row))
            console.print(table)
            nearer &= all(rows[pair][MIX][n] < rows[pair][PIXELS][n] for n in (0, 1))
    record("mixing", device, {"photos": len(photos), "rows": rows})
    sys.exit(0 if nearer else 1)


if __name__ == "__main__":
    main()

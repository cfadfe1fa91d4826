"""One look in any light: how much does a result depend on the light of the photo?

Three networks learn one style from random weights, in the same steps on the same crops: with batch
norm, with instance norm, and with instance norm under random light. Each photo is stylized as it is
and under twelve lights, and the results are compared (CIEDE2000, mean over pixels). The third
network is also measured as `stylize apply` uses it, with uneven light removed, and with anchors.

    python bench/consistency.py PICTURE CONTENT PHOTOS [PHOTOS ...] [--steps 1000] [--size 192]
"""

import argparse
import statistics
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

from common import COFFEE, machine, record, some_photos
from curves import learn, objective, read_content, read_squares, read_style
from matplotlib.figure import Figure
from norms import NormTrainer
from PIL import Image
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor

from stylize.config import NetworkConfig, TrainConfig
from stylize.consistency.appearance import color_difference
from stylize.network.anchors import hold
from stylize.network.device import choose
from stylize.network.style_header import StyleHeader, StylePicture
from stylize.photos.decoder import read_photo
from stylize.photos.lighting import LIGHTINGS, relight
from stylize.photos.photo import to_picture, to_tensor
from stylize.style import Style
from stylize.training.schedule import resolved

SIZE = 320  # pixels on the longest side
SIDES = ("from the left", "from above")
WEIGHT, FLOOR = 0.5, 0.1  # of the anchor

Differences = dict[str, list[float]]  # by lighting, for each photo


def differences(paint: Callable[[Tensor], Tensor], photos: list[Image.Image]) -> Differences:
    """Between what becomes of each photo and of the same photo under each light."""
    found: Differences = {name: [] for name in LIGHTINGS}
    for photo in track(photos):
        image = to_tensor(photo)[None]
        own = to_picture(paint(image[0]))
        for name, light in LIGHTINGS.items():
            # Through a picture of 8 bits, as it would come from a camera.
            lit = to_tensor(to_picture(relight(image, [light])[0]))
            found[name].append(color_difference(to_picture(paint(lit)), own))
    return found


def plot(rows: dict[str, Differences], path: Path) -> None:
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    axes = figure.subplots()
    width = 0.8 / len(rows)
    for number, (name, found) in enumerate(rows.items()):
        places = [place + (number - len(rows) / 2 + 0.5) * width for place in range(len(found))]
        axes.bar(places, [statistics.median(v) for v in found.values()], width, label=name)
    axes.set_xticks(range(len(LIGHTINGS)), LIGHTINGS, rotation=20)
    axes.set(ylabel="CIEDE2000, median over photos")
    axes.grid(alpha=0.3, axis="y")
    axes.legend()
    figure.savefig(path, dpi=120)


def sheet(paints: dict[str, Callable[[Tensor], Tensor]]) -> Image.Image:
    """A photo under every light, above what becomes of it."""
    photo = read_photo(COFFEE, SIZE).rgb
    image = to_tensor(photo)[None]
    lit = [image[0], *(relight(image, [light])[0] for light in LIGHTINGS.values())]
    page = Image.new("RGB", (photo.width * len(lit), photo.height * len(paints)))
    for row, paint in enumerate(paints.values()):
        for column, seen in enumerate(lit):
            place = (photo.width * column, photo.height * row)
            page.paste(to_picture(paint(seen)), place)
    return page


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("picture", type=Path)
    parser.add_argument("content", type=Path)
    parser.add_argument("photos", type=Path, nargs="+")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--size", type=int, default=192)
    parser.add_argument("--count", type=int, default=32, help="of each folder of photos")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--plot", type=Path, default=Path("consistency.png"))
    parser.add_argument("--sheet", type=Path, default=Path("consistency-sheet.jpg"))
    return parser.parse_args()


def main() -> None:
    options = read_options()
    compute = choose(options.device)
    config = TrainConfig(steps=options.steps, size=options.size, base="", lighting=0)
    config = resolved(config, NetworkConfig().architecture, compute)
    style = read_style(options.picture, config.style_size)
    content = read_content(options.content, options.size)
    paths = [path for folder in options.photos for path in some_photos(folder, options.count)]
    photos = [read_photo(path, SIZE).rgb for path in paths]
    unseen = read_squares(options.photos[-1], options.count, options.size, compute.device)

    console = Console(width=110)
    console.print(machine(compute.device))
    kinds = {
        "batch norm": ("batch norm", config),
        "instance norm": ("instance norm", config),
        "instance norm, random light": ("instance norm", replace(config, lighting=1.0)),
    }
    rows = {"the photos": differences(lambda image: image, photos)}
    objectives: dict[str, float] = {}
    paints: dict[str, Callable[[Tensor], Tensor]] = {"the photos": lambda image: image}
    for name, (norm, own) in kinds.items():
        header = StyleHeader("x", NetworkConfig(), own, [StylePicture("", "", "", "", "")])
        trainer = NormTrainer(norm, header, [style], compute)
        learn(name, trainer, content, unseen[:1], 1)
        paints[name] = trainer.stylize
        rows[name] = differences(trainer.stylize, photos)
        objectives[name] = objective(trainer, unseen)
    in_use = Style(deepcopy(trainer.average), trainer.header(), compute)

    def apply(image: Tensor) -> Tensor:
        return to_tensor(in_use.stylize(to_picture(image))).to(image.device)

    paints["as stylize apply"] = apply
    rows["as stylize apply"] = differences(apply, photos)
    objectives["as stylize apply"] = objective(trainer, unseen, apply)
    sheet(paints).save(options.sheet, quality=88)
    references = [(to_tensor(photo)[None].to(compute.device), None) for photo in photos]
    hold(trainer.average, references, WEIGHT, FLOOR)
    rows["the same, anchored"] = differences(trainer.stylize, photos)
    objectives["the same, anchored"] = objective(trainer, unseen)

    table = Table("", "all lightings", "from one side", "objective of unseen photos")
    figures = {}
    for name, found in rows.items():
        whole = statistics.median(value for values in found.values() for value in values)
        side = statistics.median(value for light in SIDES for value in found[light])
        own = f"{objectives[name]:.3f}" if name in objectives else ""
        table.add_row(name, f"{whole:.2f}", f"{side:.2f}", own)
        each = {light: round(statistics.median(values), 2) for light, values in found.items()}
        figures[name] = {"all": whole, "side": side, "objective": objectives.get(name)} | each
    console.print(table)
    plot(rows, options.plot)
    record("consistency", compute.device, {"photos": len(photos), "steps": options.steps} | figures)


if __name__ == "__main__":
    main()

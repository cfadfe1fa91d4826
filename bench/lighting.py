"""How long does `stylize audit --lighting` take, and how long did it take before?

Before: one photo after the other, each layer on all cores, colour differences of whole pictures by
scikit-image. Now: a photo on each core, colour differences of the compared pixels by torch. Both in
turn, with --busy on cores that each have another process to run. Prints seconds a photo, the median
of the ratios, and the largest difference between the figures of both ways.

    python bench/lighting.py [--photos 2] [--rounds 3] [--style woodblock] [--busy]
"""

import argparse
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import numpy as np
from common import PHOTOS, machine, median_ratio, record, some_photos
from PIL import Image
from rich.console import Console
from rich.table import Table
from skimage.color import deltaE_ciede2000, rgb2lab

from stylize.consistency.appearance import ENOUGH
from stylize.consistency.lighting_audit import SIZE, light_spread
from stylize.events import LightingMeasured
from stylize.photos.decoder import read_photo
from stylize.photos.lighting import LIGHTINGS, relight
from stylize.photos.photo import Photo, to_picture, to_tensor
from stylize.style import load_style


def before(style: str, folder: Path) -> list[float]:
    """The figures of all photos, light by light, as they were computed before."""
    loaded = load_style(style)
    found = []
    for path in sorted(folder.iterdir()):
        photo = read_photo(path, SIZE)
        image = to_tensor(photo.rgb)[None]
        own = loaded.stylize_photos([photo])[0].convert("RGB")
        for light in LIGHTINGS.values():
            lit = to_picture(relight(image, [light])[0])
            found.append(whole_difference(lit, photo.rgb))
            found.append(whole_difference(loaded.stylize_photos([Photo(lit)])[0], own))
    return found


def whole_difference(one: Image.Image, other: Image.Image) -> float:
    step = math.ceil(math.sqrt(one.width * one.height / ENOUGH))
    labs = (rgb2lab(np.asarray(picture) / 255.0)[::step, ::step] for picture in (one, other))
    return float(deltaE_ciede2000(*labs).mean())


def now(style: str, folder: Path) -> list[float]:
    """The same figures, as `stylize audit --lighting` computes them."""
    return [
        figure
        for event in light_spread(style, folder)
        if isinstance(event, LightingMeasured)
        for light in LIGHTINGS
        for figure in (event.before[light], event.after[light])
    ]


@contextmanager
def others(processes: int) -> Iterator[None]:
    """That many other processes that want a core each."""
    running = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processes)
    ]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--style", default="woodblock")
    parser.add_argument("--busy", action="store_true")
    options = parser.parse_args()
    device = load_style(options.style).compute.device
    console = Console(width=110)
    console.print(machine(device))
    with tempfile.TemporaryDirectory() as name, others(os.cpu_count() if options.busy else 0):
        folder = Path(name)
        for path in some_photos(PHOTOS, options.photos):
            (folder / path.name).symlink_to(path)
        found: dict[str, list[float]] = {}
        seconds: dict[str, list[float]] = {way.__name__: [] for way in (before, now)}
        for _ in range(options.rounds):  # no warm-up: each takes long
            for way in (before, now):
                started = time.perf_counter()
                found[way.__name__] = way(options.style, folder)
                seconds[way.__name__].append(time.perf_counter() - started)
    table = Table("", "seconds a photo, median", "all")
    for way, values in seconds.items():
        each = [value / options.photos for value in values]
        table.add_row(way, f"{median(each):.2f}", " ".join(f"{value:.1f}" for value in each))
    ratio = median_ratio(seconds["before"], seconds["now"])
    largest = max(abs(a - b) for a, b in zip(found["before"], found["now"], strict=True))
    console.print(table)
    console.print(f"{ratio:.1f} times as fast; figures differ by {largest:.4f} at most")
    console.print(f"load at the end (processes, mean of a minute): {os.getloadavg()[0]:.1f}")
    figures = {"busy": options.busy, "ratio": ratio, "largest difference": largest, **seconds}
    record("lighting", device, figures)


if __name__ == "__main__":
    main()

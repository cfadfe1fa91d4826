"""Does sub-pixel upsampling leave a grid? Spectral lines at 2 and 4 pixels, beside the photos' own.

For each photo, scaled to 1024 px on its longest side: the mean power spectrum of the rows and
columns of the luminance (Hann window), before and after stylizing. The strength of a line is the
power at its frequency over the median power of the frequencies around it; 1 means no line.

    python bench/grid.py STYLE PHOTOS [--size 1024] [--count 16]
"""

import argparse
import statistics
from pathlib import Path

import numpy as np
import torch
from common import machine, record, some_photos
from PIL import Image
from rich.console import Console
from rich.table import Table

from stylize import load_style

PERIODS = (2, 4, 8)
NEAR, FAR = 4, 32  # the neighbourhood of a line, in frequency bins
LIMIT = 1.2


def line_strengths(picture: Image.Image) -> list[float]:
    """The strength of the line at each period, rows and columns together."""
    luminance = np.asarray(picture.convert("F"))
    both = [_strengths(luminance), _strengths(luminance.T)]
    return [float(value) for value in np.exp(np.log(both).mean(axis=0))]


def _strengths(lines: np.ndarray) -> list[float]:
    length = lines.shape[1] // 8 * 8  # every period falls on a frequency of its own
    lines = lines[:, :length] - lines[:, :length].mean(axis=1, keepdims=True)
    power = (np.abs(np.fft.rfft(lines * np.hanning(length), axis=1)) ** 2).mean(axis=0)
    strengths = []
    for period in PERIODS:
        at = length // period
        bins = np.arange(len(power))
        around = power[(np.abs(bins - at) >= NEAR) & (np.abs(bins - at) <= FAR)]
        strengths.append(power[at] / np.median(around))
    return strengths


def pattern_height(picture: Image.Image) -> float:
    """How high the mean 4x4 pattern of the luminance stands out, in grey levels of 255."""
    luminance = np.asarray(picture.convert("F"))
    height, width = (side // 4 * 4 for side in luminance.shape)
    phases = luminance[:height, :width].reshape(height // 4, 4, width // 4, 4).mean(axis=(0, 2))
    return float(np.abs(phases - phases.mean()).max())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("style")
    parser.add_argument("photos", type=Path)
    parser.add_argument("--size", type=int, default=1024)
    parser.add_argument("--count", type=int, default=16)
    options = parser.parse_args()
    style = load_style(options.style, device="cpu", precision="fp32")
    photos = some_photos(options.photos, options.count)

    console = Console(width=110)
    console.print(machine(torch.device("cpu")))
    table = Table("photo", *(f"{period} px: photo -> stylized" for period in PERIODS))
    before, after, heights = [], [], []
    for path in photos:
        with Image.open(path) as image:
            photo = image.convert("RGB")
        scale = options.size / max(photo.size)
        size = tuple(round(side * scale) for side in photo.size)
        photo = photo.resize(size, Image.Resampling.LANCZOS)
        before.append(line_strengths(photo))
        stylized = style.stylize(photo)
        after.append(line_strengths(stylized))
        heights.append(pattern_height(stylized))
        pairs = zip(before[-1], after[-1], strict=True)
        table.add_row(path.name[:40], *(f"{a:.2f} -> {b:.2f}" for a, b in pairs))
    console.print(table)

    figures = {}
    for index, period in enumerate(PERIODS):
        own = statistics.median(row[index] for row in before)
        ours = statistics.median(row[index] for row in after)
        ratio = statistics.median(b[index] / a[index] for a, b in zip(before, after, strict=True))
        verdict = "no grid" if ours <= LIMIT * own else "GRID"
        console.print(
            f"{period} px: median {own:.2f} in the photos, {ours:.2f} stylized, "
            f"median ratio {ratio:.2f} (limit {LIMIT}): {verdict}"
        )
        figures[f"{period} px"] = {"photo": own, "stylized": ours, "ratio": ratio}
    height = statistics.median(heights)
    console.print(f"the mean pattern of 4 x 4 pixels stands out by {height:.2f} of 255 grey levels")
    figures["pattern height"] = height
    record("grid", torch.device("cpu"), {"style": options.style, "size": options.size, **figures})


if __name__ == "__main__":
    main()

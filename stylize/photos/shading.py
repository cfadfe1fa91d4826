"""How light falls off across a photo, seen on its frame, and taken out of what the network sees.

Light from one side and vignettes are no gain that is the same everywhere, so instance norm leaves
them. On a photo's frame there mostly is ground, not product: what is smooth there is light. It is
the flat-field correction of microscopes without a reference picture.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from stylize.photos.photo import to_picture, to_tensor

SMALL = 64  # pixels on the longest side: texture is averaged out
FRAME = 0.06  # of the short side
DARK = 0.05  # of the range of luma: below it, logarithms are those of noise
LEVEL = 0.03  # of a logarithm: differences that are none
FLAT = (0.4, 0.6)  # of the frame on one level: a ground of one colour, evenly lit
ROUNDS = 10  # of reweighting
LEAST = 0.01  # deviation below which all weigh the same
MOST = 1.0  # in a corner, e times as much or as little light as in the middle


@dataclass(frozen=True)
class Shading:
    """Natural logarithm of stored values, less that in the middle: x `across` + y `down` +
    (x^2 + y^2) `outward`. On the longest side, x or y goes from -1 to 1."""

    across: float
    down: float
    outward: float

    def gain(self, width: int, height: int, top: int, bottom: int) -> Tensor:
        """(bottom - top, width) fp32: what rows of a picture of that size are multiplied by."""
        x, y = _axes(width, height)
        columns, rows = (
            np.exp(-(slope * place + self.outward * place**2)).astype(np.float32)
            for slope, place in ((self.across, x), (self.down, y[top:bottom]))
        )
        return torch.from_numpy(np.outer(rows, columns))

    def remove(self, rgb: Image.Image) -> Image.Image:
        """A whole picture in even light."""
        gain = self.gain(*rgb.size, 0, rgb.height)
        return to_picture(to_tensor(rgb) * gain)


def find_shading(rgb: Image.Image) -> Shading | None:
    """The smooth part of the light on the photo's frame; None where it is even.

    A quadratic surface is fitted by least absolute deviations (iteratively reweighted), so a
    product that reaches into the frame bends it little. How far it is trusted follows from how
    much it explains: whole on a plain ground, less on a scene.
    """
    scale = min(1, SMALL / max(rgb.size))
    width, height = (max(1, round(side * scale)) for side in rgb.size)
    small = rgb.resize((width, height), Image.Resampling.BOX, reducing_gap=2)
    levels = np.log(np.asarray(small.convert("L"), np.float64) / 255 + DARK)
    x, y = (place.ravel() for place in np.meshgrid(*_axes(width, height)))
    border = max(1, round(FRAME * min(width, height)))
    inside = np.zeros((height, width), np.bool_)
    inside[border:-border, border:-border] = True
    frame = ~inside.ravel()
    surface = np.stack([np.ones_like(x), x, y, x**2 + y**2], axis=1)
    fitted, values = surface[frame], levels.ravel()[frame]
    # No threshold: two photos to either side of it would come out quite different.
    uneven = (FLAT[1] - _on_one_level(values)) / (FLAT[1] - FLAT[0])
    if uneven <= 0:
        return None
    weights = np.ones_like(values)
    for _ in range(ROUNDS):
        root = np.sqrt(weights)
        found = np.linalg.lstsq(fitted * root[:, None], values * root, rcond=None)[0]
        rest = np.abs(values - fitted @ found)
        weights = 1 / np.maximum(rest, LEAST)
    # As a coefficient of correlation: the root of the share that is explained.
    share = max(0.0, 1 - rest.mean() / np.abs(values - np.median(values)).mean())
    slopes = found[1:] * math.sqrt(share) * min(1.0, uneven)
    across, down = width / max(width, height), height / max(width, height)
    corner = np.abs(slopes) @ (across, down, across**2 + down**2)
    slopes *= MOST / max(corner, MOST)
    return Shading(*slopes.tolist())


def _on_one_level(values: np.ndarray) -> float:
    """The largest share of values that do not differ."""
    ordered = np.sort(values)
    counts = np.searchsorted(ordered, ordered + 2 * LEVEL, "right") - np.arange(len(ordered))
    return float(counts.max() / len(ordered))


def _axes(width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    """x of each column and y of each row."""
    x, y = ((2 * np.arange(side) + 1 - side) / max(width, height) for side in (width, height))
    return x, y

"""Shading: estimates how light falls off across a photo, and removes it.

Light from one side and vignettes are not a uniform gain, so instance norm does not cancel them. The
frame of a photo mostly shows background: what is smooth there is light. This is the flat-field
correction of microscopy, without a reference picture.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from stylize.photos.photo import to_picture, to_tensor

SMALL = 64  # pixels on the longest side: averages texture out
FRAME = 0.06  # of the short side
DARK = 0.05  # of the range of luma: below, logarithms show noise
LEVEL = 0.03  # of a logarithm: smaller differences count as none
FLAT = (0.4, 0.6)  # of the frame on one level: an evenly lit background of one colour
ROUNDS = 10  # of reweighting
LEAST = 0.01  # deviation below which all weights are equal
MOST = 1.0  # in a corner: at most e times the light in the centre, or 1 / e


@dataclass(frozen=True)
class Shading:
    """Logarithm of stored values relative to the centre: x `across` + y `down` + (x^2 + y^2)
    `outward`, where x or y runs from -1 to 1 along the longest side."""

    across: float
    down: float
    outward: float

    def gain(self, width: int, height: int, top: int, bottom: int) -> Tensor:
        """(bottom - top, width) fp32: the factor that removes the shading from these rows."""
        x, y = _axes(width, height)
        columns, rows = (
            np.exp(-(slope * place + self.outward * place**2)).astype(np.float32)
            for slope, place in ((self.across, x), (self.down, y[top:bottom]))
        )
        return torch.from_numpy(np.outer(rows, columns))

    def remove(self, rgb: Image.Image) -> Image.Image:
        """The picture in even light."""
        gain = self.gain(*rgb.size, 0, rgb.height)
        return to_picture(to_tensor(rgb) * gain)


def find_shading(rgb: Image.Image) -> Shading | None:
    """The smooth part of the light on the photo's frame; None if it is even.

    Fits a quadratic surface by least absolute deviations (iteratively reweighted), so a product
    that reaches into the frame bends it little. The surface counts as much as it explains: fully
    on a plain background, less in a scene.
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
    # Not a threshold: photos on either side of it would look different.
    uneven = (FLAT[1] - _on_one_level(values)) / (FLAT[1] - FLAT[0])
    if uneven <= 0:
        return None
    weights = np.ones_like(values)
    for _ in range(ROUNDS):
        root = np.sqrt(weights)
        found = np.linalg.lstsq(fitted * root[:, None], values * root, rcond=None)[0]
        rest = np.abs(values - fitted @ found)
        weights = 1 / np.maximum(rest, LEAST)
    # Like a correlation coefficient: the root of the explained share.
    share = max(0.0, 1 - rest.mean() / np.abs(values - np.median(values)).mean())
    slopes = found[1:] * math.sqrt(share) * min(1.0, uneven)
    across, down = width / max(width, height), height / max(width, height)
    corner = np.abs(slopes) @ (across, down, across**2 + down**2)
    slopes *= MOST / max(corner, MOST)
    return Shading(*slopes.tolist())


def _on_one_level(values: np.ndarray) -> float:
    """The largest share of values within one level."""
    ordered = np.sort(values)
    counts = np.searchsorted(ordered, ordered + 2 * LEVEL, "right") - np.arange(len(ordered))
    return float(counts.max() / len(ordered))


def _axes(width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    """x of each column, y of each row."""
    x, y = ((2 * np.arange(side) + 1 - side) / max(width, height) for side in (width, height))
    return x, y

"""The appearance of a picture as numbers that can be compared between pictures.

Colours are CIE L*a*b* (D65). Pictures are scaled to a short side of SHORT pixels first, so that
their size makes no difference.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter
from torch import Tensor

from stylize.objective.vgg import VGG16Features
from stylize.objective.vgg_statistics import Statistics, channel_statistics
from stylize.photos.color import ciede2000, to_lab
from stylize.photos.masks import product_mask
from stylize.photos.photo import Photo, to_tensor

SHORT, LONGEST, LEAST = 256, 1024, 16  # pixels: of the short side; of any side
FRAME = 0.03  # of the short side: measured as background where there is no mask
FINE = 8.0  # pixels: standard deviation of the blur that separates strokes from larger forms
DARK = 0.02  # percent of the pixels are darker
ANOTHER = 15  # in L*a*b*: distance of a colour that is not background
ENOUGH = 1 << 14  # pixels to compare
MOST_CUT = 0.25  # of the frame, if the rest is to count as background

Plane = NDArray[np.float64]


@dataclass(frozen=True)
class Appearance:
    """`measures` are named in `audit.MEASURES`; `statistics` are VGG-16's."""

    measures: dict[str, float]
    statistics: Statistics


def look_at(photo: Photo, vgg: VGG16Features, mask: Image.Image | None = None) -> Appearance:
    """Measure a picture; transparent parts count as white.

    `mask` (mode L, any size) marks the product; by default, transparency or a flat background
    does. Without either, everything counts as product, there is no `share`, and a frame of almost
    one colour counts as background.

    `veil`, in percent, measures haze and stray light, which leave no pixel dark in any channel (He
    et al. 2009, "dark channel prior", without patches).
    """
    rgb, alpha = photo.rgb, photo.alpha
    if alpha is not None:
        rgb = Image.composite(rgb, Image.new("RGB", rgb.size, "white"), alpha)
        alpha = alpha.resize(_seen(photo.size), Image.Resampling.BOX)
    rgb = rgb.resize(_seen(photo.size), Image.Resampling.LANCZOS)
    mask = mask or product_mask(Photo(rgb, alpha))
    lab = lab_of(rgb)
    frame = lab[_frame(*lab.shape[:2])]
    edge = np.median(frame, axis=0)
    product = np.ones(lab.shape[:2], np.bool_)
    if mask is not None:
        product = np.asarray(mask.resize(rgb.size, Image.Resampling.BOX)) > 127
    known = bool(product.any() and not product.all())
    inside = lab[product] if known else lab.reshape(-1, 3)
    ground = np.median(lab[~product], axis=0) if known else edge
    cut = np.mean(np.linalg.norm(frame - edge, axis=1) > ANOTHER)
    measures = {
        "lightness": inside[:, 0].mean(),
        "contrast": inside[:, 0].std(),
        "red": inside[:, 1].mean(),
        "yellow": inside[:, 2].mean(),
        "veil": np.percentile(np.asarray(rgb).min(axis=2) / 2.55, DARK),
        "cut": cut,
        "strokes": math.log2(stroke_scale(lab[..., 0])),
    }
    if known:
        measures["share"] = product.mean()
    if known or cut <= MOST_CUT:
        names = ("ground lightness", "ground red", "ground yellow")
        measures |= dict(zip(names, ground, strict=True))
    statistics = channel_statistics(vgg, to_tensor(rgb)[None])
    return Appearance({name: float(value) for name, value in measures.items()}, statistics)


def lab_of(rgb: Image.Image) -> Plane:
    """(H, W, 3): lightness 0 to 100, green to red, blue to yellow."""
    lab: Plane = _sampled_lab(rgb, 1)[0].movedim(0, -1).numpy()
    return lab


def color_difference(one: Image.Image, other: Image.Image) -> float:
    """Mean CIEDE2000 between two RGB pictures of one size, sampled on a grid in large ones: 1 is
    just visible side by side, 10 at a glance."""
    step = math.ceil(math.sqrt(one.width * one.height / ENOUGH))
    return float(ciede2000(_sampled_lab(one, step), _sampled_lab(other, step)).mean())


def _sampled_lab(rgb: Image.Image, step: int) -> Tensor:
    """(1, 3, H, W) of every so many-th pixel."""
    return to_lab(to_tensor(rgb)[None, :, ::step, ::step].double())


def stroke_scale(lightness: Plane) -> float:
    """The wavelength, in pixels, of the fine structure in a picture (H, W); 1 for a flat one.

    2 pi times the standard deviation over that of the slope (Rice 1944, section 3.3), after a blur
    of FINE pixels is subtracted. For a sinusoid it is the sinusoid's wavelength.
    """
    fine = lightness - gaussian_filter(lightness, FINE)
    slope = np.mean(np.diff(fine, axis=0) ** 2) + np.mean(np.diff(fine, axis=1) ** 2)
    return 1.0 if slope < 1e-6 else max(1.0, 2 * math.pi * float(np.sqrt(fine.var() / slope)))


def _seen(size: tuple[int, int]) -> tuple[int, int]:
    """The size at which a picture is measured; no side is longer than LONGEST."""
    scale = min(SHORT / min(size), LONGEST / max(size))
    width, height = (max(LEAST, round(side * scale)) for side in size)
    return width, height


def _frame(height: int, width: int) -> NDArray[np.bool_]:
    frame = np.ones((height, width), np.bool_)
    edge = max(1, round(FRAME * min(height, width)))
    frame[edge:-edge, edge:-edge] = False
    return frame

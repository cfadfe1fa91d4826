"""Blends the network's result with the photo: colours, strength, background.

Tensors are (N, 3, H, W) in fp32, sRGB in [0, 1]; masks are (N, 1, H, W) in [0, 1].
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from stylize.config import Look
from stylize.photos.color import from_linear, oklab_to_linear, to_oklab

HALVINGS = 14  # of the range of chroma: less than 1e-4 of it remains
ROUNDING = 1e-5  # of linear light
EDGE = 3  # pixels: how far a soft edge looks for clear colours
WINDOW, SHRINK = 2, 4  # recolour: radius in pixels, in pictures reduced by SHRINK
REACH = SHRINK * (2 * WINDOW + 2)  # rows further away have no influence
EVEN = 4e-3  # recolour: variance up to which a window counts as texture without edges


def apply_look(stylized: Tensor, photo: Tensor, mask: Tensor | None, look: Look) -> Tensor:
    """The network's result, changed as `look` says; with its defaults, `stylized` itself."""
    if look.preserve_color:
        stylized = preserve_color(stylized, photo)
    if look.strength < 1:
        stylized = fuse(stylized, photo, look.strength)
    if mask is not None and look.background == "keep":
        return keep_background(stylized, photo, mask)
    if mask is not None and look.background == "transparent":
        return _inside(stylized, mask)
    return stylized


def preserve_color(stylized: Tensor, photo: Tensor) -> Tensor:
    """Lightness from `stylized`, hue and chroma from `photo`, in Oklab.

    Where sRGB has no such colour, chroma is reduced; lightness and hue stay.
    """
    lab = torch.cat([to_oklab(stylized)[:, :1], to_oklab(photo)[:, 1:]], dim=1)
    linear = oklab_to_linear(lab)
    outside = ~_in_gamut(linear)
    if outside.any():
        pixels = lab.movedim(1, -1)[outside].T[None, ..., None]  # (1, 3, pixels, 1)
        linear.movedim(1, -1)[outside] = oklab_to_linear(_fit_chroma(pixels))[0, ..., 0].T
    return from_linear(linear)


def fuse(stylized: Tensor, photo: Tensor, strength: float) -> Tensor:
    """From the photo (strength 0) to the stylized picture (1), without double edges.

    A plain average would show both pictures. Instead, a Bezier curve leads through a third one,
    the photo in the stylized picture's colours (`recolour`): first the colours change, then the
    strokes appear.
    """
    way = recolour(photo, stylized)
    rest = 1 - strength
    return rest**2 * photo + 2 * strength * rest * way + strength**2 * stylized


def recolour(photo: Tensor, stylized: Tensor) -> Tensor:
    """The photo in the stylized picture's colours: in each window, the gain and offset of each
    channel that fit best, computed on reduced pictures (guided filter, He & Sun 2015)."""
    height, width = photo.shape[-2:]
    means = (
        _window_mean(_shrink(part), WINDOW)
        for part in (photo, stylized, photo * photo, photo * stylized)
    )
    one, other, square, product = means
    # Texture that is unrelated to the strokes keeps a gain of 1.
    gain = (product - one * other + EVEN) / (square - one * one + EVEN)
    offset = other - gain * one
    gain, offset = (
        F.interpolate(_window_mean(part, WINDOW), scale_factor=SHRINK, mode="bilinear")
        for part in (gain, offset)
    )
    gain, offset = (part[..., :height, :width] for part in (gain, offset))
    return (gain * photo + offset).clamp(0, 1)


def _shrink(image: Tensor) -> Tensor:
    """Means over squares of SHRINK pixels, from the top left."""
    right, below = (-side % SHRINK for side in (image.shape[3], image.shape[2]))
    return F.avg_pool2d(F.pad(image, (0, right, 0, below), mode="replicate"), SHRINK)


def keep_background(stylized: Tensor, photo: Tensor, mask: Tensor) -> Tensor:
    """`stylized` on the product, `photo` on the background, by the mask.

    The pixels of a soft edge are mixtures in both pictures, and mixing them again would leave a
    seam. Instead, the clear background and the clear product next to them are mixed.
    """
    ground = torch.where(mask > 0, _spread(photo, mask == 0), photo)
    return torch.lerp(ground, _inside(stylized, mask), mask)


def _inside(stylized: Tensor, mask: Tensor) -> Tensor:
    """`stylized` with the clear colour of the product in its soft edge."""
    return torch.where(mask < 1, _spread(stylized, mask == 1), stylized)


def _in_gamut(linear: Tensor) -> Tensor:
    """(N, 3, ...) -> (N, ...)."""
    return ((linear >= -ROUNDING) & (linear <= 1 + ROUNDING)).all(dim=1)


def _fit_chroma(lab: Tensor) -> Tensor:
    """The same lightness and hue with the largest chroma that sRGB has, at most its own."""
    lightness, chroma = lab[:, :1], lab[:, 1:]
    least = torch.zeros_like(lightness)  # grey is always in the gamut
    for step in range(1, HALVINGS + 1):
        larger = least + 0.5**step
        fits = _in_gamut(oklab_to_linear(torch.cat([lightness, larger * chroma], dim=1)))
        least = torch.where(fits[:, None], larger, least)
    return torch.cat([lightness, least * chroma], dim=1)


def _spread(image: Tensor, known: Tensor) -> Tensor:
    """The mean of the known pixels nearby; where there are none, the image itself."""
    count = _window_mean(known.float(), EDGE)
    mean = _window_mean(image * known, EDGE) / count.clamp_min(1e-6)
    return torch.where(count > 0, mean, image)


def _window_mean(image: Tensor, radius: int) -> Tensor:
    """Mean over squares of 2 radius + 1 pixels; borders are replicated."""
    image = F.pad(image, (radius,) * 4, mode="replicate")
    return F.avg_pool2d(F.avg_pool2d(image, (2 * radius + 1, 1), 1), (1, 2 * radius + 1), 1)

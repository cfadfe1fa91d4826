"""The product in a photo: its mask, from transparency or from a flat background.

Masks are pictures in mode L of the photo's size: 255 on the product, 0 on the background.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops

from stylize.photos.photo import Photo
from stylize.photos.shading import Shading

FRAME = 2  # pixels along the border, where the background's colour is measured
TOLERANCE = 6  # levels of any channel: JPEG noise
SIMILAR = 24  # levels: up to here it may be background in shade, beyond it is product
SHARE = 0.5  # of the frame must be similar to the background's colour
FLAT = 0.93  # of that share must be within the tolerance: no gradient, no vignette
EDGE = 2  # pixels next to the background that may mix product and background
CLEAR = 32  # levels of contrast that a product needs for an edge of mask 255

MOST = 0.75  # largest share of the statistics that a flat background may have
LEAST = 0.01  # of a photo: a smaller product is dust, and no reason to weight anything
SMALL = 128  # pixels on the longest side: enough to estimate the share of background

Levels = NDArray[np.uint8]
Region = NDArray[np.bool_]


def product_mask(photo: Photo) -> Image.Image | None:
    """The photo's own mask, or one from its transparency or flat background; None without any."""
    if photo.mask is not None:
        return photo.mask
    if photo.alpha is not None and photo.alpha.getextrema() != (255, 255):
        return from_alpha(photo.alpha)
    return flat_background(photo.rgb)


def cut_out(photo: Photo) -> Photo:
    """The photo, transparent where its mask is background."""
    if photo.mask is None:
        return photo
    alpha = photo.mask if photo.alpha is None else ImageChops.multiply(photo.alpha, photo.mask)
    return replace(photo, alpha=alpha)


def from_alpha(alpha: Image.Image) -> Image.Image:
    """255 wherever anything is visible: alpha itself already makes the soft edge."""
    return alpha.point([0] + [255] * 255)


def flat_background(rgb: Image.Image) -> Image.Image | None:
    """The mask of a product on a background of one colour; None without such a background.

    Background has the colour of the border and is connected to the border, so white parts inside
    a product stay product. The edge is a linear matte: a pixel that mixes product and background
    gets the product's share.
    """
    from scipy import ndimage

    levels = np.asarray(rgb)
    sides = (levels[:FRAME], levels[-FRAME:], levels[:, :FRAME], levels[:, -FRAME:])
    # If more than half of the frame is close to one colour, so is its median.
    frame = np.concatenate([side.reshape(-1, 3) for side in sides])
    colour = np.median(frame, axis=0).astype(np.uint8)
    distance = _distance(Image.fromarray(frame[None]), colour)
    flat, similar = np.mean(distance <= TOLERANCE), np.mean(distance <= SIMILAR)
    if similar <= SHARE or flat < FLAT * similar:
        return None
    distance = _distance(rgb, colour)
    background = connected_to_border(distance <= TOLERANCE)
    near = ndimage.maximum_filter(background, 2 * EDGE + 1)
    above = np.maximum(distance, TOLERANCE) - np.uint8(TOLERANCE)  # noise counts as 0
    whole = np.maximum(ndimage.maximum_filter(above, 2 * EDGE + 1), CLEAR)
    matte = np.where(background, np.uint8(0), np.uint8(255))
    edge = near & ~background
    matte[edge] = above[edge] / whole[edge] * 255 + 0.5
    return Image.fromarray(matte)


def balance(rgb: Image.Image, shading: Shading | None = None) -> Image.Image | None:
    """Weights of the pixels in the statistics of a photo that is almost all flat background.

    Norms stretch whatever there is to full strength: around a small product, the network's own
    noise on white. With these weights a flat background makes up `MOST` of the photo; None where
    it makes up no more anyway. `shading` is removed first.
    """
    scale = min(1, SMALL / max(rgb.size))
    width, height = (max(1, round(side * scale)) for side in rgb.size)
    small = rgb.resize((width, height), Image.Resampling.NEAREST)
    mask = flat_background(small if shading is None else shading.remove(small))
    if mask is None:
        return None
    product = float(np.asarray(mask).mean() / 255)
    if not 0 < product < 1 - MOST:
        return None
    weight = MOST / (1 - MOST) * max(product, LEAST) / (1 - product)
    weights = mask.point([round(weight * 255 + (1 - weight) * level) for level in range(256)])
    return weights.resize(rgb.size, Image.Resampling.BILINEAR)


def connected_to_border(region: Region) -> Region:
    """The part of `region` (H, W) that is connected to the border, by sides, not corners."""
    from scipy import ndimage

    labels, count = ndimage.label(region)
    reached = np.zeros(count + 1, np.bool_)
    for side in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
        reached[side] = True
    reached[0] = False  # what is not in the region
    connected: Region = reached[labels]
    return connected


def _distance(rgb: Image.Image, colour: Levels) -> Levels:
    """The largest difference in any channel, (H, W)."""
    whole = Image.new("RGB", rgb.size, tuple(colour.tolist()))
    red, green, blue = ImageChops.difference(rgb, whole).split()
    return np.asarray(ImageChops.lighter(ImageChops.lighter(red, green), blue))

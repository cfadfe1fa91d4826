"""What belongs to the product in a photo: its mask, from transparency or from a flat background.

Masks are pictures in mode L of the photo's size: 255 on the product, 0 on the background.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops

from stylize.photos.photo import Photo
from stylize.photos.shading import Shading

FRAME = 2  # pixels along the border that the background's colour is taken from
TOLERANCE = 6  # levels of any channel: JPEG noise
SIMILAR = 24  # levels: as far away there is no product, only shade
SHARE = 0.5  # of the frame must be similar to the background's colour
FLAT = 0.93  # of what is similar must be within the tolerance: no gradient, no vignette
EDGE = 2  # pixels next to the background that may be a mixture with it
CLEAR = 32  # levels: a product that differs by less is mask 255 nowhere along its edge

Levels = NDArray[np.uint8]
Region = NDArray[np.bool_]
MOST = 0.75  # of a photo's statistics that a flat background makes up
LEAST = 0.01  # of a photo: less than that is dust, and no product to go by
SMALL = 128  # pixels on the longest side are enough to see how much is background


def product_mask(photo: Photo) -> Image.Image | None:
    """The photo's own mask, or one from its transparency or flat background; None: none of them."""
    if photo.mask is not None:
        return photo.mask
    if photo.alpha is not None and photo.alpha.getextrema() != (255, 255):
        return from_alpha(photo.alpha)
    return flat_background(photo.rgb)


def cut_out(photo: Photo) -> Photo:
    """The photo, transparent where its mask says background."""
    if photo.mask is None:
        return photo
    alpha = photo.mask if photo.alpha is None else ImageChops.multiply(photo.alpha, photo.mask)
    return replace(photo, alpha=alpha)


def from_alpha(alpha: Image.Image) -> Image.Image:
    """255 wherever anything can be seen: alpha itself makes the soft edge, once is enough."""
    return alpha.point([0] + [255] * 255)


def flat_background(rgb: Image.Image) -> Image.Image | None:
    """The mask of a product on a background of one colour; None where there is no such background.

    Background is what has the border's colour and is connected to the border, so white parts inside
    of a product stay product. The edge is a linear matte: a pixel that is a mixture of product and
    background gets the product's share in it.
    """
    levels = np.asarray(rgb)
    frame = np.concatenate(
        [
            *(part.reshape(-1, 3) for part in (levels[:FRAME], levels[-FRAME:])),
            *(part.reshape(-1, 3) for part in (levels[:, :FRAME], levels[:, -FRAME:])),
        ]
    )
    # If more than half of the frame is close to one colour, so is its median.
    colour = np.median(frame, axis=0).astype(np.uint8)
    distance = _distance(frame, colour)
    flat, similar = np.mean(distance <= TOLERANCE), np.mean(distance <= SIMILAR)
    if similar <= SHARE or flat < FLAT * similar:
        return None
    distance = _distance(levels, colour)
    background = connected_to_border(distance <= TOLERANCE)
    near = _local_maximum(background.view(np.uint8), EDGE).view(np.bool_)
    above = np.maximum(distance, TOLERANCE) - np.uint8(TOLERANCE)  # what is noise counts as 0
    whole = np.maximum(_local_maximum(above, EDGE), CLEAR)
    matte = np.where(background, np.uint8(0), np.uint8(255))
    edge = near & ~background
    matte[edge] = above[edge] / whole[edge] * 255 + 0.5
    return Image.fromarray(matte)


def balance(rgb: Image.Image, shading: Shading | None = None) -> Image.Image | None:
    """What each pixel counts in the statistics of a photo that is nearly all flat background.

    Norms bring whatever there is to full strength: on a small product's white ground, the network's
    own noise. Counted by these weights, a flat background makes up `MOST` of the photo; None where
    it does not make up more anyway. `shading` is taken out before.
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
    """The part of `region` (H, W) from which a way leads to the border: by sides, not corners.

    Runs of pixels in a row are the nodes of a graph; those that touch runs in the row below are its
    edges. Every node takes the least label of its neighbours, then the label of that label ...,
    until nothing changes: for n runs O(log^2 n) rounds, in a maze too (Liu & Tarjan 2019, "Simple
    concurrent labeling algorithms for connected components").
    """
    height, width = region.shape
    rows = np.zeros((height, width + 1), np.bool_)  # a column that ends each row's last run
    rows[:, :-1] = region
    changes = np.flatnonzero(np.diff(rows.ravel(), prepend=False))
    starts, ends = changes[::2], changes[1::2]
    label = np.arange(len(starts))

    meeting = rows[:-1] & rows[1:]
    meeting[:, 1:] &= ~meeting[:, :-1]  # where two runs meet, the first pixel
    places = np.flatnonzero(meeting)
    above = np.searchsorted(starts, places, side="right") - 1
    below = np.searchsorted(starts, places + width + 1, side="right") - 1
    while len(above):
        one, two = label[above], label[below]
        least = np.minimum(one, two)
        np.minimum.at(label, one, least)
        np.minimum.at(label, two, least)
        while not np.array_equal(label, label[label]):
            label = label[label]
        apart = label[above] != label[below]
        above, below = above[apart], below[apart]

    row, column = np.divmod(starts, width + 1)
    at_border = (row == 0) | (row == height - 1) | (column == 0)
    at_border |= ends % (width + 1) == width
    reached = np.zeros(len(starts), np.bool_)
    reached[label[at_border]] = True
    kept = reached[label]
    steps = np.zeros(rows.size, np.int8)
    steps[starts[kept]], steps[ends[kept]] = 1, -1
    return np.cumsum(steps, dtype=np.int8).view(np.bool_).reshape(rows.shape)[:, :-1]


def _distance(levels: Levels, colour: Levels) -> Levels:
    """The largest difference in any channel: (..., 3) -> (...)."""
    largest = np.zeros(levels.shape[:-1], np.uint8)
    for channel in range(3):
        here = np.ascontiguousarray(levels[..., channel])
        np.maximum(
            largest,
            np.maximum(here, colour[channel]) - np.minimum(here, colour[channel]),
            out=largest,
        )
    return largest


def _local_maximum(levels: Levels, radius: int) -> Levels:
    """Over a square of 2 radius + 1 pixels."""
    for _ in range(2):  # rows, then columns
        levels = levels.T.copy()
        for _ in range(radius):
            grown = levels.copy()
            np.maximum(grown[1:], levels[:-1], out=grown[1:])
            np.maximum(grown[:-1], levels[1:], out=grown[:-1])
            levels = grown
    return levels

"""Optical flow between two frames, and where it can be trusted."""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Plane = NDArray[np.floating[Any]]

LONGEST, SHORTEST = 320, 64  # pixels of the sides, at which flow is estimated
WINDOW, WIDE = 9, 51  # pixels: neighbours that look alike, and that stand still, together
AWAY, SHARE = 1.0, 0.01  # square pixels, and share of the squared way: the least that is no return
SLOW = 0.6  # pixels a frame
AS_WELL = 1.4  # times the mean difference
ALIKE = 12.0  # levels: mean difference up to which two places show the same
EDGE = 5  # pixels: a square that is kept as a whole or not, as flow is vague at edges


@dataclass(frozen=True)
class Motion:
    """From a frame back to the one before it.

    `flow`, (H, W, 2), is the way from each pixel to its place there, in pixels to the right and
    down. `kept`, (H, W), is 1 where that place shows the same, and 0 where there is something new.
    """

    flow: Plane
    kept: Plane

    def at(self, width: int, height: int) -> "Motion":
        """For pictures of another size."""
        scale = np.array([width / self.kept.shape[1], height / self.kept.shape[0]], np.float32)
        return Motion(
            _resized(self.flow * scale, (width, height)), _resized(self.kept, (width, height))
        )

    def warp(self, before: Plane) -> Plane:
        """A picture of the frame before, (H, W) or (H, W, channels), as it would look now."""
        height, width = self.kept.shape
        places = self.flow.copy()
        places[..., 0] += np.arange(width, dtype=np.float32)
        places[..., 1] += np.arange(height, dtype=np.float32)[:, None]
        return np.asarray(
            cv2.remap(before, places, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
        )


def small(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A frame, (H, W, 3), in grey, as small as `find_motion` needs it."""
    height, width = rgb.shape[:2]
    scale = min(1, LONGEST / max(width, height))
    size = [max(SHORTEST, round(side * scale)) for side in (width, height)]
    return np.asarray(cv2.resize(grey(rgb), size, interpolation=cv2.INTER_AREA))


def find_motion(before: NDArray[np.uint8], now: NDArray[np.uint8]) -> Motion:
    """The motion between two frames, as `small` makes them.

    By dense inverse search (Kroeger et al. 2016, arXiv:1603.03590). A pixel is kept if the way
    there and back leads to itself (Sundaram et al. 2010, section 3.1, as Ruder et al. 2016,
    arXiv:1604.08610, section 4.2) and both places look alike.

    Where the ways around a pixel cancel each other, and it looks as it did before, nothing moves:
    a flow follows the noise of a sensor, too.
    """
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    there, back = (_flow(search, *pair) for pair in ((now, before), (before, now)))
    motion = Motion(there, np.ones(now.shape, np.float32))
    last = before.astype(np.float32)
    moved, unmoved = (np.abs(now - seen) for seen in (motion.warp(last), last))
    slow = np.linalg.norm(local_mean(there, WIDE), axis=-1) < SLOW
    still = slow & (local_mean(unmoved, WIDE) <= AS_WELL * local_mean(moved, WIDE))
    missed = np.sum((there + motion.warp(back)) ** 2, axis=-1)
    way = 2 * np.sum(there**2, axis=-1)
    alike = local_mean(np.where(still, unmoved, moved)) <= ALIKE
    kept = alike & (still | (missed <= AWAY + SHARE * way))
    return Motion(
        np.where(still[..., None], 0, there),
        np.asarray(cv2.erode(kept.astype(np.float32), np.ones((EDGE, EDGE)))),
    )


def grey(rgb: Array) -> Array:
    """(H, W, 3) -> (H, W): the luma of ITU-R BT.601."""
    return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY))


def local_mean(picture: Plane, window: int = WINDOW) -> Plane:
    """Each pixel becomes the mean of its neighbourhood, (window, window)."""
    return np.asarray(cv2.blur(picture, (window, window)))


def _flow(search: Any, start: NDArray[np.uint8], end: NDArray[np.uint8]) -> Plane:
    return np.asarray(search.calc(start, end, None))


def _resized(plane: Plane, size: tuple[int, int]) -> Plane:
    return np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_LINEAR))

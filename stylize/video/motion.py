"""Optical flow between two frames, and where it can be trusted."""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Plane = NDArray[np.floating[Any]]

LONGEST, SHORTEST = 480, 16  # pixels of the sides, at which flow is estimated
WINDOW = 9  # pixels: neighbours that decide together
AWAY, SHARE = 0.5, 0.01  # square pixels, and share of the squared way: the least that is no return
STILL = 2.5  # times the squared difference that is left by the flow
ALIKE = 12.0  # levels: mean difference up to which two places show the same


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
            _resized(self.flow, (width, height)) * scale, _resized(self.kept, (width, height))
        )

    def warp(self, before: Plane) -> Plane:
        """A picture of the frame before, (H, W) or (H, W, channels), as it would look now."""
        height, width = self.kept.shape
        down, right = np.indices((height, width), np.float32)
        places = np.stack([right, down], axis=-1) + self.flow
        # Interpolated again in every frame: with less than Lanczos, it would soon be soft.
        return np.asarray(
            cv2.remap(before, places, None, cv2.INTER_LANCZOS4, borderMode=cv2.BORDER_REFLECT)
        )


def small(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A frame, (H, W, 3), in grey, as small as `find_motion` needs it."""
    height, width = rgb.shape[:2]
    scale = min(1, LONGEST / max(width, height))
    size = [max(SHORTEST, round(side * scale)) for side in (width, height)]
    return np.asarray(
        cv2.resize(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), size, interpolation=cv2.INTER_AREA)
    )


def find_motion(before: NDArray[np.uint8], now: NDArray[np.uint8]) -> Motion:
    """The motion between two frames, as `small` makes them.

    By dense inverse search (Kroeger et al. 2016, arXiv:1603.03590). A pixel is kept if the way
    there and back leads to itself (Sundaram et al. 2010, section 3.1, as Ruder et al. 2016,
    arXiv:1604.08610, section 4.2) and both places look alike. If standing still explains a
    neighbourhood about as well, it stands still: a flow follows the noise of a sensor, too.
    """
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    there, back = (_flow(search, *pair) for pair in ((now, before), (before, now)))
    old, new = (frame.astype(np.float32) for frame in (before, now))
    motion = Motion(there, np.ones_like(new))
    moved, stood = (local_mean((new - frame) ** 2) for frame in (motion.warp(old), old))
    still = stood <= STILL * moved + 1
    flow = np.where(still[..., None], 0, there).astype(np.float32)
    returned = motion.warp(back)
    missed = np.sum((there + returned) ** 2, axis=-1)
    way = np.sum(there**2 + returned**2, axis=-1)
    alike = local_mean(np.abs(new - Motion(flow, motion.kept).warp(old))) <= ALIKE
    kept = alike & (still | (missed <= AWAY + SHARE * way))
    return Motion(flow, kept.astype(np.float32))


def local_mean(picture: Plane) -> Plane:
    """Each pixel becomes the mean of its neighbourhood, (WINDOW, WINDOW)."""
    return np.asarray(cv2.blur(picture, (WINDOW, WINDOW)))


def _flow(search: Any, start: NDArray[np.uint8], end: NDArray[np.uint8]) -> Plane:
    return np.asarray(search.calc(start, end, None))


def _resized(plane: Plane, size: tuple[int, int]) -> Plane:
    return np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_LINEAR))

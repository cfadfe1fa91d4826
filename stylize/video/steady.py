"""Frames -> paintings that do not flicker: each goes on from the one before it.

Of each frame by itself, the network paints other strokes wherever the picture has moved by a pixel
or a sensor has made noise. So the last draft and the last painting are moved by optical flow, and
what is still seen of them is mixed into the new ones (Ruder et al. 2016, arXiv:1604.08610; Chen et
al. 2017, arXiv:1703.09211).
"""

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from stylize.config import Look
from stylize.network.memory import Need
from stylize.photos.photo import Photo
from stylize.style import Style
from stylize.video.motion import Array, Motion, Plane, find_motion, grey, local_mean, small

OF_DRAFT, OF_PAINTING = 0.95, 0.93  # how much of the last one is kept
SAME_SHOT = 1 / 3  # of a frame is seen in the one before it; with less, there is a cut
LEAST_VARIANCE, MOST_GAIN = 0.65, 1.5  # of a neighbourhood, in squared levels; of its deviation
CELL, NEIGHBOURS = 3, 3  # a neighbourhood is 3 x 3 cells of 3 x 3 pixels


State = dict[str, Array]


@dataclass(frozen=True)
class Glimpse:
    """A frame, what is seen of it at the size of `small`, and how it moved from the one before;
    None after a cut."""

    photo: Photo
    time: int
    seen: Array
    motion: Motion | None


@dataclass(frozen=True)
class Painting:
    """What the network has painted of a frame, and the draft, (h, w, 3) in [0, 1], if it drafts."""

    glimpse: Glimpse
    image: Image.Image
    draft: Plane | None


@dataclass(frozen=True)
class Held:
    """A painting that goes on from the one before, the time of its frame, and what the next one
    goes on from."""

    image: Image.Image
    time: int
    state: State


class SteadyPainter:
    """Paints the frames of one clip, all of one size, in their order: `see`, `paint` and `hold`.

    Each of the three takes the results of the one before and remembers only what it needs itself,
    so they can work side by side, on frames that follow each other.
    """

    def __init__(self, style: Style, look: Look, need: Need, scratch: Path) -> None:
        self.style = style
        self.look = look
        self.need = need
        self.scratch = scratch
        self._seen: Array | None = None
        self._draft: Plane | None = None
        # (H, W, 3) in levels. In whole levels, it would keep faint marks for ever.
        self._painting: Plane | None = None

    def see(self, photo: Photo, time: int = 0) -> Glimpse:
        """The next frame, which is shown at that time."""
        seen = small(np.asarray(photo.rgb))
        motion = None if self._seen is None else find_motion(self._seen, seen)
        if motion is not None and motion.kept.mean() < SAME_SHOT:
            motion = None
        self._seen = seen
        return Glimpse(photo, time, seen, motion)

    def paint(self, glimpse: Glimpse) -> Painting:
        """What the network makes of it, with a draft that goes on from the last one."""

        def redraft(drafts: Tensor) -> Tensor:
            draft = _pixels(drafts)
            if glimpse.motion is not None and self._draft is not None:
                there = glimpse.motion.at(*draft.shape[1::-1])
                draft = _mixed(draft, there.warp(self._draft), OF_DRAFT * there.kept)
            self._draft = draft
            return torch.from_numpy(draft).movedim(-1, 0)[None].to(drafts)

        photos, need, folder = [glimpse.photo], self.need, self.scratch
        (image,) = self.style.stylize_photos(photos, self.look, need, folder, redraft)
        return Painting(glimpse, image, self._draft)

    def hold(self, painted: Painting) -> Held:
        """The painting, which goes on from the last one."""
        image, glimpse = painted.image, painted.glimpse
        painting: Plane = np.asarray(image, np.float32)
        if glimpse.motion is not None and self._painting is not None:
            there = glimpse.motion.at(*image.size)
            kept: Plane = there.kept
            mask = glimpse.photo.mask
            if self.look.masked and mask is not None:  # the background is not painted
                kept = kept * (np.asarray(mask, np.float32) / 255)
            mixed = _mixed(painting, there.warp(self._painting), OF_PAINTING * kept)
            painting = _with_contrast_of(painting, mixed)
            image = Image.fromarray(np.rint(painting).astype(np.uint8))
        self._painting = painting
        state = {"seen": glimpse.seen, "painting": painting}
        if painted.draft is not None:
            state["draft"] = painted.draft
        return Held(image, glimpse.time, state)

    def go_on_from(self, state: State) -> None:
        """Paint the next frame as the painter would that has just made a `Held` with that state."""
        self._seen, self._painting = state["seen"], state["painting"]
        self._draft = state.get("draft")


def write_state(state: State) -> bytes:
    buffer = BytesIO()
    np.savez(buffer, allow_pickle=False, **state)
    return buffer.getvalue()


def read_state(content: bytes) -> State:
    """What `write_state` wrote."""
    with np.load(BytesIO(content)) as kept:
        return dict(kept)


def _pixels(images: Tensor) -> Plane:
    """(1, 3, H, W) -> (H, W, 3) in fp32."""
    return np.ascontiguousarray(images[0].movedim(0, -1).float().cpu().numpy())


def _mixed(new: Plane, last: Plane, share: Plane) -> Plane:
    return np.asarray(cv2.blendLinear(new, last, 1 - share, share))


def _with_contrast_of(new: Plane, mixed: Plane) -> Plane:
    """The mixed painting, as rich in contrast as the new one is around each pixel: the mean of
    strokes that do not meet is flat (Heitz and Neyret 2018, section 3)."""
    wanted, there = (_local_variance(grey(each)) + LEAST_VARIANCE for each in (new, mixed))
    gain = _enlarged(np.sqrt(wanted / there).clip(1, MOST_GAIN), mixed)
    return _mixed(_enlarged(_local_mean(mixed), mixed), mixed, gain).clip(0, 255)


def _local_variance(luma: Plane) -> Plane:
    """Of the neighbourhood of every CELL-th pixel."""
    return np.maximum(_local_mean(luma**2) - _local_mean(luma) ** 2, 0)


def _local_mean(picture: Plane) -> Plane:
    """Of the neighbourhood of every CELL-th pixel."""
    height, width = picture.shape[:2]
    size = (max(1, width // CELL), max(1, height // CELL))
    cells = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return local_mean(cells, NEIGHBOURS)


def _enlarged(plane: Plane, picture: Plane) -> Plane:
    """To the size of the picture."""
    size = picture.shape[1::-1]
    return np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_LINEAR))

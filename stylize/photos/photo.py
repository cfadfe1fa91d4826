"""Photos and pictures in memory: pixels, alpha, mask, frames; scaled; as tensors."""

from dataclasses import dataclass, field

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from stylize.photos.metadata import Metadata

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Photo:
    """A decoded picture: `rgb` in mode RGB (sRGB, upright), `alpha` in mode L or None.

    `mask`, in mode L, is 255 on the product and 0 on the background; None if unknown.
    """

    rgb: Image.Image
    alpha: Image.Image | None = None
    mask: Image.Image | None = None

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return self.rgb.size


@dataclass(frozen=True)
class Picture:
    """The content of a picture file: one frame, the frames of an animation, or pages.

    `durations` are milliseconds per frame, None for pages. `loop` is the number of times an
    animation plays (0: forever, None: not given). With `still_first`, the first frame of an
    animated PNG is not part of the animation. `warnings` name what could not be kept as it was.
    """

    frames: tuple[Photo, ...]
    metadata: Metadata = field(default_factory=Metadata)
    durations: tuple[int, ...] | None = None
    loop: int | None = None
    still_first: bool = False
    warnings: tuple[str, ...] = ()


def scaled_down(size: tuple[int, int], longest: int | None) -> tuple[int, int]:
    """(width, height) with no side above `longest`, and the same aspect ratio."""
    if longest is None or max(size) <= longest:
        return size
    width, height = (max(1, round(side * longest / max(size))) for side in size)
    return width, height


def with_short_side(picture: Image.Image, short: int) -> Image.Image:
    """The picture scaled up or down to a short side of `short` pixels."""
    scale = short / min(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return picture.resize(size, Image.Resampling.LANCZOS)


def downscale(photo: Photo, size: tuple[int, int]) -> Photo:
    """`photo` resampled to (width, height)."""
    # Together with alpha: Pillow then weights colours by alpha, so none bleeds in where it is 0.
    merged = merge_alpha(photo.rgb.copy(), photo.alpha)
    small = merged.resize(size, Image.Resampling.LANCZOS)
    mask = photo.mask and photo.mask.resize(size, Image.Resampling.BOX)
    return Photo(small.convert("RGB"), small.getchannel("A") if photo.alpha else None, mask)


def merge_alpha(image: Image.Image, alpha: Image.Image | None) -> Image.Image:
    """`image` in mode RGB with `alpha` put back, if there is any."""
    if alpha is not None:
        image.putalpha(alpha)
    return image


def to_tensor(image: Image.Image, device: torch.device = CPU) -> Tensor:
    """A picture in mode RGB -> (3, H, W) fp32 in [0, 1] on that device."""
    return _levels(image, device).permute(2, 0, 1).float().div(255)


def to_mask(image: Image.Image, device: torch.device = CPU) -> Tensor:
    """A picture in mode L -> (1, H, W) fp32 in [0, 1] on that device."""
    return _levels(image, device).float().div(255)[None]


def _levels(image: Image.Image, device: torch.device) -> Tensor:
    levels = torch.from_numpy(np.array(image))
    if device.type != "cuda":
        return levels.to(device)
    # Bytes, a quarter of fp32, and from pinned memory: the copy waits for no work on the GPU.
    return levels.pin_memory().to(device, non_blocking=True)


def to_picture(tensor: Tensor) -> Image.Image:
    """(3, H, W) in [0, 1] -> a picture in mode RGB, rounded to the nearest level."""
    levels = tensor.float().mul(255).round().clamp(0, 255).to(torch.uint8)
    return Image.fromarray(levels.permute(1, 2, 0).cpu().contiguous().numpy())

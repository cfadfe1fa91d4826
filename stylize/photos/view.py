"""A photo as a network sees it."""

from dataclasses import dataclass, replace

import torch
from PIL import Image
from torch import Tensor

from stylize.config import Look
from stylize.photos.masks import balance
from stylize.photos.photo import Photo, to_mask, to_tensor
from stylize.photos.shading import Shading, find_shading


@dataclass(frozen=True)
class View:
    """A picture as the network sees it: shading removed, pixels weighted in the statistics."""

    rgb: Image.Image
    weights: Image.Image | None = None
    shading: Shading | None = None

    def resized(self, size: tuple[int, int], resample: Image.Resampling) -> "View":
        weights = self.weights and self.weights.resize(size, Image.Resampling.BOX)
        return replace(self, rgb=self.rgb.resize(size, resample), weights=weights)

    def rows(self, device: torch.device, top: int, bottom: int) -> Tensor:
        """(1, 3, bottom - top, W)."""
        rows = crop(self.rgb, device, top, bottom)
        if self.shading is None:
            return rows
        return rows.mul_(self.shading.gain(*self.rgb.size, top, bottom).to(device))


def view_of(photo: Photo, look: Look) -> View:
    """What `look` and the photo's own transparency leave to see."""
    if look.masked and photo.mask is not None:  # the background has no influence
        return View(photo.rgb, photo.mask)
    opaque = photo.alpha is None or photo.alpha.getextrema() == (
        255,
        255,
    )  # otherwise the frame is not visible
    shading = find_shading(photo.rgb) if look.even_light and opaque else None
    return View(photo.rgb, balance(photo.rgb, shading), shading)


def crop(picture: Image.Image, device: torch.device, top: int, bottom: int) -> Tensor:
    """Rows of an RGB picture, (1, 3, bottom - top, W), or of a mask, (1, 1, bottom - top, W)."""
    part = picture.crop((0, top, picture.width, bottom))
    return (to_mask if part.mode == "L" else to_tensor)(part, device)[None]

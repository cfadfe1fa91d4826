"""Picture files <-> pixels. What comes in: upright, sRGB, 8 bits; alpha set aside and put back."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError
from torch import Tensor

from stylize.errors import ImageError
from stylize.files import write_file

JPEG_QUALITY = 95
WEBP_QUALITY = 95
WITHOUT_ALPHA = ("JPEG", "BMP")  # Pillow writes alpha into a BMP, and does not read it again

# Pillow's names of what a suffix stands for.
_FORMATS = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".png": "PNG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".bmp": "BMP",
}


@dataclass(frozen=True)
class Photo:
    """A decoded picture: `rgb` in mode RGB (sRGB, upright), `alpha` in mode L or None.

    `mask`, in mode L, is 255 on the product and 0 on the background; None: not known.
    """

    rgb: Image.Image
    alpha: Image.Image | None = None
    mask: Image.Image | None = None

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return self.rgb.size


def read_photo(path: Path, size: int | None = None) -> Photo:
    """Decode the picture in `path`, downscaled to at most `size` pixels on its longest side.

    EXIF orientation is applied, an embedded ICC profile converted to sRGB (a broken one is
    ignored: the numbers are then taken as sRGB), 16-bit grey scaled to 8 bits.

    Raises:
        ImageError: it cannot be opened, is not a picture, is damaged, or too large to be safe.
    """
    try:
        with Image.open(path) as image:
            photo = split_photo(image)
        return photo if size is None else _downscale(photo, size)
    except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
        raise ImageError(f"{path}: {error.strerror}") from error
    except UnidentifiedImageError as error:
        empty = path.stat().st_size == 0
        raise ImageError(f"{path}: {'empty file' if empty else 'not a picture'}") from error
    except Image.DecompressionBombError as error:
        raise ImageError(f"{path}: too many pixels to be safe") from error
    except MemoryError as error:
        raise ImageError(f"{path}: not enough memory to decode it") from error
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from error
    except Exception as error:  # Pillow's plugins raise all kinds on damaged headers
        raise ImageError(f"{path}: damaged picture ({error})") from error


def split_photo(image: Image.Image) -> Photo:
    """Decode a Pillow picture of any mode: apply its orientation and profile, set alpha aside.

    Raises:
        ImageError: its data are damaged, or its pixels are 32-bit numbers of unknown range.
    """
    try:
        image.load()
        icc = image.info.get("icc_profile")
        image = ImageOps.exif_transpose(image)
        if image.mode in ("I", "F"):
            raise ImageError("pixels of 32 bits are not supported")
        if image.mode.startswith("I;16"):
            levels = np.asarray(image, np.uint16) // 257
            image = Image.fromarray(levels.astype(np.uint8))
        alpha = None
        if image.has_transparency_data:
            rgba = image.convert("RGBA")
            alpha = rgba.getchannel("A")
            # Grey stays grey, for a grey profile fits nothing else.
            image = image.convert("L") if image.mode == "LA" else rgba.convert("RGB")
        elif image.mode in ("1", "P"):
            image = image.convert("RGB")
        return Photo(_to_srgb(image, icc).convert("RGB"), alpha)
    except (ImageError, MemoryError):
        raise
    except Exception as error:  # Pillow's decoders raise all kinds on damaged data
        raise ImageError(f"damaged picture ({error})") from error


def merge_alpha(image: Image.Image, alpha: Image.Image | None) -> Image.Image:
    """`image` in mode RGB with `alpha` back in place, if there is any."""
    if alpha is not None:
        image.putalpha(alpha)
    return image


def _to_srgb(image: Image.Image, icc: bytes | None) -> Image.Image:
    """`image` converted from the ICC profile `icc`, if there is one that fits its mode."""
    if not icc:
        return image
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        srgb = ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(image, profile, srgb, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return image
    return cast("Image.Image", converted)


def _downscale(photo: Photo, size: int) -> Photo:
    longest = max(photo.size)
    if longest <= size:
        return photo
    width, height = (max(1, round(side * size / longest)) for side in photo.size)
    # In one go with alpha: Pillow then weighs colours by it, and none bleeds in from where it is 0.
    merged = merge_alpha(photo.rgb.copy(), photo.alpha)
    small = merged.resize((width, height), Image.Resampling.LANCZOS)
    return Photo(small.convert("RGB"), small.getchannel("A") if photo.alpha else None)


def fit_alpha(photo: Photo, path: Path) -> Photo:
    """`photo` as the format of `path` can hold it; alpha that is opaque everywhere may go.

    Raises:
        ImageError: it is transparent somewhere, and the format has no alpha.
    """
    if photo.alpha is None or _FORMATS[path.suffix.lower()] not in WITHOUT_ALPHA:
        return photo
    if photo.alpha.getextrema() == (255, 255):
        return Photo(photo.rgb)
    raise ImageError(f"it has transparency, which a {path.suffix.lower()} file cannot hold")


def write_picture(image: Image.Image, path: Path) -> None:
    """Write `image` to `path` in the format of its suffix: never half-written under that name.

    JPEG is written at quality 95 without chroma subsampling, WebP at quality 95.

    Raises:
        ImageError: the folder or file cannot be written.
    """
    options: dict[str, int] = {}
    kind = _FORMATS[path.suffix.lower()]
    if kind == "JPEG":
        options = {"quality": JPEG_QUALITY, "subsampling": 0}
    elif kind == "WEBP":
        options = {"quality": WEBP_QUALITY}
    buffer = io.BytesIO()
    try:
        image.save(buffer, kind, **options)
    except (OSError, ValueError) as error:
        raise ImageError(f"{path}: cannot be written as {kind} ({error})") from error
    try:
        write_file(path, buffer.getvalue())
    except OSError as error:
        raise ImageError(f"{path}: cannot be written ({error.strerror})") from error


def to_tensor(image: Image.Image) -> Tensor:
    """A picture in mode RGB -> (3, H, W) fp32 in [0, 1]."""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).float().div(255)


def to_mask(image: Image.Image) -> Tensor:
    """A picture in mode L -> (1, H, W) fp32 in [0, 1]."""
    return torch.from_numpy(np.array(image)).float().div(255)[None]


def to_picture(tensor: Tensor) -> Image.Image:
    """(3, H, W) in [0, 1] -> a picture in mode RGB, rounded to the nearest level."""
    levels = tensor.float().mul(255).round().clamp(0, 255).to(torch.uint8)
    return Image.fromarray(levels.permute(1, 2, 0).cpu().contiguous().numpy())

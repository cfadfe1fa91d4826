"""Pixels of any kind in a Pillow picture -> 8 bits, sRGB."""

import io
from collections.abc import Callable
from typing import cast

import numpy as np
from PIL import Image, ImageCms, TiffImagePlugin

BITS, PHOTOMETRIC, ICC_PROFILE = 258, 262, 34675  # TIFF's tags


def profile_of(image: Image.Image) -> bytes | None:
    """The ICC profile in its file."""
    if isinstance(image, TiffImagePlugin.TiffImageFile):  # its `info` may be of another page
        profile: bytes | None = image.tag_v2.get(ICC_PROFILE)
        return profile
    return image.info.get("icc_profile")


def to_8_bits(
    image: Image.Image, warn: Callable[[str], object]
) -> tuple[Image.Image, Image.Image | None]:
    """Grey of 16 or 32 bits in 8, and alpha if one level of it is transparent.

    16 bits count to 65535 (in a TIFF of fewer bits, to what these hold; black may be the largest).

    Numbers of 32 bits do not say their range: it is taken to be the least of 0..1 (floats), 0..255
    and 0..65535 that holds them all, and otherwise from the least of them to the largest.
    """
    levels = np.asarray(image).astype(np.float64)
    alpha = None
    if image.mode.startswith("I;16") and isinstance(image.info.get("transparency"), int):
        alpha = Image.fromarray(np.uint8(255) * (levels != image.info["transparency"]))
    low, high = 0.0, 65535.0
    if image.mode.startswith("I;16") and isinstance(image, TiffImagePlugin.TiffImageFile):
        high = 2.0 ** image.tag_v2.get(BITS, (16,))[0] - 1
        if image.tag_v2.get(PHOTOMETRIC) == 0:
            np.subtract(high, levels, out=levels)
    if image.mode in ("I", "F") and image.format != "PPM":  # Pillow scales PPM to 65535 itself
        np.nan_to_num(levels, copy=False, nan=0.0, posinf=0.0, neginf=0.0)
        least, most = float(levels.min()), float(levels.max())
        tops = (1.0, 255.0, 65535.0) if image.mode == "F" else (255.0, 65535.0)
        fitting = [top for top in tops if most <= top]
        low, high = (0.0, fitting[0]) if least >= 0 and fitting else (least, most)
        warn(f"pixels of 32 bits taken as {low:g} to {high:g}")
    levels -= low
    levels /= max(high - low, np.finfo(float).tiny)
    levels *= 255
    np.rint(levels, out=levels)
    return Image.fromarray(levels.clip(0, 255, out=levels).astype(np.uint8)), alpha


def to_srgb(image: Image.Image, icc: bytes | None, warn: Callable[[str], object]) -> Image.Image:
    """`image` converted from the ICC profile `icc`, if there is one that fits its mode."""
    if not icc:
        return image
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        srgb = ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(image, profile, srgb, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        warn("ICC profile damaged or of another mode: pixels taken as sRGB")
        return image
    return cast("Image.Image", converted)

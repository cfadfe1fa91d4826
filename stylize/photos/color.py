"""Colour: bit depth, ICC profiles, sRGB, linear light, Oklab, CIE L*a*b* and its differences."""

import io
from collections.abc import Callable, Sequence
from functools import cache
from typing import cast

import numpy as np
import torch
from PIL import Image, ImageCms, TiffImagePlugin
from torch import Tensor

# Oklab (Ottosson 2020, "A perceptual color space for image processing"): linear sRGB -> cones, and
# their cube roots -> lightness, green to red, blue to yellow.
_CONES = (
    (0.4122214708, 0.5363325363, 0.0514459929),
    (0.2119034982, 0.6806995451, 0.1073969566),
    (0.0883024619, 0.2817188376, 0.6299787005),
)
_LAB = (
    (0.2104542553, 0.7936177850, -0.0040720468),
    (1.9779984951, -2.4285922050, 0.4505937099),
    (0.0259040371, 0.7827717662, -0.8086757660),
)
_FROM_CONES, _FROM_LAB = (
    torch.linalg.inv(torch.tensor(matrix, dtype=torch.float64)).tolist()
    for matrix in (_CONES, _LAB)
)

# Linear sRGB -> CIE XYZ (IEC 61966-2-1), relative to white (D65).
_XYZ = [
    [value / sum(row) for value in row]
    for row in (
        (0.4124564, 0.3575761, 0.1804375),
        (0.2126729, 0.7151522, 0.0721750),
        (0.0193339, 0.1191920, 0.9503041),
    )
]
_DARK = 6 / 29  # below its cube, the cube root of L*a*b* is a straight line


BITS, PHOTOMETRIC, ICC_PROFILE = 258, 262, 34675  # TIFF's tags


PRIMARIES, TRANSFERS = (1, 2), (1, 2, 6, 13)  # ISO 23091-2: sRGB's, or not said


def profile_of(image: Image.Image) -> bytes | None:
    """The ICC profile embedded in the file."""
    if isinstance(image, TiffImagePlugin.TiffImageFile):  # its `info` may be of another page
        profile: bytes | None = image.tag_v2.get(ICC_PROFILE)
        return profile
    return image.info.get("icc_profile")


def other_colours(image: Image.Image) -> bool:
    """Whether the file says by numbers alone (nclx, in HEIC) that its colours are not sRGB."""
    numbers = image.info.get("nclx_profile")
    if not numbers or profile_of(image):
        return False
    primaries, transfer = numbers["color_primaries"], numbers["transfer_characteristics"]
    return primaries not in PRIMARIES or transfer not in TRANSFERS


def to_8_bits(
    image: Image.Image, warn: Callable[[str], object]
) -> tuple[Image.Image, Image.Image | None]:
    """Grey of 16 or 32 bits in 8 bits, and alpha if one of its levels is transparent.

    16 bits range to 65535 (less in a TIFF of fewer bits, which may also count down from white).
    32-bit values do not tell their range: it is the smallest of 0..1 (floats), 0..255 and 0..65535
    that holds all of them, or else from their minimum to their maximum.
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
    """`image` converted to sRGB from the ICC profile `icc`, if that fits its mode."""
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


def to_linear(image: Tensor) -> Tensor:
    """sRGB (IEC 61966-2-1) -> linear light; [0, 1] -> [0, 1]."""
    return torch.where(image <= 0.04045, image / 12.92, ((image + 0.055) / 1.055) ** 2.4)


def from_linear(linear: Tensor) -> Tensor:
    """Linear light -> sRGB; clips values outside of [0, 1], as a sensor does."""
    linear = linear.clamp(0, 1)
    return torch.where(
        linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055
    ).clamp(0, 1)


@cache
def srgb_profile() -> bytes:
    """The sRGB profile of LittleCMS with a fixed creation time, so that its bytes never change."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[24:36] = bytes.fromhex("07d000010001000000000000")  # 1 January 2000, ICC.1 7.2.8
    return bytes(profile)


def to_oklab(image: Tensor) -> Tensor:
    """sRGB -> lightness in [0, 1], a, b."""
    return _mix(_LAB, _mix(_CONES, to_linear(image)) ** (1 / 3))


def oklab_to_linear(lab: Tensor) -> Tensor:
    """Oklab -> linear sRGB, outside of [0, 1] for colours that sRGB lacks."""
    return _mix(_FROM_CONES, _mix(_FROM_LAB, lab) ** 3)


def to_lab(image: Tensor) -> Tensor:
    """sRGB -> CIE L*a*b* (D65), (N, 3, H, W): lightness in [0, 100], a, b."""
    xyz = _mix(_XYZ, to_linear(image))
    roots = torch.where(xyz > _DARK**3, xyz ** (1 / 3), xyz / (3 * _DARK**2) + 4 / 29)
    x, y, z = roots.unbind(1)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], dim=1)


def ciede2000(one: Tensor, other: Tensor) -> Tensor:
    """The difference of two colours in L*a*b*, (N, 3, H, W) each -> (N, H, W).

    Sharma, Wu & Dalal 2005, "The CIEDE2000 color-difference formula", equations 2 to 22.
    """
    (light1, a1, b1), (light2, a2, b2) = one.unbind(1), other.unbind(1)
    stretch = 1.5 - 0.5 * _strong((a1.hypot(b1) + a2.hypot(b2)) / 2)
    a1, a2 = a1 * stretch, a2 * stretch
    chroma1, chroma2 = a1.hypot(b1), a2.hypot(b2)
    hue1, hue2 = (torch.rad2deg(b.atan2(a)) % 360 for a, b in ((a1, b1), (a2, b2)))
    turn = hue2 - hue1  # the short way round
    turn = turn - 360 * (turn > 180) + 360 * (turn < -180)
    light, chroma, hue = (light1 + light2) / 2, (chroma1 + chroma2) / 2, (hue1 + turn / 2) % 360

    def wave(times: float, shift: float) -> Tensor:
        return torch.deg2rad(times * hue + shift).cos()

    waves = 0.24 * wave(2, 0) + 0.32 * wave(3, 6) - 0.17 * wave(1, -30) - 0.20 * wave(4, -63)
    middle = (light - 50).square()
    in_light = (light2 - light1) / (1 + 0.015 * middle / (20 + middle).sqrt())
    in_chroma = (chroma2 - chroma1) / (1 + 0.045 * chroma)
    in_hue = 2 * (chroma1 * chroma2).sqrt() * torch.deg2rad(turn / 2).sin()
    in_hue = in_hue / (1 + 0.015 * chroma * (1 + waves))
    blue = torch.deg2rad(60 * (-((hue - 275) / 25).square()).exp()).sin()
    crossed = 2 * _strong(chroma) * blue * in_chroma * in_hue
    squares = in_light.square() + in_chroma.square() + in_hue.square() - crossed
    return squares.clamp_min(0).sqrt()  # rounding may make a zero negative


def _strong(chroma: Tensor) -> Tensor:
    """From 0 for greys to 1 for strong colours."""
    return (chroma**7 / (chroma**7 + 25**7)).sqrt()


def _mix(matrix: Sequence[Sequence[float]], image: Tensor) -> Tensor:
    return torch.einsum("ij,njhw->nihw", image.new_tensor(matrix), image)

"""Relights photos: another light, or other camera settings.

Computed in linear light and clipped as by a sensor. Tensors are (N, 3, H, W), sRGB in [0, 1].
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from stylize.photos.color import from_linear, to_linear

DAYLIGHT = 6504.0  # kelvin: the white of sRGB

# What `random_light` draws from, at full strength.
EXPOSURE = 1.5  # stops, up or down
KELVIN = (2800.0, 9000.0)  # from candle-warm bulbs to an overcast sky
TINT = 0.3  # stops of green against magenta, up or down
GAMMA = 1.5  # or its reciprocal
CONTRAST = (0.6, 1.2)
VIGNETTE = 1.5  # stops
SIDE = 3.0  # stops
CHANCE = 0.5  # of each property

# Linear sRGB from XYZ (IEC 61966-2-1).
_RGB = (
    (3.2406, -1.5372, -0.4986),
    (-0.9689, 1.8758, 0.0415),
    (0.0557, -0.2040, 1.0570),
)
_LUMINANCE = (0.2126, 0.7152, 0.0722)


@dataclass(frozen=True)
class Light:
    """A light and the settings of a camera; the defaults change nothing.

    `exposure`, `vignette` (the loss in the corners) and `side` (from the dark side to the lit one)
    are in stops. The camera is balanced for daylight; the light has a colour temperature of
    `kelvin` and `tint` stops more green. `angle` is the direction of the light in degrees: 0 is
    the right, 90 above. `gamma` and `contrast` (about the middle) apply to the stored values.
    """

    exposure: float = 0.0
    kelvin: float = DAYLIGHT
    tint: float = 0.0
    gamma: float = 1.0
    contrast: float = 1.0
    vignette: float = 0.0
    side: float = 0.0
    angle: float = 0.0


# The lights that a lighting audit compares.
LIGHTINGS = {
    "dark": Light(exposure=-1.5),
    "bright": Light(exposure=0.75),
    "3000 K": Light(kelvin=3000),
    "9000 K": Light(kelvin=9000),
    "fluorescent": Light(kelvin=4200, tint=0.25),
    "gamma 0.7": Light(gamma=0.7),
    "gamma 1.4": Light(gamma=1.4),
    "low contrast": Light(contrast=0.6),
    "dim and warm": Light(exposure=-1.0, kelvin=3000),
    "vignette": Light(vignette=1.5),
    "from the left": Light(side=2.0, angle=180),
    "from above": Light(side=2.0, angle=90),
}


def random_light(seed: int, strength: float = 1.0) -> Light:
    """A light drawn from the seed; at `strength` 0 it changes nothing.

    Each property stays at its default for half of the seeds and is drawn uniformly from its range
    for the others; temperatures in mired, where equal steps look equal.
    """
    random = np.random.default_rng(seed)

    def draw(low: float, high: float) -> float:
        value, active = random.uniform(low, high), random.random() < CHANCE
        return strength * value if active else 0.0

    coldest, warmest = (_mired(kelvin) - _mired(DAYLIGHT) for kelvin in reversed(KELVIN))
    return Light(
        exposure=draw(-EXPOSURE, EXPOSURE),
        kelvin=1e6 / (_mired(DAYLIGHT) + draw(coldest, warmest)),
        tint=draw(-TINT, TINT),
        gamma=math.exp(draw(-math.log(GAMMA), math.log(GAMMA))),
        contrast=1 + draw(CONTRAST[0] - 1, CONTRAST[1] - 1),
        vignette=draw(0, VIGNETTE),
        side=draw(0, SIDE),
        angle=random.uniform(0, 360),
    )


def relight(photos: Tensor, lights: Sequence[Light]) -> Tensor:
    """Each photo of a batch under its light: (N, 3, H, W) -> the same."""
    height, width = photos.shape[2:]
    gains = photos.new_tensor([white_gain(light.kelvin, light.tint) for light in lights])
    stops = torch.stack([_stops(light, height, width, photos) for light in lights])
    light = to_linear(photos) * gains[:, :, None, None] * stops[:, None].exp2()
    gamma, contrast = (
        photos.new_tensor([getattr(light, name) for light in lights])[:, None, None, None]
        for name in ("gamma", "contrast")
    )
    return (0.5 + contrast * (from_linear(light) ** gamma - 0.5)).clamp(0, 1)


def white_gain(kelvin: float, tint: float = 0.0) -> tuple[float, float, float]:
    """Linear R, G, B of a white surface of luminance 1 under that light."""
    warm, day = (_linear_rgb(*planckian(k)) for k in (kelvin, DAYLIGHT))
    red, green, blue = (a / b for a, b in zip(warm, day, strict=True))
    gains = (red, green * 2**tint, blue)
    luminance = sum(weight * gain for weight, gain in zip(_LUMINANCE, gains, strict=True))
    red, green, blue = (gain / luminance for gain in gains)
    return red, green, blue


def planckian(kelvin: float) -> tuple[float, float]:
    """The chromaticity (x, y) of a black body from 1667 to 25,000 kelvin.

    Cubic splines of Kim et al. 2002 (US patent 7024034).
    """
    t = 1e3 / kelvin
    if kelvin <= 4000:
        x = ((-0.2661239 * t - 0.2343589) * t + 0.8776956) * t + 0.179910
    else:
        x = ((-3.0258469 * t + 2.1070379) * t + 0.2226347) * t + 0.240390
    if kelvin <= 2222:
        y = ((-1.1063814 * x - 1.34811020) * x + 2.18555832) * x - 0.20219683
    elif kelvin <= 4000:
        y = ((-0.9549476 * x - 1.37418593) * x + 2.09137015) * x - 0.16748867
    else:
        y = ((3.0817580 * x - 5.87338670) * x + 3.75112997) * x - 0.37001483
    return x, y


def _linear_rgb(x: float, y: float) -> list[float]:
    """Of luminance 1."""
    xyz = (x / y, 1.0, (1 - x - y) / y)
    return [sum(a * b for a, b in zip(row, xyz, strict=True)) for row in _RGB]


def _mired(kelvin: float) -> float:
    return 1e6 / kelvin


def _stops(light: Light, height: int, width: int, like: Tensor) -> Tensor:
    """The light on each pixel, (H, W) in stops. Corners have distance 1 from the centre."""
    radius = math.hypot(height, width) / 2
    down = (torch.arange(height, device=like.device, dtype=like.dtype) + 0.5 - height / 2) / radius
    right = (torch.arange(width, device=like.device, dtype=like.dtype) + 0.5 - width / 2) / radius
    angle = math.radians(light.angle)
    along = math.cos(angle) * right - math.sin(angle) * down[:, None]
    reach = (abs(math.cos(angle)) * width + abs(math.sin(angle)) * height) / 2 / radius
    corner = right.square() + down[:, None].square()
    return light.exposure - light.vignette * corner + light.side / 2 * along / reach

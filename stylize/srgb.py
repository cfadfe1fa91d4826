"""The transfer function of sRGB (IEC 61966-2-1): values as they are stored <-> linear light."""

import torch
from torch import Tensor


def to_linear(image: Tensor) -> Tensor:
    """[0, 1] -> [0, 1], where 1 is white."""
    return torch.where(image <= 0.04045, image / 12.92, ((image + 0.055) / 1.055) ** 2.4)


def from_linear(linear: Tensor) -> Tensor:
    """The same way back; light outside of [0, 1] is cut off, as a sensor does."""
    linear = linear.clamp(0, 1)
    return torch.where(
        linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055
    ).clamp(0, 1)

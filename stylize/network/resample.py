"""Pictures at other sizes, by a triangle filter that widens as the picture shrinks.

Both functions also take `Strips` (`stylize.network.strips` has the rules).
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import handle_torch_function, has_torch_function


def resize(image: Tensor, size: tuple[int, int]) -> Tensor:
    """(N, C, H, W) float -> (N, C, *size), in fp32.

    Strips become strips of the same height, and a tensor if one strip is enough for the result.
    """
    if has_torch_function((image,)):
        result: Tensor = handle_torch_function(resize, (image,), image, size)
        return result
    if tuple(image.shape[-2:]) == size:
        return image.float()
    # The same, but faster, where there is nothing to average.
    shrinks = size[0] < image.shape[-2] or size[1] < image.shape[-1]
    image = image.float()
    if not shrinks:  # on a CPU, three channels in channels_last take twice as long
        image = image.contiguous()
    elif size[1] == 1:  # with antialias, torch 2.14 gets it wrong for contiguous tensors
        image = image.contiguous(memory_format=torch.channels_last)
    return F.interpolate(image, size, mode="bilinear", antialias=shrinks)


def resize_as(image: Tensor, like: Tensor) -> Tensor:
    """`image` at the size of `like`; strips if that is in strips."""
    if has_torch_function((image, like)):
        result: Tensor = handle_torch_function(resize_as, (image, like), image, like)
        return result
    return resize(image, (like.shape[-2], like.shape[-1]))


def row_weights(rows: range, before: int, after: int) -> tuple[range, Tensor]:
    """Which rows of a picture of height `before` make up `rows` of its copy of height `after`, and
    how much of each: (rows, source rows). The filter is that of `F.interpolate` with antialias."""
    scale = before / after
    reach = max(scale, 1.0)
    centres = scale * (torch.arange(rows.start, rows.stop, dtype=torch.float64) + 0.5)
    first = max(0, math.floor(centres[0] - reach + 0.5))
    last = min(before, math.ceil(centres[-1] + reach - 0.5))
    places = torch.arange(first, last, dtype=torch.float64) + 0.5
    share = (1 - (places - centres[:, None]).abs() / reach).clamp_min(0)
    return range(first, last), (share / share.sum(1, keepdim=True)).float()

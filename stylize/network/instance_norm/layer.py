"""Instance normalization (Ulyanov et al. 2016, arXiv:1607.08022, section 2).

Each channel of each image is standardized by its own mean and (biased) variance. The statistics are
also available by themselves: of an image, of a masked part, combined from strips, blended with
those of another photo.

Tensors are (N, C, H, W), all sizes >= 1, contiguous or channels_last, and keep their layout; other
strides are copied once. Statistics are (N, C) in fp32 (fp64 for fp64 input).
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import handle_torch_function, has_torch_function

from stylize.network.instance_norm import ops
from stylize.network.instance_norm.torch_backend import (
    combine,
    moments_definition,
    normalize_definition,
    statistics_dtype,
)

__all__ = ["InstanceNorm2d", "blend", "combine", "instance_norm", "moments", "normalize"]

EPS = 1e-5  # added to variances, as torch does

Moments = tuple[Tensor, Tensor]  # mean and biased variance, (N, C) each


@dataclass(frozen=True)
class Anchor:
    """Statistics that a layer's own are pulled towards (`blend`): not at all at `weight` 0, fully
    at 1. No variance falls below `floor` times the anchor's."""

    statistics: Moments
    weight: float
    floor: float

    def pull(self, own: Moments) -> Moments:
        return blend(own, self.statistics, self.weight, self.floor * self.statistics[1])


class InstanceNorm2d(nn.InstanceNorm2d):
    """`torch.nn.InstanceNorm2d(channels, affine=True)` fused with what follows it.

    Same parameters, same state dict. A plane of one pixel has variance 0 and becomes `bias`.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=EPS, affine=True)
        self.anchor: Anchor | None = None

    def forward(
        self,
        x: Tensor,
        residual: Tensor | None = None,
        *,
        relu: bool = False,
        mask: Tensor | None = None,
        given: Moments | None = None,
    ) -> Tensor:
        """Normalize x, add `residual`, apply `relu`: (N, C, H, W) -> the same.

        The statistics are those of x, of the part in `mask` (see `moments`), or `given`: those of
        all strips of a picture (`combine`), or of a reference photo (`blend`). They are pulled
        towards the `anchor`, if there is one. `residual` is (N or 1, C, H, W).
        """
        if has_torch_function((x,)):
            forward = InstanceNorm2d.forward
            return handle_torch_function(
                forward, (x,), self, x, residual, relu=relu, mask=mask, given=given
            )
        if mask is not None:
            if given is not None:
                raise ValueError("mask and given statistics exclude each other")
            given = moments(x, mask)
        if given is None and self.anchor is not None:
            given = moments(x)
        if given is None:
            return instance_norm(x, self.weight, self.bias, residual, eps=self.eps, relu=relu)
        mean, var = given if self.anchor is None else self.anchor.pull(given)
        return normalize(x, mean, var, self.weight, self.bias, residual, eps=self.eps, relu=relu)


def instance_norm(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    residual: Tensor | None = None,
    *,
    eps: float = EPS,
    relu: bool = False,
) -> Tensor:
    """[relu](weight * (x - mean) / sqrt(var + eps) + bias [+ residual]), differentiable once.

    `weight` and `bias` are (C,), `residual` (N or 1, C, H, W). The result has x's dtype and layout.
    Raises ValueError for shapes that do not fit, and for an empty or integer tensor.
    """
    x, residual = _prepare(x, residual, weight, bias)
    arguments = (x, weight, bias, residual, eps, relu)
    if _needs_grad(x, weight, bias, residual):
        y: Tensor = ops.instance_norm(*arguments)[0]
    else:
        y = _call("forward", ops.instance_norm, *arguments)[0]
    return y


def moments(x: Tensor, mask: Tensor | None = None) -> Moments:
    """Mean and biased variance of each channel of each image: two tensors (N, C).

    `mask`, (N or 1, 1, H, W) and >= 0, weights the pixels; a mask of zeros counts as none. Raises
    ValueError as `instance_norm`.
    """
    x, _ = _prepare(x)
    if mask is not None:
        allowed = ((images, 1, *x.shape[2:]) for images in (1, len(x)))
        if tuple(mask.shape) not in allowed:
            raise ValueError(f"mask is {tuple(mask.shape)}, x is {tuple(x.shape)}")
        mask = mask.to(statistics_dtype(x)).expand(len(x), -1, -1, -1)
        empty = mask.amax(dim=(2, 3), keepdim=True) == 0
        mask = torch.where(empty, 1, mask)
    if _needs_grad(x, mask):
        return moments_definition(x, mask)
    mean, var = _call("moments", ops.moments, x, mask)
    return mean, var


def normalize(
    x: Tensor,
    mean: Tensor,
    var: Tensor,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    residual: Tensor | None = None,
    *,
    eps: float = EPS,
    relu: bool = False,
) -> Tensor:
    """`instance_norm` with given statistics, (N or 1, C) each; `weight` defaults to 1, `bias` to 0.

    Raises ValueError as `instance_norm`.
    """
    x, residual = _prepare(x, residual, weight, bias)
    statistics = statistics_dtype(x)
    weight = x.new_ones(x.shape[1], dtype=statistics) if weight is None else weight
    bias = x.new_zeros(x.shape[1], dtype=statistics) if bias is None else bias
    for name, value in (("mean", mean), ("variance", var)):
        if tuple(value.shape) not in ((1, x.shape[1]), tuple(x.shape[:2])):
            raise ValueError(f"{name} is {tuple(value.shape)}, x is {tuple(x.shape)}")
    mean, var = (value.to(statistics).expand(x.shape[:2]) for value in (mean, var))
    inputs = (x, mean, var, weight, bias, residual)
    if _needs_grad(*inputs):
        return normalize_definition(*inputs, eps, relu)
    y: Tensor = _call("normalize", ops.normalize, *inputs, eps, relu)
    return y


def blend(own: Moments, given: Moments, weight: float, floor: float | Tensor = 0.0) -> Moments:
    """Statistics between a photo's own (weight 0) and given ones (weight 1).

    Means and standard deviations are interpolated linearly: the shortest path between two normal
    distributions in the Wasserstein metric. No variance is below `floor`, so that an almost empty
    channel (of a photo that is mostly white) is not amplified to full strength.
    """
    mean = torch.lerp(own[0], given[0], weight)
    deviation = torch.lerp(own[1].sqrt(), given[1].sqrt(), weight)
    return mean, torch.maximum(deviation.square(), torch.as_tensor(floor).to(deviation))


def _call(name: str, operator: Any, *arguments: Any) -> Any:
    """Skip the operator where possible: it adds 0.3 ms a call, 5 % of the time at 512 px."""
    return (operator if torch.compiler.is_compiling() else partial(ops.compute, name))(*arguments)


def _needs_grad(*tensors: Tensor | None) -> bool:
    return torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors)


def _prepare(
    x: Tensor,
    residual: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
) -> tuple[Tensor, Tensor | None]:
    """Both tensors in one dtype and one layout, with their shapes checked."""
    if x.ndim != 4 or x.numel() == 0 or not x.is_floating_point():
        raise ValueError(f"x is {tuple(x.shape)} {x.dtype}, not (N, C, H, W) of floating point")
    for name, vector in (("weight", weight), ("bias", bias)):
        if vector is not None and vector.shape != x.shape[1:2]:
            raise ValueError(f"{name} is {tuple(vector.shape)}, x is {tuple(x.shape)}")
    layout = ops.layout(x)
    if residual is not None:
        if residual.shape[1:] != x.shape[1:] or residual.shape[0] not in (1, x.shape[0]):
            raise ValueError(f"residual is {tuple(residual.shape)}, x is {tuple(x.shape)}")
        residual = ops.arrange(residual.to(x.dtype), layout)
    return ops.arrange(x, layout), residual

"""Instance norm in plain torch: the definition, and a fast version for CPUs.

Functions named `..._definition` are the formulas; they run on any device and are differentiable. On
a CPU, torch's batch-norm kernels replace them: these support channels_last, compute the variance in
two passes and the backward in closed form. `aten::instance_norm` copies channels_last to NCHW and
back; `aten::group_norm` computes the variance as E[x^2] - E[x]^2 and its backward is not vectorized
(figures in docs/decisions.md).
"""

import torch
from torch import Tensor

# Batch norm sums in plain fp32, which loses digits with length: sum short pieces, and shorter ones
# where the result is precise enough to show it.
STRIP_PIXELS, STRIP_PIXELS_FP32 = 4096, 512
ONE_PASS_LIMIT = 2**17  # of (1 + (mean / standard deviation)^2) * pixels
FEW_PIXELS = 1024  # below, group norm reads channels_last channel by channel


def combine(means: Tensor, variances: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
    """Moments of a whole from those of its S parts (Chan, Golub & LeVeque 1979), in fp64.

    `means` and `variances` are (S, N, C), `counts`, the pixels in each part or the sums of their
    weights, (S, 1, 1) or (S, N, 1). Returns (N, C) each, in the dtype of `means`.
    """
    share = in_fp64(counts) / in_fp64(counts).sum(dim=0)
    exact = in_fp64(means)
    mean = (share * exact).sum(dim=0)
    var = (share * (in_fp64(variances) + (exact - mean).square())).sum(dim=0)
    return mean.to(means), var.to(means)


def in_fp64(x: Tensor) -> Tensor:
    """x in fp64; on the CPU if it is on an Apple GPU, which has no fp64."""
    return (x.cpu() if x.device.type == "mps" else x).double()


def moments_definition(x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Mean and biased variance (N, C) over the pixels of x, weighted by `mask` (N, 1, H, W)."""
    x = _accumulate(x)
    if mask is None:
        var, mean = torch.var_mean(x, dim=(2, 3), correction=0)
        return mean, var
    # The scale of the mask does not matter; a part of it may be empty.
    share = mask / mask.sum(dim=(2, 3), keepdim=True).clamp_min(torch.finfo(mask.dtype).tiny)
    mean = (share * x).sum(dim=(2, 3), keepdim=True)
    var = (share * (x - mean).square()).sum(dim=(2, 3))
    return mean[:, :, 0, 0], var


def normalize_definition(
    x: Tensor,
    mean: Tensor,
    var: Tensor,
    weight: Tensor,
    bias: Tensor,
    residual: Tensor | None,
    eps: float,
    relu: bool,
) -> Tensor:
    """[relu](weight * (x - mean) / sqrt(var + eps) + bias [+ residual])."""
    mean, scale = _per_channel(mean), _per_channel(weight * (var + eps).rsqrt())
    y = (_accumulate(x) - mean) * scale + _per_channel(bias)
    if residual is not None:
        y = y + residual
    return (y.relu() if relu else y).to(x.dtype)


def backward_definition(
    dz: Tensor, x: Tensor, weight: Tensor, mean: Tensor, rstd: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradient `dz` after the affine map -> dx, dweight, dbias (as batch norm, Ioffe & Szegedy
    2015, section 3), with `rstd` = 1 / sqrt(var + eps)."""
    dz_exact = _accumulate(dz)
    xhat = (_accumulate(x) - _per_channel(mean)) * _per_channel(rstd)
    of_bias, of_weight = dz_exact.sum(dim=(2, 3)), (dz_exact * xhat).sum(dim=(2, 3))
    pixels = x.shape[2] * x.shape[3]
    dx = dz_exact - _per_channel(of_bias / pixels) - xhat * _per_channel(of_weight / pixels)
    dx = dx * _per_channel(rstd * weight)
    return dx.to(x.dtype), of_weight.sum(dim=0), of_bias.sum(dim=0)


def forward(
    x: Tensor, weight: Tensor, bias: Tensor, residual: Tensor | None, eps: float, relu: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """-> result, mean, 1 / sqrt(variance + eps)."""
    one_pass = _one_pass(x, weight, bias, eps)
    if one_pass is not None:
        y, mean, rstd = one_pass
        return _finish(y, residual, relu), mean, rstd
    mean, var = moments(x, None)
    y = normalize(x, mean, var, weight, bias, residual, eps, relu)
    return y, mean, (var + eps).rsqrt()


def moments(x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    if x.device.type != "cpu":
        return moments_definition(x, mask)
    height, width = x.shape[2:]
    # A strip of a contiguous plane is not contiguous; there batch norm sums in fp64 anyway.
    pixels = STRIP_PIXELS_FP32 if x.dtype == torch.float32 else STRIP_PIXELS
    rows = height if mask is None and x.is_contiguous() else max(1, pixels // width)
    strips = torch.split(x, rows, dim=2)
    if mask is None:
        parts = [_batch_norm_moments(strip) for strip in strips]
        counts = torch.tensor([strip.shape[2] * width for strip in strips]).view(-1, 1, 1)
    else:
        masks = torch.split(mask, rows, dim=2)
        parts = [moments_definition(*both) for both in zip(strips, masks, strict=True)]
        counts = torch.stack([part.sum(dim=(2, 3)) for part in masks])
    if len(parts) == 1:
        return parts[0]
    means, variances = zip(*parts, strict=True)
    return combine(torch.stack(means), torch.stack(variances), counts)


def normalize(
    x: Tensor,
    mean: Tensor,
    var: Tensor,
    weight: Tensor,
    bias: Tensor,
    residual: Tensor | None,
    eps: float,
    relu: bool,
) -> Tensor:
    if x.device.type != "cpu":
        return normalize_definition(x, mean, var, weight, bias, residual, eps, relu)
    y = torch.empty_like(x)
    unused = mean.new_empty(0)
    parameters = (_rows(x, value) for value in (weight, bias, mean, var))
    for image, result, *rows in zip(_batches(x), _batches(y), *parameters, strict=True):
        torch.ops.aten.native_batch_norm.out(
            image, *rows, False, 0.0, eps, out=result, save_mean=unused, save_invstd=unused
        )
    return _finish(y, residual, relu)


def backward(
    x: Tensor,
    dy: Tensor,
    y: Tensor | None,
    weight: Tensor,
    bias: Tensor,
    mean: Tensor,
    rstd: Tensor,
    residual: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """-> dx, dweight, dbias and, with a ReLU and a residual, dresidual (else an empty tensor)."""
    dz = dy if y is None else torch.ops.aten.threshold_backward(dy, y, 0)
    gradients = _batch_norm_backward if x.device.type == "cpu" else backward_definition
    dx, dweight, dbias = gradients(dz, x, weight, mean, rstd)
    return dx, dweight, dbias, dz if residual and y is not None else x.new_empty(0)


def _one_pass(
    x: Tensor, weight: Tensor, bias: Tensor, eps: float
) -> tuple[Tensor, Tensor, Tensor] | None:
    """The results of `forward` from a single call over bf16, or None if that is not exact enough.

    Batch norm takes two passes over small planes. Group norm takes half the time over others. The
    relative error of its E[x^2] - E[x]^2 grows at most with the number of pixels times
    1 + (mean / standard deviation)^2, which the result itself shows.
    Within the limit, 1 / deviation is off by at most one rounding to bf16 (docs/decisions.md).
    """
    channels, pixels = x.shape[1], x.shape[2] * x.shape[3]
    if x.dtype != torch.bfloat16 or x.device.type != "cpu" or 2 * pixels > ONE_PASS_LIMIT:
        return None
    weight, bias = (value.to(statistics_dtype(x)).contiguous() for value in (weight, bias))
    if pixels < FEW_PIXELS:
        parts = [
            torch.ops.aten.native_batch_norm(image, *rows, None, None, True, 0.0, eps)
            for image, *rows in zip(
                _batches(x), *(_rows(x, value) for value in (weight, bias)), strict=True
            )
        ]
        y, mean, rstd = (torch.cat(part) for part in zip(*parts, strict=True))
        return y.view_as(x), mean.view(x.shape[:2]), rstd.view(x.shape[:2])
    y, mean, rstd = torch.native_group_norm(
        x, weight, bias, len(x), channels, pixels, channels, eps
    )
    if not (1 + (mean * rstd).square().amax()) * pixels <= ONE_PASS_LIMIT:
        return None
    return y, mean, rstd


def _finish(y: Tensor, residual: Tensor | None, relu: bool) -> Tensor:
    if residual is not None:
        y += residual
    return y.relu_() if relu else y


def _batch_norm_backward(
    dz: Tensor, x: Tensor, weight: Tensor, mean: Tensor, rstd: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """`backward_definition` computed by torch's batch norm."""
    parts = []
    parameters = (_rows(x, value) for value in (weight, mean, rstd))
    for dz_image, image, scale, *saved in zip(_batches(dz), _batches(x), *parameters, strict=True):
        parts.append(
            torch.ops.aten.native_batch_norm_backward(
                dz_image, image, scale, None, None, *saved, True, 0.0, [True, True, True]
            )
        )
    if len(parts) == 1:
        dx, dweight, dbias = parts[0]
    else:
        dx, dweight, dbias = (torch.cat(part) for part in zip(*parts, strict=True))
    return dx.view_as(x), dweight.view_as(mean).sum(dim=0), dbias.view_as(mean).sum(dim=0)


def _batch_norm_moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Moments computed by the first half of torch's batch norm."""
    parts = []
    for image in _batches(x):
        # The running statistics to update decide the dtype of the result.
        mean, var = x.new_zeros(2, image.shape[1], dtype=statistics_dtype(x)).unbind()
        parts.append(torch.batch_norm_update_stats(image, mean, var, 0.0))
    means, variances = zip(*parts, strict=True)
    shape = x.shape[:2]
    return torch.cat(means).view(shape), torch.cat(variances).view(shape)


def _batches(x: Tensor) -> tuple[Tensor, ...]:
    """Views (1, K, H, W) whose batch norm is instance norm: all planes at once, or each image."""
    if x.is_contiguous():
        return (x.view(1, -1, *x.shape[2:]),)
    return tuple(image[None] for image in x.unbind())


def _rows(x: Tensor, value: Tensor) -> tuple[Tensor, ...]:
    """(C,) or (N, C) -> the K values that belong to each of `_batches(x)`."""
    value = value.to(statistics_dtype(x)).contiguous().expand(x.shape[:2])
    return (value.reshape(-1),) if x.is_contiguous() else value.unbind()


def statistics_dtype(x: Tensor) -> torch.dtype:
    """fp32; fp64 for fp64 input."""
    return torch.promote_types(x.dtype, torch.float32)


def _accumulate(x: Tensor) -> Tensor:
    return x.to(statistics_dtype(x))


def _per_channel(value: Tensor) -> Tensor:
    """(N, C) or (C,) -> broadcastable to (N, C, H, W)."""
    return value[..., None, None]

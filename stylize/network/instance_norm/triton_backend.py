"""Instance norm on a GPU, in Triton: the same four functions as `torch_backend`.

A small plane is read once and stays in registers. For a larger one, programs compute the moments of
a few hundred pixels each, a second stage combines them (Chan, Golub & LeVeque 1979), and a third
reads the image again, last tile first: the last tiles read are still in the L2 cache. The split
depends only on the shape and layout of a plane, so an image in a batch gets the same bits as alone.
"""

from typing import Any

import torch
import triton
from torch import Tensor

from stylize.network.instance_norm import triton_kernels as kernels

TILE = 4096  # elements that a program processes at once
REGISTERS = 16384  # elements that a program can keep
SECTOR = 16  # channels of 2 bytes: the smallest memory transaction
MOST_CHANNELS = 128  # of a tile
MAX_PARTS = 256  # of a plane: one program combines their moments
PART_PIXELS = 128  # at least
ELEMENTS_PER_WARP = 1024
MOST_WARPS = 16


def forward(
    x: Tensor, weight: Tensor, bias: Tensor, residual: Tensor | None, eps: float, relu: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """-> result, mean, 1 / sqrt(variance + eps)."""
    whole = _fits(x)
    mean, rstd = _empty_tables(x) if whole else _launch_moments(x, None, eps)
    y = _launch_normalize(x, mean, rstd, weight, bias, residual, eps, relu, whole=whole)
    return y, mean, rstd


def moments(x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """Mean and biased variance (N, C) over the pixels of x, weighted by `mask` (N, 1, H, W)."""
    return _launch_moments(x, mask, None)


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
    """`forward` with given statistics, (N, C)."""
    mean, rstd = mean.contiguous(), (var + eps).rsqrt().contiguous()
    return _launch_normalize(x, mean, rstd, weight, bias, residual, eps, relu, whole=False)


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
    images, channels = x.shape[:2]
    constants = {"RELU": y is not None, "RESIDUAL": residual}
    inputs = (x, dy, y, weight.contiguous(), bias.contiguous(), mean, rstd)
    whole = _fits(x)
    block, pixels = _whole_tile(x) if whole else _streaming_tile(x)
    if whole:
        sums = x.new_empty(2, images, channels, dtype=torch.float32)
    else:
        part_pixels, parts = _parts(x)
        part_sums = x.new_empty(2, images, parts, channels, dtype=torch.float32)
        _launch(
            kernels.part_sums,
            images * triton.cdiv(channels, block) * parts,
            (*inputs, part_sums, *_geometry(x), parts, part_pixels, part_sums[0].numel()),
            {**constants, "C": block, "P": pixels},
        )
        sums = part_sums.sum(dim=2)
    dx = torch.empty_like(x)
    dresidual = torch.empty_like(x) if residual and y is not None else x.new_empty(0)
    _launch(
        kernels.input_gradient,
        _tiles(x, block, pixels),
        (*inputs, sums, dx, dresidual, *_geometry(x), sums[0].numel()),
        {**constants, "WHOLE": whole, "C": block, "P": pixels},
    )
    return dx, sums[0].sum(dim=0), sums[1].sum(dim=0), dresidual


def _launch_moments(x: Tensor, mask: Tensor | None, eps: float | None) -> tuple[Tensor, Tensor]:
    """Mean, and variance or, with `eps`, 1 / sqrt(variance + eps)."""
    images, channels = x.shape[:2]
    block, pixels = _streaming_tile(x)
    part_pixels, parts = _parts(x)
    means, squares = x.new_empty(2, images, parts, channels, dtype=torch.float32)
    counts = x.new_empty(images, parts, dtype=torch.float32)
    mask = None if mask is None else mask.float().contiguous()
    _launch(
        kernels.part_moments,
        images * triton.cdiv(channels, block) * parts,
        (x, mask, means, squares, counts, *_geometry(x), parts, part_pixels),
        {"MASKED": mask is not None, "C": block, "P": pixels},
    )
    mean, spread = _empty_tables(x)
    block = min(SECTOR, triton.next_power_of_2(channels))
    _launch(
        kernels.combine_moments,
        images * triton.cdiv(channels, block),
        (means, squares, counts, mean, spread, channels, parts, eps or 0.0),
        {"RSTD": eps is not None, "C": block, "P": triton.next_power_of_2(parts)},
    )
    return mean, spread


def _launch_normalize(
    x: Tensor,
    mean: Tensor,
    rstd: Tensor,
    weight: Tensor,
    bias: Tensor,
    residual: Tensor | None,
    eps: float,
    relu: bool,
    *,
    whole: bool,
) -> Tensor:
    y = torch.empty_like(x)
    block, pixels = _whole_tile(x) if whole else _streaming_tile(x)
    shared = x[0].numel() if residual is not None and len(residual) == 1 else 0
    inputs = (x, mean, rstd, weight.contiguous(), bias.contiguous(), residual)
    _launch(
        kernels.normalize,
        _tiles(x, block, pixels),
        (*inputs, y, *_geometry(x), shared, eps),
        {"RELU": relu, "RESIDUAL": residual is not None, "WHOLE": whole, "C": block, "P": pixels},
    )
    return y


def _launch(
    kernel: Any, programs: int, arguments: tuple[Any, ...], constants: dict[str, int]
) -> None:
    elements = constants["C"] * constants["P"]
    warps = max(1, min(MOST_WARPS, elements // ELEMENTS_PER_WARP))
    # Triton launches on the current device.
    with torch.cuda.device_of(arguments[0]):  # type: ignore[no-untyped-call]
        kernel[(programs,)](*arguments, **constants, num_warps=warps)


def _geometry(x: Tensor) -> tuple[int, int, int, int]:
    """Channels, pixels, and the strides of both."""
    channels, pixels = x.shape[1], x.shape[2] * x.shape[3]
    return (channels, pixels, pixels, 1) if x.is_contiguous() else (channels, pixels, 1, channels)


def _whole_tile(x: Tensor) -> tuple[int, int]:
    """Channels and pixels of a tile that covers whole planes."""
    channels = triton.next_power_of_2(x.shape[1])
    pixels = triton.next_power_of_2(x.shape[2] * x.shape[3])
    least = 1 if x.is_contiguous() else SECTOR
    return min(channels, max(least, TILE // pixels)), pixels


def _fits(x: Tensor) -> bool:
    channels, pixels = _whole_tile(x)
    return channels * pixels <= REGISTERS


def _streaming_tile(x: Tensor) -> tuple[int, int]:
    """Channels and pixels of a tile that follows the memory order."""
    channels = min(triton.next_power_of_2(x.shape[1]), MOST_CHANNELS)
    return (1, TILE) if x.is_contiguous() else (channels, TILE // channels)


def _parts(x: Tensor) -> tuple[int, int]:
    """Pixels of a part of a plane (whole tiles), and the number of parts."""
    pixels, (_, tile) = x.shape[2] * x.shape[3], _streaming_tile(x)
    part_pixels = triton.cdiv(max(PART_PIXELS, triton.cdiv(pixels, MAX_PARTS)), tile) * tile
    return part_pixels, triton.cdiv(pixels, part_pixels)


def _tiles(x: Tensor, channels: int, pixels: int) -> int:
    """The number of tiles of that size that cover x."""
    images, all_channels, height, width = x.shape
    count: int = images * triton.cdiv(all_channels, channels)
    return count * int(triton.cdiv(height * width, pixels))


def _empty_tables(x: Tensor) -> tuple[Tensor, Tensor]:
    mean, var = (x.new_empty(x.shape[:2], dtype=torch.float32) for _ in range(2))
    return mean, var

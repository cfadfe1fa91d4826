"""The Triton kernels of instance norm; `triton_backend` launches them.

One set serves both layouts: a program processes a tile of P pixels by C channels of one image, and
only the strides and the shape of the tile differ. Programs are ordered by image, block of channels,
and part or tile of the plane. Statistics are fp32 tables (N, C), or (N, parts, C) for parts.
Arithmetic is in fp32, variances use two passes within a tile, and there are no atomics: the same
bits on every run. Offsets have 64 bits.
"""

import triton
import triton.language as tl


@triton.jit
def place(group, channels, C: tl.constexpr):
    """Image (64 bits) and channels of a group: groups are blocks of C channels, image by image."""
    blocks = tl.cdiv(channels, C)
    return (group // blocks).to(tl.int64), (group % blocks) * C + tl.arange(0, C)


@triton.jit
def tile(image, channel, pixel, channels, pixels, channel_stride, pixel_stride):
    """Offsets (P, C) of a tile, and a mask of those inside the image."""
    start = image * channels * pixels
    by_pixel = pixel.to(tl.int64)[:, None] * pixel_stride
    by_channel = channel.to(tl.int64)[None, :] * channel_stride
    there = (pixel < pixels)[:, None] & (channel < channels)[None, :]
    return start + by_pixel + by_channel, there


@triton.jit
def moments_of(values, share):
    """Mean (C) and deviations (P, C) from it, of values (P, C) with weights (P) that sum to 1.

    The mean of the deviations is the rounding error of the mean, and is added to it.
    """
    mean = tl.sum(values * share[:, None], axis=0)
    rest = tl.sum((values - mean[None, :]) * share[:, None], axis=0)
    mean += rest
    return mean, values - mean[None, :]


@triton.jit
def part_moments(
    x, mask, means, squares, counts,
    channels, pixels, channel_stride, pixel_stride, parts, part_pixels,
    MASKED: tl.constexpr, C: tl.constexpr, P: tl.constexpr,
):  # fmt: skip
    """Mean, sum of squared deviations and sum of weights of one part of a plane."""
    program = tl.program_id(0)
    part = program % parts
    image, channel = place(program // parts, channels, C)
    first = part * part_pixels
    last = tl.minimum(first + part_pixels, pixels)
    mean = tl.zeros((C,), tl.float32)
    square = tl.zeros((C,), tl.float32)
    count = tl.full((), 0.0, tl.float32)
    for start in range(first, last, P):
        pixel = start + tl.arange(0, P)
        offsets, there = tile(image, channel, pixel, channels, pixels, channel_stride, pixel_stride)
        share = (pixel < last).to(tl.float32)
        if MASKED:
            share = tl.load(mask + image * pixels + pixel, mask=pixel < last, other=0.0)
        values = tl.load(x + offsets, mask=there, other=0.0).to(tl.float32)
        tile_count = tl.sum(share, axis=0)
        tile_mean, centered = moments_of(values, share / tl.maximum(tile_count, 1e-30))
        tile_square = tl.sum(centered * centered * share[:, None], axis=0)
        total = count + tile_count
        fraction = tile_count / tl.maximum(total, 1e-30)
        delta = tile_mean - mean
        mean += delta * fraction
        square += tile_square + delta * delta * (count * fraction)
        count = total
    row = image * parts + part
    known = channel < channels
    tl.store(means + row * channels + channel, mean, mask=known)
    tl.store(squares + row * channels + channel, square, mask=known)
    tl.store(counts + row, count)  # the same from every block of channels


@triton.jit
def combine_moments(
    means, squares, counts, mean, spread, channels, parts, eps,
    RSTD: tl.constexpr, C: tl.constexpr, P: tl.constexpr,
):  # fmt: skip
    """Moments of planes from those of their parts, as `torch_backend.combine`.

    Stores the mean, and the variance or, with RSTD, 1 / sqrt(variance + eps).
    """
    image, channel = place(tl.program_id(0), channels, C)
    part = tl.arange(0, P)
    known = channel < channels
    there = (part < parts)[:, None] & known[None, :]
    row = image * parts + part
    offsets = row[:, None] * channels + channel[None, :]
    count = tl.load(counts + row, mask=part < parts, other=0.0)
    total = tl.sum(count, axis=0)
    share = count / total
    part_means = tl.load(means + offsets, mask=there, other=0.0)
    part_squares = tl.load(squares + offsets, mask=there, other=0.0)
    center, delta = moments_of(part_means, share)
    var = tl.sum(part_squares / total + share[:, None] * delta * delta, axis=0)
    tl.store(mean + image * channels + channel, center, mask=known)
    if RSTD:
        var = 1.0 / tl.sqrt(var + eps)
    tl.store(spread + image * channels + channel, var, mask=known)


@triton.jit
def normalize(
    x, mean, rstd, weight, bias, residual, y,
    channels, pixels, channel_stride, pixel_stride, shared, eps,
    RELU: tl.constexpr, RESIDUAL: tl.constexpr,
    WHOLE: tl.constexpr, C: tl.constexpr, P: tl.constexpr,
):  # fmt: skip
    """Normalize a tile; if it is the WHOLE plane, compute and store its moments first."""
    program = tl.num_programs(0) - 1 - tl.program_id(0)
    tiles = tl.cdiv(pixels, P)
    image, channel = place(program // tiles, channels, C)
    pixel = (program % tiles) * P + tl.arange(0, P)
    offsets, there = tile(image, channel, pixel, channels, pixels, channel_stride, pixel_stride)
    known = channel < channels
    row = image * channels + channel
    values = tl.load(x + offsets, mask=there, other=0.0).to(tl.float32)
    if WHOLE:
        center, centered = moments_of(values, tl.where(pixel < pixels, 1.0 / pixels, 0.0))
        centered = tl.where(there, centered, 0.0)
        scale = 1.0 / tl.sqrt(tl.sum(centered * centered, axis=0) / pixels + eps)
        tl.store(mean + row, center, mask=known)
        tl.store(rstd + row, scale, mask=known)
    else:
        center = tl.load(mean + row, mask=known, other=0.0)
        centered = values - center[None, :]
        scale = tl.load(rstd + row, mask=known, other=0.0)
    gain = tl.load(weight + channel, mask=known, other=0.0).to(tl.float32)
    offset = tl.load(bias + channel, mask=known, other=0.0).to(tl.float32)
    z = centered * (gain * scale)[None, :] + offset[None, :]
    if RESIDUAL:
        # `shared` is 0, or the size of an image if all share one.
        at = offsets - image * shared
        z += tl.load(residual + at, mask=there, other=0.0).to(tl.float32)
    if RELU:
        z = tl.where(z < 0, 0.0, z)  # tl.maximum would turn NaN into 0
    tl.store(y + offsets, z, mask=there)


@triton.jit
def gradient_tile(
    x, dy, y, weight, bias, mean, rstd, image, channel, channels, offsets, there,
    RELU: tl.constexpr, RESIDUAL: tl.constexpr,
):  # fmt: skip
    """Gradient after the ReLU, xhat, and d(affine map)/dx for constant statistics."""
    known = channel < channels
    row = image * channels + channel
    center = tl.load(mean + row, mask=known, other=0.0)
    scale = tl.load(rstd + row, mask=known, other=0.0)
    gain = tl.load(weight + channel, mask=known, other=0.0).to(tl.float32)
    values = tl.load(x + offsets, mask=there, other=0.0).to(tl.float32)
    xhat = (values - center[None, :]) * scale[None, :]
    dz = tl.load(dy + offsets, mask=there, other=0.0).to(tl.float32)
    if RELU:
        # x shows where the ReLU was open, which saves reading y, unless there is a residual.
        if RESIDUAL:
            z = tl.load(y + offsets, mask=there, other=0.0).to(tl.float32)
        else:
            offset = tl.load(bias + channel, mask=known, other=0.0).to(tl.float32)
            z = xhat * gain[None, :] + offset[None, :]
        dz = tl.where(z > 0, dz, 0.0)
    return dz, xhat, gain * scale


@triton.jit
def part_sums(
    x, dy, y, weight, bias, mean, rstd, sums,
    channels, pixels, channel_stride, pixel_stride, parts, part_pixels, table,
    RELU: tl.constexpr, RESIDUAL: tl.constexpr, C: tl.constexpr, P: tl.constexpr,
):  # fmt: skip
    """Sums over one part of a plane, of the gradient times xhat and of the gradient."""
    program = tl.program_id(0)
    part = program % parts
    image, channel = place(program // parts, channels, C)
    of_weight = tl.zeros((C,), tl.float32)
    of_bias = tl.zeros((C,), tl.float32)
    first = part * part_pixels
    for start in range(first, tl.minimum(first + part_pixels, pixels), P):
        pixel = start + tl.arange(0, P)
        offsets, there = tile(image, channel, pixel, channels, pixels, channel_stride, pixel_stride)
        dz, xhat, _ = gradient_tile(
            x, dy, y, weight, bias, mean, rstd, image, channel, channels, offsets, there,
            RELU, RESIDUAL,
        )  # fmt: skip
        of_weight += tl.sum(dz * xhat, axis=0)
        of_bias += tl.sum(dz, axis=0)
    known = channel < channels
    row = (image * parts + part) * channels + channel
    tl.store(sums + row, of_weight, mask=known)
    tl.store(sums + table + row, of_bias, mask=known)


@triton.jit
def input_gradient(
    x, dy, y, weight, bias, mean, rstd, sums, dx, dresidual,
    channels, pixels, channel_stride, pixel_stride, table,
    RELU: tl.constexpr, RESIDUAL: tl.constexpr,
    WHOLE: tl.constexpr, C: tl.constexpr, P: tl.constexpr,
):  # fmt: skip
    """dx of a tile; if it is the WHOLE plane, compute and store the two sums first."""
    program = tl.num_programs(0) - 1 - tl.program_id(0)
    tiles = tl.cdiv(pixels, P)
    image, channel = place(program // tiles, channels, C)
    pixel = (program % tiles) * P + tl.arange(0, P)
    offsets, there = tile(image, channel, pixel, channels, pixels, channel_stride, pixel_stride)
    dz, xhat, slope = gradient_tile(
        x, dy, y, weight, bias, mean, rstd, image, channel, channels, offsets, there,
        RELU, RESIDUAL,
    )  # fmt: skip
    known = channel < channels
    row = image * channels + channel
    if WHOLE:
        of_weight = tl.sum(dz * xhat, axis=0)
        of_bias = tl.sum(dz, axis=0)
        tl.store(sums + row, of_weight, mask=known)
        tl.store(sums + table + row, of_bias, mask=known)
    else:
        of_weight = tl.load(sums + row, mask=known, other=0.0)
        of_bias = tl.load(sums + table + row, mask=known, other=0.0)
    change = dz - (of_bias[None, :] + xhat * of_weight[None, :]) / pixels
    tl.store(dx + offsets, change * slope[None, :], mask=there)
    if RELU and RESIDUAL:
        tl.store(dresidual + offsets, dz, mask=there)

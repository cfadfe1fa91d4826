"""The default network: image -> image, one forward pass."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import handle_torch_function, has_torch_function

from stylize.config import NetworkConfig
from stylize.network.instance_norm.layer import InstanceNorm2d

# Taps of a blur. A box averages each pixel with the one before it, or with the one after it.
BOX_BEFORE, BOX_AFTER, BINOMIAL = (1, 1, 0), (0, 1, 1), (1, 2, 1)
LARGE = 2**18  # pixels of a plane: larger ones are convolved without padding
UNIT_VARIANCE = 12**0.5  # times a uniform distribution of width 1
NOISE_STD = 0.2  # at the start of training, where the photo's features have 1


class TransformerNet(nn.Module):
    """The default architecture: no heavy layer above a quarter of the resolution.

    A pixel-unshuffle stem folds the photo to a quarter of its resolution. Residual blocks work at
    an eighth, where a stroke is a few pixels wide. A sub-pixel stage (Shi et al. 2016) returns to a
    quarter and adds the stem's output; two more stages unfold the picture. Johnson et al. work at
    full resolution at both ends, with 9x9 kernels.

    Where a photo is perfectly flat (a white background), instance norm leaves nothing to paint
    with, so strokes grow from a little fixed white noise. It is added after the first norm, where
    gain and offset of the photo have already cancelled.
    """

    FOLD = 8  # sides are padded to a multiple of this

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        channels, body = config.channels, config.body_channels
        self.stem = ConvNorm(3 * 4**2, channels)
        self.noise = Grain(config.noise_channels, channels)
        self.down = ConvNorm(channels, body, stride=2)
        self.body = nn.Sequential(*(ResidualBlock(body) for _ in range(config.blocks)))
        self.up1 = SubPixel(body, channels)
        self.norm1 = InstanceNorm2d(channels)
        self.up2 = SubPixel(channels, config.head_channels)
        self.norm2 = InstanceNorm2d(config.head_channels)
        self.up3: nn.Module = SubPixel(config.head_channels, 3)
        quarter, half, eighth = channels / 16, config.head_channels / 4, body / 64
        # In one pass the head needs most; in strips, the inputs and outputs of one norm, and what
        # is added later.
        kept = (quarter + half, 2 * quarter + eighth, quarter + 3 * eighth)
        self.values_per_pixel = (quarter + 3 * half, max(kept))

    def forward(
        self, image: Tensor, mask: Tensor | None = None, seeds: Tensor | None = None
    ) -> Tensor:
        x = self._fold(image)
        x = self._features(x, self.noise(x, seeds), self._halvings(mask, image))
        # In fp32: near white, bf16 values are 1/256 apart. The blur follows the sigmoid, which
        # would bring back part of the checkerboard.
        x = blur(torch.sigmoid(self.up3(x).float()), BOX_AFTER, wrap=self.training)
        return x[..., : image.shape[-2], : image.shape[-1]]

    @property
    def head(self) -> tuple[nn.Module, ...]:
        """What follows the body; may be in another precision."""
        return self.up1, self.norm1, self.up2, self.norm2, self.up3

    def _fold(self, image: Tensor) -> Tensor:
        return fold(image, self.FOLD, self.noise.weight.dtype)

    def _halvings(self, mask: Tensor | None, image: Tensor) -> list[Tensor | None]:
        return halvings(mask, padding(image, self.FOLD), times=3)

    def _features(self, x: Tensor, added: Tensor, masks: Sequence[Tensor | None]) -> Tensor:
        """Folded photo, what is added to it -> (N, head_channels, ..., ...), padded, at half the
        resolution. `masks` are of the whole photo, of half of it ..."""
        _, of_half, of_quarter, of_eighth = masks
        quarter = self.stem(x, added, relu=True, mask=of_quarter)
        eighth = self.down(quarter, relu=True, mask=of_eighth)
        for block in self.body:
            eighth = block(eighth, of_eighth)
        wrap = self.training
        # On flat ground the body would turn noise into a lattice of every other pixel.
        eighth = blur(eighth, BINOMIAL, wrap=wrap).to(self.up1.conv.weight.dtype)
        # Half-pixel shifts of the blurs and of the strided convolution cancel, except for one.
        x = blur(self.up1(eighth), BOX_AFTER, wrap=wrap)
        # Rows and columns with texture of different strength get a different mean from a ReLU: a
        # grid, which a second blur removes.
        x = self.norm1(x, quarter, relu=True, mask=of_quarter)
        x = blur(x, BINOMIAL, wrap=wrap)
        x = blur(self.up2(x), BOX_BEFORE, wrap=wrap)
        x = self.norm2(x, relu=True, mask=of_half)
        return blur(x, BINOMIAL, wrap=wrap)


class Conv(nn.Conv2d):
    """3x3 convolution that keeps the size, apart from its stride.

    In use, the picture is reflected at its borders, so texture continues. In training, it wraps
    around: a network that can see borders paints a band of colour along one side of every photo.
    """

    def __init__(self, inputs: int, outputs: int, stride: int = 1, *, bias: bool) -> None:
        super().__init__(inputs, outputs, 3, stride, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        return convolve(x, self.weight, self.bias, self.stride[0], wrap=self.training)


class Grain(Conv):
    """White noise through a convolution, to be added where gain and offset of the photo have
    cancelled.

    New at every training step: from fixed noise the network learns positions, and paints the same
    sun into the same corner of every photo.
    """

    def __init__(self, planes: int, outputs: int) -> None:
        super().__init__(planes, outputs, bias=False)
        # Uniform: normal ones on the meta device would import all of torch.compile.
        bound = NOISE_STD * (3 / (9 * planes)) ** 0.5
        nn.init.uniform_(self.weight, -bound, bound)

    def forward(self, like: Tensor, seeds: Tensor | None) -> Tensor:  # type: ignore[override]
        """(N, outputs, H, W) for an image or features `like` (N, ..., H, W)."""
        noise = white_noise(like, self.in_channels, seeds=seeds).to(like.dtype)
        return super().forward(noise.contiguous(memory_format=torch.channels_last))


class ConvNorm(nn.Module):
    """3x3 convolution, instance norm [, sum, ReLU]."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        # No bias: the norm would remove it.
        self.conv = Conv(inputs, outputs, stride, bias=False)
        self.norm = InstanceNorm2d(outputs)

    def forward(
        self,
        x: Tensor,
        residual: Tensor | None = None,
        *,
        relu: bool = False,
        mask: Tensor | None = None,
    ) -> Tensor:
        out: Tensor = self.norm(self.conv(x), residual, relu=relu, mask=mask)
        return out


class ResidualBlock(nn.Module):
    """x + norm(conv(relu(norm(conv(x))))), without a ReLU after the sum (Gross & Wilber 2016)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = ConvNorm(channels, channels)
        self.conv2 = ConvNorm(channels, channels)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        out: Tensor = self.conv2(self.conv1(x, relu=True, mask=mask), x, mask=mask)
        return out


class SubPixel(nn.Module):
    """(N, inputs, H, W) -> (N, outputs, 2H, 2W): 3x3 convolution, sub-pixel shuffle.

    ICNR initialisation (Aitken et al. 2017) starts it as nearest-neighbour upsampling, free of a
    checkerboard.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = Conv(inputs, 4 * outputs, bias=True)
        with torch.no_grad():
            self.conv.weight.copy_(self.conv.weight[::4].repeat_interleave(4, dim=0))
            nn.init.zeros_(self.conv.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        return F.pixel_shuffle(self.conv(x), 2)


def padding(image: Tensor, multiple: int) -> tuple[int, int, int, int]:
    """What makes both sides multiples of that, on the right and below, in the order of `F.pad`."""
    height, width = image.shape[-2:]
    # Reflection needs two pixels at the lowest resolution.
    # `sym_max`: in a program for other runtimes, sides are symbols.
    blocks: tuple[Any, ...] = tuple((side + multiple - 1) // multiple for side in (width, height))
    right, below = (multiple * torch.sym_max(2, number) for number in blocks)
    return 0, right - width, 0, below - height


def fold(image: Tensor, multiple: int, dtype: torch.dtype) -> Tensor:
    """(N, 3, H, W) in [0, 1] -> (N, 48, ..., ...): padded to multiples, at a quarter of the
    resolution, around 0."""
    x = (image.float() - 0.5).to(dtype, memory_format=torch.channels_last)
    sides = padding(image, multiple)
    if torch.compiler.is_exporting() or any(sides):
        x = F.pad(x, sides, mode="replicate")
    return F.pixel_unshuffle(x, 4).contiguous(memory_format=torch.channels_last)


def halvings(
    mask: Tensor | None, sides: tuple[int, int, int, int], times: int
) -> list[Tensor | None]:
    """A mask padded as the image, and halved once, twice ... by averaging; None for no mask."""
    if mask is None:
        return [None] * (times + 1)
    masks = [F.pad(mask.float(), sides, mode="replicate")]
    for _ in range(times):
        masks.append(F.avg_pool2d(masks[-1], 2))
    return [*masks]


def blur(x: Tensor, taps: tuple[int, int, int], *, wrap: bool) -> Tensor:
    """Weighted mean over each pixel and its neighbours, by rows and columns; same size.

    Boxes and BINOMIAL remove anything with a period of two pixels, which keeps sub-pixel stages
    free of a checkerboard (Sugawara et al. 2018). BOX_BEFORE shifts the picture half a pixel down
    and right, BOX_AFTER up and left. Borders are as in `Conv`.
    """
    kernel = blur_kernel(taps, x.dtype, x.device)
    with torch.autocast(x.device.type, enabled=False):  # pixels stay in fp32, features in bf16
        x = x.contiguous(memory_format=torch.channels_last)  # on a CPU, 25 times as fast
        return convolve(x, kernel.expand(x.shape[1], 1, -1, -1), groups=x.shape[1], wrap=wrap)


def made_once(make: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """A function whose results are made once: each copy to a GPU would wait for all work there.

    While a program is exported, tensors have no values, and none may be kept.
    """
    cached = cache(make)
    return lambda *arguments: (
        make(*arguments) if torch.compiler.is_exporting() else cached(*arguments)
    )


@made_once
def blur_kernel(taps: tuple[int, int, int], dtype: torch.dtype, device: torch.device) -> Tensor:
    """(3, 3) with a sum of 1."""
    with torch.inference_mode(False):
        row = torch.tensor(taps, dtype=dtype)
        return (torch.outer(row, row) / row.sum() ** 2).to(device)


def convolve(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int = 1,
    groups: int = 1,
    *,
    wrap: bool,
) -> Tensor:
    """3x3 convolution that keeps the size, apart from its stride. The picture is reflected at its
    borders, or wraps around."""
    if (
        wrap
        or stride != 1
        or torch.compiler.is_exporting()
        or has_torch_function((x,))
        or x.shape[-2] * x.shape[-1] < LARGE
    ):
        x = F.pad(x, (1, 1, 1, 1), "circular" if wrap else "reflect")
        return F.conv2d(x, weight, bias, stride, groups=groups)
    # A padded copy of a large plane takes longer than its convolution: mend the borders instead.
    y = F.conv2d(x, weight, bias, padding=1, groups=groups)
    for side, two, pad in (
        (y[:, :, :1], x[:, :, :2], (1, 1, 1, 0)),
        (y[:, :, -1:], x[:, :, -2:], (1, 1, 0, 1)),
        (y[..., :1], x[..., :2], (1, 0, 1, 1)),
        (y[..., -1:], x[..., -2:], (0, 1, 1, 1)),
    ):
        side.copy_(F.conv2d(F.pad(two, pad, "reflect"), weight, bias, groups=groups))
    return y


def white_noise(like: Tensor, channels: int, top: int = 0, seeds: Tensor | None = None) -> Tensor:
    """Uniform fp32 noise (1, channels, H, W) with mean 0 and variance 1, for the (N, C, H, W) of
    `like`, whose first row is row `top` of the picture. With N `seeds`, (N, channels, H, W).

    Each value is a hash of its seed, channel, row and column: the same place gets the same bits on
    every device, in every version and at every picture size.
    """
    if has_torch_function((like,)):
        return handle_torch_function(white_noise, (like,), like, channels)
    height, width = like.shape[-2:]
    row = torch.arange(top, top + height, device=like.device).view(1, 1, -1, 1)
    column = torch.arange(width, device=like.device).view(1, 1, 1, -1)
    channel = torch.arange(channels, device=like.device).view(1, -1, 1, 1)
    place = row * 0x9E3779B1 + column * 0x85EBCA77 + channel * 0xC2B2AE3D + 0x27D4EB2F
    if seeds is not None:
        place = place + _hash(seeds.to(like.device)).view(-1, 1, 1, 1)
    # 24 bits are exact in fp32; not every device has fp64.
    return UNIT_VARIANCE * ((_hash(place) >> 8).float() / 2**24 - 0.5)


def _hash(values: Tensor) -> Tensor:
    """Integers -> 32 bits: multiply and xor-shift, as in MurmurHash3's finalizer."""
    low32 = 0xFFFFFFFF
    bits = values & low32
    bits = ((bits ^ (bits >> 15)) * 0x2C1B3C6D) & low32
    bits = ((bits ^ (bits >> 12)) * 0x297A2D39) & low32
    return bits ^ (bits >> 15)

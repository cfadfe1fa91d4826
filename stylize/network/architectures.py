"""The transformer networks: image -> image, one forward pass (Johnson et al. 2016).

Both take and return (N, 3, H, W) float tensors, sRGB in [0, 1], any H, W >= 1; padding happens
inside. Every photo is normalized on its own, so a batch of N equals N singles. With a mask, (N, 1,
H, W) and >= 0, every norm takes its statistics by these weights; a mask of ones is as none. With
seeds, (N,) integers, as in training, each image has a noise of its own.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import handle_torch_function, has_torch_function

from stylize.config import NetworkConfig
from stylize.network.instance_norm import InstanceNorm2d

BOX, BINOMIAL = (1, 1), (1, 2, 1)  # taps of a blur
UNIT_VARIANCE = 12**0.5  # times a uniform distribution of width 1
NOISE_STD = 0.2  # at the start of training, where the photo's features have 1


def build_network(config: NetworkConfig) -> nn.Module:
    """A network of the given shape, freshly initialised from torch's random state."""
    if config.architecture == "johnson":
        return JohnsonNet()
    return TransformerNet(config)


class TransformerNet(nn.Module):
    """The default architecture: no heavy layer above a quarter of the resolution.

    A pixel-unshuffle stem folds the photo to a quarter of its resolution; residual blocks work at
    an eighth, where a stroke is a few pixels wide; a sub-pixel stage (Shi et al. 2016) brings their
    result back to a quarter, where the stem's is added, and two more unfold the picture. Johnson et
    al. work at full size at both ends, with 9x9 kernels.

    Instance norm leaves nothing to paint with where a photo is perfectly flat (a white background);
    there the strokes grow from a little white noise, always the same. It is added behind the first
    norm, so that convolution and norm cancel a gain and an offset of the photo before it.
    """

    FOLD = 8  # sides are padded to a multiple of this

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        channels, body = config.channels, config.body_channels
        self.stem = ConvNorm(3 * 4**2, channels)
        self.noise = Conv(config.noise_channels, channels, bias=False)
        # Uniform, as normal ones of a network without memory would import all of torch.compile.
        bound = NOISE_STD * (3 / (9 * config.noise_channels)) ** 0.5
        nn.init.uniform_(self.noise.weight, -bound, bound)
        self.down = ConvNorm(channels, body, stride=2)
        self.body = nn.Sequential(*(ResidualBlock(body) for _ in range(config.blocks)))
        self.up1 = SubPixel(body, channels)
        self.norm1 = InstanceNorm2d(channels)
        self.up2 = SubPixel(channels, config.head_channels)
        self.norm2 = InstanceNorm2d(config.head_channels)
        self.up3 = SubPixel(config.head_channels, 3)
        quarter, half, eighth = channels / 16, config.head_channels / 4, body / 64
        # What `memory` reckons with, for each pixel of a photo. In one pass the head needs most; in
        # strips, what goes in and out of one of the norms, and what is added later.
        kept = (quarter + half, 2 * quarter + eighth, quarter + 3 * eighth)
        self.values_per_pixel = (quarter + 3 * half, max(kept))

    def forward(
        self, image: Tensor, mask: Tensor | None = None, seeds: Tensor | None = None
    ) -> Tensor:
        height, width = image.shape[-2:]
        # Reflection needs two pixels of the body.
        right, below = (
            max(2 * self.FOLD, side + -side % self.FOLD) - side for side in (width, height)
        )
        padding = (0, right, 0, below)
        x = F.pad(image.float() - 0.5, padding, mode="replicate")
        _, of_half, of_quarter, of_eighth = halvings(mask, padding, times=3)
        x = F.pixel_unshuffle(x, 4)
        x = x.to(self.noise.weight.dtype).contiguous(memory_format=torch.channels_last)
        # In training ever new: of fixed noise the network learns where it is in the picture, and
        # paints the same sun into the same corner of every photo.
        noise = white_noise(x, self.noise.in_channels, seeds=seeds)
        noise = noise.to(x.dtype).contiguous(memory_format=torch.channels_last)
        quarter = self.stem(x, self.noise(noise), relu=True, mask=of_quarter)
        eighth = self.down(quarter, relu=True, mask=of_eighth)
        for block in self.body:
            eighth = block(eighth, of_eighth)
        wrap = self.training
        # On flat ground the body would paint a lattice, every other of its pixels, out of noise.
        eighth = blur(eighth, BINOMIAL, before=1, wrap=wrap)
        # The half pixels undo one another and that of the strided convolution, all but one.
        x = blur(self.up1(eighth), BOX, before=0, wrap=wrap)
        x = self.norm1(x, quarter, relu=True, mask=of_quarter)
        x = blur(self.up2(x), BOX, before=1, wrap=wrap)
        x = self.norm2(x, relu=True, mask=of_half)
        # Rows and columns whose texture differs in strength differ in brightness once it is bent:
        # ReLU makes a grid out of that, which blurring once more takes away.
        x = blur(x, BINOMIAL, before=1, wrap=wrap)
        # The sigmoid is taken in fp32, as in bf16 its values would be 1/256 apart near white; the
        # blur comes after it, as its bend would bring back part of the checkerboard.
        x = blur(torch.sigmoid(self.up3(x).float()), BOX, before=0, wrap=wrap)
        return x[..., :height, :width]


class Conv(nn.Conv2d):
    """3x3 convolution that keeps the size, but for its stride.

    In use it sees the picture reflected beyond its border, so texture stays what it is. In training
    the picture is closed to a torus, without borders: a network that can tell where they are puts
    the style's colours there, as a band along one side of every photo.
    """

    def __init__(self, inputs: int, outputs: int, stride: int = 1, *, bias: bool) -> None:
        super().__init__(inputs, outputs, 3, stride, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        x = F.pad(x, (1, 1, 1, 1), mode=_mode(self.training))
        return F.conv2d(x, self.weight, self.bias, self.stride)


class ConvNorm(nn.Module):
    """3x3 convolution, instance norm [, sum, ReLU]."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        # No bias: the norm would take it away again.
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


def halvings(
    mask: Tensor | None, padding: tuple[int, int, int, int], times: int
) -> list[Tensor | None]:
    """A mask padded as the image is, and halved once, twice ... by averaging; of none, none."""
    if mask is None:
        return [None] * (times + 1)
    masks = [F.pad(mask.float(), padding, mode="replicate")]
    for _ in range(times):
        masks.append(F.avg_pool2d(masks[-1], 2))
    return [*masks]


def blur(x: Tensor, taps: tuple[int, ...], before: int, *, wrap: bool) -> Tensor:
    """Weighted mean over each pixel and its neighbours, by rows and columns; same size.

    BOX and BINOMIAL take away whatever has a period of two pixels. That keeps sub-pixel stages free
    of a checkerboard while they learn (Sugawara et al. 2018). `before` of the taps lie above and to
    the left: a box lies between pixels, so 1 moves the picture half a pixel down and right, 0 up
    and left. Borders are as those of `Conv`: with `wrap`, as in training.
    """
    row = torch.tensor(taps, dtype=x.dtype, device=x.device)
    kernel = torch.outer(row, row) / row.sum() ** 2
    after = len(taps) - 1 - before
    with torch.autocast(x.device.type, enabled=False):  # pixels stay in fp32, features in bf16
        x = F.pad(x, (before, after, before, after), mode=_mode(wrap))
        return F.conv2d(x, kernel.expand(x.shape[1], 1, -1, -1), groups=x.shape[1])


def _mode(wrap: bool) -> str:
    return "circular" if wrap else "reflect"


def white_noise(like: Tensor, channels: int, top: int = 0, seeds: Tensor | None = None) -> Tensor:
    """(1, channels, H, W) fp32 noise, uniform with mean 0 and variance 1, for the (N, C, H, W) of
    `like`, whose first row is row `top` of the picture. With N `seeds`, (N, channels, H, W).

    Each value is a hash of its own seed, channel, row and column, so the same place gets the same
    bits on every device, in every version and whatever the size of the picture.
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
    return (UNIT_VARIANCE * (_hash(place).double() / 0xFFFFFFFF - 0.5)).float()


def _hash(values: Tensor) -> Tensor:
    """Of integers, to 32 bits: multiply and xor-shift, as in MurmurHash3's finalizer."""
    low32 = 0xFFFFFFFF
    bits = values & low32
    bits = ((bits ^ (bits >> 15)) * 0x2C1B3C6D) & low32
    bits = ((bits ^ (bits >> 12)) * 0x297A2D39) & low32
    return bits ^ (bits >> 15)


class JohnsonNet(nn.Module):
    """The network of Johnson et al. 2016 (supplementary material) with instance norm.

    Parameter names and arithmetic are those of the widely used PyTorch example
    (`fast_neural_style`), so its checkpoints load with `load_state_dict` once their obsolete
    `running_mean` and `running_var` entries are dropped. Inside, pixels are 0..255. In training
    mode the output is not clipped to [0, 1], so that gradients reach it from outside.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = ReflectConv(3, 32, kernel_size=9)
        self.in1 = InstanceNorm2d(32)
        self.conv2 = ReflectConv(32, 64, kernel_size=3, stride=2)
        self.in2 = InstanceNorm2d(64)
        self.conv3 = ReflectConv(64, 128, kernel_size=3, stride=2)
        self.in3 = InstanceNorm2d(128)
        self.res1 = JohnsonBlock(128)
        self.res2 = JohnsonBlock(128)
        self.res3 = JohnsonBlock(128)
        self.res4 = JohnsonBlock(128)
        self.res5 = JohnsonBlock(128)
        self.deconv1 = ReflectConv(128, 64, kernel_size=3)
        self.in4 = InstanceNorm2d(64)
        self.deconv2 = ReflectConv(64, 32, kernel_size=3)
        self.in5 = InstanceNorm2d(32)
        self.deconv3 = ReflectConv(32, 3, kernel_size=9)
        self.values_per_pixel = (5.5 * 32, 32 + 64 / 4)  # as in TransformerNet

    def forward(
        self, image: Tensor, mask: Tensor | None = None, seeds: Tensor | None = None
    ) -> Tensor:
        height, width = image.shape[-2:]
        # Reflection needs a side longer than its margin; sizes are rounded up to the two halvings.
        right, below = (max(8, side + -side % 4) - side for side in (width, height))
        padding = (0, right, 0, below)
        x = F.pad(image.float() * 255, padding, mode="replicate")
        of_full, of_half, of_quarter = halvings(mask, padding, times=2)
        x = x.to(self.in1.weight.dtype)
        x = self.in1(self.conv1(x), relu=True, mask=of_full)
        x = self.in2(self.conv2(x), relu=True, mask=of_half)
        x = self.in3(self.conv3(x), relu=True, mask=of_quarter)
        for block in (self.res1, self.res2, self.res3, self.res4, self.res5):
            x = block(x, of_quarter)
        x = self.in4(self.deconv1(F.interpolate(x, scale_factor=2)), relu=True, mask=of_half)
        x = self.in5(self.deconv2(F.interpolate(x, scale_factor=2)), relu=True, mask=of_full)
        out: Tensor = self.deconv3(x)[..., :height, :width].float() / 255
        return out if self.training else out.clamp(0, 1)


class ReflectConv(nn.Module):
    """Convolution over reflected borders, half the kernel wide."""

    def __init__(self, inputs: int, outputs: int, kernel_size: int, stride: int = 1) -> None:
        super().__init__()
        self.pad = nn.ReflectionPad2d(kernel_size // 2)
        self.conv2d = nn.Conv2d(inputs, outputs, kernel_size, stride)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv2d(self.pad(x))
        return out


class JohnsonBlock(nn.Module):
    """Residual block with the example's parameter names."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = ReflectConv(channels, channels, kernel_size=3)
        self.in1 = InstanceNorm2d(channels)
        self.conv2 = ReflectConv(channels, channels, kernel_size=3)
        self.in2 = InstanceNorm2d(channels)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        y = self.in1(self.conv1(x), relu=True, mask=mask)
        out: Tensor = self.in2(self.conv2(y), x, mask=mask)
        return out

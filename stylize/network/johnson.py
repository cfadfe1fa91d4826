"""The network of Johnson et al. 2016, under the parameter names of the PyTorch example."""

import torch.nn.functional as F
from torch import Tensor, nn

from stylize.network.instance_norm.layer import InstanceNorm2d
from stylize.network.transformer import halvings

LEAST = 8  # pixels of a side


class JohnsonNet(nn.Module):
    """The network of Johnson et al. 2016 (supplementary material) with instance norm.

    Parameter names and arithmetic match the widely used PyTorch example (`fast_neural_style`),
    whose checkpoints `stylize import` reads. Inside, pixels are 0..255. In training, the output is
    not clipped to [0, 1], so that values outside still get gradients.
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
        # Reflection needs sides longer than its margin. Nothing else is padded, as in the example:
        # sides grow to multiples of 4 on the way up, and the result is cut.
        right, below = (max(LEAST, side) - side for side in (width, height))
        x = F.pad(image.float() * 255, (0, right, 0, below), mode="replicate")
        right, below = (max(LEAST, side + -side % 4) - side for side in (width, height))
        of_full, of_half, of_quarter = halvings(mask, (0, right, 0, below), times=2)
        x = self.conv1(x.to(self.in1.weight.dtype))
        x = self.in1(x, relu=True, mask=_cut(of_full, x))
        x = self.conv2(x)
        x = self.in2(x, relu=True, mask=_cut(of_half, x))
        x = self.in3(self.conv3(x), relu=True, mask=of_quarter)
        for block in (self.res1, self.res2, self.res3, self.res4, self.res5):
            x = block(x, of_quarter)
        x = self.in4(self.deconv1(F.interpolate(x, scale_factor=2)), relu=True, mask=of_half)
        x = self.in5(self.deconv2(F.interpolate(x, scale_factor=2)), relu=True, mask=of_full)
        out: Tensor = self.deconv3(x)[..., :height, :width].float() / 255
        return out if self.training else out.clamp(0, 1)


def _cut(mask: Tensor | None, x: Tensor) -> Tensor | None:
    """The mask at the size of x, which may be a pixel smaller."""
    return None if mask is None else mask[..., : x.shape[-2], : x.shape[-1]]


class ReflectConv(nn.Module):
    """Convolution with reflected borders that keeps the size, apart from its stride."""

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

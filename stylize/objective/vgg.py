"""VGG-16 (Simonyan & Zisserman 2014, arXiv:1409.1556, table 1 D) as a feature extractor."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from stylize.assets import VGG16, shipped
from stylize.errors import StyleFileError, UsageError

# Output channels of the convolutions in each block, up to conv4_3; 2x2 max pooling between blocks.
BLOCKS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512))


class VGG16Features(nn.Module):
    """Activations of named layers, `relu1_1` ... `relu4_3`; frozen, ends after the deepest one.

    Takes (N, 3, H, W) sRGB in [0, 1], H, W >= 8, and normalizes it: (`scale` * x - `mean`) / `std`
    per channel. State dict keys are those of torchvision's `vgg16().features`.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, deepest: str, scale: float, mean: Sequence[float], std: Sequence[float]):
        super().__init__()
        self.layers: list[str] = []
        self.features = nn.Sequential()
        channels = 3
        for block, widths in enumerate(BLOCKS, start=1):
            if block > 1 and deepest not in self.layers:
                self.features.append(nn.MaxPool2d(2))
                self.layers.append("")
            for index, width in enumerate(widths, start=1):
                if deepest in self.layers:
                    break
                self.features.append(nn.Conv2d(channels, width, 3, padding=1))
                self.features.append(nn.ReLU())
                self.layers += ["", f"relu{block}_{index}"]
                channels = width
        if deepest not in self.layers:
            raise UsageError(f"VGG-16 has no layer {deepest!r} here", "choose relu1_1 ... relu4_3")
        self.scale = scale
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1), persistent=False)
        self.requires_grad_(False)

    def forward(self, image: Tensor, layers: Iterable[str]) -> dict[str, Tensor]:
        """Layer name -> activations, for `layers`; stops after the deepest one."""
        wanted = set(layers)
        # In fp32: at 0..255, bf16 steps are a whole grey level.
        x = (image.float() * self.scale - self.mean) / self.std
        x = x.to(next(self.parameters()).dtype).contiguous(memory_format=torch.channels_last)
        found: dict[str, Tensor] = {}
        for name, layer in zip(self.layers, self.features, strict=True):
            x = layer(x)
            if name in wanted:
                found[name] = x
                if len(found) == len(wanted):
                    break
        return found


def load_vgg16(source: str, layers: Iterable[str]) -> VGG16Features:
    """VGG-16 up to the deepest of `layers`, in fp32, from one of two sets of weights.

    `shipped` is the authors' original, which the style-transfer papers used: pixels 0..255 minus
    the ImageNet mean, no division. `torchvision` was retrained (pixels 0..1, mean and standard
    deviation) and is downloaded once.

    Raises:
        StyleFileError: the shipped weights are missing or damaged.
        UsageError: torchvision's weights cannot be downloaded.
    """
    deepest = max(layers)
    if source == "torchvision":
        network = VGG16Features(deepest, 1.0, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
        weights = _torchvision_weights()
    else:
        network = VGG16Features(deepest, 255.0, (123.68, 116.779, 103.939), (1.0, 1.0, 1.0))
        weights = _shipped_weights(shipped("weights") / VGG16)
    own = network.features.state_dict()
    network.features.load_state_dict({name: weights[name].float() for name in own})
    return network


def _shipped_weights(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise StyleFileError(
            f"{path}: cannot read the VGG-16 weights ({error})", "reinstall"
        ) from error


def _torchvision_weights() -> dict[str, Tensor]:
    from torchvision.models import VGG16_Weights, vgg16

    try:
        weights: dict[str, Tensor] = vgg16(
            weights=VGG16_Weights.IMAGENET1K_V1
        ).features.state_dict()
    # urllib's errors are OSErrors; a download that was cut off is a RuntimeError
    except (OSError, RuntimeError) as error:
        raise UsageError(
            f"cannot download torchvision's VGG-16 ({error})",
            "use --vgg shipped, which needs no network",
        ) from error
    return weights

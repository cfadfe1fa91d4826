"""The training objective: relative content, style and total-variation losses, each by name.

Johnson et al. 2016, section 3.2, with one deviation: content and style losses are divided by the
energy of their target, so that one set of weights suits every style and layer.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from stylize.vgg import VGG16Features

CONTENT_LAYER = "relu3_3"
STYLE_LAYERS = ("relu1_2", "relu2_2", "relu3_3", "relu4_3")
LAYERS = STYLE_LAYERS  # all that the objective needs


def gram_matrix(features: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, C, C) fp32: channel correlations, divided by C * H * W.

    The product is taken in the precision of `features` (sums are fp32 inside, and bf16 reaches as
    far as fp32), over a view when they are channels_last: copies of the first layers' activations
    would cost more than the product.
    """
    _, channels, height, width = features.shape
    pixels = features.permute(0, 2, 3, 1).flatten(1, 2)
    return (pixels.transpose(1, 2) @ pixels).float() / (channels * height * width)


def relative_square(difference: Tensor, target: Tensor) -> Tensor:
    """Mean over the batch of |difference|^2 / |target|^2, in fp32."""
    energy = target.float().square().flatten(1).sum(1)
    return (difference.float().square().flatten(1).sum(1) / energy.clamp_min(1e-12)).mean()


def total_variation(image: Tensor) -> Tensor:
    """Mean absolute difference of neighbouring pixels, down plus across."""
    down = (image[..., 1:, :] - image[..., :-1, :]).abs().mean()
    across = (image[..., :, 1:] - image[..., :, :-1]).abs().mean()
    return down + across


class Objective:
    """How far a stylized photo is from keeping its content and having the style.

    `style_grams` are the style picture's Gram matrices by layer, (1, C, C) each.
    """

    def __init__(self, vgg: VGG16Features, style: Tensor) -> None:
        """`style` is the style picture, (1, 3, H, W) in [0, 1], already at its working size."""
        self.vgg = vgg
        with torch.no_grad():
            features = vgg(style, STYLE_LAYERS)
            self.style_grams = {name: gram_matrix(features[name]) for name in STYLE_LAYERS}

    def content_target(self, photo: Tensor) -> Tensor:
        """The content layer's activations of `photo`, without a graph."""
        with torch.no_grad():
            features: dict[str, Tensor] = self.vgg(photo, (CONTENT_LAYER,))
        return features[CONTENT_LAYER]

    def __call__(self, image: Tensor, content_target: Tensor) -> dict[str, Tensor]:
        """The unweighted losses of `image` by name: `content`, `style <layer>` ..., `tv`."""
        features = self.vgg(image, LAYERS)
        losses = {
            "content": relative_square(features[CONTENT_LAYER] - content_target, content_target)
        }
        for name in STYLE_LAYERS:
            target = self.style_grams[name]
            difference = gram_matrix(features[name]) - target
            losses[f"style {name}"] = relative_square(difference, target)
        losses["tv"] = total_variation(image)
        return losses


def weighted_sum(losses: Mapping[str, Tensor], content: float, style: float, tv: float) -> Tensor:
    """The total loss; the style weight multiplies each style layer's loss."""
    weights = {"content": content, "tv": tv}
    return torch.stack([weights.get(name, style) * loss for name, loss in losses.items()]).sum()

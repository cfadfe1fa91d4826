"""The training objective: content, style, palette, tone, evenness and smoothness losses, by name.

Johnson et al. 2016, section 3.2, with these changes. Content and style losses are divided by the
energy of their target, so that one set of weights suits every style and layer. Gram matrices are
guided (Gatys et al. 2017, "Controlling perceptual factors", section 4): light areas of a photo are
compared with light areas of the style picture, dark ones with dark ones. Their sums, those of the
whole picture, count as much, and so do mean and deviation of each feature. Gram matrices are taken
at several scales, so that large forms count as much as fine strokes. Three losses are new: the
palette loss asks for the colours of the style picture, in the same shares; the tone loss keeps
light areas lighter than dark ones; the evenness loss keeps areas of one colour even.
"""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from stylize.config import STYLE_LAYERS, TrainConfig
from stylize.objective.guided_gram import (
    guided_loss,
    lightness_classes,
    luma,
    overall_loss,
    relative_square,
)
from stylize.objective.style_targets import (
    CELL,
    SCALES,
    StyleTargets,
    colour_distances,
    guided_grams,
)
from stylize.objective.vgg import VGG16Features
from stylize.objective.vgg_statistics import channel_moments

CONTENT_LAYER = "relu3_3"
LAYERS = STYLE_LAYERS  # every layer that the objective needs
# Parts of the style loss: of light and dark areas, of the whole picture, of means and deviations.
GUIDED, OVERALL, MOMENTS = 0.5, 0.5, 0.5

EVEN_FLOOR = 0.01  # squared distance, for style pictures of one colour
EVEN_NEAR = 0.1  # distance in [0, 1]^3 at which two colours count half as equal
KEEP_NEAR = 0.1  # of the range of a channel
TONE_FLOOR = 0.02  # standard deviation of a photo's tones at which they count half
TINY = 1e-6  # variance of tones: a thousandth of the range, squared


def tone_loss(image: Tensor, photo: Tensor) -> Tensor:
    """1 - correlation of the luma of two (N, 3, H, W) images in cells of 16 x 16 pixels, mean.

    Like instance norm, it ignores gain and offset: it compares which areas are lighter, not how
    light they are. Photos of low contrast (TONE_FLOOR) count less, flat ones not at all.
    H, W >= 16.
    """
    image, photo = _tones(image), _tones(photo)
    image_contrast, photo_contrast = (
        tones.square().mean(1).add(TINY).sqrt() for tones in (image, photo)
    )
    correlation = (image * photo).mean(1) / (image_contrast * photo_contrast)
    return ((1 - correlation) * photo_contrast / (photo_contrast + TONE_FLOOR)).mean()


def _tones(image: Tensor) -> Tensor:
    cells = F.avg_pool2d(luma(image), CELL).flatten(1)
    return cells - cells.mean(1, keepdim=True)


def evenness_loss(image: Tensor, photo: Tensor) -> Tensor:
    """How much areas of `image` differ that have one colour in `photo`; both (N, 3, H, W).

    Mean squared distance between the colours of two cells of 16 x 16 pixels in `image`, over all
    pairs, weighted by their similarity in `photo`: half at a distance of EVEN_NEAR. H, W >= 16.
    """
    ours, theirs = colour_distances(image), colour_distances(photo)
    alike = torch.exp2(-theirs / EVEN_NEAR**2)
    alike = alike * (1 - torch.eye(alike.shape[-1], device=alike.device))
    return ((alike * ours).sum((1, 2)) / alike.sum((1, 2)).clamp_min(1)).mean()


def keep_loss(image: Tensor, painting: Tensor, cell: int) -> Tensor:
    """How far `image` strays from the painting it was made from: both (N, 3, H, W), the painting of
    the same size or smaller.

    Mean squared distance of means over `cell` pixels of the image, in units of KEEP_NEAR squared:
    within these cells, strokes are free.
    """
    small = F.avg_pool2d(image.float(), cell)
    wanted = F.avg_pool2d(painting.float(), cell * painting.shape[-1] // image.shape[-1])
    return (small - wanted).square().mean() / KEEP_NEAR**2


def total_variation(image: Tensor) -> Tensor:
    """Mean absolute difference of neighbouring pixels, down plus across."""
    down = (image[..., 1:, :] - image[..., :-1, :]).abs().mean()
    across = (image[..., :, 1:] - image[..., :, :-1]).abs().mean()
    return down + across


class Objective:
    """The losses of a stylized photo against its content and the style."""

    def __init__(self, vgg: VGG16Features, style: StyleTargets) -> None:
        self.vgg = vgg
        self.style = style

    def content_target(self, photo: Tensor) -> Tensor:
        """The activations of `photo` at the content layer, without gradients."""
        with torch.no_grad():
            features: dict[str, Tensor] = self.vgg(photo, (CONTENT_LAYER,))
        return features[CONTENT_LAYER]

    def __call__(self, image: Tensor, photo: Tensor, content_target: Tensor) -> dict[str, Tensor]:
        """The unweighted losses of `image`, made from `photo` with that `content_target`.

        By name: `content`, `style <layer>` ..., `palette`, `tone`, `even`, `tv`. H, W >= 16.
        """
        features = self.vgg(image, LAYERS)
        losses = {
            "content": relative_square(features[CONTENT_LAYER] - content_target, content_target)
        }
        grams = guided_grams(self.vgg, image, lightness_classes(photo), features)
        for (scale, layer), target in self.style.grams.items():
            found = grams[scale, layer]
            loss = GUIDED * guided_loss(*found, target)
            loss = loss + OVERALL * overall_loss(*found, target, self.style.shares)
            losses[f"style {layer}"] = losses.get(f"style {layer}", 0) + SCALES[scale] * loss
        for layer, wanted in self.style.moments.items():
            moments = channel_moments(features[layer])
            losses[f"style {layer}"] += MOMENTS * relative_square(moments - wanted, wanted)
        losses["palette"] = self.style.palette(image)
        losses["tone"] = tone_loss(image, photo)
        losses["even"] = evenness_loss(image, photo) / (self.style.variety + EVEN_FLOOR)
        losses["tv"] = total_variation(image)
        return losses


def weighted_sum(losses: Mapping[str, Tensor], config: TrainConfig) -> Tensor:
    """The total loss; the style weight multiplies each style layer's loss."""
    return torch.stack([config.weight(name) * loss for name, loss in losses.items()]).sum()

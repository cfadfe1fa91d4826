"""Guided Gram matrices (Gatys et al. 2017, "Controlling perceptual factors", section 4)."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

LUMA = (0.299, 0.587, 0.114)  # of R'G'B', ITU-R BT.601
CLASSES = 4  # of lightness, each with Gram matrices of its own
GUIDE_BLUR = 1 / 24  # of the short side: standard deviation; details have no class of their own
GUIDE_LEVELS = 64  # of lightness: plain white with some noise is one of them
LEAST_PIXELS = 1e-4  # of a class: an empty one has an empty Gram matrix, not a division by zero


def luma(image: Tensor) -> Tensor:
    """(N, 3, H, W) -> (N, H, W), fp32."""
    return (image.float() * torch.tensor(LUMA, device=image.device).view(3, 1, 1)).sum(1)


def lightness_classes(image: Tensor) -> Tensor:
    """(N, 3, H, W) -> (N, CLASSES, H, W): the share of each pixel in each class, dark to light.

    A pixel's place among the classes is the rank of its blurred luma within the image, so the light
    and the contrast of a photo do not matter. Pixels of one luma have one rank, so plain ground is
    of one class, whatever share of the picture it fills: the highest of their ranks if nothing is
    lighter, the lowest if nothing is darker. White ground is like the lightest parts of the style
    picture, not like its middle. Neighbouring classes overlap linearly. The ranks of the style
    picture decide what is the same class there.
    """
    tones = luma(image)
    deviation = GUIDE_BLUR * min(tones.shape[-2:])
    reach = math.ceil(2 * deviation)
    taps = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / deviation) ** 2).to(tones)
    taps = taps / taps.sum()
    tones = F.pad(tones[:, None], (reach, reach, reach, reach), mode="replicate")
    tones = F.conv2d(F.conv2d(tones, taps.view(1, 1, -1, 1)), taps.view(1, 1, 1, -1))
    levels = (tones * GUIDE_LEVELS).round().flatten(1).float()
    ordered = levels.sort(dim=1).values
    below, up_to = (torch.searchsorted(ordered, levels, right=right) for right in (False, True))
    darkest, lightest = ordered[:, :1], ordered[:, -1:]
    contrast = lightest - darkest
    lightness = torch.where(contrast > 0, (levels - darkest) / contrast, 0.5)
    rank = torch.lerp(below.float(), up_to.float(), lightness) / levels.shape[1]
    place = (CLASSES * rank - 0.5).clamp(0, CLASSES - 1).view_as(tones)
    numbers = torch.arange(CLASSES, device=tones.device).view(1, -1, 1, 1)
    return (1 - (place - numbers).abs()).clamp_min(0)


def guided_gram_matrices(features: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
    """Gram matrices of each class, (N, K, C, C) fp32, and the share of each, (N, K).

    `features` are (N, C, h, w), `classes` (N, K, H, W) with a sum of 1 at each pixel. Each pixel
    counts in a matrix as much as it belongs to the class; divided by C and that sum of weights.
    """
    height, width = features.shape[-2:]
    classes = F.adaptive_avg_pool2d(classes, (height, width)).flatten(2)
    pixels = features.flatten(2)
    sums = classes.sum(2)
    grams = [
        ((pixels * weight[:, None].to(pixels.dtype)) @ pixels.transpose(1, 2)).float()
        for weight in classes.unbind(1)
    ]
    scale = features.shape[1] * sums.clamp_min(LEAST_PIXELS)
    return torch.stack(grams, 1) / scale[..., None, None], sums / classes.shape[2]


def guided_loss(grams: Tensor, shares: Tensor, targets: Tensor) -> Tensor:
    """Mean over the batch of each class's |G - T|^2 / |T|^2, weighted by its share of the image.

    `grams` (N, K, C, C), `shares` (N, K) and `targets` (1, K, C, C) as `guided_gram_matrices`.
    """
    distance = (grams - targets).square().sum((2, 3))
    energy = targets.square().sum((2, 3)).clamp_min(1e-12)
    return (shares * distance / energy).sum(1).mean()


def overall_loss(grams: Tensor, shares: Tensor, targets: Tensor, target_shares: Tensor) -> Tensor:
    """Mean over the batch of |G - T|^2 / |T|^2 for the Gram matrices of whole images, which are the
    sums of those of their classes, weighted by their shares (1, K) or (N, K)."""
    whole, wanted = (
        (weights[..., None, None] * matrices).sum(1)
        for matrices, weights in ((grams, shares), (targets, target_shares))
    )
    return relative_square(whole - wanted, wanted.expand_as(whole))


def relative_square(difference: Tensor, target: Tensor) -> Tensor:
    """Mean over the batch of |difference|^2 / |target|^2, in fp32."""
    energy = target.float().square().flatten(1).sum(1)
    return (difference.float().square().flatten(1).sum(1) / energy.clamp_min(1e-12)).mean()

"""VGG-16 channel statistics of a picture, as a style file keeps them of its style picture."""

import base64
import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from stylize.config import STYLE_LAYERS
from stylize.errors import StyleFileError
from stylize.objective.vgg import VGG16Features

WIDTHS = dict(zip(STYLE_LAYERS, (64, 128, 256, 512), strict=True))  # channels
Statistics = dict[str, Tensor]  # layer -> (2, C): mean and standard deviation of each channel


@torch.inference_mode()
def channel_statistics(vgg: VGG16Features, image: Tensor) -> Statistics:
    """Mean and deviation of each channel of the style layers, for one (1, 3, H, W) picture."""
    features: Mapping[str, Tensor] = vgg(image, STYLE_LAYERS)
    return {layer: channel_moments(features[layer])[0].cpu() for layer in STYLE_LAYERS}


def channel_moments(features: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, 2, C) in fp32: mean and standard deviation of each channel."""
    deviation, mean = torch.std_mean(features.float(), dim=(2, 3), correction=0)
    return torch.stack([mean, deviation], 1)


def centre(several: Sequence[Statistics], weights: Sequence[float] = ()) -> Statistics:
    """Their mean, weighted by `weights` (default: equally)."""
    shares = torch.tensor(weights or [1.0] * len(several))
    shares = (shares / shares.sum()).view(-1, 1, 1)
    return {
        layer: (torch.stack([statistics[layer] for statistics in several]) * shares).sum(0)
        for layer in STYLE_LAYERS
    }


def distance(statistics: Statistics, target: Statistics) -> float:
    """Root of the mean over layers of |difference|^2 / |target|^2: 0 is equal, 1 is far away."""
    squares = [
        ((statistics[layer] - target[layer]).square().sum() / target[layer].square().sum()).item()
        for layer in STYLE_LAYERS
    ]
    return math.sqrt(sum(squares) / len(squares))


def pack(statistics: Statistics) -> str:
    """As text for the header of a style: half precision, base64."""
    numbers = torch.cat([statistics[layer].flatten() for layer in STYLE_LAYERS])
    # Activations reach tens of thousands; their logarithm fits into half precision.
    return base64.b64encode(numbers.log1p().half().numpy().tobytes()).decode()


def unpack(text: str) -> Statistics:
    """The inverse of `pack`; raises StyleFileError for any other text."""
    sizes = [2 * WIDTHS[layer] for layer in STYLE_LAYERS]
    try:
        numbers = np.frombuffer(base64.b64decode(text, validate=True), np.float16)
    except ValueError as error:
        raise StyleFileError(f"the statistics of its picture are damaged ({error})") from error
    if len(numbers) != sum(sizes):
        raise StyleFileError("the statistics of its picture are damaged")
    parts = torch.split(torch.from_numpy(numbers.astype(np.float32)).expm1(), sizes)
    if not all(0 < part.square().sum() < math.inf for part in parts):
        raise StyleFileError("the statistics of its picture are damaged")
    return {layer: part.view(2, -1) for layer, part in zip(STYLE_LAYERS, parts, strict=True)}

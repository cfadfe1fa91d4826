"""What the objective wants of a style: measured from its pictures, kept in its file."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from stylize.config import STYLE_LAYERS
from stylize.errors import StyleFileError
from stylize.objective.guided_gram import CLASSES, guided_gram_matrices, lightness_classes
from stylize.objective.palette import DIRECTIONS, Palette
from stylize.objective.vgg import VGG16Features
from stylize.objective.vgg_statistics import WIDTHS, channel_moments

SCALES = {1: 1.0, 2: 0.5}  # of the pictures, reduced by this factor: weight of their style loss
CELL = 16  # pixels: larger than a stroke, smaller than a product
MOST_CELLS = 32  # per side: the evenness loss compares all pairs

AGAIN = "train the style again"

Place = tuple[int, str]  # scale, layer


@dataclass(frozen=True)
class StyleTargets:
    """Guided Gram matrices by scale and layer, (1, CLASSES, C, C) each, the share of each class,
    (1, CLASSES), mean and deviation of each channel by layer, (1, 2, C) each, the palette, and the
    mean squared distance of the colours of two cells (`variety`); of several pictures, their
    means."""

    grams: Mapping[Place, Tensor]
    shares: Tensor
    moments: Mapping[str, Tensor]
    palette: Palette
    variety: float

    @classmethod
    def of(
        cls, vgg: VGG16Features, pictures: Sequence[Tensor], weights: Sequence[float] = ()
    ) -> "StyleTargets":
        """`pictures` are (1, 3, H, W) in [0, 1], at their working size; `weights` are positive and
        equal by default."""
        weights = weights or [1.0] * len(pictures)
        found: dict[Place, Tensor] = {}
        moments: dict[str, Tensor] = {}
        shares, variety = torch.zeros(1, CLASSES, device=pictures[0].device), 0.0
        for picture, weight in zip(pictures, weights, strict=True):
            share = weight / sum(weights)
            with torch.no_grad():
                classes = lightness_classes(picture)
                features = vgg(picture, STYLE_LAYERS)
                own = guided_grams(vgg, picture, classes, features)
            for layer in STYLE_LAYERS:
                moments[layer] = moments.get(layer, 0) + share * channel_moments(features[layer])
            for place, (grams, _) in own.items():
                found[place] = found.get(place, 0) + share * grams
            shares += share * classes.mean((2, 3))
            variety += float(colour_distances(picture).mean()) * share
        return cls(found, shares, moments, Palette.of(pictures, weights), variety)

    def to_tensors(self) -> dict[str, Tensor]:
        """As a style file keeps them, in 1.5 MB: the largest scale, in half precision.

        A Gram matrix is symmetric: its upper triangle is enough. Its entries may be beyond the
        range of half precision: they are divided by its norm, which stays in fp32.
        """
        kept = {
            "shares": self.shares[0],
            "palette": self.palette.quantiles.half(),
            "variety": torch.tensor(self.variety),
        }
        for (scale, layer), grams in self.grams.items():
            if scale == 1:
                norm = grams[0].flatten(1).norm(dim=1).clamp_min(1e-12)
                row, column = _triangle(layer)
                kept[f"gram.{layer}"] = (grams[0] / norm.view(-1, 1, 1))[:, row, column].half()
                kept[f"norm.{layer}"] = norm
        kept |= {f"moments.{layer}": moments[0] for layer, moments in self.moments.items()}
        return {name: tensor.cpu() for name, tensor in kept.items()}

    @classmethod
    def from_tensors(
        cls, kept: Mapping[str, Tensor], path: Path, device: torch.device
    ) -> "StyleTargets":
        """The inverse of `to_tensors`, for what the style file `path` keeps.

        Raises StyleFileError: a tensor is missing or damaged.
        """
        grams: dict[Place, Tensor] = {}
        moments: dict[str, Tensor] = {}
        for layer in STYLE_LAYERS:
            row, column = _triangle(layer)
            part = _checked(path, kept, f"gram.{layer}", (CLASSES, len(row)))
            norm = _checked(path, kept, f"norm.{layer}", (CLASSES,))
            whole = torch.zeros(CLASSES, WIDTHS[layer], WIDTHS[layer])
            whole[:, row, column] = whole[:, column, row] = part * norm[:, None]
            grams[1, layer] = whole[None].to(device)
            found = _checked(path, kept, f"moments.{layer}", (2, WIDTHS[layer]))
            moments[layer] = found[None].to(device)
        shares = _checked(path, kept, "shares", (CLASSES,))[None].to(device)
        quantiles = kept.get("palette", torch.zeros(0))
        palette = _checked(path, kept, "palette", (DIRECTIONS, *quantiles.shape[1:2]))
        variety = _checked(path, kept, "variety", ())
        return cls(grams, shares, moments, Palette(palette.to(device)), float(variety))


def _triangle(layer: str) -> Tensor:
    """Rows and columns of the upper triangle of a layer's Gram matrix."""
    return torch.triu_indices(WIDTHS[layer], WIDTHS[layer])


def _checked(path: Path, kept: Mapping[str, Tensor], name: str, shape: tuple[int, ...]) -> Tensor:
    if name not in kept:
        raise StyleFileError(f"{path}: target {name!r} is missing", AGAIN)
    tensor = kept[name].float()
    if tensor.shape != shape or not tensor.isfinite().all():
        raise StyleFileError(f"{path}: target {name!r} is damaged", AGAIN)
    return tensor


def guided_grams(
    vgg: VGG16Features,
    image: Tensor,
    classes: Tensor,
    features: Mapping[str, Tensor] | None = None,
) -> dict[Place, tuple[Tensor, Tensor]]:
    """Guided Gram matrices and shares of (N, 3, H, W) images at all scales and layers.

    `classes` are as `lightness_classes`; `features` are those of the whole images, if known.
    """
    found = {}
    for scale in SCALES:
        if scale > 1 or features is None:
            features = vgg(F.avg_pool2d(image, scale), STYLE_LAYERS)
        for layer in STYLE_LAYERS:
            found[scale, layer] = guided_gram_matrices(features[layer], classes)
    return found


def colour_distances(image: Tensor) -> Tensor:
    """(N, 3, H, W) -> (N, cells, cells): squared distances between the colours of all cells.

    Large images are sampled at up to MOST_CELLS by MOST_CELLS cells.
    """
    cells = F.avg_pool2d(image.float(), CELL)
    down, across = (math.ceil(side / MOST_CELLS) for side in cells.shape[-2:])
    cells = cells[..., ::down, ::across].flatten(2)
    return (cells[..., :, None] - cells[..., None, :]).square().sum(1)

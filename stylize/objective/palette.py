"""The colours of pictures, compared as distributions."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from stylize.photos.color import to_oklab

PALETTE_CELL = 8  # pixels: colours of areas, not of strokes
DIRECTIONS = 32
LEAST_CONTRAST = 0.01  # deviation, for style pictures of one colour


class Palette:
    """The colours of the style pictures, as a loss: sliced Wasserstein-1 distance (Rabin et al.
    2011) of Oklab pixels at an eighth of the resolution, in units of the palette's own deviation.

    For several pictures, quantiles along each direction are averaged, by weight: the barycentre.
    """

    def __init__(self, pictures: Sequence[Tensor], weights: Sequence[float]) -> None:
        generator = torch.Generator().manual_seed(0)
        directions = torch.randn(DIRECTIONS, 3, generator=generator)
        self._directions = F.normalize(directions, dim=1).to(pictures[0].device)
        found = [self._along(picture) for picture in pictures]
        found = [_resample(quantiles, found[0].shape[2]) for quantiles in found]
        shares = torch.tensor(weights, device=found[0].device) / sum(weights)
        self._quantiles = torch.einsum("p,pndq->ndq", shares, torch.stack(found))
        self._unit = self._quantiles.std(dim=2).mean().clamp_min(LEAST_CONTRAST)

    def _along(self, image: Tensor) -> Tensor:
        """Sorted projections, (N, DIRECTIONS, pixels)."""
        cells = F.avg_pool2d(image.float(), PALETTE_CELL).clamp(0, 1)
        lab = to_oklab(cells).flatten(2)
        return (self._directions @ lab).sort(dim=2).values

    def __call__(self, image: Tensor) -> Tensor:
        """The mean over a batch (N, 3, H, W); H, W >= 8."""
        found = self._along(image)
        wanted = _resample(self._quantiles, found.shape[2])
        return (found - wanted).abs().mean() / self._unit


def _resample(quantiles: Tensor, count: int) -> Tensor:
    """(N, D, Q) -> (N, D, count): quantiles at as many levels."""
    return F.interpolate(quantiles, count, mode="linear", align_corners=True)

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

    `quantiles` are those of the projections on fixed directions: (DIRECTIONS, Q), any Q.
    """

    def __init__(self, quantiles: Tensor) -> None:
        self.quantiles = quantiles
        self._unit = quantiles.std(dim=1).mean().clamp_min(LEAST_CONTRAST)

    @classmethod
    def of(cls, pictures: Sequence[Tensor], weights: Sequence[float]) -> "Palette":
        """Of (1, 3, H, W) pictures: the barycentre of their colours, by weight."""
        found = [_projections(picture)[0] for picture in pictures]
        found = [_resample(quantiles, found[0].shape[1]) for quantiles in found]
        shares = torch.tensor(weights, device=found[0].device) / sum(weights)
        return cls(torch.einsum("p,pdq->dq", shares, torch.stack(found)))

    def __call__(self, image: Tensor) -> Tensor:
        """The mean over a batch (N, 3, H, W); H, W >= 8."""
        found = _projections(image)
        wanted = _resample(self.quantiles, found.shape[2])
        return (found - wanted).abs().mean() / self._unit


def _projections(image: Tensor) -> Tensor:
    """(N, 3, H, W) -> (N, DIRECTIONS, cells), sorted."""
    directions = torch.randn(DIRECTIONS, 3, generator=torch.Generator().manual_seed(0))
    cells = F.avg_pool2d(image.float(), PALETTE_CELL).clamp(0, 1)
    lab = to_oklab(cells).flatten(2)
    return (F.normalize(directions, dim=1).to(lab.device) @ lab).sort(dim=2).values


def _resample(quantiles: Tensor, count: int) -> Tensor:
    """(D, Q) -> (D, count): quantiles at as many levels."""
    return F.interpolate(quantiles[None], count, mode="linear", align_corners=True)[0]

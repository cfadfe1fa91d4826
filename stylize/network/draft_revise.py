"""Draft and revise: a small painting of the whole photo, then sharper ones of twice the size.

Lin et al. 2021 (LapStyle, arXiv:2104.05376); Wang et al. 2017 (arXiv:1612.01895). A network paints
forms of a fixed number of pixels. On the small draft they are as large, relative to the picture, as
those of the style picture; the revisions keep them and add strokes and sharp edges.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from stylize.config import NetworkConfig
from stylize.network.resample import resize, resize_as
from stylize.network.transformer import BINOMIAL, BOX, Conv, TransformerNet, blur

STEP = 16  # pixels
LONGEST = 4  # times the short side: the largest aspect ratio that a draft's scale counts
DARKEST, BRIGHTEST = 0.01, 0.99  # of an enlarged draft: at 0 and 1, logits are infinite
FIRST = 0.1  # times the usual weights of the last layer
RESIDUAL = 4.0  # times the reviser's output: logits of [0.01, 0.99] reach 4.6


class DraftReviseNet(nn.Module):
    """The default architecture: `draft` paints the photo at `draft_size` pixels on the short side,
    `reviser` doubles the painting again and again, up to the photo's size.

    So the forms of a picture do not depend on its size. `stroke` multiplies them: it divides the
    size of the draft.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.draft = TransformerNet(config)
        self.reviser = Reviser(
            replace(
                config,
                channels=config.reviser_channels,
                body_channels=config.reviser_body_channels,
                blocks=config.reviser_blocks,
                head_channels=config.reviser_head_channels,
            )
        )
        self.draft_size = config.draft_size
        one_pass, kept = self.reviser.values_per_pixel
        # Beside it: the painting, enlarged and in logits; in strips, the painting before it.
        self.values_per_pixel = (one_pass + 4 * 3, kept + 3)

    def forward(
        self,
        image: Tensor,
        mask: Tensor | None = None,
        seeds: Tensor | None = None,
        stroke: float = 1.0,
        draft: Tensor | None = None,
    ) -> Tensor:
        """With a `draft`, (N, 3, h, w), as `paint_draft` has painted it, only revise it."""
        photos, masks = self._levels(image, mask, stroke)
        painted: Tensor = self.draft(photos[0], masks[0], seeds) if draft is None else draft
        for photo, weights in zip(photos[1:], masks[1:], strict=True):
            # A grid of 4 pixels, as the stages of a network leave it, would grow with the picture.
            soft = blur(painted, BINOMIAL, before=1, wrap=self.training)
            painted = self.reviser(photo, resize_as(soft, photo), weights, seeds)
        return resize_as(painted, image)  # a photo without a revision

    def paint_draft(
        self, image: Tensor, mask: Tensor | None, stroke: float
    ) -> tuple[Tensor, Tensor]:
        """The photo as the draft network sees it, and its draft: (N, 3, h, w) each."""
        photos, masks = self._levels(image, mask, stroke)
        return photos[0], self.draft(photos[0], masks[0])

    def _levels(
        self, image: Tensor, mask: Tensor | None, stroke: float
    ) -> tuple[list[Tensor], Sequence[Tensor | None]]:
        sizes = level_sizes((image.shape[-2], image.shape[-1]), self.draft_size / stroke)
        masks = [None] * len(sizes) if mask is None else pyramid(mask, sizes)
        return pyramid(image, sizes), masks


class Reviser(TransformerNet):
    """A photo and its painting, enlarged from half the size -> that painting, revised.

    Both are (N, 3, H, W) in [0, 1]. The result is the painting plus a residual in logits, so that a
    reviser that does nothing keeps it. The photo is normalized before the painting is added: gain
    and offset of the photo cancel, as in the draft.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__(config)
        self.painting = Conv(self.stem.conv.in_channels, config.channels, bias=False)
        with torch.no_grad():
            self.up3.conv.weight.mul_(FIRST)  # at first, a revision is the painting

    def forward(  # type: ignore[override]  # it needs a painting
        self,
        photo: Tensor,
        painting: Tensor,
        mask: Tensor | None = None,
        seeds: Tensor | None = None,
    ) -> Tensor:
        painting = painting.clamp(DARKEST, BRIGHTEST)
        x = self._fold(photo)
        added = self._grain(x, seeds) + self.painting(self._fold(painting))
        residual = self._logits(x, added, self._halvings(mask, photo))
        residual = blur(residual, BOX, before=0, wrap=self.training)
        residual = residual[..., : photo.shape[-2], : photo.shape[-1]]
        return torch.sigmoid(torch.logit(painting) + residual * RESIDUAL)


def level_sizes(size: tuple[int, int], draft_size: float) -> list[tuple[int, int]]:
    """(height, width) of the draft and of each revision, for a photo of that size.

    The sides of the draft are multiples of STEP: one pixel more or less would change what the
    network paints, and two copies of a photo hardly ever agree in their aspect ratio. Each revision
    doubles the one before, but for the last, which has the size of the photo and is 1.4 to 2.8
    times as large. A photo of up to 1.4 times the draft has no revision.
    """
    short = max(min(size), max(size) / LONGEST)
    height, width = (max(1, round(side * draft_size / short / STEP)) * STEP for side in size)
    doublings = max(0, round(math.log2(short / draft_size)))
    levels = [(height << level, width << level) for level in range(max(1, doublings))]
    return [*levels, size] if doublings else levels


def pyramid(image: Tensor, sizes: Sequence[tuple[int, int]]) -> list[Tensor]:
    """The image at each of the sizes, which rise; every one is made from the next larger."""
    found = [image]
    for size in reversed(sizes):
        found.append(resize(found[-1], size))
    return found[:0:-1]

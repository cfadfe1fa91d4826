"""Draft and revise: a small painting of the whole photo, then sharper ones of twice the size.

Lin et al. 2021 (LapStyle, arXiv:2104.05376); Wang et al. 2017 (arXiv:1612.01895). A network paints
forms of a fixed number of pixels. On the small draft they are as large, relative to the picture, as
those of the style picture; the revisions keep them and add strokes and sharp edges.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylize.config import NetworkConfig
from stylize.network.instance_norm.layer import InstanceNorm2d
from stylize.network.resample import resize, resize_as
from stylize.network.transformer import (
    BINOMIAL,
    BOX,
    Conv,
    ConvNorm,
    ResidualBlock,
    SubPixel,
    TransformerNet,
    blur,
    halvings,
)

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
        self.reviser = Reviser(config)
        self.draft_size = config.draft_size
        self.values_per_pixel = self.reviser.values_per_pixel

    def forward(
        self,
        image: Tensor,
        mask: Tensor | None = None,
        seeds: Tensor | None = None,
        stroke: float = 1.0,
        draft: Tensor | None = None,
    ) -> Tensor:
        """With a `draft`, (N, 3, h, w), as the network paints it for that photo, only revise it."""
        sizes = level_sizes((image.shape[-2], image.shape[-1]), self.draft_size / stroke)
        photos = pyramid(image, sizes)
        masks = [None] * len(sizes) if mask is None else pyramid(mask, sizes)
        painted: Tensor = self.draft(photos[0], masks[0], seeds) if draft is None else draft
        for photo, weights in zip(photos[1:], masks[1:], strict=True):
            painted = self.reviser(photo, resize_as(painted, photo), weights)
        return resize_as(painted, image)  # a photo without a revision


class Reviser(nn.Module):
    """A photo and its painting, enlarged from half the size -> that painting, revised.

    Both are (N, 3, H, W) in [0, 1], folded to a quarter of the resolution, where residual blocks
    work. The result is the enlarged painting plus a residual in logits, so that a reviser that does
    nothing keeps it. The photo is normalized before the painting is added: gain and offset of the
    photo cancel, as in the draft.
    """

    FOLD = 4  # sides are padded to a multiple of this

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        channels, head = config.reviser_channels, config.reviser_head_channels
        self.photo = ConvNorm(3 * self.FOLD**2, channels)
        self.painting = Conv(3 * self.FOLD**2, channels, bias=False)
        self.body = nn.Sequential(*(ResidualBlock(channels) for _ in range(config.reviser_blocks)))
        self.up1 = SubPixel(channels, head)
        self.norm = InstanceNorm2d(head)
        self.up2 = SubPixel(head, 3)
        with torch.no_grad():
            self.up2.conv.weight.mul_(FIRST)  # at first, a revision is its draft
        quarter, half = channels / 16, head / 4
        self.values_per_pixel = (quarter + 3 * half, max(quarter + half, 3 * quarter))

    def forward(self, photo: Tensor, painting: Tensor, mask: Tensor | None = None) -> Tensor:
        height, width = photo.shape[-2:]
        right, below = (
            max(2 * self.FOLD, side + -side % self.FOLD) - side for side in (width, height)
        )
        padding = (0, right, 0, below)
        painting = painting.clamp(DARKEST, BRIGHTEST)
        _, of_half, of_quarter = halvings(mask, padding, times=2)
        of_photo, of_painting = (self._fold(each, padding) for each in (photo, painting))
        x = self.photo(of_photo, self.painting(of_painting), relu=True, mask=of_quarter)
        for block in self.body:
            x = block(x, of_quarter)
        wrap = self.training
        # As in `TransformerNet`: every nonlinearity would bring a grid, and every blur removes it.
        x = blur(x, BINOMIAL, before=1, wrap=wrap)
        x = blur(self.up1(x), BOX, before=1, wrap=wrap)
        x = self.norm(x, relu=True, mask=of_half)
        x = blur(x, BINOMIAL, before=1, wrap=wrap)
        residual = blur(self.up2(x).float(), BOX, before=0, wrap=wrap)[..., :height, :width]
        return torch.sigmoid(torch.logit(painting) + residual * RESIDUAL)

    def _fold(self, image: Tensor, padding: tuple[int, int, int, int]) -> Tensor:
        x = F.pixel_unshuffle(F.pad(image.float() - 0.5, padding, mode="replicate"), self.FOLD)
        x = x.to(self.painting.weight.dtype)
        return x.contiguous(memory_format=torch.channels_last)


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

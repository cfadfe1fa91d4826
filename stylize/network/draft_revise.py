"""Draft, revise, finish: a small painting of the whole photo, then larger and sharper ones.

Lin et al. 2021 (LapStyle, arXiv:2104.05376); Wang et al. 2017 (arXiv:1612.01895). A network paints
forms of a fixed number of pixels. On the small draft they are as large, relative to the picture, as
those of the style picture. One revision adds strokes. From there up to the photo's size, each
finish only adds what is too fine for the painting before it.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.overrides import handle_torch_function, has_torch_function

from stylize.config import NetworkConfig
from stylize.network.instance_norm.layer import InstanceNorm2d, Moments, moments, normalize
from stylize.network.resample import resize, resize_as
from stylize.network.transformer import (
    BINOMIAL,
    BOX_AFTER,
    BOX_BEFORE,
    Conv,
    ConvNorm,
    Grain,
    ResidualBlock,
    SubPixel,
    TransformerNet,
    blur,
    blur_kernel,
    convolve,
    fold,
    halvings,
    made_once,
    padding,
)

PARTS = ("draft", "reviser", "finisher")
STEP = 16  # pixels
LONGEST = 4  # times the short side: the largest aspect ratio that a draft's scale counts
FINISH = 3.2  # times the draft: the first level after the revision; 512 px for drafts of 160 px
LEAST_GROWTH = 2**0.25  # of the last level, over the one before it
DARKEST, BRIGHTEST = 0.01, 0.99  # of an enlarged draft: at 0 and 1, logits are infinite
MIDDLE, CONTRAST = 0.5, 0.25  # mean and deviation of each channel of a standardized photo
LEAST_VARIANCE = 0.25**2  # that a channel is given, as a share of the mean of all three
FIRST = 0.1  # times the usual weights of the last layer
RESIDUAL = 4.0  # times the reviser's output: logits of [0.01, 0.99] reach 4.6


class DraftReviseNet(nn.Module):
    """The default architecture: `draft` paints the photo at `draft_size` pixels on the short side,
    `reviser` doubles that painting, and `finisher` enlarges it again and again, up to the photo's
    size.

    So the forms and the strokes of a picture do not depend on its size. `stroke` multiplies them:
    it divides the size of the draft.
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
            ),
            config.reviser_detail_channels,
        )
        self.finisher = Finisher(
            config.finisher_channels,
            config.finisher_blocks,
            config.finisher_head_channels,
            config.finisher_detail_channels,
        )
        self.draft_size = config.draft_size
        # Drafts and revisions of photos that do not fit into memory are small.
        one_pass, kept = self.finisher.values_per_pixel
        # Beside it: the painting, enlarged and in logits; in strips, the painting before it.
        self.values_per_pixel = (one_pass + 4 * 3, kept + 3)

    def forward(
        self,
        image: Tensor,
        mask: Tensor | None = None,
        seeds: Tensor | None = None,
        stroke: float = 1.0,
        painting: Tensor | None = None,
        part: str = "",
    ) -> Tensor:
        """With a `painting`, (N, 3, h, w), as `paint_draft` has drafted it, only revise and finish
        it. With a `part`, as in training, only that part: the "draft" of the image as it is, or the
        "reviser" or the "finisher" of a painting of half the image's size."""
        if part == "draft":
            return self._draft(image, mask, seeds)
        if part:
            assert painting is not None  # noqa: S101 for the type checker
            return revised(self.get_submodule(part), painting, image, mask, seeds)
        photos, masks = self._levels(image, mask, stroke)
        painted = self._draft(photos[0], masks[0], seeds) if painting is None else painting
        for level, (photo, weights) in enumerate(zip(photos[1:], masks[1:], strict=True)):
            reviser = self.get_submodule(PARTS[min(level, 1) + 1])
            painted = revised(reviser, painted, photo, weights, seeds)
        return resize_as(painted, image)

    def paint_draft(
        self, image: Tensor, mask: Tensor | None, stroke: float
    ) -> tuple[Tensor, Tensor]:
        """The photo at the draft's size, and its draft: (N, 3, h, w) each."""
        photos, masks = self._levels(image, mask, stroke)
        return photos[0], self._draft(photos[0], masks[0])

    def _draft(self, photo: Tensor, mask: Tensor | None, seeds: Tensor | None = None) -> Tensor:
        result: Tensor = self.draft(standardized(photo, mask), mask, seeds)
        return result

    def _levels(
        self, image: Tensor, mask: Tensor | None, stroke: float
    ) -> tuple[list[Tensor], Sequence[Tensor | None]]:
        sizes = level_sizes((image.shape[-2], image.shape[-1]), self.draft_size / stroke)
        masks = [None] * len(sizes) if mask is None else pyramid(mask, sizes)
        return pyramid(image, sizes), masks


def revised(
    part: nn.Module,
    painting: Tensor,
    photo: Tensor,
    mask: Tensor | None = None,
    seeds: Tensor | None = None,
) -> Tensor:
    """The painting, (N, 3, h, w), enlarged to the size of the photo and revised by that part."""
    # A grid of 4 pixels, as the stages of a network leave it, would grow with the picture.
    soft = blur(painting, BINOMIAL, wrap=part.training)
    result: Tensor = part(photo, resize_as(soft, photo), mask, seeds)
    return result


def standardized(photo: Tensor, mask: Tensor | None) -> Tensor:
    """(N, 3, H, W) with the same mean and deviation in each channel of each photo, those of the
    masked part.

    So the white balance cancels, as gain and offset do: a light of another colour multiplies each
    channel by another factor. A channel that is almost flat, such as the blue of a sunset, would be
    mostly noise and is amplified less (LEAST_VARIANCE).
    """
    if has_torch_function((photo,)):
        return handle_torch_function(standardized, (photo,), photo, mask)
    return standardize(photo, moments(photo.float(), mask))


def standardize(photo: Tensor, statistics: Moments) -> Tensor:
    """`standardized` with given statistics: of all strips of a photo."""
    mean, variance = statistics
    variance = variance + LEAST_VARIANCE * variance.mean(1, keepdim=True)
    contrast, middle = (mean.new_full((3,), value) for value in (CONTRAST, MIDDLE))
    return normalize(photo.float(), mean, variance, contrast, middle)


class Reviser(TransformerNet):
    """A photo and its painting, enlarged from half the size -> that painting, revised.

    Both are (N, 3, H, W) in [0, 1]. The photo is normalized before the painting is added: gain and
    offset of the photo cancel, as in the draft.
    """

    def __init__(self, config: NetworkConfig, detail_channels: int) -> None:
        super().__init__(config)
        self.painting = Conv(self.stem.conv.in_channels, config.channels, bias=False)
        self.up3 = Detail(config.head_channels, detail_channels, grain=True)

    def forward(  # type: ignore[override]  # it needs a painting
        self,
        photo: Tensor,
        painting: Tensor,
        mask: Tensor | None = None,
        seeds: Tensor | None = None,
    ) -> Tensor:
        x = self._fold(photo)
        added = self.noise(x, seeds) + self.painting(self._fold(painting))
        masks = self._halvings(mask, photo)
        residual = self.up3(self._features(x, added, masks), masks[0], seeds)
        return add(painting, smooth_colours(residual, wrap=self.training))


def smooth_colours(residual: Tensor, *, wrap: bool) -> Tensor:
    """(N, 3, H, W) with its colours blurred (BINOMIAL), in fp32; its grey, their mean, as it is.

    Strokes need sharp edges in lightness. Of the colours, a reviser makes lines along rows and
    columns, as its objective wants fine colours of any kind.
    """
    kernel = colour_kernel(residual.device)
    with torch.autocast(residual.device.type, enabled=False):
        return convolve(residual.float(), kernel, wrap=wrap)


@made_once
def colour_kernel(device: torch.device) -> Tensor:
    """(3, 3, 3, 3): BINOMIAL for colours, nothing for grey."""
    with torch.inference_mode(False):
        blurred = blur_kernel(BINOMIAL, torch.float32, torch.device("cpu"))
        middle = torch.zeros(3, 3)
        middle[1, 1] = 1
        grey = torch.full((3, 3, 1, 1), 1 / 3)
        colours = torch.eye(3)[..., None, None] - grey
        return (grey * middle + colours * blurred).to(device)


class Finisher(nn.Module):
    """A photo and its painting, enlarged from a smaller size -> that painting, with fine detail.

    As a reviser, but without a body at an eighth of the resolution, as it has no forms to paint,
    and without noise, as the painting has strokes everywhere.
    """

    FOLD = 4  # sides are padded to a multiple of this

    def __init__(
        self, channels: int, blocks: int, head_channels: int, detail_channels: int
    ) -> None:
        super().__init__()
        self.stem = ConvNorm(3 * 4**2, channels)
        self.painting = Conv(3 * 4**2, channels, bias=False)
        self.body = nn.Sequential(*(ResidualBlock(channels) for _ in range(blocks)))
        self.up1 = SubPixel(channels, head_channels)
        self.norm = InstanceNorm2d(head_channels)
        # A norm at full resolution would be most of what is kept in strips.
        self.up2 = Detail(head_channels, detail_channels, grain=False)
        quarter, half = channels / 16, head_channels / 4
        # In one pass, `Detail` needs most; in strips, an input of a norm and what was before it.
        self.values_per_pixel = (half + 3 * detail_channels, max(3 * quarter, quarter + half))

    def forward(
        self,
        photo: Tensor,
        painting: Tensor,
        mask: Tensor | None = None,
        seeds: Tensor | None = None,
    ) -> Tensor:
        _, of_half, of_quarter = halvings(mask, padding(photo, self.FOLD), times=2)
        dtype, wrap = self.painting.weight.dtype, self.training
        x = self.painting(fold(painting, self.FOLD, dtype))
        x = self.stem(fold(photo, self.FOLD, dtype), x, relu=True, mask=of_quarter)
        for block in self.body:
            x = block(x, of_quarter)
        x = blur(self.up1(x), BOX_BEFORE, wrap=wrap)
        x = self.norm(x, relu=True, mask=of_half)
        x = blur(x, BINOMIAL, wrap=wrap)
        return add(painting, self.up2(x, None, seeds))


class Detail(nn.Module):
    """Features at half the resolution -> a residual in logits, (N, 3, H, W).

    With a ReLU and a convolution at full resolution, strokes of a few pixels have any direction.
    From a sub-pixel stage alone, as in `TransformerNet`, they are copies of larger ones, moved in
    frequency: lines along rows and columns, a weave. The `grain` of a canvas takes the place of
    what is left of it (docs/decisions.md).
    """

    def __init__(self, inputs: int, channels: int, *, grain: bool) -> None:
        super().__init__()
        self.up = SubPixel(inputs, channels)
        self.norm = InstanceNorm2d(channels) if grain else None
        self.noise = Grain(1, channels) if grain else None
        self.out = Conv(channels, 3, bias=True)
        with torch.no_grad():
            self.out.weight.mul_(FIRST)  # at first, the result is the painting
            nn.init.zeros_(self.out.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor, mask: Tensor | None, seeds: Tensor | None) -> Tensor:
        x = blur(self.up(x), BOX_AFTER, wrap=self.training)
        if self.norm is None or self.noise is None:
            x = x.relu_()
        else:
            x = self.norm(x, self.noise(x, seeds), relu=True, mask=mask)
        residual: Tensor = self.out(x)
        return residual


def add(painting: Tensor, residual: Tensor) -> Tensor:
    """The painting plus a residual in logits, which may be padded."""
    if has_torch_function((painting, residual)):
        return handle_torch_function(add, (painting, residual), painting, residual)
    residual = residual[..., : painting.shape[-2], : painting.shape[-1]]
    result = painting.clamp(DARKEST, BRIGHTEST)  # the only copy: in fp32, these are large
    return result.logit_().add_(residual, alpha=RESIDUAL).sigmoid_()


def level_sizes(size: tuple[int, int], draft_size: float) -> list[tuple[int, int]]:
    """(height, width) of the draft, of its revision, and of each painting after it, for a photo of
    that size.

    The sides of the draft are multiples of STEP: one pixel more or less would change what the
    network paints, and two copies of a photo hardly ever agree in their aspect ratio. The revision
    has twice the size of the draft. From FINISH times the draft on, each level doubles the one
    before, but for the last, which has the size of the photo and is about 1.2 to 2.4 times as
    large. Small photos are painted as a larger copy would be, so that the copy, reduced, looks like
    them.
    """
    short = max(min(size), max(size) / LONGEST)
    height, width = (max(1, round(side * draft_size / short / STEP)) * STEP for side in size)
    more = max(0, math.ceil(math.log2(short / draft_size / FINISH / LEAST_GROWTH)))
    growths = [1.0, 2.0, *(FINISH * 2**level for level in range(max(1, more)))]
    levels = [(round(height * growth), round(width * growth)) for growth in growths]
    return [*levels, size] if more else levels


def pyramid(image: Tensor, sizes: Sequence[tuple[int, int]]) -> list[Tensor]:
    """The image at each of the sizes, which rise; every one is made from the next larger."""
    found = [image]
    for size in reversed(sizes):
        found.append(resize(found[-1], size))
    return found[:0:-1]

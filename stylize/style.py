"""A style ready for use: tensor -> tensor, picture -> picture."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Self, cast

import torch
from PIL import Image
from torch import Tensor, nn

from stylize.config import ApplyConfig, Look
from stylize.errors import ImageError, UsageError
from stylize.network.anchors import hold
from stylize.network.architectures import ready
from stylize.network.buffers import make_buffer
from stylize.network.device import Compute, choose, has_own_memory
from stylize.network.draft_revise import DraftReviseNet, level_sizes
from stylize.network.instance_norm.ops import backend
from stylize.network.memory import THUMBNAIL, Need, Way, affordable, count_strips, make_budget, ways
from stylize.network.mixing import load_mixture
from stylize.network.mixture import Mixture, find_mixture
from stylize.network.replay import Replay
from stylize.network.strip_stages import Rows, Run, cut
from stylize.network.strips import Strips, as_tensor, on_demand
from stylize.network.style_file import read_targets
from stylize.network.style_header import StyleHeader
from stylize.objective.refine import Refiner
from stylize.photos.blend import REACH, SHRINK, apply_look
from stylize.photos.decoder import read_photo, split_photo
from stylize.photos.masks import cut_out, product_mask
from stylize.photos.photo import Photo, merge_alpha, scaled_down, to_mask, to_picture
from stylize.photos.view import View, crop, view_of

Pixels = Tensor | Strips
Redraft = Callable[[Tensor], Tensor] | None
PLAIN = Look()
IN_ONE_PASS = Need(Way.ONE_PASS, 0, 0)
ANCHOR_SIZE = 1024  # pixels on the longest side of an anchor


class Style:
    """A trained network on its device, with the header of its file.

    One style serves any number of photos of any size. Only `hold` changes it.
    """

    def __init__(
        self,
        network: nn.Module,
        header: StyleHeader,
        compute: Compute,
        source: Mixture | None = None,
    ) -> None:
        """`source` has the files that the style comes from, for what only `Look.refine` needs."""
        self.header = header
        self.compute = compute
        self.source = source
        self._drafts = isinstance(network, DraftReviseNet)
        self._values: tuple[float, float] = network.values_per_pixel  # type: ignore[assignment]
        self._network = ready(network, compute)
        self._replay = Replay(self._network)

    @classmethod
    def load(cls, style: str, device: str = "auto", precision: str = "auto") -> Self:
        """Load a style by name (shipped, or in `./styles`) or by the path of its file, or a mix of
        styles (`network.mixture`).

        `device` is auto, cpu, cuda, cuda:N, xpu or mps; `precision` is auto, fp32 or bf16.

        Raises:
            StyleFileError: there is no such style (the hint suggests names), its file is damaged,
                or styles cannot be mixed.
            UsageError: the weights of a mix cannot be used.
            DeviceError: the device, the precision or the norm backend is not available.
        """
        compute = choose(device, precision)
        backend(compute.device.type)  # one that is forced and cannot run is an error now
        source = find_mixture(style)
        return cls(*load_mixture(source), compute, source)

    @cached_property
    def _refiner(self) -> Refiner:
        """Raises UsageError: the style is a mix, or was made without what a draft can be refined
        towards."""
        files = self.source.files if self.source else []
        if len(files) > 1:
            hint = "leave out --refine, or use one of its styles alone"
            raise UsageError(f"drafts of the mix {self.header.name} cannot be refined", hint)
        kept = read_targets(files[0]) if files and self._drafts else {}
        if not kept:
            hint = "a style that `stylize train` makes with its defaults can"
            raise UsageError(f"drafts of {self.header.name} cannot be refined", hint)
        return Refiner(kept, files[0], self.header.training, self.compute.device)

    def check(self, look: Look) -> None:
        """Raises UsageError: this style cannot do what `look` asks for."""
        if look.refine:
            _ = self._refiner
        self._scale(look.stroke)

    def hold(self, anchors: Sequence[Path], config: ApplyConfig) -> None:
        """From now on, pull norms towards the statistics of these photos, as `config` says.

        Photos that cannot be read are left out; raises ImageError if none can be read.
        """
        photos = []
        for path in anchors:
            try:
                photo = read_photo(path, ANCHOR_SIZE, config.max_megapixels * 1e6)
            except ImageError as error:
                unreadable = error
            else:
                mask = product_mask(photo) if config.look.masked else None
                view = view_of(replace(photo, mask=mask), config.look)
                photos.append((self._images([view]), self._weights([view])))
        if not photos:
            raise unreadable
        options = self._scale(config.look.stroke)
        hold(self._network, photos, config.anchor_weight, config.anchor_floor, **options)
        self._replay.forget()

    def __call__(
        self, images: Tensor, masks: Tensor | None = None, stroke: float = 1.0, refine: int = 0
    ) -> Tensor:
        """Stylize a batch: (N, 3, H, W) float, sRGB in [0, 1] -> the same in fp32, same device.

        Any H, W >= 1. Each image is normalized by its own statistics, so the result equals that of
        the image alone (Ulyanov et al. 2016). With `masks`, (N, 1, H, W) in [0, 1], the statistics
        are those of the masked part: the background influences only what is close to it. `stroke`
        multiplies the size of the forms, and `refine` is a number of steps, as in `Look`; both are
        for networks that paint a draft.

        Raises UsageError: `images` or `masks` have another shape or are not floating point, or the
            style cannot refine drafts or change the size of strokes.
        """
        if images.ndim != 4 or images.shape[1] != 3 or 0 in images.shape:
            raise UsageError(f"images are {tuple(images.shape)}, not (N, 3, H, W)")
        if not images.is_floating_point():
            raise UsageError(f"images are {images.dtype}, not floating point in [0, 1]")
        device = self.compute.device
        if masks is not None:
            if masks.shape != (len(images), 1, *images.shape[2:]) or not masks.is_floating_point():
                raise UsageError(
                    f"masks are {tuple(masks.shape)} {masks.dtype} for images {tuple(images.shape)}"
                )
            masks = masks.to(device, torch.float32)
        with torch.inference_mode():
            seen = images.to(device, torch.float32)
            options = self._options(seen, masks, stroke, refine, None)
            result = self._replay(seen, masks, **options)
        return result.to(images.device)

    def stylize(
        self, picture: Image.Image, look: Look = PLAIN, max_memory: float | None = None
    ) -> Image.Image:
        """Stylize one Pillow picture of any mode: upright, sRGB, same size, alpha kept.

        If `look` spares the background, `product_mask` finds the product; a picture without a flat
        background or transparency is stylized whole. A picture that needs more than `max_memory`
        bytes (default: half of what is free) is computed in strips.

        Raises ImageError: the pixels cannot be decoded, or even strips need more memory.
        """
        photo = split_photo(picture)
        if look.masked:
            photo = replace(photo, mask=product_mask(photo))
        if look.background == "transparent":
            photo = cut_out(photo)
        budget = make_budget(max_memory, self.compute.device)
        need = affordable(self.ways(photo.size, look), budget)
        return self.stylize_photos([photo], look, need)[0]

    def ways(self, size: tuple[int, int], look: Look = PLAIN) -> list[Need]:
        """The ways open to a photo of (width, height), and the memory of each."""
        return ways(size, self.seen(size, look), self._values, self.compute, look)

    def seen(self, size: tuple[int, int], look: Look) -> tuple[int, int]:
        """The (width, height), with most pixels, at which the network sees a photo of that size."""
        if not self._drafts:
            return size
        width, height = size
        draft_size = self.header.network.draft_size / look.stroke
        sizes = [*level_sizes((height, width), draft_size), (height, width)]
        height, width = max(sizes, key=math.prod)
        return width, height

    @torch.inference_mode()
    def stylize_photos(
        self,
        photos: Sequence[Photo],
        look: Look = PLAIN,
        need: Need = IN_ONE_PASS,
        folder: Path | None = None,
        redraft: Redraft = None,
    ) -> list[Image.Image]:
        """Stylize decoded photos of one size; alpha is kept.

        In one pass, all photos go through the network together; in strips (`need`, one of `ways`)
        one after the other, with buffers on disk in `folder` (default: the system's temporary one).

        A flat background that fills almost the whole photo counts less in the statistics
        (`balance`). `Photo.mask` marks the product, for a `look` that spares the background. A
        network that drafts goes on from what `redraft` makes of its drafts, (N, 3, h, w).

        Raises OSError: the disk is full.
        """
        views = [view_of(photo, look) for photo in photos]
        painted = self._paint(views, need, folder, look, redraft)
        count = self._count_strips(photos[0].size, look)
        return [
            merge_alpha(_finish(photo, rows, look, count), photo.alpha)
            for photo, rows in zip(photos, painted, strict=True)
        ]

    def _scale(self, stroke: float) -> dict[str, Any]:
        if self._drafts:
            return {"stroke": stroke}
        if stroke != 1:
            hint = "leave out the stroke, or use a style that drafts, as `stylize train` makes them"
            raise UsageError(f"{self.header.name} paints strokes of one size only", hint)
        return {}

    def _options(
        self, images: Pixels, masks: Pixels | None, stroke: float, refine: int, redraft: Redraft
    ) -> dict[str, Any]:
        """What the network is told besides the photos and their masks."""
        options = self._scale(stroke)
        refiner = self._refiner if refine else None
        if refiner or (redraft and self._drafts):
            network = cast("Any", self._network)
            photos, drafts = map(as_tensor, network.paint_draft(images, masks, **options))
            if refiner:
                drafts = refiner(drafts, photos, refine)
            options["painting"] = redraft(drafts) if redraft else drafts
        return options

    def _paint(
        self, views: Sequence[View], need: Need, folder: Path | None, look: Look, redraft: Redraft
    ) -> Iterator[Rows]:
        """The network's result for each view, by rows from the top."""
        if need.way is not Way.ONE_PASS:
            for view in views:
                yield self._strips(view, need, folder, look, redraft)
            return
        images, weights = self._images(views), self._weights(views)
        options = self._options(images, weights, look.stroke, look.refine, redraft)
        result = self._replay(images, weights, **options)
        yield from (partial(_rows, image[None]) for image in result)

    def _images(self, views: Sequence[View]) -> Tensor:
        return torch.cat([view.rows(self.compute.device, 0, view.rgb.height) for view in views])

    def _weights(self, views: Sequence[View]) -> Tensor | None:
        """(N, 1, H, W), with ones for a view without weights; None if no view has weights."""
        if all(view.weights is None for view in views):
            return None
        whole = Image.new("L", views[0].rgb.size, 255)
        return torch.stack([to_mask(v.weights or whole, self.compute.device) for v in views])

    def _strips(
        self, view: View, need: Need, folder: Path | None, look: Look, redraft: Redraft
    ) -> Rows:
        device, size = self.compute.device, view.rgb.size
        buffer = partial(make_buffer, need.way, device, folder)
        run = Run(device, self._count_strips(size, look), buffer)
        if need.way is Way.APPROXIMATE and max(size) > THUMBNAIL:
            size = scaled_down(size, THUMBNAIL)
            thumbnail = Run(device, self._count_strips(size, look), buffer)
            small = view.resized(size, Image.Resampling.LANCZOS)
            # A row needs the statistics of all norms.
            self._stream(small, thumbnail, replace(look, refine=0)).rows(0, 1)
            run.given = thumbnail.found
        return self._stream(view, run, look, redraft).advance

    def _count_strips(self, size: tuple[int, int], look: Look) -> int:
        on_gpu = has_own_memory(self.compute.device)
        return count_strips(size, plain=look.plain, on_gpu=on_gpu)

    def _stream(self, view: View, run: Run, look: Look, redraft: Redraft = None) -> Strips:
        image = on_demand(view.rgb.size, 3, run, partial(view.rows, run.device))
        mask = None
        if view.weights is not None:
            mask = on_demand(view.rgb.size, 1, run, partial(crop, view.weights, run.device))
        options = self._options(image, mask, look.stroke, look.refine, redraft)
        result: Strips = self._network(image, mask, **options)
        return result


def _rows(image: Tensor, top: int, bottom: int) -> Tensor:
    return image[:, :, top:bottom]


def _finish(photo: Photo, painted: Rows, look: Look, strips: int) -> Image.Image:
    """The picture in mode RGB, changed as `look` says, in that many strips."""
    reach = 0 if look.plain else REACH
    result: Image.Image | None = None
    for top, bottom in cut(photo.rgb.height, strips):
        # `blend` averages over squares, counted from the first row of the photo.
        first, last = max(0, top - reach) // SHRINK * SHRINK, min(photo.rgb.height, bottom + reach)
        stylized = painted(first, last)
        if not look.plain:
            image = crop(photo.rgb, stylized.device, first, last)
            mask = None
            if photo.mask is not None:
                mask = crop(photo.mask, stylized.device, first, last)
            stylized = apply_look(stylized, image, mask, look)
        if result is None:  # only now, when the network has released most memory
            result = Image.new("RGB", photo.size)
        result.paste(to_picture(stylized[0, :, top - first : bottom - first]), (0, top))
    assert result is not None  # noqa: S101 for the type checker: there is always a strip
    return result


def load_style(style: str, device: str = "auto", precision: str = "auto") -> Style:
    """`Style.load`."""
    return Style.load(style, device, precision)

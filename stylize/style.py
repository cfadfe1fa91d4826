"""A style ready for use: tensor -> tensor, picture -> picture."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from PIL import Image
from torch import Tensor, nn

from stylize.assets import find_style
from stylize.checkpoint import load_network
from stylize.config import Look
from stylize.device import Compute, choose
from stylize.errors import UsageError
from stylize.header import StyleHeader
from stylize.images import Photo, merge_alpha, split_photo, to_mask, to_picture, to_tensor
from stylize.instance_norm_ops import backend
from stylize.look import apply_look
from stylize.masks import balance, product_mask

AS_TRAINED = Look()


class Style:
    """A trained network on its device, with the header of its file.

    One style serves any number of photos of any size; it holds no state between calls.
    """

    def __init__(self, network: nn.Module, header: StyleHeader, compute: Compute) -> None:
        self.header = header
        self.compute = compute
        network = network.to(compute.device, compute.dtype)
        self._network = network.to(memory_format=torch.channels_last).eval()

    def __call__(self, images: Tensor, masks: Tensor | None = None) -> Tensor:
        """Stylize a batch: (N, 3, H, W) float, sRGB in [0, 1] -> the same in fp32, same device.

        Any H, W >= 1. Each image is normalized by its own statistics, so it comes out as it would
        alone (Ulyanov et al. 2016). The result is on the device of `images`.

        With `masks`, (N, 1, H, W) in [0, 1], the statistics are those of the masked part: what lies
        outside has no influence on how the product comes out, other than close to it.

        Raises:
            UsageError: `images` or `masks` have another shape or are not floating point.
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
            result: Tensor = self._network(images.to(device, torch.float32), masks)
        return result.to(images.device)

    def stylize(self, picture: Image.Image, look: Look = AS_TRAINED) -> Image.Image:
        """Stylize one Pillow picture of any mode: upright, sRGB, same size, alpha kept.

        To keep its background, what is product is found by `product_mask`; a picture without a
        plain background or transparency is stylized whole.

        Raises:
            ImageError: the picture's pixels cannot be decoded or are of an unsupported kind.
        """
        photo = split_photo(picture)
        if look.keep_background:
            photo = replace(photo, mask=product_mask(photo))
        return self.stylize_photos([photo], look)[0]

    def stylize_photos(self, photos: Sequence[Photo], look: Look = AS_TRAINED) -> list[Image.Image]:
        """Stylize decoded photos of one and the same size in one batch; alpha is put back.

        A flat background that is nearly the whole photo counts less in the statistics (`balance`).
        `Photo.mask` says where the background is that `look` may keep; without, there is none.
        """
        images = torch.stack([to_tensor(photo.rgb) for photo in photos])
        masks = [photo.mask if look.keep_background else None for photo in photos]
        weights = [
            balance(photo.rgb) if mask is None else mask
            for photo, mask in zip(photos, masks, strict=True)
        ]
        results = apply_look(self(images, _stack(weights)), images, _stack(masks), look)
        return [
            merge_alpha(to_picture(result), photo.alpha)
            for result, photo in zip(results, photos, strict=True)
        ]


def _stack(masks: list[Image.Image | None]) -> Tensor | None:
    """(N, 1, H, W), ones for a photo that has none; None if no photo has one."""
    known = [mask for mask in masks if mask is not None]
    if not known:
        return None
    whole = Image.new("L", known[0].size, 255)
    return torch.stack([to_mask(whole if mask is None else mask) for mask in masks])


def load_style(style: str, device: str = "auto", precision: str = "auto") -> Style:
    """Load a style by name (shipped, or in `./styles`) or by the path of its file.

    `device` is auto, cpu, cuda or cuda:N; `precision` auto, fp32 or bf16.

    Raises:
        StyleFileError: there is no such style (the hint names the nearest), or its file is bad.
        DeviceError: the device, the precision or the norm backend is not available.
    """
    compute = choose(device, precision)
    backend(compute.device.type)  # one that is forced and cannot run is an error now
    network, header = load_network(find_style(style))
    return Style(network, header, compute)

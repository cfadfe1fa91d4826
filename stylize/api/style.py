"""A style for Python: pictures of any kind in and out, folders, and a card in notebooks."""

import base64
import html
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, overload

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from tqdm.auto import tqdm

from stylize import style as core
from stylize.batch.apply import apply
from stylize.config import ApplyConfig, Look
from stylize.errors import UsageError, suggest, visible
from stylize.events import ApplyDone, ApplyStarted, PhotoDone, PhotoFailed
from stylize.network.mixture import Mixture
from stylize.network.style_card import card
from stylize.photos.photo import to_picture, to_tensor

Array = NDArray[Any]
AnyPicture = TypeVar("AnyPicture", Tensor, Array, Image.Image)


class Style(core.Style):
    """A trained network on its device, with the header of its file.

    One style serves any number of photos of any size. In a notebook, it shows its card.
    """

    @overload
    def __call__(self, images: Image.Image) -> Image.Image: ...
    @overload
    def __call__(self, images: Array) -> Array: ...
    @overload
    def __call__(
        self, images: Tensor, masks: Tensor | None = None, stroke: float = 1.0, refine: int = 0
    ) -> Tensor: ...

    def __call__(self, images: Any, *arguments: Any, **options: Any) -> Any:
        """Run the network alone; the result is of the kind given.

        Tensors are (N, 3, H, W) in [0, 1], with all arguments of `stylize.style.Style`. Arrays are
        (H, W, 3) or (N, H, W, 3), bytes or floats in [0, 1]; a Pillow picture counts as RGB.

        Raises UsageError: `images` are of another shape or type.
        """
        if isinstance(images, Image.Image):
            return to_picture(super().__call__(to_tensor(images.convert("RGB"))[None])[0])
        if isinstance(images, np.ndarray):
            batch = _to_tensors(images)
            painted = super().__call__(batch, *arguments, **options)
            return _to_array(painted, images)
        return super().__call__(images, *arguments, **options)

    def stylize(
        self, picture: AnyPicture, look: Look = core.PLAIN, max_memory: float | None = None
    ) -> AnyPicture:
        """Stylize one picture as `stylize apply` does; the result is of the kind given.

        A Pillow picture of any mode becomes upright sRGB, with its alpha. An array is (H, W, 3), a
        tensor (3, H, W); both hold bytes or floats in [0, 1], and pixels are rounded to 8 bits.

        If `look` spares the background, the product is found by itself. A picture that needs more
        than `max_memory` bytes (default: half of what is free) is computed in strips.

        Raises:
            UsageError: the picture is of another shape or type.
            ImageError: its pixels cannot be decoded, or even strips need more memory.
        """
        if isinstance(picture, Image.Image):
            return super().stylize(picture, look, max_memory)
        if isinstance(picture, Tensor):
            if picture.ndim != 3:
                raise UsageError(f"the picture is {tuple(picture.shape)}, not (3, H, W)")
            known = picture.float() if picture.is_floating_point() else picture  # NumPy lacks bf16
            array = known.detach().cpu().movedim(0, -1).numpy()
            painted = torch.from_numpy(self.stylize(array, look, max_memory))
            return painted.movedim(-1, 0).to(picture)
        if picture.ndim != 3:
            raise UsageError(f"the picture is {picture.shape}, not (H, W, 3)")
        result = super().stylize(to_picture(_to_tensors(picture)[0]), look, max_memory)
        return _to_array(to_tensor(result)[None], picture)

    def stylize_folder(self, source: str | Path, output: str | Path, **options: Any) -> ApplyDone:
        """Stylize all photos below `source` into the folder `output`, with a progress bar.

        `options` are those of `ApplyConfig` and `Look`, such as `size=1024`, `format="webp"` or
        `strength=0.7`. What is up to date stays, as with `stylize apply`. A photo that fails stops
        nothing; it is printed with the reason.

        Raises UsageError: an option, the source or the output cannot be used.
        """
        known = [*ApplyConfig.__dataclass_fields__, *Look.__dataclass_fields__]
        for name in options:
            if name not in known or name in ("look", "device", "precision"):
                hint = suggest(name, known, "ApplyConfig and Look have the options")
                raise UsageError(f"there is no option {name!r}", hint)
        if self.source is None:
            raise UsageError("this style has no file", "load it by load_style")
        config = ApplyConfig(
            look=Look(**Look.own(options)),
            device=str(self.compute.device),
            precision=self.compute.precision,
            **ApplyConfig.own(options),
        )
        with tqdm(unit="photo", desc=self.header.name) as bar:
            for event in apply(str(self.source), [Path(source)], Path(output), config):
                match event:
                    case ApplyStarted():
                        bar.reset(total=event.photos)
                    case PhotoDone():
                        bar.update()
                    case PhotoFailed():
                        bar.write(visible(f"{event.source}: {event.reason}"))
                        bar.update()
        assert isinstance(event, ApplyDone)  # noqa: S101 for the type checker: the last event
        return event

    def _rows(self) -> list[tuple[str, str]]:
        on = f"{self.compute.device}, {self.compute.precision}"
        return [("style", self.header.name), ("computes on", on), *card(self.header)]

    def __repr__(self) -> str:
        rows = self._rows()
        width = max(len(name) for name, _ in rows)
        return "\n".join(f"{name:<{width}}  {text}" for name, text in rows)

    def _repr_html_(self) -> str:
        """The card as a table, with thumbnails of the pictures, for notebooks."""
        rows = "".join(
            f"<tr><th>{html.escape(name)}</th><td>{html.escape(text)}</td></tr>"
            for name, text in self._rows()
        )
        pictures = "".join(_image(picture.thumbnail) for picture in self.header.pictures)
        return f"{pictures}<table>{rows}</table>"


def _image(thumbnail: str) -> str:
    """An HTML image of a thumbnail. It comes from a file, so only what is base64 gets into HTML."""
    try:
        content = base64.b64encode(base64.b64decode(thumbnail, validate=True)).decode()
    except ValueError:
        return ""
    return f'<img src="data:image/jpeg;base64,{content}">' if content else ""


def _to_tensors(array: Array) -> Tensor:
    """(H, W, 3) or (N, H, W, 3), bytes or floats in [0, 1] -> (N, 3, H, W) in fp32."""
    if array.ndim not in (3, 4) or array.shape[-1] != 3:
        raise UsageError(f"the array is {array.shape}, not (H, W, 3) or (N, H, W, 3)")
    if array.dtype != np.uint8 and not np.issubdtype(array.dtype, np.floating):
        raise UsageError(f"the array is {array.dtype}, not uint8 or floating point")
    batch = array if array.ndim == 4 else array[None]
    pixels = batch.astype(np.float32) / (255 if array.dtype == np.uint8 else 1)
    return torch.from_numpy(pixels).movedim(-1, 1)


def _to_array(painted: Tensor, like: Array) -> Array:
    """(N, 3, H, W) in [0, 1] -> an array of the shape and type of `like`."""
    pixels = painted.movedim(1, -1).cpu().numpy()
    if like.dtype == np.uint8:
        pixels = np.rint(pixels * 255).clip(0, 255)
    return pixels.reshape(like.shape).astype(like.dtype)


def mix(weights: Mapping[str, float], device: str = "auto", precision: str = "auto") -> Style:
    """One style between several, such as `mix({"woodblock": 0.7, "swirling-oil": 0.3})`.

    `weights` has names or paths of styles; only their ratios count. The weights of the networks are
    interpolated, so the styles must have one architecture and a common start, as the shipped ones.

    Raises:
        StyleFileError: there is no such style, or they cannot be mixed.
        UsageError: a weight is negative, all are 0, or a style stands there twice.
        DeviceError: the device, the precision or the norm backend is not available.
    """
    return Style.load(str(Mixture.of(weights)), device, precision)


def load_style(style: str, device: str = "auto", precision: str = "auto") -> Style:
    """Load a style by name or by the path of its file, as `Style.load`."""
    return Style.load(style, device, precision)

"""Networks on photos whose activations do not fit into memory: strip by strip, with equal results.

A `Strips` stands in for an image. A network's `forward` accepts it like a tensor but computes
nothing: each torch function returns another `Strips` that knows which rows of its input it needs.
Only statistics need the whole picture: those of the photo of a draft, which is small, and those of
instance norms. When its first rows are requested, a norm computes its input strip by strip, keeps
it in a buffer, and combines the statistics of the strips. So these are the statistics of the whole
picture, and the result equals one pass, apart from rounding. Few rows are computed twice: only
where a blur follows a convolution without a norm in between.
"""

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from stylize.network.draft_revise import add, standardize, standardized
from stylize.network.instance_norm.layer import InstanceNorm2d, Moments, moments
from stylize.network.resample import resize, resize_as, row_weights
from stylize.network.strip_stages import Kept, Normalized, Rows, Run, Window
from stylize.network.transformer import white_noise


def _on_each(method: str) -> Callable[..., "Strips"]:
    """A method of tensors that works on single pixels."""
    return lambda self, *args, **options: self.each(lambda x: getattr(x, method)(*args, **options))


class Strips:
    """Stands in for a tensor (1, C, H, W); `rows(top, bottom)` computes a part of it.

    It has the methods, and `RULES` the functions, that the networks use.
    """

    def __init__(self, run: Run, shape: tuple[int, ...], dtype: torch.dtype, rows: Rows) -> None:
        self.run = run
        self.shape = torch.Size(shape)
        self.dtype = dtype
        self.rows = rows

    @classmethod
    def __torch_function__(
        cls, function: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        rule = RULES.get(function)
        return NotImplemented if rule is None else rule(*args, **(kwargs or {}))

    def advance(self, top: int, bottom: int) -> Tensor:
        """`rows` of a network's result, from top to bottom: none starts above the one before."""
        self.run.strip += 1
        return self.rows(top, bottom)

    @property
    def device(self) -> torch.device:
        return self.run.device

    def derive(self, shape: tuple[int, ...], rows: Rows) -> "Strips":
        return Strips(self.run, shape, self.dtype, rows)

    def each(self, function: Callable[[Tensor], Tensor]) -> "Strips":
        """Apply a function that works on single pixels and keeps the shape."""
        rows, dtype = self.rows, function(torch.empty(1, 1, 1, 1, dtype=self.dtype)).dtype
        return Strips(self.run, self.shape, dtype, lambda *strip: function(rows(*strip)))

    float = _on_each("float")
    to = _on_each("to")
    contiguous = _on_each("contiguous")
    clamp = _on_each("clamp")
    relu_ = _on_each("relu")  # rows may be a view of a buffer
    __sub__ = _on_each("__sub__")
    __mul__ = _on_each("__mul__")
    __truediv__ = _on_each("__truediv__")

    def __add__(self, other: "Strips") -> "Strips":
        ours, theirs = self.rows, other.rows
        return self.derive(self.shape, lambda *strip: ours(*strip) + theirs(*strip))

    def whole(self) -> Tensor:
        """All rows, computed strip by strip."""
        return torch.cat([self.advance(*strip) for strip in self.run.strips(self.shape[2])], dim=2)

    def __getitem__(self, key: tuple[Any, slice, slice]) -> "Strips":
        """`x[..., a:b, c:d]`."""
        _, vertical, horizontal = key
        first, end, _ = vertical.indices(self.shape[2])
        left, right, _ = horizontal.indices(self.shape[3])
        rows = self.rows
        return self.derive(
            (*self.shape[:2], end - first, right - left),
            lambda top, bottom: rows(first + top, first + bottom)[..., left:right],
        )


def on_demand(size: tuple[int, int], channels: int, run: Run, rows: Rows) -> Strips:
    """An image of (width, height) whose `rows` are made when they are needed."""
    width, height = size
    return Strips(run, (1, channels, height, width), torch.float32, rows)


def as_tensor(image: Tensor | Strips) -> Tensor:
    """All of it, in one tensor."""
    return image.whole() if isinstance(image, Strips) else image


def _norm(
    layer: InstanceNorm2d,
    x: Strips,
    residual: Strips | None = None,
    *,
    relu: bool = False,
    mask: Strips | None = None,
    given: None = None,
) -> Strips:
    if layer in x.run.given:
        return x.derive(x.shape, Window(layer, x, residual, relu).rows)
    return x.derive(x.shape, Normalized(layer, x, residual, relu, mask).rows)


def _standardized(photo: Strips, mask: Strips | None) -> Strips:
    @cache
    def statistics() -> Moments:
        return moments(photo.whole(), None if mask is None else mask.whole())

    rows = photo.rows
    return photo.derive(photo.shape, lambda *strip: standardize(rows(*strip), statistics()))


def _add(painting: Strips, residual: Strips) -> Strips:
    ours, theirs = painting.rows, residual.rows
    return painting.derive(painting.shape, lambda *strip: add(ours(*strip), theirs(*strip)))


def _noise(like: Strips, channels: int) -> Strips:
    _, _, height, width = like.shape

    def rows(top: int, bottom: int) -> Tensor:
        place = torch.empty(1, 1, bottom - top, width, device=like.device)
        return white_noise(place, channels, top)

    return Strips(like.run, (1, channels, height, width), torch.float32, rows)


def _pad(x: Strips, pad: tuple[int, int, int, int], mode: str, value: None) -> Strips:
    if mode not in ("replicate", "reflect"):
        raise NotImplementedError(f"padding {mode!r} of strips")
    left, right, above, below = pad
    reach = 1 if mode == "reflect" else 0  # rows inside that each row beyond the border needs
    channels, height, width = x.shape[1:]
    source = x.rows

    def rows(top: int, bottom: int) -> Tensor:
        first, end = top - above, bottom - above
        over, under = max(0, -first), max(0, end - height)
        start = max(0, min(first, height - 1 - reach * under))
        stop = min(height, max(end, 1 + reach * over))
        strip = F.pad(source(start, stop), (left, right, over, under), mode)
        skipped = first - start + over
        return strip[:, :, skipped : skipped + bottom - top]

    return x.derive((1, channels, height + above + below, width + left + right), rows)


def _conv2d(
    x: Strips,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | tuple[int, int] = 1,
    padding: int | tuple[int, int] = 0,
    dilation: int | tuple[int, int] = 1,
    groups: int = 1,
) -> Strips:
    if padding not in (0, (0, 0)) or dilation not in (1, (1, 1)):
        raise NotImplementedError("convolution of strips with its own padding, or dilated")
    step, right = (stride, stride) if isinstance(stride, int) else stride
    channels, _, tall, wide = weight.shape
    height, width = (x.shape[2] - tall) // step + 1, (x.shape[3] - wide) // right + 1
    source = x.rows

    def rows(top: int, bottom: int) -> Tensor:
        strip = source(top * step, (bottom - 1) * step + tall)
        return F.conv2d(strip, weight, bias, stride, groups=groups)

    return x.derive((1, channels, height, width), rows)


def _smaller(
    x: Strips, factor: int, function: Callable[[Tensor, int], Tensor], channels: int
) -> Strips:
    source = x.rows
    return x.derive(
        (1, channels, x.shape[2] // factor, x.shape[3] // factor),
        lambda top, bottom: function(source(top * factor, bottom * factor), factor),
    )


def _larger(
    x: Strips, factor: int, function: Callable[[Tensor, int], Tensor], channels: int
) -> Strips:
    source = x.rows

    def rows(top: int, bottom: int) -> Tensor:
        first = top // factor
        large = function(source(first, -(-bottom // factor)), factor)
        return large[:, :, top - first * factor : bottom - first * factor]

    return x.derive((1, channels, x.shape[2] * factor, x.shape[3] * factor), rows)


def _interpolate(x: Strips, size: None, scale_factor: int, mode: str, **options: None) -> Strips:
    if size is not None or mode != "nearest":
        raise NotImplementedError(f"interpolation of strips {mode!r} to {size}")
    return _larger(x, scale_factor, lambda strip, by: F.interpolate(strip, None, by), x.shape[1])


def _resize(x: Strips, size: tuple[int, int]) -> Strips | Tensor:
    run = x.run.at(size[0] * size[1] / (x.shape[2] * x.shape[3]))
    rows = _resized(x.rows, x.shape, size, math.ceil(x.shape[2] / x.run.count))
    result = Strips(run, (1, x.shape[1], *size), torch.float32, rows)
    return result.whole() if run.count == 1 else result


def _resize_as(x: Strips | Tensor, like: Strips) -> Strips:
    size = (like.shape[2], like.shape[3])
    if isinstance(x, Strips) and x.shape[2:] == size:
        return x
    source = Kept(x).rows if isinstance(x, Strips) else lambda top, end: x[:, :, top:end]
    rows = _resized(source, x.shape, size, x.shape[2])
    return Strips(like.run, (1, x.shape[1], *size), torch.float32, rows)


def _resized(source: Rows, shape: tuple[int, ...], size: tuple[int, int], most: int) -> Rows:
    """`resize` by rows: columns by torch, rows by their weights; from about `most` rows at a time,
    as a strip of a small copy may show much of the picture."""

    def part(top: int, bottom: int) -> Tensor:
        places, shares = row_weights(range(top, bottom), shape[2], size[0])
        strip = source(places.start, places.stop)
        return shares.to(strip.device) @ resize(strip, (len(places), size[1]))

    step = max(1, most * size[0] // shape[2])

    def rows(top: int, bottom: int) -> Tensor:
        parts = [part(row, min(row + step, bottom)) for row in range(top, bottom, step)]
        return torch.cat(parts, dim=2) if len(parts) > 1 else parts[0]

    return rows


RULES: dict[Any, Callable[..., Strips | Tensor]] = {
    resize: _resize,
    resize_as: _resize_as,
    add: _add,
    InstanceNorm2d.forward: _norm,
    standardized: _standardized,
    white_noise: _noise,
    torch.sigmoid: lambda x: x.each(torch.sigmoid),
    F.pad: _pad,
    F.conv2d: _conv2d,
    F.avg_pool2d: lambda x, size: _smaller(x, size, F.avg_pool2d, x.shape[1]),
    F.pixel_unshuffle: lambda x, factor: _smaller(
        x, factor, F.pixel_unshuffle, x.shape[1] * factor**2
    ),
    F.pixel_shuffle: lambda x, factor: _larger(x, factor, F.pixel_shuffle, x.shape[1] // factor**2),
    F.interpolate: _interpolate,
}

"""A pass of a picture in strips, and the stages that keep rows: of the whole picture, or a few."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Protocol

import torch
from torch import Tensor, nn

from stylize.network.buffers import Buffer
from stylize.network.instance_norm.layer import InstanceNorm2d, Moments, combine, moments
from stylize.network.instance_norm.torch_backend import in_fp64

Rows = Callable[[int, int], Tensor]  # first row, last + 1 -> (1, C, rows, W)
Allocate = Callable[[tuple[int, ...], torch.dtype], Buffer]


@dataclass
class Run:
    """One pass of a picture through a network, in `count` strips on `device`.

    `allocate` makes a buffer for activations of the whole picture. A norm with `given` statistics
    needs none and keeps a few rows only; the statistics of all other norms go into `found`.
    """

    device: torch.device
    count: int
    allocate: Allocate
    given: dict[nn.Module, Moments] = field(default_factory=dict)
    found: dict[nn.Module, Moments] = field(default_factory=dict)
    strip: int = 0  # of the result that is being computed

    def strips(self, height: int) -> Iterator[tuple[int, int]]:
        return cut(height, self.count)

    def at(self, scale: float) -> "Run":
        """The run of a smaller picture in the same pass: in as many strips as its pixels need."""
        return replace(self, count=math.ceil(self.count * min(1.0, scale)), strip=0)


def cut(height: int, count: int) -> Iterator[tuple[int, int]]:
    """First row and last + 1 of each of at most `count` strips of `height` rows."""
    rows = -(-height // count)
    for top in range(0, height, rows):
        yield top, min(top + rows, height)


class Source(Protocol):
    """What a stage needs of the `Strips` before it."""

    run: Run
    shape: torch.Size
    rows: Rows

    def advance(self, top: int, bottom: int) -> Tensor: ...


class Kept:
    """A picture that is read more than once: its rows are computed once, and kept in fp32."""

    def __init__(self, x: Source) -> None:
        self.source: Source | None = x

    def rows(self, top: int, bottom: int) -> Tensor:
        if self.source is not None:
            x = self.source
            for strip in x.run.strips(x.shape[2]):
                rows = x.advance(*strip)
                if strip[0] == 0:  # only now: earlier stages may have needed the memory
                    self.buffer = x.run.allocate(tuple(x.shape), torch.float32)
                self.buffer.write(strip[0], rows.float())
            self.source = None
        return self.buffer.read(top, bottom)


class Normalized:
    """A norm that keeps its whole input, for the statistics, and returns normalized rows."""

    def __init__(
        self,
        layer: InstanceNorm2d,
        x: Source,
        residual: Source | None,
        relu: bool,
        mask: Source | None,
    ) -> None:
        self.layer = layer
        self.relu = relu
        self.run = x.run
        self.source: tuple[Source, Source | None, Source | None] | None = (x, residual, mask)

    def rows(self, top: int, bottom: int) -> Tensor:
        if self.source is not None:
            x, residual, mask = self.source
            self._keep(x, mask)
            if residual is not None:
                self._add(residual)
            self.finished = residual is not None
            self.source = None  # earlier buffers are no longer needed
        strip = self.buffer.read(top, bottom)
        return strip if self.finished else self._normalize(strip)

    def _keep(self, x: Source, mask: Source | None) -> None:
        means, variances, counts, weights = [], [], [], []
        for top, bottom in self.run.strips(x.shape[2]):
            strip = x.rows(top, bottom)
            part = None if mask is None else mask.rows(top, bottom)
            mean, variance = moments(strip, part)
            means.append(mean)
            variances.append(variance)
            counts.append(in_fp64(torch.ones_like(strip[:, :1])).sum((2, 3)))
            weights.append(counts[-1] if part is None else in_fp64(part).sum((2, 3)))
            if top == 0:  # only now: earlier stages may have needed the memory
                self.buffer = self.run.allocate((*x.shape[:3], strip.shape[3]), strip.dtype)
            self.buffer.write(top, strip)
        # A mask of zeros counts as none, as in `moments`.
        shares = torch.stack(weights if any(weights) else counts)
        self.statistics = combine(torch.stack(means), torch.stack(variances), shares)
        self.run.found[self.layer] = self.statistics

    def _add(self, residual: Source) -> None:
        """Finish in place, to release the buffer of the residual."""
        for top, bottom in self.run.strips(residual.shape[2]):
            strip = self.buffer.read(top, bottom)
            self.buffer.write(top, self._normalize(strip, residual.rows(top, bottom)))

    def _normalize(self, strip: Tensor, residual: Tensor | None = None) -> Tensor:
        out: Tensor = self.layer(strip, residual, relu=self.relu, given=self.statistics)
        return out


class Window:
    """A norm with given statistics: keeps only the rows that the next strip needs again."""

    def __init__(
        self, layer: InstanceNorm2d, x: Source, residual: Source | None, relu: bool
    ) -> None:
        self.layer = layer
        self.x = x
        self.residual = residual
        self.relu = relu
        self.kept: Tensor | None = None
        self.first = self.lowest = 0  # first row kept; first row that this strip has read
        self.strip = 0

    def rows(self, top: int, bottom: int) -> Tensor:
        if self.kept is not None and self.strip != self.x.run.strip:
            # The next strip never reads rows above those of this one.
            self.kept = self.kept[:, :, self.lowest - self.first :]
            self.first, self.lowest = self.lowest, top
        self.strip = self.x.run.strip
        self.lowest = min(self.lowest, top)
        end = self.first + (0 if self.kept is None else self.kept.shape[2])
        if self.kept is None or bottom > end:
            residual = None if self.residual is None else self.residual.rows(end, bottom)
            given = self.x.run.given[self.layer]
            new = self.layer(self.x.rows(end, bottom), residual, relu=self.relu, given=given)
            self.kept = new if self.kept is None else torch.cat([self.kept, new], dim=2)
        return self.kept[:, :, top - self.first : bottom - self.first]

"""How much memory there is, how much a photo takes, and which way through a network it goes.

Sizes are bytes, picture sizes pixels. docs/any-size.md explains the model and measures it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import psutil
import torch

from stylize.config import Look
from stylize.errors import ImageError, UsageError
from stylize.network.device import Compute, free_memory

SHARE = 0.5  # of what is free, where nobody has said how much may be taken
FIXED = 150e6  # of libraries, once they work: convolutions' own buffers, code that gets loaded
PICTURE = 15  # a pixel: decoded and stylized, 4 each as Pillow has them; mask; the file, twice
DECODED = 5  # of these, before there is a result
SCALED = 10  # of the size that a network sees, if it is not the photo's own: in, out, weights
LOOK = 250  # of a strip that is changed as `Look` says: copies in fp32
PIXEL = 20  # in fp32, with its mask, as it goes into a network or comes out of it
MOST_IN_ONE_PASS = 2**22  # pixels, on a CPU: more are no slower in strips
BORDER = 32  # pixels that networks at most add to a side
STRIP_PIXELS = 2**20  # on a CPU: enough for all cores, few beside what is kept
STRIP_PIXELS_ON_GPU = 2**23  # fewer launches
FEWEST_ROWS = 64  # of a photo in a strip: at an eighth of the resolution there still are eight
WINDOW_ROWS = 256  # that a network sees around and in a strip, where it keeps nothing else
THUMBNAIL = 2048  # pixels on the longest side, for approximate statistics


class Way(StrEnum):
    """How a photo goes through a network; all but the last give the same picture."""

    ONE_PASS = "in one pass"  # noqa: S105 no password
    STRIPS = "in strips"
    FROM_HOST = "in strips from host memory"
    FROM_DISK = "in strips from disk"
    APPROXIMATE = "in strips, with the statistics of a thumbnail"


@dataclass(frozen=True)
class Budget:
    """What may be taken on the device and on the host; on a CPU both are one. `base` is what the
    process has already."""

    device: float
    host: float
    base: float


@dataclass(frozen=True)
class Need:
    """What one photo takes at its peak, going that way."""

    way: Way
    device: int
    host: int

    def fits(self, budget: Budget, photos: int = 1) -> bool:
        return photos * self.host <= budget.host and self.device <= budget.device


def ways(
    size: tuple[int, int],
    seen: tuple[int, int],
    values: tuple[float, float],
    compute: Compute,
    look: Look,
) -> list[Need]:
    """The ways that a photo of (width, height) can go and what each takes, the best first.

    `seen` is the size at which the network sees it, `values` how many the network holds at its peak
    for each pixel: in one pass, in strips.
    """
    width, height = (side + BORDER for side in seen)
    pixels, of_photo = width * height, size[0] * size[1]
    on_gpu = compute.device.type == "cuda"
    one_pass = values[0] * compute.dtype.itemsize + PIXEL
    kept = values[1] * compute.dtype.itemsize * pixels
    strips = count_strips(seen, on_gpu=on_gpu)
    strip = (one_pass + (0 if look.plain else LOOK)) * width * (height / strips + BORDER)
    scaled = 0 if seen == size else SCALED * pixels

    def need(way: Way, device: float, host: float = 0) -> Need:
        beside = scaled + (host if on_gpu else host + device)
        host = max(PICTURE * of_photo, DECODED * of_photo + beside)
        return Need(way, math.ceil(device) if on_gpu else 0, math.ceil(host))

    if look.statistics == "thumbnail" and max(seen) > THUMBNAIL:
        window = one_pass * width * (height / strips + WINDOW_ROWS)
        thumbnail = kept * (THUMBNAIL / max(seen)) ** 2 + strip
        return [need(Way.APPROXIMATE, max(window, thumbnail))]
    found = [need(Way.STRIPS, kept + strip)]
    if on_gpu or pixels <= MOST_IN_ONE_PASS:
        found.insert(0, need(Way.ONE_PASS, one_pass * pixels, 2 * PIXEL * pixels if on_gpu else 0))
    if on_gpu:
        found.append(need(Way.FROM_HOST, strip, kept))
    return [*found, need(Way.FROM_DISK, strip)]


def count_strips(size: tuple[int, int], *, on_gpu: bool = False) -> int:
    """Into how many strips a picture of (width, height) is cut; each is as wide as the picture."""
    width, height = size
    most = STRIP_PIXELS_ON_GPU if on_gpu else STRIP_PIXELS
    return max(1, min(math.ceil(width * height / most), height // FEWEST_ROWS))


def affordable(found: Sequence[Need], budget: Budget, photos: int = 1) -> Need:
    """The first of `ways` that fits; one pass only if `photos` at the same time could take it.

    Raises:
        ImageError: not even the last fits.
    """
    for need in found:
        if need.fits(budget, photos if need.way is Way.ONE_PASS else 1):
            return need
    least = found[-1]
    on_gpu = f" and {in_words(least.device)} on the GPU" if least.device > budget.device else ""
    raise ImageError(
        f"takes {in_words(budget.base + least.host)} of memory{on_gpu} at least; "
        "allow more with --max-memory, or fewer pixels with --size"
    )


def make_budget(max_memory: float | None, device: torch.device) -> Budget:
    """Up to `max_memory` bytes, on the device and on the host; without, half of what is free.

    Raises:
        UsageError: the process alone takes more.
    """
    base = psutil.Process().memory_info().rss + FIXED
    host = SHARE * free_memory() if max_memory is None else max_memory - base
    if host <= 0:
        raise UsageError(
            f"{in_words(max_memory or 0)} are not enough: without any photo it takes "
            f"{in_words(base)}",
            "give --max-memory more",
        )
    if device.type != "cuda":
        return Budget(math.inf, host, base)
    free, _ = torch.cuda.mem_get_info(device)
    return Budget(SHARE * free if max_memory is None else min(free, max_memory), host, base)


def in_words(size: float) -> str:
    """Such as 3.4 GB, rounded up: so much is enough."""
    return f"{math.ceil(size / 1e8) / 10} GB" if size >= 1e9 else f"{math.ceil(size / 1e6)} MB"

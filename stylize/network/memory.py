"""How much memory a photo needs, and which way it takes through a network.

Memory is in bytes, pictures in pixels. docs/any-size.md explains and measures the model.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import psutil
import torch

from stylize.config import Look
from stylize.errors import ImageError, UsageError
from stylize.network.device import Compute, free_memory, has_own_memory

SHARE = 0.5  # of the free memory, without --max-memory
FIXED = 150e6  # of libraries at work: buffers of convolutions, code loaded late
PICTURE = 15  # per pixel: decoded and stylized (4 each in Pillow), mask, the file twice
DECODED = 5  # of PICTURE, before there is a result
SCALED = 10  # per pixel at the network's size, if it differs: input, output, weights
LOOK = 250  # per pixel of a strip that `blend` changes: copies in fp32
PIXEL = 20  # per pixel of a network's input or output: fp32, with its mask
MOST_IN_ONE_PASS = 2**22  # pixels, on a CPU: above, strips are as fast
BORDER = 32  # pixels: the most padding that a network adds to a side
STRIP_PIXELS = 2**18  # on a CPU: what is computed of a strip stays in its caches
STRIP_PIXELS_OF_A_LOOK = 2**20  # on a CPU: `blend` needs rows around each strip, too
STRIP_PIXELS_ON_GPU = 2**23  # fewer launches
FEWEST_ROWS = 64  # of a photo in a strip: 8 at an eighth of the resolution
WINDOW_ROWS = 256  # that a network needs around a strip, with given statistics
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
    """Memory that photos may use on the device and on the host (on a CPU, `host` counts). `base`
    is what the process uses already."""

    device: float
    host: float
    base: float


@dataclass(frozen=True)
class Need:
    """The peak memory of one photo that goes that way."""

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
    """The ways open to a photo of (width, height) with their memory, the fastest first.

    `seen` is the size at which the network sees it, `values` the network's `values_per_pixel`.
    """
    width, height = (side + BORDER for side in seen)
    pixels, of_photo = width * height, size[0] * size[1]
    on_gpu = has_own_memory(compute.device)
    one_pass = values[0] * compute.dtype.itemsize + PIXEL
    kept = values[1] * compute.dtype.itemsize * pixels
    strips = count_strips(seen, plain=look.plain, on_gpu=on_gpu)
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


def count_strips(size: tuple[int, int], *, plain: bool = True, on_gpu: bool = False) -> int:
    """The number of full-width strips for a picture of (width, height) in a `plain` look or not."""
    width, height = size
    on_cpu = STRIP_PIXELS if plain else STRIP_PIXELS_OF_A_LOOK
    most = STRIP_PIXELS_ON_GPU if on_gpu else on_cpu
    return max(1, min(math.ceil(width * height / most), height // FEWEST_ROWS))


def affordable(found: Sequence[Need], budget: Budget, photos: int = 1) -> Need:
    """The first of `ways` that fits; one pass only if `photos` at the same time would fit.

    Raises ImageError: none fits.
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
    """`max_memory` bytes on the device and on the host; by default half of what is free.

    Raises UsageError: the process alone uses more.
    """
    base = psutil.Process().memory_info().rss + FIXED
    host = SHARE * free_memory() if max_memory is None else max_memory - base
    if host <= 0:
        raise UsageError(
            f"{in_words(max_memory or 0)} are not enough: without any photo it takes "
            f"{in_words(base)}",
            "give --max-memory more",
        )
    if not has_own_memory(device):
        return Budget(math.inf, host, base)
    free, _ = torch.get_device_module(device).mem_get_info(device)
    return Budget(SHARE * free if max_memory is None else min(free, max_memory), host, base)


def in_words(size: float) -> str:
    """Such as 3.4 GB, rounded up, so that it is enough."""
    return f"{math.ceil(size / 1e8) / 10} GB" if size >= 1e9 else f"{math.ceil(size / 1e6)} MB"

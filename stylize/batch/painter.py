"""Decoded pictures -> encoded paintings, by one style on one device."""

import errno
import hashlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import torch
from PIL import Image

from stylize.batch.manifest import Content, Record
from stylize.batch.reader import Origin, Reservations, Work, first_line
from stylize.batch.tasks import Recipe
from stylize.config import ApplyConfig
from stylize.errors import ImageError
from stylize.events import PhotoBegun, PhotoDone, PhotoFailed
from stylize.files import Url
from stylize.network.memory import Budget, Way
from stylize.photos.encoder import encode
from stylize.photos.metadata import resized
from stylize.photos.photo import Photo
from stylize.style import Style

NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True)
class Encoded:
    """The content of a file that is to be written, its record, and the event for it."""

    content: Content
    record: Record
    done: PhotoDone


class Painter:
    """Paints what a `Reader` has decoded; threads may share it."""

    def __init__(
        self, style: Style, recipe: Recipe, config: ApplyConfig, budget: Budget, scratch: Path
    ) -> None:
        """`scratch` is a folder for the buffers of pictures that do not fit into memory."""
        self.style = style
        self.recipe = recipe
        self.config = config
        self.budget = budget
        self.scratch = scratch
        self._device = Reservations(budget.device)

    def begun(self, work: Work) -> PhotoBegun:
        """The event for a picture that enters the network."""
        size = max((frame.size for frame in work.picture.frames), key=lambda s: s[0] * s[1])
        width, height = self.style.seen(size, self.config.look)
        memory = round(self.budget.base + work.need.host)
        return PhotoBegun(work.task.job.source, width, height, str(work.need.way), memory)

    def paint(self, batch: Sequence[Work]) -> list[Encoded | PhotoFailed]:
        """One painting, or the reason why there is none, for each picture of the batch."""
        with self._device.reserved(batch[0].need.device):
            stylized = list(self._stylize(batch, self.config.batch_size))
        return [p if isinstance(p, PhotoFailed) else self._encode(*p) for p in stylized]

    def _stylize(
        self, batch: Sequence[Work], at_once: int
    ) -> Iterator[tuple[Work, list[Image.Image], float] | PhotoFailed]:
        """Stylize `at_once` frames together; on failure fewer, then one frame at a time in ways
        that need less memory."""
        started = time.monotonic()
        frames = [frame for work in batch for frame in work.picture.frames]
        look, need, folder = self.config.look, batch[0].need, self.scratch
        results: list[Image.Image] = []
        try:
            for first in range(0, len(frames), at_once):
                chunk = frames[first : first + at_once]
                results += self.style.stylize_photos(chunk, look, need, folder)
        except Exception as error:  # noqa: BLE001 one photo never stops the others
            no_memory = _is_no_memory(error)
            reason = _reason(error, frames[0])
        else:
            seconds = (time.monotonic() - started) / len(batch)
            for work in batch:
                own = [results.pop(0) for _ in work.picture.frames]
                yield work, own, seconds
            return
        # Outside of `except`, the error no longer keeps its tensors alive.
        device = self.style.compute.device
        if device.type != "cpu":
            torch.get_device_module(device).empty_cache()
        fewer = min(at_once, len(frames)) // 2
        middle = len(batch) // 2
        if middle:
            yield from self._stylize(batch[:middle], max(1, fewer))
            yield from self._stylize(batch[middle:], max(1, fewer))
        elif fewer:
            yield from self._stylize(batch, fewer)
        elif no_memory and (way := self._next_way(batch[0])):
            work = replace(batch[0], need=replace(need, way=way))
            yield from self._stylize([work], at_once)
        else:
            yield PhotoFailed(batch[0].task.job.source, reason)

    def _next_way(self, work: Work) -> Way | None:
        """The next way that needs less memory than the one that failed."""
        largest = max((frame.size for frame in work.picture.frames), key=lambda s: s[0] * s[1])
        ways = [need.way for need in self.style.ways(largest, self.config.look)]
        return next(iter(ways[ways.index(work.need.way) + 1 :]), None)

    def _encode(
        self, work: Work, images: Sequence[Image.Image], seconds: float
    ) -> Encoded | PhotoFailed:
        started = time.monotonic()
        job, picture = work.task.job, work.picture
        width, height = images[0].size
        try:
            picture = replace(picture, metadata=resized(picture.metadata, width, height))
            content, warnings = encode(images, picture, job.target.suffix, self.config.quality)
        except ImageError as error:
            return PhotoFailed(job.source, str(error))
        except Exception as error:  # noqa: BLE001 one photo never stops the others
            return PhotoFailed(job.source, f"cannot be written ({first_line(error)})")
        warnings = [*picture.warnings, *warnings]
        seconds += work.seconds + time.monotonic() - started
        output = hashlib.sha256(content).hexdigest()
        record = make_record(work, self.recipe, output, seconds, warnings)
        size = (width, height, len(images))
        done = PhotoDone(job.source, job.target, *size, seconds, tuple(warnings))
        return Encoded(content, record, done)


def make_record(
    origin: Origin, recipe: Recipe, output: str, seconds: float, warnings: Sequence[str]
) -> Record:
    """The line of the manifest for an output with that sha256."""
    job = origin.task.job
    return Record(
        target=str(job.place),
        output=output,
        source=str(job.source if isinstance(job.source, Url) else job.source.absolute()),
        size=origin.size,
        sha256=origin.sha256,
        mask=origin.mask,
        style=recipe.style,
        options=recipe.options_of(job.source),
        time=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=round(seconds, 3),
        warnings=tuple(warnings),
        source_version=job.source.version if isinstance(job.source, Url) else None,
    )


def _is_no_memory(error: Exception) -> bool:
    # On a CPU, torch's allocator says so only in the text of a RuntimeError.
    known = isinstance(error, (MemoryError, torch.OutOfMemoryError))
    return known or "can't allocate memory" in str(error)


def _reason(error: Exception, photo: Photo) -> str:
    size = f"{photo.rgb.width} x {photo.rgb.height} pixels"
    if _is_no_memory(error):
        return f"not enough memory for {size}; try --size"
    if isinstance(error, OSError) and error.errno in NO_SPACE:
        return f"no room on the output's disk to work on {size}; try a higher --max-memory"
    return first_line(error)

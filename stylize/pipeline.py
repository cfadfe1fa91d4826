"""Tasks -> files: decoding, the network, encoding, of several photos at the same time.

All work runs in threads, and the caller collects events. Queues are short, so memory does not grow
with the number of photos.
"""

import errno
import hashlib
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import torch
from PIL import Image

from stylize.batches import prefetch
from stylize.config import ApplyConfig
from stylize.errors import ImageError
from stylize.events import PhotoDone, PhotoFailed
from stylize.files import digest, open_file, write_file
from stylize.formats import encode, fit
from stylize.images import Photo, Picture, read_mask, read_picture
from stylize.manifest import Manifest, Record
from stylize.masks import product_mask
from stylize.metadata import Metadata, resized
from stylize.style import Style
from stylize.todo import Recipe, Task

MOST_AT_ONCE = 8  # batches
MOST_PIXELS = 64_000_000  # of all of them together: 5 GB; one photo may have more
NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
FAILED, FULL = "a photo failed", "the disk is full"  # why a run stops
FOREIGN = "its output exists, and is not as stylize wrote it; --overwrite replaces it"
NO_MASK = "no mask, no transparency and no flat background: stylized as a whole"


@dataclass(frozen=True)
class Work:
    """A decoded picture on its way; `size` and `sha256` are those of its file."""

    task: Task
    picture: Picture
    size: int
    sha256: str
    mask_sha256: str | None
    seconds: float


class Pipeline:
    """Carries out tasks with one style into one output folder.

    On a CPU, cores do more when each takes a photo of its own than when all share one, waiting for
    each other. So several photos are under way, each with its part of the threads; one too large
    for that has all of them. A GPU takes one batch at a time.

    `stopped` says why it ended before all tasks were done, if it did.
    """

    def __init__(
        self, style: Style, manifest: Manifest, recipe: Recipe, config: ApplyConfig, photos: int
    ) -> None:
        """`photos` are those of the whole plan: as rounding depends on the number of threads, a run
        that goes on with a few of them shall not take more."""
        self.style = style
        self.manifest = manifest
        self.recipe = recipe
        self.config = config
        self.stopped = ""
        self.threads = torch.get_num_threads()
        on_gpu = style.compute.device.type == "cuda"
        self.workers = MOST_AT_ONCE if on_gpu else min(MOST_AT_ONCE, self.threads, max(1, photos))
        self._device = threading.Lock() if on_gpu else nullcontext()

    def run(
        self, tasks: Sequence[Task], *, failed: bool = False
    ) -> Iterator[PhotoDone | PhotoFailed]:
        """One event for each task that was begun.

        None are begun once the disk is full or, with `config.fail_fast`, after a failure (`failed`:
        there is one already); those that are under way are ended, as far as they can be.
        """
        if failed and self.config.fail_fast:
            self.stopped = FAILED
            return
        running: deque[tuple[int, Future[list[PhotoDone | PhotoFailed]]]] = deque()
        with ThreadPoolExecutor(self.workers, "work", self._use_threads) as pool:
            try:
                for item in self._batches(tasks):
                    batch = [] if isinstance(item, PhotoFailed) else item
                    if isinstance(item, PhotoFailed):
                        yield self._seen(item)
                    while running and (self._crowded(running, batch) or running[0][1].done()):
                        yield from map(self._seen, running.popleft()[1].result())
                    if self.stopped:
                        break
                    if batch:
                        running.append((_pixels(batch), pool.submit(self._finish, batch)))
                while running:
                    yield from map(self._seen, running.popleft()[1].result())
            finally:
                for _, future in running:  # left where the caller has given up
                    future.cancel()
                torch.set_num_threads(self.threads)  # for threads that begin from now on

    def _use_threads(self) -> None:
        torch.set_num_threads(max(1, self.threads // self.workers))

    def _crowded(self, running: Sequence[tuple[int, object]], batch: Sequence[Work]) -> bool:
        """Whether `batch` has to wait. So many may be begun that no worker has to."""
        pixels = sum(pixels for pixels, _ in running) + _pixels(batch)
        return len(running) > 2 * self.workers or pixels > MOST_PIXELS

    def _seen(self, event: PhotoDone | PhotoFailed) -> PhotoDone | PhotoFailed:
        if isinstance(event, PhotoFailed) and self.config.fail_fast:
            self.stopped = self.stopped or FAILED
        return event

    def _batches(self, tasks: Sequence[Task]) -> Iterator[list[Work] | PhotoFailed]:
        """Neighbours of one size go through the network at once."""
        batch: list[Work] = []
        for future in prefetch(self._read, tasks, ahead=self.config.batch_size + 1):
            work = future.result()
            if batch and not (isinstance(work, Work) and self._joins(work, batch)):
                yield batch
                batch = []
            if isinstance(work, PhotoFailed):
                yield work
            else:
                batch.append(work)
        if batch:
            yield batch

    def _joins(self, work: Work, batch: Sequence[Work]) -> bool:
        frames = [frame for member in (*batch, work) for frame in member.picture.frames]
        return len(frames) <= self.config.batch_size and len({f.size for f in frames}) == 1

    def _read(self, task: Task) -> Work | PhotoFailed:
        started = time.monotonic()
        source = task.job.source
        try:
            with open_file(source) as file:
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()
                size = file.tell()
                file.seek(0)
                most = self.config.max_megapixels * 1e6
                gps = not self.config.strip_gps
                picture = read_picture(source, file, most, self.config.size, gps=gps)
            if self.config.strip:
                picture = replace(picture, metadata=Metadata())
            if self.config.look.keep_background:
                picture = _with_masks(picture, task, most)
            picture = fit(picture, task.job.target.suffix)
            mask_sha256 = digest(task.mask) if task.mask else None
        except ImageError as error:
            return PhotoFailed(source, error.about(source))
        except OSError as error:
            return PhotoFailed(source, error.strerror or str(error))
        except Exception as error:  # noqa: BLE001 whatever it is, other photos go on
            return PhotoFailed(source, f"cannot be read ({_first_line(error)})")
        return Work(task, picture, size, sha256, mask_sha256, time.monotonic() - started)

    def _finish(self, batch: Sequence[Work]) -> list[PhotoDone | PhotoFailed]:
        """From decoded pictures to written files."""
        large = 2 * _pixels(batch) > MOST_PIXELS
        if large:
            torch.set_num_threads(self.threads)
        with self._device:
            stylized = list(self._stylize(batch, self.config.batch_size))
        if large:
            self._use_threads()
        return [item if isinstance(item, PhotoFailed) else self._write(*item) for item in stylized]

    def _stylize(
        self, batch: Sequence[Work], at_once: int
    ) -> Iterator[tuple[Work, list[Image.Image], float] | PhotoFailed]:
        """`at_once` frames go through the network together; fewer and fewer where that fails."""
        started = time.monotonic()
        frames = [frame for work in batch for frame in work.picture.frames]
        results: list[Image.Image] = []
        try:
            for first in range(0, len(frames), at_once):
                chunk = frames[first : first + at_once]
                results += self.style.stylize_photos(chunk, self.config.look)
        except Exception as error:  # noqa: BLE001 whatever it is, other photos go on
            reason = _reason(error, frames[0])
        else:
            seconds = (time.monotonic() - started) / len(batch)
            for work in batch:
                own = [results.pop(0) for _ in work.picture.frames]
                yield work, own, seconds
            return
        # Outside of `except`, where the error no longer holds on to what filled the memory.
        if self.style.compute.device.type == "cuda":
            torch.cuda.empty_cache()
        fewer = min(at_once, len(frames)) // 2
        middle = len(batch) // 2
        if middle:
            yield from self._stylize(batch[:middle], max(1, fewer))
            yield from self._stylize(batch[middle:], max(1, fewer))
        elif fewer:
            yield from self._stylize(batch, fewer)
        else:
            yield PhotoFailed(batch[0].task.job.source, reason)

    def _write(
        self, work: Work, images: Sequence[Image.Image], seconds: float
    ) -> PhotoDone | PhotoFailed:
        started = time.monotonic()
        job, picture = work.task.job, work.picture
        width, height = images[0].size
        try:
            if not self.config.overwrite and self.manifest.foreign(job):  # since the run began
                return PhotoFailed(job.source, FOREIGN)
            picture = replace(picture, metadata=resized(picture.metadata, width, height))
            content, warnings = encode(images, picture, job.target.suffix, self.config.quality)
            warnings = [*picture.warnings, *warnings]
            seconds += work.seconds + time.monotonic() - started
            record = Record(
                target=str(job.place),
                output=hashlib.sha256(content).hexdigest(),
                source=str(job.source),
                size=work.size,
                sha256=work.sha256,
                mask=work.mask_sha256,
                style=self.recipe.style,
                options=self.recipe.options,
                time=datetime.now(UTC).isoformat(timespec="seconds"),
                seconds=round(seconds, 3),
                warnings=tuple(warnings),
            )
            self.manifest.add(record)
            write_file(job.target, content, self.manifest.scratch)
        except ImageError as error:
            return PhotoFailed(job.source, str(error))
        except OSError as error:
            if error.errno in NO_SPACE:
                self.stopped = FULL
            return PhotoFailed(job.source, f"cannot be written ({error.strerror})")
        except Exception as error:  # noqa: BLE001 whatever it is, other photos go on
            return PhotoFailed(job.source, f"cannot be written ({_first_line(error)})")
        frames = len(images)
        return PhotoDone(job.source, job.target, width, height, frames, seconds, tuple(warnings))


def _pixels(batch: Sequence[Work]) -> int:
    return sum(
        frame.rgb.width * frame.rgb.height for work in batch for frame in work.picture.frames
    )


def _with_masks(picture: Picture, task: Task, max_pixels: float) -> Picture:
    """Every frame with the mask of its product: from the task's file, or found in the frame."""
    sizes = {frame.size for frame in picture.frames}
    given = {size: read_mask(task.mask, size, max_pixels) for size in sizes} if task.mask else {}
    found = [product_mask(replace(f, mask=given.get(f.size))) for f in picture.frames]
    frames = tuple(replace(f, mask=m) for f, m in zip(picture.frames, found, strict=True))
    warnings = picture.warnings + ((NO_MASK,) if None in found else ())
    return replace(picture, frames=frames, warnings=warnings)


def _reason(error: Exception, photo: Photo) -> str:
    out_of_memory = isinstance(error, (MemoryError, torch.OutOfMemoryError))
    # The only word of torch's allocator on a CPU.
    if out_of_memory or "can't allocate memory" in str(error):
        return f"not enough memory for {photo.rgb.width} x {photo.rgb.height} pixels; try --size"
    return _first_line(error)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]

"""Tasks -> files: decodes, stylizes and encodes several photos at the same time.

All work runs in threads; the caller collects events. Queues are short, so memory does not grow with
the number of photos.
"""

import errno
import hashlib
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime

import torch
from PIL import Image

from stylize.batch.manifest import Manifest, Record
from stylize.batch.reader import Reader, Reservations, Work, first_line
from stylize.batch.tasks import Recipe, Task
from stylize.config import ApplyConfig
from stylize.errors import ImageError
from stylize.events import PhotoBegun, PhotoDone, PhotoFailed
from stylize.files import write_file
from stylize.network.memory import Way, make_budget
from stylize.photos.encoder import encode
from stylize.photos.metadata import resized
from stylize.photos.photo import Photo
from stylize.style import Style

MOST_AT_ONCE = 8  # batches
LARGE = 32_000_000  # pixels: a batch of so many gets all threads
NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
FAILED, FULL = "a photo failed", "the disk is full"  # why a run stops
FOREIGN = "its output exists, and is not as stylize wrote it; --overwrite replaces it"

Outcome = PhotoDone | PhotoFailed


class Pipeline:
    """Runs tasks with one style into one output folder.

    On a CPU, cores do more when each takes its own photo than when all share one and wait for each
    other. So several photos are in work, each with its share of the threads; a very large one gets
    all threads. On a GPU, as many batches are in work as fit into its memory: while it computes
    one, threads prepare the next and fetch the last.

    `stopped` is the reason why a run ended before all tasks were done, if it did.
    """

    def __init__(
        self, style: Style, manifest: Manifest, recipe: Recipe, config: ApplyConfig, photos: int
    ) -> None:
        """`photos` is the number in the whole plan. Rounding depends on the number of threads, so a
        resumed run with few photos left must not use more of them."""
        self.style = style
        self.manifest = manifest
        self.recipe = recipe
        self.config = config
        self.stopped = ""
        self.threads = torch.get_num_threads()
        on_gpu = style.compute.device.type == "cuda"
        self.workers = MOST_AT_ONCE if on_gpu else min(MOST_AT_ONCE, self.threads, max(1, photos))
        self.budget = make_budget(config.max_memory, style.compute.device)
        self._reader = Reader(style, config, self.budget, 1 if on_gpu else self.workers)
        self._device = Reservations(self.budget.device)

    def run(self, tasks: Sequence[Task], *, failed: bool = False) -> Iterator[PhotoBegun | Outcome]:
        """Yield a `PhotoBegun` for each photo that enters the network, and one `PhotoDone` or
        `PhotoFailed` for each task that was begun.

        No task begins once the disk is full or, with `config.fail_fast`, after a failure (`failed`:
        there already is one). Photos in work are finished if possible.
        """
        if failed and self.config.fail_fast:
            self.stopped = FAILED
            return
        running: deque[Future[list[Outcome]]] = deque()
        with ThreadPoolExecutor(self.workers, "work", self._use_threads) as pool:
            try:
                for item in self._reader.batches(tasks):
                    if isinstance(item, PhotoFailed):
                        yield self._seen(item)
                    # Enough are queued that no worker has to wait.
                    while running and (len(running) > 2 * self.workers or running[0].done()):
                        yield from map(self._seen, running.popleft().result())
                    if self.stopped:
                        break
                    if not isinstance(item, PhotoFailed):
                        yield from map(self._begun, item)
                        running.append(pool.submit(self._finish, item))
                while running:
                    yield from map(self._seen, running.popleft().result())
            finally:
                for future in running:  # where the caller has stopped early
                    future.cancel()
                torch.set_num_threads(self.threads)  # of threads that start from now on

    def _use_threads(self) -> None:
        torch.set_num_threads(max(1, self.threads // self.workers))

    def _begun(self, work: Work) -> PhotoBegun:
        size = max((frame.size for frame in work.picture.frames), key=lambda s: s[0] * s[1])
        width, height = self.style.seen(size, self.config.look)
        memory = round(self.budget.base + work.need.host)
        return PhotoBegun(work.task.job.source, width, height, str(work.need.way), memory)

    def _seen(self, event: Outcome) -> Outcome:
        if isinstance(event, PhotoFailed) and self.config.fail_fast:
            self.stopped = self.stopped or FAILED
        return event

    def _finish(self, batch: Sequence[Work]) -> list[Outcome]:
        """Decoded pictures -> written files."""
        large = _pixels(batch) > LARGE
        if large:
            torch.set_num_threads(self.threads)
        try:
            with self._device.reserved(batch[0].need.device):
                stylized = list(self._stylize(batch, self.config.batch_size))
            return [
                part if isinstance(part, PhotoFailed) else self._write(*part) for part in stylized
            ]
        finally:
            if large:
                self._use_threads()
            self._reader.memory.release(sum(work.need.host for work in batch))

    def _stylize(
        self, batch: Sequence[Work], at_once: int
    ) -> Iterator[tuple[Work, list[Image.Image], float] | PhotoFailed]:
        """Stylize `at_once` frames together; on failure fewer, then one frame at a time in ways
        that need less memory."""
        started = time.monotonic()
        frames = [frame for work in batch for frame in work.picture.frames]
        look, need, folder = self.config.look, batch[0].need, self.manifest.scratch
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
        if self.style.compute.device.type == "cuda":
            torch.cuda.empty_cache()
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

    def _write(self, work: Work, images: Sequence[Image.Image], seconds: float) -> Outcome:
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
                source=str(job.source.absolute()),
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
        except Exception as error:  # noqa: BLE001 one photo never stops the others
            return PhotoFailed(job.source, f"cannot be written ({first_line(error)})")
        frames = len(images)
        return PhotoDone(job.source, job.target, width, height, frames, seconds, tuple(warnings))


def _pixels(batch: Sequence[Work]) -> int:
    return sum(
        frame.rgb.width * frame.rgb.height for work in batch for frame in work.picture.frames
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

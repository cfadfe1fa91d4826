"""Tasks -> files: decodes, stylizes and encodes several photos at the same time.

All work runs in threads; the caller collects events. Queues are short, so memory does not grow with
the number of photos.
"""

import errno
import hashlib
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import torch
from PIL import Image

from stylize.batch.fetcher import fetch
from stylize.batch.manifest import Manifest, Record
from stylize.batch.object_manifest import ObjectManifest
from stylize.batch.reader import Reader, Reservations, Work, first_line
from stylize.batch.tasks import Recipe, Task
from stylize.config import ApplyConfig
from stylize.errors import ImageError
from stylize.events import PhotoBegun, PhotoDone, PhotoFailed
from stylize.files import Url
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
Written = Future[Outcome]


@dataclass(frozen=True)
class Encoded:
    """The content of a file that is to be written, its record, and the event for it."""

    content: bytes
    record: Record
    done: PhotoDone


class Pipeline:
    """Runs tasks with one style into one output folder.

    On a CPU, cores do more when each takes its own photo than when all share one and wait for each
    other. So several photos are in work, each with its share of the threads; a very large one gets
    all threads. On a GPU, as many batches are in work as fit into its memory: while it computes
    one, threads prepare the next and fetch the last.

    `stopped` is the reason why a run ended before all tasks were done, if it did.
    """

    def __init__(
        self,
        style: Style,
        manifest: Manifest | ObjectManifest,
        recipe: Recipe,
        config: ApplyConfig,
        photos: int,
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
        # For a store that makes threads wait; a folder is written to by the workers.
        self._writers = ThreadPoolExecutor(manifest.writers, "write") if manifest.writers else None
        self._reader = Reader(style, config, self.budget, 1 if on_gpu else self.workers)
        self._device = Reservations(self.budget.device)

    def run(self, tasks: Iterable[Task], *, failed: bool = False) -> Iterator[PhotoBegun | Outcome]:
        """Yield a `PhotoBegun` for each photo that enters the network, and one `PhotoDone` or
        `PhotoFailed` for each task that was begun.

        No task begins once the disk is full, another run has taken over the output or, with
        `config.fail_fast`, after a failure (`failed`: there already is one). Photos in work are
        finished if possible.
        """
        if failed and self.config.fail_fast:
            self.stopped = FAILED
            return
        running: deque[Future[list[Written]]] = deque()
        writing: deque[Written] = deque()
        workers = ThreadPoolExecutor(self.workers, "work", self._use_threads)
        with self._writers or nullcontext(), workers as pool:  # workers end first
            try:
                for item in self._reader.batches(fetch(tasks, self.budget.host)):
                    if isinstance(item, PhotoFailed):
                        yield self._seen(item)
                    # Enough are queued that no worker has to wait.
                    while running and (len(running) > 2 * self.workers or running[0].done()):
                        writing += running.popleft().result()
                    yield from self._written(writing)
                    if self.stopped:
                        break
                    if not isinstance(item, PhotoFailed):
                        yield from map(self._begun, item)
                        running.append(pool.submit(self._finish, item))
                while running:
                    writing += running.popleft().result()
                    yield from self._written(writing)
                yield from self._written(writing, wait=True)
            finally:
                for future in running:  # where the caller has stopped early
                    future.cancel()
                for written in writing:
                    written.cancel()
                torch.set_num_threads(self.threads)  # of threads that start from now on

    def _use_threads(self) -> None:
        torch.set_num_threads(max(1, self.threads // self.workers))

    def _written(self, writing: deque[Written], *, wait: bool = False) -> Iterator[Outcome]:
        """The outcomes that are known, in order; with `wait`, all."""
        while writing and (wait or writing[0].done()):
            yield self._seen(writing.popleft().result())

    def _begun(self, work: Work) -> PhotoBegun:
        size = max((frame.size for frame in work.picture.frames), key=lambda s: s[0] * s[1])
        width, height = self.style.seen(size, self.config.look)
        memory = round(self.budget.base + work.need.host)
        return PhotoBegun(work.task.job.source, width, height, str(work.need.way), memory)

    def _seen(self, event: Outcome) -> Outcome:
        if isinstance(event, PhotoFailed) and self.config.fail_fast:
            self.stopped = self.stopped or FAILED
        return event

    def _finish(self, batch: Sequence[Work]) -> list[Written]:
        """Decoded pictures -> files that are written or being written, one for each picture."""
        large = _pixels(batch) > LARGE
        if large:
            torch.set_num_threads(self.threads)
        try:
            with self._device.reserved(batch[0].need.device):
                stylized = list(self._stylize(batch, self.config.batch_size))
            parts = [p if isinstance(p, PhotoFailed) else self._encode(*p) for p in stylized]
        except BaseException:
            self._reader.memory.release(sum(work.need.host for work in batch))
            raise
        finally:
            if large:
                self._use_threads()
        return [self._start_writing(*pair) for pair in zip(batch, parts, strict=True)]

    def _start_writing(self, work: Work, part: Encoded | PhotoFailed) -> Written:
        if self._writers is not None and not isinstance(part, PhotoFailed):
            return self._writers.submit(self._write, work, part)
        written: Written = Future()
        written.set_result(self._write(work, part))
        return written

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
        record = Record(
            target=str(job.place),
            output=hashlib.sha256(content).hexdigest(),
            source=str(job.source if isinstance(job.source, Url) else job.source.absolute()),
            size=work.size,
            sha256=work.sha256,
            mask=work.mask,
            style=self.recipe.style,
            options=self.recipe.options,
            time=datetime.now(UTC).isoformat(timespec="seconds"),
            seconds=round(seconds, 3),
            warnings=tuple(warnings),
            source_version=job.source.version if isinstance(job.source, Url) else None,
        )
        size = (width, height, len(images))
        done = PhotoDone(job.source, job.target, *size, seconds, tuple(warnings))
        return Encoded(content, record, done)

    def _write(self, work: Work, part: Encoded | PhotoFailed) -> Outcome:
        """Write the file, unless the picture has failed; its memory is free then."""
        job, overwrite = work.task.job, self.config.overwrite
        try:
            if isinstance(part, PhotoFailed):
                return part
            if self.manifest.write(job, part.content, part.record, overwrite=overwrite):
                return part.done
            return PhotoFailed(job.source, FOREIGN)
        except OSError as error:
            if error.errno in NO_SPACE:
                self.stopped = FULL
            if error.errno == errno.ESTALE:
                self.stopped = str(error.strerror)
            return PhotoFailed(job.source, f"cannot be written ({error.strerror})")
        except Exception as error:  # noqa: BLE001 one photo never stops the others
            return PhotoFailed(job.source, f"cannot be written ({first_line(error)})")
        finally:
            self._reader.memory.release(work.need.host)


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

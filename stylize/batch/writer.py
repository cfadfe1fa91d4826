"""Encoded paintings -> files or objects, recorded in the manifest."""

import errno
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

from stylize.batch.manifest import Records
from stylize.batch.painter import NO_SPACE, Encoded
from stylize.batch.plan import Job
from stylize.batch.reader import first_line
from stylize.events import PhotoDone, PhotoFailed

FULL = "the disk is full"
FOREIGN = "its output exists, and is not as stylize wrote it; --overwrite replaces it"

Outcome = PhotoDone | PhotoFailed
Written = Future[Outcome]


class Writer:
    """The only one that writes into an output; as a context manager, waits for its threads.

    `stopped` is the reason why nothing more can be written, if there is one.
    """

    def __init__(self, manifest: Records, *, overwrite: bool, threads: int = 0) -> None:
        """Writes in as many threads as there are for a store that makes them wait, or at least in
        `threads`; with none, in the caller's."""
        self.manifest = manifest
        self.overwrite = overwrite
        self.stopped = ""
        threads = max(threads, manifest.writers)
        self._pool = ThreadPoolExecutor(threads, "write") if threads else None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown()

    def start(
        self, job: Job, part: Encoded | PhotoFailed, written: Callable[[], None] = lambda: None
    ) -> Written:
        """Write a painting; one that has failed is only reported. Calls `written` at the end."""
        if self._pool is not None and not isinstance(part, PhotoFailed):
            return self._pool.submit(self._write, job, part, written)
        future: Written = Future()
        future.set_result(self._write(job, part, written))
        return future

    def _write(self, job: Job, part: Encoded | PhotoFailed, written: Callable[[], None]) -> Outcome:
        try:
            if isinstance(part, PhotoFailed):
                return part
            if self.manifest.write(job, part.content, part.record, overwrite=self.overwrite):
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
            written()


def collect(writing: deque[Written], *, wait: bool = False) -> Iterator[Outcome]:
    """Take the outcomes that are known off `writing`, in order; with `wait`, all."""
    while writing and (wait or writing[0].done()):
        yield writing.popleft().result()

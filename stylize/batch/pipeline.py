"""Tasks -> files: decodes, stylizes and encodes several photos at the same time.

All work runs in threads; the caller collects events. Queues are short, so memory does not grow with
the number of photos.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

import torch

from stylize.batch.fetcher import fetch
from stylize.batch.manifest import Records
from stylize.batch.painter import Painter
from stylize.batch.reader import Reader, Work
from stylize.batch.tasks import Recipe, Task
from stylize.batch.writer import Outcome, Writer, Written, collect
from stylize.config import ApplyConfig
from stylize.events import Backend, PhotoBegun, PhotoFailed
from stylize.network.device import has_own_memory
from stylize.network.memory import make_budget
from stylize.style import Style

MOST_AT_ONCE = 8  # batches
LARGE = 32_000_000  # pixels: a batch of so many gets all threads
FAILED = "a photo failed"  # why a run stops


class Pipeline:
    """Runs tasks with one style into one output folder.

    On a CPU, cores do more when each takes its own photo than when all share one and wait for each
    other. So several photos are in work, each with its share of the threads; a very large one gets
    all threads. On a GPU, as many batches are in work as fit into its memory: while it computes
    one, threads prepare the next and fetch the last.
    """

    def __init__(
        self,
        style: Style,
        manifest: Records,
        recipe: Recipe,
        config: ApplyConfig,
        photos: int,
    ) -> None:
        """`photos` is the number in the whole plan. Rounding depends on the number of threads, so a
        resumed run with few photos left must not use more of them."""
        self.style = style
        self.config = config
        self.threads = torch.get_num_threads()
        device = style.compute.device
        on_cpu = device.type == "cpu"
        self.workers = min(MOST_AT_ONCE, self.threads, max(1, photos)) if on_cpu else MOST_AT_ONCE
        self.budget = make_budget(config.max_memory, device)
        # For a store that makes threads wait; a folder is written to by the workers.
        self._writer = Writer(manifest, overwrite=config.overwrite)
        # Where the network works in the host's memory, all workers may need it at the same time.
        at_once = 1 if has_own_memory(device) else self.workers
        # Cores that a GPU leaves idle decode.
        ahead = 1 if on_cpu else self.workers
        self._reader = Reader(style, config, self.budget, at_once, ahead)
        self._painter = Painter(style, recipe, config, self.budget, manifest.scratch)
        self._failed = False

    @property
    def stopped(self) -> str:
        """Why the run ended before all tasks were done, if it did."""
        return self._writer.stopped or (FAILED if self._failed else "")

    def describe(self) -> Backend:
        """What the run computes on."""
        return self.style.compute.describe()

    def run(self, tasks: Iterable[Task], *, failed: bool = False) -> Iterator[PhotoBegun | Outcome]:
        """Yield a `PhotoBegun` for each photo that enters the network, and one `PhotoDone` or
        `PhotoFailed` for each task that was begun.

        No task begins once the disk is full, another run has taken over the output or, with
        `config.fail_fast`, after a failure (`failed`: there already is one). Photos in work are
        finished if possible.
        """
        if failed and self.config.fail_fast:
            self._failed = True
            return
        running: deque[Future[list[Written]]] = deque()
        writing: deque[Written] = deque()
        workers = ThreadPoolExecutor(self.workers, "work", self._use_threads)
        with self._writer, workers as pool:  # workers end first
            try:
                for item in self._reader.batches(fetch(tasks, self.budget.host)):
                    if isinstance(item, PhotoFailed):
                        yield self._seen(item)
                    # Enough are queued that no worker has to wait.
                    while running and (len(running) > 2 * self.workers or running[0].done()):
                        writing += running.popleft().result()
                    yield from map(self._seen, collect(writing))
                    if self.stopped:
                        break
                    if not isinstance(item, PhotoFailed):
                        yield from map(self._painter.begun, item)
                        running.append(pool.submit(self._finish, item))
                while running:
                    writing += running.popleft().result()
                    yield from map(self._seen, collect(writing))
                yield from map(self._seen, collect(writing, wait=True))
            finally:
                for future in running:  # where the caller has stopped early
                    future.cancel()
                for written in writing:
                    written.cancel()
                torch.set_num_threads(self.threads)  # of threads that start from now on

    def _use_threads(self) -> None:
        torch.set_num_threads(max(1, self.threads // self.workers))

    def _seen(self, event: Outcome) -> Outcome:
        self._failed |= isinstance(event, PhotoFailed) and self.config.fail_fast
        return event

    def _finish(self, batch: Sequence[Work]) -> list[Written]:
        """Decoded pictures -> files that are written or being written, one for each picture."""
        large = _pixels(batch) > LARGE
        if large:
            torch.set_num_threads(self.threads)
        try:
            parts = self._painter.paint(batch)
        except BaseException:
            self._release(batch)
            raise
        finally:
            if large:
                self._use_threads()
        return [
            self._writer.start(work.task.job, part, partial(self._release, [work]))
            for work, part in zip(batch, parts, strict=True)
        ]

    def _release(self, batch: Sequence[Work]) -> None:
        self._reader.memory.release(sum(work.need.host for work in batch))


def _pixels(batch: Sequence[Work]) -> int:
    return sum(
        frame.rgb.width * frame.rgb.height for work in batch for frame in work.picture.frames
    )

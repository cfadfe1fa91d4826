"""Single pictures for many clients at once: one thread, one pipeline for each style and look."""

import math
import os
import shutil
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

import torch
from PIL import Image

from stylize.assets import find_named_style, style_files
from stylize.batch.manifest import Manifest, State
from stylize.batch.pipeline import Pipeline
from stylize.batch.plan import Job, make_plan
from stylize.batch.tasks import Recipe, Task, make_recipe
from stylize.batch.writer import Outcome
from stylize.config import ApplyConfig
from stylize.errors import ImageError
from stylize.events import PhotoBegun, PhotoDone
from stylize.files import Location
from stylize.page.refusals import BUSY, RefusalError
from stylize.style import Style, load_style

MOST_TOGETHER = 16  # requests of one style, before another gets its turn
MOST_STYLES = 16  # in memory
WARM_UP = (512, 384)  # pixels


@dataclass(frozen=True)
class Painted:
    """A painted picture in an open file, whose name may be gone, and its suffix."""

    file: BinaryIO
    suffix: str
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Request:
    """A photo to be painted in the style of the file `style`. `folder` is its own."""

    style: Path
    recipe: Recipe
    config: ApplyConfig
    job: Job
    folder: Path
    painted: Future[Painted] = field(default_factory=Future)

    def is_like(self, other: "Request") -> bool:
        return (self.recipe, self.config) == (other.recipe, other.config)


class Easel:
    """Paints photos with the pipeline of `stylize apply`, in a thread of its own.

    Requests of one style and the same options that wait together go through one pipeline, which
    reads the next photo while it paints this one.
    """

    def __init__(self, folder: Path, machine: tuple[str, str], most: int) -> None:
        """At most `most` requests wait or are in work; their files are in `folder`. `machine` is
        the device and the precision."""
        folder.mkdir()
        self._machine = machine
        self._folder = folder
        self._most = most
        self._asked = 0
        self._seconds = 1.0  # for one photo, lately
        self._waiting: deque[Request] = deque()
        self._changed = threading.Condition()
        self._ended = False
        self._threads = torch.get_num_threads()
        self._thread = threading.Thread(target=self._work, name="easel")
        self._thread.start()

    @contextmanager
    def place(self) -> Iterator[None]:
        """A place for a request, taken before its body is read.

        Raises RefusalError (429), which says after how many seconds to ask again.
        """
        if self._asked >= self._most:
            wait = math.ceil(self._asked * self._seconds)
            hint = f"ask again in {wait} s"
            raise RefusalError(BUSY, "too many pictures wait", hint, {"Retry-After": str(wait)})
        self._asked += 1
        try:
            yield
        finally:
            self._asked -= 1

    def paint(self, photo: Path, label: Path, style: str, config: ApplyConfig) -> Future[Painted]:
        """Paint the file `photo`, known as `label`. To cancel the future withdraws the request.

        The future raises ImageError for what `stylize apply` would list as a failure. Raises
        UsageError: the style or an option cannot be used.
        """
        file = find_named_style(style)
        recipe = make_recipe(str(file), config)
        folder = Path(tempfile.mkdtemp(dir=self._folder))
        source = folder / label.name
        os.link(photo, source)
        (job,) = make_plan([source], folder / "painted", config, recipe.name).jobs
        request = Request(file, recipe, config, job, folder)
        with self._changed:
            self._waiting.append(request)
            self._changed.notify()
        return request.painted

    def close(self) -> None:
        """Finish what is begun; what still waits is never painted."""
        with self._changed:
            self._ended = True
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        torch.set_num_threads(self._threads)
        self._warm_up()
        while not self._ended:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._ended)
            if request := self._take():
                self._paint_all_like(request)

    def _warm_up(self) -> None:
        """Paint something: the first picture of a process takes seconds longer. What goes wrong
        here goes wrong again for a request, which then has the reason as its answer."""
        with suppress(Exception):
            style = load_style(next(iter(style_files())), *self._machine)
            style.stylize(Image.new("RGB", WARM_UP))

    def _take(self, wanted: Callable[[Request], bool] = lambda _: True) -> Request | None:
        """The first wanted request that waits and has not been withdrawn."""
        with self._changed:
            for request in [each for each in self._waiting if wanted(each)]:
                self._waiting.remove(request)
                if request.painted.set_running_or_notify_cancel():
                    return request
                shutil.rmtree(request.folder)
        return None

    def _paint_all_like(self, first: Request) -> None:
        """Paint `first`, and all that waits by then and is like it."""
        begun: dict[Location, Request] = {first.job.source: first}
        started = time.monotonic()
        try:
            config = first.config
            style = _load(first.style, first.recipe.style, config.device, config.precision)
            style.check(config.look)
            with (
                tempfile.TemporaryDirectory(dir=self._folder) as output,
                Manifest.locked(Path(output)) as manifest,
            ):
                # Each photo gets all threads, as rounding depends on their number: an answer
                # never depends on what else is asked for.
                pipeline = Pipeline(style, manifest, first.recipe, config, photos=1)
                for event in pipeline.run(self._tasks(first, begun)):
                    if not isinstance(event, PhotoBegun):
                        _answer(begun[event.source], event)
            failure: Exception = ImageError(pipeline.stopped)
        except Exception as error:  # noqa: BLE001 no request ends the thread
            failure = error
        for request in begun.values():
            if not request.painted.done():
                request.painted.set_exception(failure)
            shutil.rmtree(request.folder)
        self._seconds = (time.monotonic() - started) / len(begun)

    def _tasks(self, first: Request, begun: dict[Location, Request]) -> Iterator[Task]:
        """A task for `first` and for each like it, as long as one waits; adds them to `begun`."""
        request: Request | None = first
        while request is not None:
            begun[request.job.source] = request
            yield Task(request.job, None, State.NEW)
            enough = self._ended or len(begun) == MOST_TOGETHER
            request = None if enough else self._take(first.is_like)


def _answer(request: Request, outcome: Outcome) -> None:
    if isinstance(outcome, PhotoDone):
        target = Path(outcome.target)
        painted = Painted(target.open("rb"), target.suffix, outcome.warnings)
        request.painted.set_result(painted)
    else:
        reason = f"{request.job.origin}: {outcome.reason}"
        request.painted.set_exception(ImageError(reason))


@lru_cache(maxsize=MOST_STYLES)
def _load(path: Path, sha256: str, device: str, precision: str) -> Style:
    """A style in memory; another file under the same name has another `sha256`."""
    return load_style(str(path), device, precision)

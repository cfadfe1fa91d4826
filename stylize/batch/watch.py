"""A watched folder: photos are stylized as they come, in one style or in several."""

import math
import os
import threading
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from stylize import events
from stylize.batch.apply import load, locked, run
from stylize.batch.manifest import Records
from stylize.batch.places import names_picture
from stylize.batch.plan import Job, Plan, find_mask, make_plan, style_folders
from stylize.batch.tasks import Todo, also_read, list_tasks, prepare, uses_stores
from stylize.config import AUTO, LOCAL, ApplyConfig
from stylize.errors import UsageError, install
from stylize.files import Location, is_folder

SETTLED = 2.0  # seconds without a change, after which a file counts as whole
PATIENCE = 10.0  # the same for one that cannot be read: the rest of a copy may be on its way
TICK = 500  # milliseconds between looks at files that have not settled
UNASKED = 60.0  # seconds between listings of folders that may send no notice, as on a network

Signature = tuple[tuple[int, ...], ...]  # of a photo and its mask, as they lie on the disk


def watch(
    styles: Sequence[str],
    inputs: Sequence[Location],
    output: Location,
    config: ApplyConfig,
    stop: threading.Event,
    read: Sequence[Path] = (),
) -> Iterator[events.Event]:
    """`apply_styles` to the photos in the folders `inputs`, then to those that come or change,
    until `stop` is set. The output stays locked all the time.

    A file is left alone until it has not changed for SETTLED seconds, and one that cannot be read
    has not failed before PATIENCE seconds. Photos in work are finished.

    Yields the events of `apply` for each style and each group of photos. In `ApplyDone`, `failed`
    counts all photos that failed when they were last tried, and `failures` lists them. While names
    in the folders cannot be used, a `Note` says so, and no photo is begun.

    Raises UsageError: as `apply_styles`, before anything is written; something cannot be watched;
    or a folder is gone.
    """
    folders = [Path(place) for place in inputs]
    _refuse_unwatchable(inputs, output, config)
    watched = [*folders, *([Path(config.masks)] if config.masks else [])]
    arrivals = _Arrivals(config.masks)
    desks = [
        _Desk(style, folders, Path(folder), config, arrivals, read)
        for style, folder in style_folders(styles, output)
    ]
    with ExitStack() as stack:
        notices = stack.enter_context(closing(_notices(watched, stop)))
        for desk in desks:
            desk.records = stack.enter_context(locked(desk.output))
        listed, wrong = -math.inf, ""
        for noticed in notices:
            if noticed or time.monotonic() - listed >= UNASKED:
                listed = time.monotonic()
                _refuse_missing(watched)
                said, wrong = wrong, _list_photos(desks, arrivals)
                if wrong and wrong != said:
                    yield events.Note(wrong)
            for desk in desks if not wrong else ():
                for event in desk.work(stop):
                    yield event
                if stop.is_set() or (isinstance(event, events.ApplyDone) and event.stopped):
                    return


def _refuse_unwatchable(inputs: Sequence[Location], output: Location, config: ApplyConfig) -> None:
    if uses_stores(inputs, output, config):
        hint = "run stylize apply again and again instead: it does only what is new"
        raise UsageError("--watch cannot watch object stores", hint)
    if names_picture(output):
        raise UsageError(f"{output} names one picture", "give --output a folder, or no --watch")
    for place in inputs:
        if not is_folder(place):
            raise UsageError(f"no folder {place}", "--watch needs folders as inputs")
    if config.anchor == AUTO:
        raise UsageError("--anchor auto would change with every photo", "give it a photo")
    if config.engine != LOCAL:
        raise UsageError(f"--engine {config.engine} cannot watch folders", "leave it out")
    if find_spec("watchfiles") is None:
        raise UsageError("--watch needs watchfiles", install("watch"))
    if config.fail_fast:
        hint = "leave out one of them: a watch goes on after failures"
        raise UsageError("--fail-fast and --watch exclude each other", hint)


def _refuse_missing(folders: Iterable[Path]) -> None:
    for folder in folders:
        if not is_folder(folder):
            raise UsageError(f"the folder {folder} is gone", "bring it back, and start again")


def _list_photos(desks: Iterable["_Desk"], arrivals: "_Arrivals") -> str:
    """What is wrong with the names of the photos; empty if nothing is."""
    try:
        for desk in desks:
            desk.list_photos()
    except UsageError as error:
        return f"{error}; {error.hint}"
    arrivals.forget_others([job.source for desk in desks for job in desk.plan.jobs])
    return ""


def _notices(folders: Sequence[Path], stop: threading.Event) -> Generator[bool]:
    """Whether something has changed in one of `folders`, every TICK or earlier; ends at `stop`."""
    from watchfiles import watch as notices

    try:
        for changes in notices(
            *folders,
            watch_filter=None,  # of hidden files and the like; what is a photo is decided later
            stop_event=stop,
            rust_timeout=TICK,
            yield_on_timeout=True,
            ignore_permission_denied=True,
        ):
            yield bool(changes)
    except (OSError, RuntimeError) as error:
        hint = "raise the limit fs.inotify.max_user_watches, or set WATCHFILES_FORCE_POLLING=1"
        raise UsageError(f"cannot watch the folders: {error}", hint) from error


class _Arrivals:
    """How long files have been as they are."""

    def __init__(self, masks: str | None) -> None:
        self._masks = masks
        self._seen: dict[Location, tuple[Signature, float]] = {}

    def look(self, job: Job) -> tuple[Signature, float]:
        """What the photo and its mask are now, and the seconds for which they have been so."""
        files = [Path(job.source), find_mask(job.origin, self._masks)]
        found = [known for path in files if path and (known := _stat(path))]
        signature = tuple((known.st_ino, known.st_size, known.st_mtime_ns) for known in found)
        now = time.monotonic()
        if job.source not in self._seen:
            # Programs that copy may set the other dates, but not this one.
            changed = max((known.st_ctime for known in found), default=math.inf)
            self._seen[job.source] = signature, now - max(0.0, time.time() - changed)
        elif self._seen[job.source][0] != signature:
            self._seen[job.source] = signature, now
        return signature, now - self._seen[job.source][1]

    def forget_others(self, sources: Iterable[Location]) -> None:
        """Only `sources` are still there."""
        self._seen = {source: self._seen[source] for source in sources if source in self._seen}


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None


class _Desk:
    """One style of a watch: which photos it has done, and which have failed."""

    records: Records  # once the output is locked

    def __init__(
        self,
        style: str,
        folders: Sequence[Path],
        output: Path,
        config: ApplyConfig,
        arrivals: _Arrivals,
        read: Sequence[Path],
    ) -> None:
        """Raises UsageError: as `apply`."""
        self.output = output
        self.plan, self._recipe = prepare(
            style, folders, output, config, read=read, may_be_empty=True
        )
        self._style = load(style, config)
        self._folders = folders
        self._config = config
        self._arrivals = arrivals
        self._read = [*read, *also_read(style, config)]
        self._begun = False
        self._open: list[Job] = []  # not done as they are now
        self._done: dict[Job, Signature] = {}
        self._unreadable: dict[Job, Signature] = {}  # so far
        self._failures: dict[Location, events.PhotoFailed] = {}

    def list_photos(self) -> None:
        """Raises UsageError: their names cannot be used together."""
        self.plan = make_plan(
            self._folders,
            self.output,
            self._config,
            self._recipe.name,
            read=self._read,
            may_be_empty=True,
        )
        jobs = set(self.plan.jobs)
        self._done = {job: seen for job, seen in self._done.items() if job in jobs}
        self._unreadable = {job: seen for job, seen in self._unreadable.items() if job in jobs}
        there = {job.source for job in jobs} | {Path(error.filename) for error in self.plan.shut}
        self._failures = {place: why for place, why in self._failures.items() if place in there}
        self._open = self._not_done(self.plan.jobs)

    def _not_done(self, jobs: Iterable[Job]) -> list[Job]:
        return [job for job in jobs if self._done.get(job) != self._arrivals.look(job)[0]]

    def work(self, stop: threading.Event) -> Iterator[events.Event]:
        """Do the photos that have arrived whole. Without any, only the first call yields events."""
        looked = ((job, *self._arrivals.look(job)) for job in self._open)
        ready = {job: (seen, age) for job, seen, age in looked if self._whole(job, seen, age)}
        if self._begun and not ready:
            return
        self._begun = True
        for job in ready:
            self._failures.pop(job.source, None)
        young = {job.source for job, (_, age) in ready.items() if age < PATIENCE}
        shut = [error for error in self.plan.shut if Path(error.filename) not in self._failures]
        part = Plan(tuple(ready), self.plan.ignored, tuple(shut))
        todo = Todo(part, list_tasks(part, self.records, self._recipe, self._config))
        early = set()
        for event in run(
            todo, self._recipe, self._style, self.records, self.output, self._config, stop
        ):
            match event:
                case events.PhotoFailed(source=source) if source in young or _gone(source):
                    early.add(source)
                    continue
                case events.PhotoFailed():
                    self._failures[event.source] = event
                case events.ApplyDone():
                    failures = list(self._failures.values())
                    table = self.records.write_failures(failures)
                    event = replace(event, failed=len(failures), failures=table)  # noqa: PLW2901
            yield event
        for job, (seen, _) in ready.items():
            (self._unreadable if job.source in early else self._done)[job] = seen
        self._open = self._not_done(self._open)

    def _whole(self, job: Job, seen: Signature, age: float) -> bool:
        return age >= (PATIENCE if self._unreadable.get(job) == seen else SETTLED)


def _gone(source: Location) -> bool:
    return not os.path.lexists(source)

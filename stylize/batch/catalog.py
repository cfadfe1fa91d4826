"""The plan of a run with object stores: a table on disk, for millions of photos.

The rules are those of `plan.make_plan`. Listings go into a temporary SQLite database as they come,
names are settled and states are found there, and tasks are read from it, so memory does not grow.
"""

import os
import sqlite3
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from itertools import islice
from pathlib import Path
from typing import Any

from stylize.batch.ahead import in_order
from stylize.batch.guard import Guard
from stylize.batch.listing import Listing, find_inputs
from stylize.batch.manifest import Manifest, Records, State
from stylize.batch.names import Names
from stylize.batch.object_manifest import ObjectManifest
from stylize.batch.places import (
    changes_format,
    choose_place,
    folded,
    names_picture,
    refuse_twins,
)
from stylize.batch.plan import Job, find_mask, mask_places
from stylize.batch.tasks import Recipe, Task, also_read, anchors_every, make_recipe, with_anchors
from stylize.config import ApplyConfig
from stylize.errors import UsageError
from stylize.events import PhotoFailed, PhotosCompared, PhotosListed, Planned
from stylize.files import READABLE, Location, Url, is_folder, locate
from stylize.storage.connect import open_store

CHUNK = 1000  # rows at a time
Key = tuple[bytes, int]  # of a photo: its path below its input, and the number of that
NO_KEY = "its name is not UTF-8, which a store needs"


class Catalog:
    """The photos of a run with the names and states of their outputs."""

    def __init__(self, output: Location, config: ApplyConfig) -> None:
        self.output = output
        self.config = config
        self.listing = Listing()
        self._bases: list[Location] = []
        self._numbers: dict[Location, int] = {}  # of the bases
        self._masks: Url | None = None
        self._db = sqlite3.connect("", isolation_level=None)
        self._db.executescript(
            "CREATE TABLE photos (origin BLOB, base INTEGER, version TEXT, size INTEGER,"
            " changes INTEGER, place BLOB, state TEXT, PRIMARY KEY (origin, base)) WITHOUT ROWID;"
            "CREATE TABLE masks (place TEXT PRIMARY KEY, version TEXT, size INTEGER) WITHOUT ROWID;"
        )

    def close(self) -> None:
        self._db.close()

    @property
    def ignored(self) -> int:
        """The number of files that are no photos."""
        return self.listing.ignored

    @property
    def failures(self) -> list[PhotoFailed]:
        """Of photos that can have no place in the output, and folders that are shut."""
        return self.listing.failures

    def fill(
        self,
        inputs: Sequence[Location],
        listed: Sequence[Location],
        style: str,
        read: Iterable[Location] = (),
    ) -> Iterator[int]:
        """List everything and settle all names; yields how many photos there are so far.

        `read` is what the run reads beside photos and masks. Raises UsageError as `make_plan`, or
        if a store cannot be listed.
        """
        if names_picture(self.output):
            reason = f"{self.output} names one picture, which works without object stores only"
            raise UsageError(reason, "give --output a folder")
        if isinstance(self.output, Path) and self.output.exists() and not self.output.is_dir():
            raise UsageError(f"{self.output} is a file", "give --output a folder")
        given = list(find_inputs(inputs, listed))
        entries = [each.entry for each in given]
        folders = [entry for entry in entries if isinstance(entry, Url) or is_folder(entry)]
        if self.config.masks is not None:
            folders.append(locate(self.config.masks))
            self._list_masks(folders[-1])
        guard = Guard(self.output, folders, Names(self._db, "read"))
        guard.reads([*read, *entries])
        count = 0
        for each in given:
            for base, photos in self.listing.pages(each):
                self._add(photos, base)
                count += len(photos)
                yield count
        if not count and not self.failures:
            names = ", ".join(map(str, entries))
            raise UsageError(
                f"no photos in {names}" if names else "no photos: the list is empty",
                f"looked for {' '.join(sorted(READABLE))} in all subfolders",
            )
        if not self.config.numbered:
            refuse_twins(self._twins())
        if isinstance(self.output, Path):  # otherwise, no file can be written
            with self._transaction():
                guard.reads(self._files())
        self._settle(guard, style)

    def check(self, manifest: Records, recipe: Recipe) -> Iterator[int]:
        """Find the state of every output; yields how many are known so far."""

        def states(tasks: list[tuple[Key, Task]]) -> list[tuple[str, bytes, int]]:
            return [(str(self._state(task, manifest, recipe)), *key) for key, task in tasks]

        update = "UPDATE photos SET state = ? WHERE origin = ? AND base = ?"
        count = 0
        with self._transaction():
            for rows in in_order(states, _chunks(self._tasks()), os.cpu_count() or 1):
                self._db.executemany(update, rows)
                count += len(rows)
                yield count

    def count(self, *states: State) -> int:
        """The number of photos, or of those in these states."""
        where, values = _where(states)
        query = f"SELECT count(*) FROM photos {where}"  # noqa: S608 no user's text
        return int(self._db.execute(query, values).fetchone()[0])

    def tasks(self, *states: State) -> Iterator[Task]:
        """The tasks in these states, in the order of their places below the inputs."""
        return (task for _, task in self._tasks(*_where(states)))

    def sources(self, every: int) -> list[Location]:
        """Every so many-th photo, in the same order."""
        return [task.job.source for task in islice(self.tasks(), 0, None, every)]

    def _tasks(
        self, where: str = "WHERE 1", values: Sequence[str] = ()
    ) -> Iterator[tuple[Key, Task]]:
        for origin, base, version, size, place, state in self._rows(where, values):
            path, below = Path(os.fsdecode(origin)), Path(os.fsdecode(place))
            source = self._bases[base] / path
            if isinstance(source, Url):
                source = Url(source, source.login, version, size)
            job = Job(source, path, self.output / below, below)
            yield (origin, base), Task(job, self._mask(path), State(state or State.NEW))

    def _rows(self, where: str = "WHERE 1", values: Sequence[str] = ()) -> Iterator[Any]:
        """Some at a time, so that rows may be changed meanwhile."""
        columns = "origin, base, version, size, place, state"
        after: Key = (b"", 0)
        while True:
            rows = self._db.execute(
                f"SELECT {columns} FROM photos {where}"  # noqa: S608 no user's text
                f" AND (origin, base) > (?, ?) ORDER BY origin, base LIMIT {CHUNK}",
                (*values, *after),
            ).fetchall()
            yield from rows
            if len(rows) < CHUNK:
                return
            after = rows[-1][:2]

    def _state(self, task: Task, manifest: Records, recipe: Recipe) -> State:
        state = manifest.state(task.job, task.mask, recipe.style, recipe.options)
        if self.config.overwrite and state is not State.NEW:
            return State.STALE
        return state

    def _add(self, photos: Iterable[Location], base: Location) -> None:
        number = self._numbers.setdefault(base, len(self._bases))
        if number == len(self._bases):
            self._bases.append(base)
        insert = "INSERT OR IGNORE INTO photos (origin, base, version, size, changes) VALUES "
        with self._transaction():
            for photo in photos:
                origin = _below(photo, base)
                key = os.fsencode(origin)
                if isinstance(self.output, Url) and key.decode(errors="ignore").encode() != key:
                    self.failures.append(PhotoFailed(photo, NO_KEY))
                    continue
                given = (photo.version, photo.size) if isinstance(photo, Url) else ("", 0)
                row = (key, number, *given, changes_format(origin, self.config.format))
                self._db.execute(insert + "(?, ?, ?, ?, ?)", row)

    def _twins(self) -> Iterator[tuple[Path, list[Location]]]:
        """Paths below the inputs that several photos have, and these photos."""
        query = "SELECT origin, group_concat(base) FROM photos GROUP BY origin HAVING count(*) > 1"
        for origin, bases in self._db.execute(query):
            path = Path(os.fsdecode(origin))
            yield path, [self._bases[int(base)] / path for base in bases.split(",")]

    def _files(self) -> Iterator[Location | None]:
        """All photos and masks."""
        for origin, base, *_ in self._rows():
            path = Path(os.fsdecode(origin))
            yield self._bases[base] / path
            yield self._mask(path)

    def _settle(self, guard: Guard, style: str) -> None:
        taken = Names(self._db, "taken")
        update = "UPDATE photos SET place = ? WHERE origin = ? AND base = ?"
        with self._transaction():
            folder = b""
            for key, *_ in self._rows():
                if os.path.dirname(key) != folder:  # noqa: PTH120 of bytes
                    folder = os.path.dirname(key)  # noqa: PTH120
                    for parent in Path(os.fsdecode(key)).parents:
                        taken.add(folded(parent))
            for changes in (0, 1):  # a photo that keeps its format keeps its name
                last = b""
                for key, base, *_ in self._rows(f"WHERE changes = {changes}"):
                    origin = Path(os.fsdecode(key))
                    place = choose_place(origin, self.config, style, taken, twin=key == last)
                    guard.check(self.output / place)
                    self._db.execute(update, (os.fsencode(place), key, base))
                    last = key

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN")
        yield
        self._db.execute("COMMIT")

    def _list_masks(self, folder: Location) -> None:
        if not isinstance(folder, Url):
            if not is_folder(folder):
                raise UsageError(f"no folder {folder}", "give --masks the folder of the masks")
            return
        self._masks = folder
        try:
            for page in open_store(folder).pages():
                rows = [(each[len(folder) + 1 :], each.version, each.size) for each in page]
                self._db.executemany("INSERT OR REPLACE INTO masks VALUES (?, ?, ?)", rows)
        except OSError as error:
            reason = f"cannot list {folder}: {error.strerror}"
            raise UsageError(reason, "give --masks the folder of the masks") from error

    def _mask(self, origin: Path) -> Location | None:
        if self._masks is None:
            return find_mask(origin, self.config.masks)
        for place in mask_places(origin):
            row = self._db.execute(
                "SELECT version, size FROM masks WHERE place = ?", (str(place),)
            ).fetchone()
            if row:
                return Url(self._masks / place, self._masks.login, *row)
        return None


def _below(photo: Location, base: Location) -> Path:
    if isinstance(photo, Url):
        return Path(photo[len(str(base)) + 1 :])
    return photo.relative_to(Path(base))


def _where(states: Sequence[State]) -> tuple[str, list[str]]:
    if not states:
        return "WHERE 1", []
    return f"WHERE state IN ({', '.join('?' * len(states))})", [str(state) for state in states]


def _chunks(tasks: Iterator[tuple[Key, Task]]) -> Iterator[list[tuple[Key, Task]]]:
    while chunk := list(islice(tasks, CHUNK)):
        yield chunk


def prepare_catalog(
    catalog: Catalog,
    style: str,
    inputs: Sequence[Location],
    listed: Sequence[Location],
    read: Iterable[Path] = (),
) -> Generator[PhotosListed, None, Recipe]:
    """Fill the catalog; returns the recipe of the run. Raises UsageError as `tasks.prepare`."""
    recipe = make_recipe(style, catalog.config)
    others: list[Location] = [*read, *also_read(style, catalog.config)]
    for count in catalog.fill(inputs, listed, recipe.name, others):
        yield PhotosListed(count)
    if catalog.config.anchor is None:
        return recipe
    photos = catalog.sources(anchors_every(catalog.count()))
    return with_anchors(recipe, photos, catalog.config)


def dry_run(
    style: str,
    inputs: Sequence[Location],
    output: Location,
    config: ApplyConfig,
    listed: Sequence[Location] = (),
    read: Iterable[Path] = (),
) -> Generator[PhotosListed | PhotosCompared | Planned, None, int]:
    """What `apply` would do with object stores, without doing it; returns the number of other
    files. Raises UsageError where `apply` would."""
    with closing(Catalog(output, config)) as catalog:
        recipe = yield from prepare_catalog(catalog, style, inputs, listed, read)
        manifest: AbstractContextManager[Records]
        if isinstance(output, Url):
            manifest = ObjectManifest.opened(output)
        else:
            manifest = nullcontext(Manifest(output))
        with manifest as records:
            for count in catalog.check(records, recipe):
                yield PhotosCompared(count)
        for task in catalog.tasks():
            yield Planned(task.job.source, task.job.target, task.state)
        return catalog.ignored

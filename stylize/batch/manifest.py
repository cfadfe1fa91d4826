"""The record of an output folder, in OUT/.stylize: one line for each written file, and a lock.

A line is appended before its file gets its name, and counts only while that file has the hash in
the line. So a run can be killed at any moment: a line without a file does no harm, and a file
without a line cannot exist. Once half of the lines count no longer, the end of a run leaves them
out.

In memory are only the places of the lines, so a long manifest takes little.
"""

import json
import os
import shutil
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from gzip import GzipFile
from itertools import chain
from pathlib import Path
from typing import IO, Any, Protocol, Self

from filelock import FileLock, Timeout

from stylize import __version__
from stylize.batch.failures import failures_table
from stylize.batch.places import STATE_FOLDER
from stylize.batch.plan import Job
from stylize.errors import UsageError
from stylize.events import PhotoFailed
from stylize.files import (
    Location,
    Url,
    digest,
    fingerprint,
    is_file,
    make_folder,
    open_file,
    write_file,
)

MOST_LINE = 1 << 20  # bytes
PARTS = "parts"  # the folder of outputs that are made in parts

Content = bytes | Iterable[bytes]  # of a file, whole or in pieces


class State(StrEnum):
    """The state of an output before a run."""

    NEW = "new"
    CURRENT = "up to date"
    STALE = "out of date"
    FOREIGN = "not written by stylize"


@dataclass(frozen=True)
class Record:
    """One written file. Hashes are sha256 in hex; `size` is that of the source, in bytes.

    `mask` is the fingerprint of the mask. The versions are those of objects in a store, where the
    source or the output is one.
    """

    target: str
    output: str
    source: str
    size: int
    sha256: str
    mask: str | None
    style: str
    options: dict[str, Any]
    time: str
    seconds: float
    warnings: tuple[str, ...] = ()
    version: str = __version__
    source_version: str | None = None
    output_version: str | None = None

    def to_json(self) -> bytes:
        """As a line of a manifest, without its end."""
        values = asdict(self)
        for name in OBJECT_FIELDS:
            if values[name] is None:
                del values[name]
        return json.dumps(values).encode()

    @classmethod
    def from_json(cls, line: bytes) -> Self | None:
        """None for a line that a crash cut short, or that is none of stylize."""
        try:
            values = json.loads(line)
            given = {name: values[name] for name in FIELDS}
            given |= {name: values.get(name) for name in OBJECT_FIELDS}
            record = cls(**given)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None
        texts = isinstance(record.target, str) and isinstance(record.output, str)
        return record if texts else None


OBJECT_FIELDS = ("source_version", "output_version")
FIELDS = tuple(each.name for each in fields(Record) if each.name not in OBJECT_FIELDS)


def is_current(
    record: Record, source: Location, mask: Location | None, style: str, options: dict[str, Any]
) -> bool:
    """Whether the recorded output is what this photo, mask, style (sha256) and options give."""
    try:
        known = record.source_version if isinstance(source, Url) else record.sha256
        return (
            record.style == style
            and record.options == options
            and record.mask == (fingerprint(mask) if mask else None)
            and known == fingerprint(source)
        )
    except OSError:  # decoding the photo will report it
        return False


class Records(Protocol):
    """What a run knows of its output, and how it writes there."""

    writers: int  # threads that wait for a store beside those that work
    scratch: Path  # for files that are not complete yet

    def state(
        self, job: Job, mask: Location | None, style: str, options: dict[str, Any]
    ) -> State: ...
    def write(self, job: Job, content: Content, record: Record, *, overwrite: bool) -> bool: ...
    def write_failures(self, failures: Sequence[PhotoFailed]) -> Location | None: ...


class Manifest:
    """The records of one output folder. Threads may add records at the same time."""

    writers = 0

    def __init__(self, output: Path) -> None:
        self.folder = output / STATE_FOLDER
        self.scratch = self.folder / "tmp"
        self._path = self.folder / "manifest.jsonl"
        self._lock = threading.Lock()
        self._count = 0  # lines
        self._places: dict[str, list[int]] = {}  # of the lines of a target, in the file
        if not self._path.exists():
            return
        with open_file(self._path) as file:
            for place, line in read_lines(file):
                self._count += 1
                if record := Record.from_json(line):
                    self._note(record.target, place)

    def _note(self, target: str, place: int) -> None:
        self._places.setdefault(target, []).append(place)

    def state(self, job: Job, mask: Location | None, style: str, options: dict[str, Any]) -> State:
        """The state of the output of `job`, given its mask, style (sha256) and options now."""
        if not os.path.lexists(job.target):
            return State.NEW
        record = self.record(job.place, Path(job.target))
        if record is None:
            return State.FOREIGN
        same = is_current(record, job.source, mask, style, options)
        return State.CURRENT if same else State.STALE

    def write(self, job: Job, content: Content, record: Record, *, overwrite: bool) -> bool:
        """Record and write the output of `job`; False if stylize did not write what is there.

        Raises OSError.
        """
        target = Path(job.target)
        foreign = os.path.lexists(target) and self.record(job.place, target) is None
        if foreign and not overwrite:
            return False
        place = self.add(record)
        write_file(target, content, self.scratch)
        self._places[record.target] = [place]
        return True

    def record(self, place: Path, target: Path) -> Record | None:
        """The record that matches the file `target`, at `place` in the folder, as it is now."""
        places = self._places.get(str(place))
        if not places:
            return None
        try:
            output = digest(target)
            with open_file(self._path) as file:
                for start in reversed(places):
                    record = Record.from_json(_line_at(file, start))
                    if record is not None and record.output == output:
                        self._places[str(place)] = [start]
                        return record
        except OSError:
            pass
        return None

    def add(self, record: Record) -> int:
        """Append a line and flush it to the disk; returns its place. Raises OSError."""
        line = record.to_json() + b"\n"
        with self._lock, self._path.open("ab+") as file:
            if place := file.tell():
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":
                    file.write(b"\n")
                    place += 1
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
            self._count += 1
            self._note(record.target, place)
        return place

    def _unlink(self) -> None:
        """If the file has other names, such as in a backup of links, leave them what they have."""
        if is_file(self._path) and self._path.stat().st_nlink > 1:
            with open_file(self._path) as file:
                write_file(self._path, file, self.scratch)

    def _leave_out(self) -> None:
        """Write the file anew without the lines that count no longer, if these are half of it.

        Of the outputs of this run, one line counts; of others, all, as long as the file is there.
        """
        output = self.folder.parent
        there = (p for target, p in self._places.items() if os.path.lexists(output / target))
        places = sorted(chain.from_iterable(there))
        if 0 < self._count >= 2 * len(places):
            # Another run can do it, where there is no room for it now.
            with suppress(OSError), open_file(self._path) as file:
                write_file(self._path, (_line_at(file, p) + b"\n" for p in places), self.scratch)

    @classmethod
    @contextmanager
    def locked(cls, output: Path) -> Iterator[Self]:
        """The manifest of `output`, locked against other runs, without a killed run's leftovers.

        Raises UsageError: another run holds it, or the folder cannot be written into.
        """
        folder = output / STATE_FOLDER
        _refuse_links(folder)
        make_folder(folder)
        lock = FileLock(folder / "lock", timeout=0)
        try:
            lock.acquire()
        except Timeout as error:
            raise UsageError(
                f"another run of stylize is writing into {output}",
                "wait for it to end, or choose another output folder",
            ) from error
        manifest = cls(output)
        try:
            shutil.rmtree(manifest.scratch, ignore_errors=True)
            make_folder(manifest.scratch)
            manifest._unlink()
            yield manifest
            manifest._leave_out()
        finally:
            shutil.rmtree(manifest.scratch, ignore_errors=True)
            lock.release()

    @contextmanager
    def unfinished(self, output: str, key: str) -> Iterator[Path]:
        """A folder for the parts of an output, by the name `key`. Later runs find it again, unless
        the `with` block ends without an error. Parts of the same output by other names, which were
        made from something else, are removed."""
        parts = self.folder / PARTS / output
        for other in parts.glob("*"):
            if other.name != key:
                shutil.rmtree(other, ignore_errors=True)
        folder = parts / key
        folder.mkdir(parents=True, exist_ok=True)
        yield folder
        shutil.rmtree(parts, ignore_errors=True)

    def write_failures(self, failures: Sequence[PhotoFailed]) -> Path | None:
        """Write `failures.csv` beside the manifest; remove an old one if nothing failed.

        Returns its path, or None if nothing failed or it cannot be written.
        """
        path = self.folder / "failures.csv"
        try:
            path.unlink(missing_ok=True)
            if not failures:
                return None
            path.write_bytes(failures_table(failures))
        except OSError:
            return None
        return path


def _refuse_links(folder: Path) -> None:
    """Raise UsageError if stylize's own folder, or what it writes there, is not its own."""
    lock = folder / "lock"
    for path in (folder, lock, *(folder / name for name in ("tmp", PARTS, "manifest.jsonl"))):
        if path.is_symlink():
            raise UsageError(f"{path} is a link, which stylize never makes", "remove it")
    if is_file(lock) and lock.stat().st_size and lock.stat().st_nlink > 1:  # locking empties it
        raise UsageError(f"{lock} is a link to another file", "remove it")


def read_lines(file: IO[bytes] | GzipFile) -> Iterator[tuple[int, bytes]]:
    """Where each line of a manifest begins, and the line; too long ones are no records."""
    place, whole = 0, True
    while part := file.readline(MOST_LINE):
        ended = part.endswith(b"\n")
        if whole and (ended or len(part) < MOST_LINE):
            yield place, part.rstrip(b"\n")
        place, whole = place + len(part), ended


def _line_at(file: IO[bytes], place: int) -> bytes:
    file.seek(place)
    return file.readline(MOST_LINE).rstrip(b"\n")

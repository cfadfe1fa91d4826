"""The record of an output folder, in OUT/.stylize: one line for each written file, and a lock.

A line is appended before its file gets its name, and counts only while that file has the hash in
the line. So a run can be killed at any moment: a line without a file does no harm, and a file
without a line cannot exist.
"""

import csv
import io
import json
import os
import shutil
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol, Self

from filelock import FileLock, Timeout

from stylize import __version__
from stylize.batch.plan import STATE_FOLDER, Job
from stylize.errors import UsageError
from stylize.events import PhotoFailed
from stylize.files import Location, Url, digest, fingerprint, make_folder, write_file


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
    def write(self, job: Job, content: bytes, record: Record, *, overwrite: bool) -> bool: ...
    def write_failures(self, failures: Sequence[PhotoFailed]) -> Location | None: ...


class Manifest:
    """The records of one output folder. Threads may add records at the same time."""

    writers = 0

    def __init__(self, output: Path) -> None:
        self.folder = output / STATE_FOLDER
        self.scratch = self.folder / "tmp"
        self._path = self.folder / "manifest.jsonl"
        self._lock = threading.Lock()
        self._records: dict[str, dict[str, Record]] = {}  # by target, and by hash of the output
        for record in self._read():
            self._records.setdefault(record.target, {})[record.output] = record

    def _read(self) -> Iterator[Record]:
        try:
            lines = self._path.read_bytes().splitlines()
        except FileNotFoundError:
            return
        yield from filter(None, map(Record.from_json, lines))

    def state(self, job: Job, mask: Location | None, style: str, options: dict[str, Any]) -> State:
        """The state of the output of `job`, given its mask, style (sha256) and options now."""
        if not os.path.lexists(job.target):
            return State.NEW
        record = self.record(job.place, Path(job.target))
        if record is None:
            return State.FOREIGN
        same = is_current(record, job.source, mask, style, options)
        return State.CURRENT if same else State.STALE

    def write(self, job: Job, content: bytes, record: Record, *, overwrite: bool) -> bool:
        """Record and write the output of `job`; False if stylize did not write what is there.

        Raises OSError.
        """
        target = Path(job.target)
        foreign = os.path.lexists(target) and self.record(job.place, target) is None
        if foreign and not overwrite:
            return False
        self.add(record)
        write_file(target, content, self.scratch)
        return True

    def record(self, place: Path, target: Path) -> Record | None:
        """The record that matches the file `target`, at `place` in the folder, as it is now."""
        try:
            return self._records.get(str(place), {}).get(digest(target))
        except OSError:
            return None

    def add(self, record: Record) -> None:
        """Append a line and flush it to the disk; raises OSError."""
        line = record.to_json() + b"\n"
        with self._lock, self._path.open("ab+") as file:
            if file.tell():
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":
                    line = b"\n" + line
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
            self._records.setdefault(record.target, {})[record.output] = record

    @classmethod
    @contextmanager
    def locked(cls, output: Path) -> Iterator[Self]:
        """The manifest of `output`, locked against other runs, without a killed run's leftovers.

        Raises UsageError: another run holds it, or the folder cannot be written into.
        """
        folder = output / STATE_FOLDER
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
            yield manifest
        finally:
            shutil.rmtree(manifest.scratch, ignore_errors=True)
            lock.release()

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


def failures_table(failures: Sequence[PhotoFailed]) -> bytes:
    """The content of `failures.csv`. File names may hold bytes that are not UTF-8."""
    table = io.StringIO(newline="")
    writer = csv.writer(table)
    writer.writerow(("photo", "reason"))
    writer.writerows((failure.source, failure.reason) for failure in failures)
    return table.getvalue().encode(errors="surrogateescape")

"""The record of an output in an object store: parts below OUT/.stylize/manifest, and a lease.

Objects cannot be appended to, so lines go into new objects, the parts. As in a folder, a line comes
before its object and counts only while that object is there as recorded: by its version (ETag and
size), or by its content if the store gave it a version that could not be predicted. Small parts are
put together while a run works, all of them when a run begins with many; the new part is complete
before the old ones go, and to read a line twice does no harm.
"""

import gzip
import hashlib
import io
import re
import shutil
import sqlite3
import tempfile
import threading
import uuid
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from stylize.batch.ahead import in_order
from stylize.batch.failures import failures_table
from stylize.batch.manifest import Content, Record, State, is_current, read_lines
from stylize.batch.places import STATE_FOLDER
from stylize.batch.plan import Job
from stylize.errors import UsageError
from stylize.events import PhotoFailed
from stylize.files import Location, Url
from stylize.storage.connect import open_store
from stylize.storage.lease import Lease
from stylize.storage.store import ANY, WHOLE

PARTS = f"{STATE_FOLDER}/manifest/"
PART = re.compile(re.escape(PARTS) + r"\d{10}-\w+\.jsonl\.gz")
FAILURES = f"{STATE_FOLDER}/failures.csv"
GATHER = 0.2  # seconds in which lines are gathered for one part
WRITERS = 32  # threads that write outputs; half of them fill a part at once
MOST_SMALL = 500  # parts of a run before they become one
MOST_PARTS = 64  # and one for each of
LINES = 20_000  # in a part that others are put together to
MOST_BYTES = 1 << 28  # of lines in a part
READERS = 16


class _Part:
    """Lines on their way into one object."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.full = threading.Event()
        self.written = threading.Event()
        self.error: OSError | None = None


class ObjectManifest:
    """The records of one output prefix. Threads may add records at the same time.

    What the store has listed and recorded is in a temporary SQLite database: millions of objects
    take disk space, not memory.
    """

    writers = WRITERS

    def __init__(self, output: Url) -> None:
        """Raises UsageError: the output cannot be listed, or its store writes files in place."""
        if output.scheme not in WHOLE:
            raise UsageError(
                f"{output.scheme}:// would show half-written files", "choose an object store"
            )
        self.store = open_store(output)
        self.scratch = Path(tempfile.mkdtemp(prefix="stylize-"))
        self._run = uuid.uuid4().hex[:8]
        self._lease: Lease | None = None
        self._lock = threading.Lock()
        self._part = _Part()
        self._number = 0
        self._late: list[bytes] = []  # lines for the next part that nobody waits for
        self._small: list[tuple[str, list[bytes]]] = []  # parts of this run, not yet put together
        self._db = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._db.executescript(
            "CREATE TABLE outputs (place TEXT PRIMARY KEY, version TEXT) WITHOUT ROWID;"
            "CREATE TABLE records (place TEXT, version TEXT, line BLOB);"
        )

    def close(self) -> None:
        self._db.close()
        shutil.rmtree(self.scratch, ignore_errors=True)

    @classmethod
    @contextmanager
    def opened(cls, output: Url) -> Iterator[Self]:
        """The manifest of `output` as it is, to look at; raises UsageError."""
        manifest = cls(output)
        try:
            manifest._load()
            yield manifest
        finally:
            manifest.close()

    @classmethod
    @contextmanager
    def locked(cls, output: Url) -> Iterator[Self]:
        """The manifest of `output`, with the lease to write.

        Raises UsageError: another run holds it, or the store cannot be read or written.
        """
        manifest = cls(output)
        try:
            with _writable(output, manifest) as lease:
                manifest._lease = lease
                manifest._tidy(manifest._load())
                try:
                    yield manifest
                finally:
                    with suppress(OSError):
                        manifest._put_together()
        finally:
            manifest.close()

    def state(self, job: Job, mask: Location | None, style: str, options: dict[str, Any]) -> State:
        """The state of the output of `job`, given its mask, style (sha256) and options now."""
        version = self._listed(str(job.place))
        if version is None:
            return State.NEW
        record = self._record(str(job.place), version)
        if record is None:
            return State.FOREIGN
        same = is_current(record, job.source, mask, style, options)
        return State.CURRENT if same else State.STALE

    def write(self, job: Job, content: Content, record: Record, *, overwrite: bool) -> bool:
        """As `Manifest.write`; raises OSError also if another run has taken over (ESTALE)."""
        assert isinstance(content, bytes)  # noqa: S101 for the type checker: it is no clip
        place = str(job.place)
        predicted = self.store.predicted(content)
        self.add(replace(record, output_version=predicted))
        self._check_lease()
        try:
            version = self.store.put(place, content, ANY if overwrite else self._listed(place))
        except FileExistsError:
            # A PUT that was tried again may have met its own first try.
            found = self.store.stat(place)
            if found is None or found.size != len(content) or self.store.get(place) != content:
                return False
            version = found.version
        if version != predicted:  # if this line is lost, the object is read once
            self._add_late(replace(record, output_version=version))
        return True

    def add(self, record: Record) -> None:
        """Write a line into the store, with those of other threads; raises OSError."""
        with self._lock:
            part = self._part
            first = not part.lines
            part.lines.append(record.to_json())
            if len(part.lines) >= self.writers // 2:
                part.full.set()
        if first:
            part.full.wait(GATHER)
            self._write_part(part)
        part.written.wait()
        if part.error is not None:
            raise part.error

    def _add_late(self, record: Record) -> None:
        with self._lock:
            self._late.append(record.to_json())

    def _write_part(self, part: _Part) -> None:
        with self._lock:
            self._part = _Part()
            lines, self._late = self._late + part.lines, []
        try:
            self._check_lease()
            name = self._put_lines(lines)
            with self._lock:
                self._small.append((name, lines))
            if len(self._small) >= MOST_SMALL:
                self._put_together()
        except OSError as error:
            part.error = error
        finally:
            part.written.set()

    def _put_together(self) -> None:
        """The small parts of this run become one."""
        with self._lock:
            small, self._small = self._small, []
            late, self._late = self._late, []
        lines = [line for _, part in small for line in part] + late
        if len(small) > 1 or late:
            self._check_lease()
            self._put_lines(lines)
            self.store.delete([name for name, _ in small])

    def _put_lines(self, lines: Sequence[bytes]) -> str:
        with self._lock:
            self._number += 1
            name = f"{PARTS}{self._number:010}-{self._run}.jsonl.gz"
        content = gzip.compress(b"\n".join(lines) + b"\n", mtime=0)
        self.store.put(name, content)
        return name

    def _check_lease(self) -> None:
        if self._lease is not None:
            self._lease.check()

    def _load(self) -> list[str]:
        """Read what the store has; returns the names of the parts."""
        base = len(str(self.store.url)) + 1
        names: list[str] = []
        try:
            for page in self.store.pages():
                keys = [(url[base:], url.version) for url in page]
                names += [key for key, _ in keys if PART.fullmatch(key)]
                outputs = [row for row in keys if not row[0].startswith(STATE_FOLDER + "/")]
                self._db.executemany("INSERT OR REPLACE INTO outputs VALUES (?, ?)", outputs)
            names.sort()
            for content in in_order(self.store.get, names, READERS):
                self._db.execute("BEGIN")
                self._db.executemany("INSERT INTO records VALUES (?, ?, ?)", _rows(content))
                self._db.execute("COMMIT")
        except OSError as error:
            # A part may be gone where another run has put it together with others.
            gone = names and isinstance(error, FileNotFoundError)
            hint = "try again" if gone else "check the bucket and the credentials"
            raise UsageError(f"cannot list {self.store.url}: {error.strerror}", hint) from error
        self._db.execute("CREATE INDEX by_place ON records (place)")
        if names:
            self._number = int(names[-1].removeprefix(PARTS).partition("-")[0])
        return names

    def _tidy(self, names: Sequence[str]) -> None:
        """Many parts become few; records of outputs that are gone are left out."""
        (lines,) = self._db.execute("SELECT count(*) FROM records").fetchone()
        if len(names) <= MOST_PARTS + 2 * lines // LINES:
            return
        rows = self._db.execute(
            "SELECT line FROM records WHERE place IN (SELECT place FROM outputs) ORDER BY rowid"
        )
        while block := [line for (line,) in rows.fetchmany(LINES)]:
            self._put_lines(block)
        self.store.delete(names)

    def _listed(self, place: str) -> str | None:
        with self._lock:
            row = self._db.execute("SELECT version FROM outputs WHERE place = ?", (place,))
            found = row.fetchone()
        return found[0] if found else None

    def _record(self, place: str, version: str) -> Record | None:
        """The record of the object at `place` with that version."""
        with self._lock:
            rows = self._db.execute(
                "SELECT version, line FROM records WHERE place = ? ORDER BY rowid DESC", (place,)
            ).fetchall()
        size = version.rpartition(":")[2]
        for known, line in rows:
            if known == version:
                return Record.from_json(line)
        unsure = [line for known, line in rows if str(known).rpartition(":")[2] == size]
        if unsure:  # its version could not be predicted, and was not recorded: killed before that
            output = hashlib.sha256(self.store.get(place)).hexdigest()
            for record in filter(None, map(Record.from_json, unsure)):
                if record.output == output:
                    return self._adopted(replace(record, output_version=version))
        return None

    def _adopted(self, record: Record) -> Record:
        """With the version that the store gave; with a lease, it is written down."""
        if self._lease is not None:
            self._add_late(record)
        return record

    def write_failures(self, failures: Sequence[PhotoFailed]) -> Url | None:
        """Write `failures.csv` beside the manifest; remove an old one if nothing failed.

        Returns its URL, or None if nothing failed or it cannot be written.
        """
        try:
            if failures:
                self.store.put(FAILURES, failures_table(failures))
                return self.store.url / FAILURES
            self.store.delete([FAILURES])
        except OSError:
            pass
        return None


@contextmanager
def _writable(output: Url, manifest: ObjectManifest) -> Iterator[Lease]:
    lease = Lease(manifest.store)
    try:
        lease.__enter__()
    except OSError as error:
        reason = f"cannot write to {output}: {error.strerror}"
        raise UsageError(reason, "check the bucket and the credentials") from error
    try:
        yield lease
    finally:
        lease.__exit__()


def _rows(content: bytes) -> Iterator[tuple[str, str | None, bytes]]:
    """Place, version and line of each record in a part; a part of another kind has none."""
    with suppress(OSError, EOFError, zlib.error):
        for place, line in read_lines(gzip.GzipFile(fileobj=io.BytesIO(content))):
            if place > MOST_BYTES:
                return
            record = Record.from_json(line)
            if record is not None and isinstance(record.output_version, str):
                yield record.target, record.output_version, line

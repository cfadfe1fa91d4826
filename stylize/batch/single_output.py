"""The output of a run that is one picture or clip, by the name that the user gave it."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from stylize.batch.manifest import Content, Record, State
from stylize.batch.plan import Job
from stylize.events import PhotoFailed
from stylize.files import TEMPORARY, Location, write_file


class SingleOutput:
    """One file, without a record: nothing is left beside it, and what is there stays.

    So other runs may write into the same folder at the same time.
    """

    writers = 0

    def __init__(self, output: Path) -> None:
        self.scratch = output.parent

    def state(self, job: Job, mask: Location | None, style: str, options: dict[str, Any]) -> State:
        """Whatever is there is not known."""
        return State.FOREIGN if os.path.lexists(job.target) else State.NEW

    def write(self, job: Job, content: Content, record: Record, *, overwrite: bool) -> bool:
        """Write the picture; False if there is one by now. Raises OSError."""
        if os.path.lexists(job.target) and not overwrite:
            return False
        write_file(Path(job.target), content)
        return True

    @contextmanager
    def unfinished(self, output: str, key: str) -> Iterator[Path]:
        """A folder for the parts of the output, until the `with` block ends."""
        with TemporaryDirectory(prefix=TEMPORARY, dir=self.scratch) as folder:
            yield Path(folder)

    def write_failures(self, failures: Sequence[PhotoFailed]) -> None:
        """The event of the photo says all."""

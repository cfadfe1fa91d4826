"""The output of a run that is one picture, by the name that the user gave it."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stylize.batch.manifest import Record, State
from stylize.batch.plan import Job
from stylize.events import PhotoFailed
from stylize.files import Location, write_file


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

    def write(self, job: Job, content: bytes, record: Record, *, overwrite: bool) -> bool:
        """Write the picture; False if there is one by now. Raises OSError."""
        if os.path.lexists(job.target) and not overwrite:
            return False
        write_file(Path(job.target), content)
        return True

    def write_failures(self, failures: Sequence[PhotoFailed]) -> None:
        """The event of the photo says all."""

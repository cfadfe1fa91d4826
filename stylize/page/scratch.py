"""The server's temporary folder: one for each, removed at its end, or by the next one to start."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

PREFIX = "stylize-page-"


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder of this server, which only this user may read. Removes those that killed servers
    have left: nobody holds their lock."""
    for left in Path(tempfile.gettempdir()).glob(PREFIX + "*"):
        if not left.is_symlink():  # whoever may have put one there
            _remove(left)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    with FileLock(_lock(folder)):
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _remove(folder: Path) -> None:
    try:
        with FileLock(_lock(folder), timeout=0):
            shutil.rmtree(folder, ignore_errors=True)
    except (Timeout, OSError):  # in use, or another user's
        pass


def _lock(folder: Path) -> Path:
    return folder / "lock"

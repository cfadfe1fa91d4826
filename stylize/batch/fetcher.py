"""Objects of a store -> their contents, ahead of the reader as far as memory allows."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import groupby
from pathlib import Path

from stylize.batch.ahead import in_order
from stylize.batch.tasks import Task
from stylize.files import Location, Url
from stylize.storage.connect import read

THREADS = 32
MOST = 256e6  # bytes fetched ahead


def fetch(tasks: Iterable[Task], room: float) -> Iterator[Task]:
    """The tasks with the contents of their photos and masks, in order.

    `room` is the memory for photos, in bytes: a quarter of it at most is fetched ahead, and a
    larger object than all of it is not fetched but fails.
    """

    def fetched(task: Task) -> Task:
        return replace(task, contents={url: _read(url, room) for url in _objects(task)})

    most = min(MOST, room / 4)
    for remote, group in groupby(tasks, key=lambda task: bool(_objects(task))):
        if remote:
            yield from in_order(fetched, group, THREADS, _size, most)
        else:
            yield from group


def copy_here(place: Location, folder: Path) -> Path:
    """The path of a file, or that of a copy in `folder` of an object; raises OSError."""
    if not isinstance(place, Url):
        return place
    content = read(place)
    path = folder / f"{len(list(folder.iterdir()))}{place.suffix}"
    path.write_bytes(content)
    return path


def _read(url: Url, room: float) -> bytes | OSError:
    if url.size > room:
        return OSError(
            f"its file has {url.size / 1e9:.1f} GB, more than there is memory for photos"
        )
    try:
        return read(url)
    except OSError as error:
        return error


def _objects(task: Task) -> list[Url]:
    return [place for place in (task.job.source, task.mask) if isinstance(place, Url)]


def _size(task: Task) -> int:
    return sum(url.size for url in _objects(task))

"""The guard of a run: whatever it reads, it never writes."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

from stylize.errors import UsageError
from stylize.files import Location, Url, identity, is_inside


class Identities(Protocol):
    """A set of files by their `files.identity`."""

    def __contains__(self, name: object, /) -> bool: ...

    def add(self, name: str, /) -> None: ...


class Guard:
    """What a run reads: `folders`, into which nothing may be written, and single files.

    Files and folders count by identity: under every name that links give them, and in every
    spelling where case does not count.
    """

    def __init__(
        self, output: Location, folders: Iterable[Location], files: Identities | None = None
    ) -> None:
        """`files` is a set that is still empty, for many files.

        Raises UsageError: `output` lies inside one of the folders.
        """
        self._output = output
        self._folders = {identity(folder): folder for folder in folders}
        self._folders.pop("", None)  # of one that is missing
        self._files: Identities = set() if files is None else files
        self._checked: Location | None = None  # a folder of outputs
        if folder := self._around(output):
            raise UsageError(
                f"the output folder {output} lies inside the input folder {folder}",
                "choose an output folder outside of it",
            )

    def reads(self, places: Iterable[Location | None]) -> None:
        """Note files that the run reads; None and missing ones do not count."""
        for place in places:
            if place is not None and (known := identity(place)):
                self._files.add(known)

    def check(self, target: Location) -> None:
        """Raise UsageError if `target` is read, lies among what is read, or outside the output."""
        folder = target.parent
        if folder != self._checked:  # targets of one folder come one after the other
            self._check_folder(folder)
            self._checked = folder
        known = identity(target)
        if known and known in self._files:
            raise UsageError(
                f"{target} is read by this run and would be overwritten",
                "choose another output folder",
            )

    def _check_folder(self, folder: Location) -> None:
        if around := self._around(folder):
            raise UsageError(
                f"outputs in {folder} would lie inside the input folder {around}",
                "choose another output folder",
            )
        if isinstance(folder, Path) and not is_inside(folder, Path(self._output)):
            raise UsageError(
                f"{folder} is a link that leads out of the output folder",
                "replace it by a folder, or choose another output folder",
            )

    def _around(self, place: Location) -> Location | None:
        """The folder that is read and holds `place`, or is it."""
        for above in _upwards(place):
            if (known := identity(above)) in self._folders:
                return self._folders[known]
        return None


def _upwards(place: Location) -> Iterator[Location]:
    """`place` and all that it lies in, links resolved."""
    if isinstance(place, Url):
        yield place
        if place.key:
            yield from _upwards(place.parent)
    else:
        # Not `Path.resolve`, which raises on a loop of links.
        real = Path(os.path.realpath(place))
        yield from (real, *real.parents)

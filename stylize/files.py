"""Folders in, plan out: which photo becomes which file; and how any file is written whole.

No pixel is read here.
"""

import os
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from stylize.errors import UsageError

# What is written as it came; every other kind of picture becomes a PNG.
WRITABLE = frozenset({".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp"})
READABLE = WRITABLE | frozenset({".gif", ".avif", ".jp2", ".ppm", ".pgm", ".pbm", ".ico", ".jfif"})

# Which permissions new files lose. Reading it means setting it for a moment, for all threads.
_UMASK = os.umask(0)
os.umask(_UMASK)


@dataclass(frozen=True)
class Job:
    """One photo to stylize: read `source`, write `target`."""

    source: Path
    target: Path


@dataclass(frozen=True)
class Plan:
    """All jobs of one run, in order, and how many other files lay in the input folders."""

    jobs: tuple[Job, ...]
    ignored: int


def find_photos(folder: Path) -> tuple[list[Path], int]:
    """All pictures below `folder`, sorted, and the number of other files.

    Suffixes decide (in any case); hidden files and folders are left out and not counted. Links to
    folders are not followed, so a loop of links ends.
    """
    photos: list[Path] = []
    ignored = 0
    for path in _walk(folder):
        if path.suffix.lower() in READABLE:
            photos.append(path)
        else:
            ignored += 1
    return photos, ignored


def _walk(folder: Path) -> Iterator[Path]:
    def refuse(error: OSError) -> None:
        raise UsageError(f"{error.filename}: {error.strerror}", "check its permissions") from error

    for root, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(root, name) for name in sorted(names) if not name.startswith("."))


def make_plan(inputs: Sequence[Path], output: Path, overwrite: bool = False) -> Plan:
    """Pair every photo in `inputs` (files and folders) with its file below `output`.

    A folder's tree is mirrored below `output`; a single file goes straight into it. A photo keeps
    its suffix if that format can be written, and becomes a PNG otherwise. Two photos that would
    share a name both keep their old suffix in it (`a.gif`, `a.png` -> `a.gif.png`, `a.png.png`).

    Raises:
        UsageError: an input is missing, no photo is found, `output` lies in an input folder or is
            a file, a photo would be overwritten, or (without `overwrite`) an output exists.
    """
    sources: dict[tuple[str, Path], Path] = {}  # (real path, place below the output) -> photo
    ignored = 0
    if output.exists() and not output.is_dir():
        raise UsageError(f"{output} is a file", "give --output a folder")
    for entry in inputs:
        if entry.is_dir():
            if is_inside(output, entry):
                raise UsageError(
                    f"the output folder {output} lies inside the input folder {entry}",
                    "choose an output folder outside of it",
                )
            photos, others = find_photos(entry)
            ignored += others
            found = [(photo, photo.relative_to(entry)) for photo in photos]
        elif entry.is_file():
            found = [(entry, Path(entry.name))]
        else:
            raise UsageError(f"no file or folder {entry}", "check the path")
        for photo, place in found:
            sources.setdefault((os.path.realpath(photo), place), photo)
    if not sources:
        names = ", ".join(str(entry) for entry in inputs)
        raise UsageError(
            f"no photos in {names}", f"looked for {' '.join(sorted(READABLE))} in all subfolders"
        )
    places = _places(place for _, place in sources)
    jobs = tuple(
        Job(photo, output / place) for photo, place in zip(sources.values(), places, strict=True)
    )
    _refuse_overwriting(jobs, {real for real, _ in sources}, overwrite)
    return Plan(jobs, ignored)


def is_inside(path: Path, folder: Path) -> bool:
    """Whether `path` is `folder` or lies below it, links followed."""
    # Not `Path.resolve`, which raises on a loop of links.
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def _places(places: Iterable[Path]) -> list[Path]:
    """The output name of each photo; photos that would collide keep their old suffix as well."""
    wanted = list(places)
    targets = [_writable(place) for place in wanted]
    # Compared without case, as some file systems do.
    uses = Counter(str(target).casefold() for target in targets)
    targets = [
        target.with_name(place.name + target.suffix) if uses[str(target).casefold()] > 1 else target
        for place, target in zip(wanted, targets, strict=True)
    ]
    uses = Counter(str(target).casefold() for target in targets)
    for target in targets:
        if uses[str(target).casefold()] > 1:
            raise UsageError(
                f"two photos would both become {target}", "stylize these inputs in separate runs"
            )
    return targets


def _writable(place: Path) -> Path:
    return place if place.suffix.lower() in WRITABLE else place.with_suffix(".png")


def _refuse_overwriting(jobs: Sequence[Job], photos: set[str], overwrite: bool) -> None:
    present = [job.target for job in jobs if job.target.exists()]
    for target in present:
        if os.path.realpath(target) in photos:
            raise UsageError(
                f"{target} is a photo to be stylized and would be overwritten",
                "choose another output folder",
            )
    if present and not overwrite:
        raise UsageError(
            f"{len(present)} of {len(jobs)} outputs exist already, such as {present[0]}",
            "pass --overwrite, or choose another output folder",
        )


def write_file(path: Path, content: bytes) -> None:
    """Put `content` under `path` in one step, making its folder; raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=".stylize-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(temporary).chmod(0o666 & ~_UMASK)  # mkstemp makes files private
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def make_folder(folder: Path) -> None:
    """Make `folder` and those above it; raises UsageError if it cannot be written into."""
    hint = "check its permissions, or choose another folder"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot make the folder {folder}: {error.strerror}", hint) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(f"cannot write into the folder {folder}", hint)

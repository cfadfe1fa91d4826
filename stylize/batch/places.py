"""Names in an output: which photo gets which, so that no two share one."""

import hashlib
import os
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from stylize.config import KEEP, ApplyConfig
from stylize.errors import UsageError
from stylize.files import CONTAINERS, FORMATS, Location, is_clip, is_folder

STATE_FOLDER = ".stylize"  # in the output folder: the manifest and its lock
MAX_NAME_BYTES = 255  # of a file name, on almost every file system
WRITABLE = FORMATS | CONTAINERS
MOST_NAMED = 20  # collisions in an error; more are counted


class Taken(Protocol):
    """Names that are in use in an output, each with the last number that a photo got in its place.

    So the numbers of one name are counted once, however many photos want it.
    """

    def __contains__(self, name: object, /) -> bool: ...

    def __getitem__(self, name: str, /) -> int: ...

    def __setitem__(self, name: str, number: int, /) -> None: ...


def choose_place(
    origin: Path, config: ApplyConfig, style: str, taken: Taken, *, twin: bool = False
) -> Path:
    """The first name for a photo that is not `taken`, and from then on is.

    A `twin` has the same path below another input as an earlier photo: it gets a number at once.

    Raises UsageError: it is one of stylize's own, or `config.name` makes names that are too long.
    """
    suffix = _suffix(origin, config.format)

    def named(stem: str) -> Path:
        return origin.with_name(_file_name(config.name, stem, style, suffix))

    stem, place = origin.stem, named(origin.stem)
    if not twin and folded(place) in taken:
        stem, place = origin.name, named(origin.name)
    wanted = folded(place)
    if wanted in taken:
        number = taken[wanted]
        while folded(place) in taken:
            number += 1
            place = named(f"{stem}~{number}")
        taken[wanted] = number
    taken[folded(place)] = 1
    if folded(Path(place.parts[0])) == STATE_FOLDER:
        raise UsageError(f"{place} lies where stylize keeps its own files", "rename it")
    return place


def names_picture(output: Location) -> bool:
    """Whether an output is one picture or clip, by its suffix, and not a folder of that name."""
    is_picture = output.suffix.lower() in WRITABLE
    return is_picture and not (isinstance(output, Path) and is_folder(output))


def changes_format(origin: Path, kind: str) -> bool:
    """Whether the output has another format; then the photo is second in the choice of names."""
    return WRITABLE.get(origin.suffix.lower()) != WRITABLE[_suffix(origin, kind).lower()]


def folded(place: Path) -> str:
    """Equal for names that some file systems treat as the same."""
    return unicodedata.normalize("NFC", str(place)).casefold()


def refuse_twins(twins: Iterator[tuple[Path, Sequence[Location]]]) -> None:
    """Raise UsageError if there are `twins`: paths below the inputs, with the photos of each."""
    named: list[str] = []
    more = 0
    for origin, photos in twins:
        if len(named) < MOST_NAMED:
            named.append(f"{origin} ({', '.join(map(str, photos[:MOST_NAMED]))})")
        else:
            more += 1
    if named:
        raise UsageError(
            f"several photos would have one name: {'; '.join(named)}"
            + (f"; and {more} more such names" if more else ""),
            "--numbered gives them numbers, such as a~2.jpg (in a job file: numbered = true)",
        )


def _suffix(origin: Path, kind: str) -> str:
    if is_clip(origin):
        return origin.suffix if origin.suffix.lower() in CONTAINERS else ".mp4"
    if kind != KEEP:
        return f".{kind}"
    return origin.suffix if origin.suffix.lower() in FORMATS else ".png"


def _file_name(template: str, stem: str, style: str, suffix: str) -> str:
    """The template filled in; in a name that is too long, a hash replaces the end of the stem."""
    name = template.format(stem=stem, style=style, suffix=suffix)
    excess = len(os.fsencode(name)) - MAX_NAME_BYTES
    if excess <= 0:
        return name
    mark = "~" + hashlib.sha256(os.fsencode(stem)).hexdigest()[:8]
    room = len(os.fsencode(stem)) - excess - len(mark)
    if room < 1:
        raise UsageError(f"--name makes names of more than {MAX_NAME_BYTES} bytes", "shorten it")
    short = os.fsencode(stem)[:room].decode(errors="ignore") + mark
    return template.format(stem=short, style=style, suffix=suffix)

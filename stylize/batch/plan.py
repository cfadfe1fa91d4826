"""Inputs -> plan: which photo becomes which file. Looks at names and folders, opens no file."""

import hashlib
import os
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from stylize.assets import find_style, style_name
from stylize.config import KEEP, ApplyConfig
from stylize.errors import UsageError
from stylize.files import (
    FORMATS,
    READABLE,
    Location,
    find_photos,
    is_file,
    is_folder,
    is_inside,
)

STATE_FOLDER = ".stylize"  # in the output folder: the manifest and its lock
MAX_NAME_BYTES = 255  # of a file name, on almost every file system


@dataclass(frozen=True)
class Job:
    """One photo to stylize: read `source`, write `target`, which is `place` below the output.

    `origin` is the path of the photo relative to its input folder.
    """

    source: Location
    origin: Path
    target: Location
    place: Path


class Names(Protocol):
    """A set of names: those that are taken in an output."""

    def __contains__(self, name: object, /) -> bool: ...

    def add(self, name: str, /) -> None: ...


@dataclass(frozen=True)
class Plan:
    """The jobs of a run in order, the number of other files, and the folders without access."""

    jobs: tuple[Job, ...]
    ignored: int
    shut: tuple[OSError, ...]


def make_plan(
    inputs: Sequence[Path],
    output: Path,
    config: ApplyConfig,
    style: str,
    listed: Sequence[Path] = (),
) -> Plan:
    """Pair every photo in `inputs` and `listed` (files and folders) with its file below `output`.

    A folder of `inputs` is mirrored below `output`; a single file goes straight into it. Paths in
    `listed` are mirrored as written, relative to the working directory.

    A photo keeps its suffix or gets that of `config.format`; a format that cannot be written
    becomes PNG. Where names collide, the photo that keeps its format keeps its name, and the
    others add their old suffix (`a.jpg`, `a.png` -> `a.jpg`, `a.png.jpg`).

    Where `output` names a picture (`names_picture`), it is that of the only photo.

    Raises:
        UsageError: an input is missing, there is no photo, `output` is a file or inside an input
            folder, a photo would be overwritten, `config.name` gives no valid file name, or
            `output` names a picture that is there already, of another format than
            `config.format`, or for more than one photo.
    """
    entries = list(find_entries(inputs, listed))
    if names_picture(output):
        return _plan_single(entries, output, config)
    if output.exists() and not output.is_dir():
        raise UsageError(f"{output} is a file", "give --output a folder")
    folders = [entry for entry, _ in entries if is_folder(entry)]
    if len(entries) == 1 and not folders and not output.exists():
        _refuse_unknown_suffix(output)
    for folder in folders:
        if is_inside(output, folder):
            raise UsageError(
                f"the output folder {output} lies inside the input folder {folder}",
                "choose an output folder outside of it",
            )
    photos, ignored, shut = _find_all(entries)
    if not photos and not shut:
        names = ", ".join(str(entry) for entry, _ in entries)
        raise UsageError(
            f"no photos in {names}" if names else "no photos: the list is empty",
            f"looked for {' '.join(sorted(READABLE))} in all subfolders",
        )
    origins = [origin for _, origin in photos]
    places = _places(origins, config, style)
    jobs = tuple(
        Job(photo, origin, output / place, place)
        for photo, origin, place in zip(photos.values(), origins, places, strict=True)
    )
    _refuse_overwriting(jobs, {real for real, _ in photos})
    for target in {(output / place).parent for place in places}:
        for folder in folders:
            if is_inside(target, folder):
                raise UsageError(
                    f"outputs in {target} would lie inside the input folder {folder}",
                    "choose another output folder",
                )
    return Plan(jobs, ignored, tuple(shut))


def names_picture(output: Location) -> bool:
    """Whether an output is one picture, by its suffix, and not a folder of that name."""
    is_picture = output.suffix.lower() in FORMATS
    return is_picture and not (isinstance(output, Path) and is_folder(output))


def _plan_single(entries: Sequence[tuple[Path, Path]], output: Path, config: ApplyConfig) -> Plan:
    if len(entries) != 1 or is_folder(entries[0][0]):
        hint = "give --output a folder, or one photo as the input"
        raise UsageError(f"{output} names one picture, and the input is not one photo", hint)
    kind = FORMATS[output.suffix.lower()]
    if config.format != KEEP and FORMATS[f".{config.format}"] != kind:
        raise UsageError(
            f"--output {output} and --format {config.format} exclude each other",
            "leave out --format, or give --format keep: the name decides",
        )
    ((photo, base),) = entries
    job = Job(photo, photo.relative_to(base), output, Path(output.name))
    _refuse_overwriting([job], {os.path.realpath(photo)})
    if os.path.lexists(output) and not config.overwrite:
        raise UsageError(f"{output} exists", "choose another --output; --overwrite replaces it")
    return Plan((job,), 0, ())


def _refuse_unknown_suffix(output: Path) -> None:
    """A single photo's `result.psd` is meant to be a picture; `painted.v2` may be a folder."""
    suffix = output.suffix.lower()
    if suffix in READABLE or suffix[1:].isalpha():
        raise UsageError(
            f"{output}: no picture can be written as {suffix}",
            "end it in .jpg, .png or .webp; make the folder first if you want one of that name",
        )


def _find_all(
    entries: Sequence[tuple[Path, Path]],
) -> tuple[dict[tuple[str, Path], Path], int, list[OSError]]:
    """(real path, origin) -> photo, each once; the number of other files; shut folders."""
    photos: dict[tuple[str, Path], Path] = {}
    ignored = 0
    shut: list[OSError] = []
    for entry, base in entries:
        found = [entry]
        if is_folder(entry):
            found, others, closed = find_photos(entry)
            ignored += others
            shut += closed
        for photo in found:
            photos.setdefault((os.path.realpath(photo), photo.relative_to(base)), photo)
    return photos, ignored, shut


def find_entries(inputs: Sequence[Path], listed: Sequence[Path]) -> Iterator[tuple[Path, Path]]:
    """Each input with the folder that its paths are relative to."""
    for entry in inputs:
        if not is_folder(entry) and not is_file(entry):
            raise UsageError(f"no file or folder {entry}", "check the path")
        yield entry, entry if is_folder(entry) else entry.parent
    here = Path.cwd()
    for entry in listed:  # a missing one fails by itself, when it is read
        path = here / entry
        # `..` after a link to a folder does not lead back.
        if path.is_relative_to(here) and ".." not in path.parts:
            yield path.relative_to(here), Path()
        else:
            yield path, path if is_folder(path) else path.parent


def _places(origins: Sequence[Path], config: ApplyConfig, style: str) -> list[Path]:
    """Path of each photo below the output folder; no two differ in case only."""
    if len(set(origins)) < len(origins):
        twice = next(origin for origin in origins if origins.count(origin) > 1)
        raise UsageError(
            f"two photos would both become {twice}", "stylize these inputs in separate runs"
        )
    # No file may take the name of a folder.
    taken = {folded(folder) for origin in origins for folder in origin.parents}
    places: dict[int, Path] = {}
    changed = [changes_format(origin, config.format) for origin in origins]
    for index in sorted(range(len(origins)), key=changed.__getitem__):
        places[index] = choose_place(origins[index], config, style, taken)
    return [places[index] for index in range(len(origins))]


def choose_place(origin: Path, config: ApplyConfig, style: str, taken: Names) -> Path:
    """The first name for a photo that is not `taken`, and from then on is.

    Raises UsageError: it is one of stylize's own, or `config.name` makes names that are too long.
    """
    suffix = _suffix(origin, config.format)
    for stem in _stems(origin):
        place = origin.with_name(_file_name(config.name, stem, style, suffix))
        if folded(place) not in taken:
            break
    taken.add(folded(place))
    if place.parts[0] == STATE_FOLDER:
        raise UsageError(f"{place} lies where stylize keeps its own files", "rename it")
    return place


def style_folders(styles: Sequence[str], output: Location) -> list[tuple[str, Location]]:
    """Each style (a name or a path) with its output: `output` itself for a single one, otherwise
    the folder below it that has the style's name.

    Raises UsageError: there is no such style, two have the same name, or `output` names a picture.
    """
    if len(styles) == 1:
        return [(styles[0], output)]
    if names_picture(output):
        raise UsageError(
            f"{output} names one picture, and there are {len(styles)} styles",
            "give --output a folder",
        )
    names = [style_name(find_style(style)) for style in styles]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"two styles are called {name}", "give each style once")
    return [(style, output / name) for style, name in zip(styles, names, strict=True)]


def changes_format(origin: Path, kind: str) -> bool:
    """Whether the output has another format; then the photo is second in the choice of names."""
    return FORMATS.get(origin.suffix.lower()) != FORMATS[_suffix(origin, kind).lower()]


def _stems(origin: Path) -> Iterator[str]:
    yield origin.stem
    yield origin.name
    number = 2
    while True:
        yield f"{origin.name}~{number}"
        number += 1


def _suffix(origin: Path, kind: str) -> str:
    if kind != KEEP:
        return f".{kind}"
    return origin.suffix if origin.suffix.lower() in FORMATS else ".png"


def folded(place: Path) -> str:
    """Equal for names that some file systems treat as the same."""
    return unicodedata.normalize("NFC", str(place)).casefold()


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


def _refuse_overwriting(jobs: Sequence[Job], photos: set[str]) -> None:
    for job in jobs:
        if os.path.realpath(job.target) in photos:
            raise UsageError(
                f"{job.target} is a photo to be stylized and would be overwritten",
                "choose another --output",
            )

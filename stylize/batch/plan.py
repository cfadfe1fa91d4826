"""Inputs -> plan: which photo becomes which file. Looks at names and folders, opens no file."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from stylize.batch.guard import Guard
from stylize.batch.places import (
    WRITABLE,
    changes_format,
    choose_place,
    folded,
    names_picture,
    refuse_twins,
)
from stylize.config import KEEP, ApplyConfig
from stylize.errors import UsageError
from stylize.files import (
    CLIPS,
    FORMATS,
    READABLE,
    Location,
    find_photos,
    is_clip,
    is_file,
    is_folder,
)
from stylize.network.mixture import find_mixture

SUFFIXES = CLIPS.union(READABLE)


@dataclass(frozen=True)
class Job:
    """One photo or clip to stylize: read `source`, write `target`.

    `place` is the path of `target` below the output, `origin` that of `source` below its input.
    """

    source: Location
    origin: Path
    target: Location
    place: Path


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
    read: Iterable[Location] = (),
    *,
    may_be_empty: bool = False,
) -> Plan:
    """Pair every photo in `inputs` and `listed` (files and folders) with its file below `output`.

    A folder of `inputs` is mirrored below `output`; a single file goes straight into it. Paths in
    `listed` are mirrored as written, relative to the working directory.

    A photo keeps its suffix or gets that of `config.format`; a format that cannot be written
    becomes PNG. Where names collide, the photo that keeps its format keeps its name, and the
    others add their old suffix (`a.jpg`, `a.png` -> `a.jpg`, `a.png.jpg`).

    Where `output` names a picture (`names_picture`), it is that of the only photo. `read` are other
    files that the run reads.

    Raises:
        UsageError: an input is missing, there is no photo (unless the plan `may_be_empty`),
            `output` is a file or inside a folder that is read, something that is read would be
            overwritten, photos of several inputs want one name without `config.numbered`,
            `config.name` gives no valid file name, or `output` names a picture that is there
            already, of another format than `config.format`, or for more than one photo.
    """
    entries = list(find_entries(inputs, listed))
    if names_picture(output):
        return _plan_single(entries, output, config, read)
    if output.exists() and not output.is_dir():
        raise UsageError(f"{output} is a file", "give --output a folder")
    folders = [entry for entry, _ in entries if is_folder(entry)]
    if len(entries) == 1 and not folders and not output.exists():
        _refuse_unknown_suffix(output)
    guard = Guard(output, [*folders, *_mask_folders(config)])
    photos, ignored, shut = _find_all(entries)
    if not photos and not shut and not may_be_empty:
        names = ", ".join(str(entry) for entry, _ in entries)
        raise UsageError(
            f"no photos in {names}" if names else "no photos: the list is empty",
            f"looked for {' '.join(sorted(SUFFIXES))} in all subfolders",
        )
    origins = [origin for _, origin in photos]
    places = _places(origins, list(photos.values()), config, style)
    jobs = tuple(
        Job(photo, origin, output / place, place)
        for photo, origin, place in zip(photos.values(), origins, places, strict=True)
    )
    guard.reads(photos.values())
    guard.reads(find_mask(origin, config.masks) for origin in origins)
    guard.reads(read)
    for job in jobs:
        guard.check(job.target)
    return Plan(jobs, ignored, tuple(shut))


def _plan_single(
    entries: Sequence[tuple[Path, Path]],
    output: Path,
    config: ApplyConfig,
    read: Iterable[Location],
) -> Plan:
    if len(entries) != 1 or is_folder(entries[0][0]):
        hint = "give --output a folder, or one photo as the input"
        raise UsageError(f"{output} names one picture, and the input is not one photo", hint)
    ((photo, base),) = entries
    if is_clip(photo) != is_clip(output):
        kinds = ("a clip", "a picture") if is_clip(photo) else ("a picture", "a clip")
        hint = "give --output a folder, or a name of the same kind"
        raise UsageError(f"{photo} is {kinds[0]}, and {output} names {kinds[1]}", hint)
    kind = WRITABLE[output.suffix.lower()]
    if not is_clip(photo) and config.format != KEEP and FORMATS[f".{config.format}"] != kind:
        raise UsageError(
            f"--output {output} and --format {config.format} exclude each other",
            "leave out --format, or give --format keep: the name decides",
        )
    job = Job(photo, photo.relative_to(base), output, Path(output.name))
    guard = Guard(output.parent, _mask_folders(config))
    guard.reads([photo, find_mask(job.origin, config.masks), *read])
    guard.check(output)
    if os.path.lexists(output) and not config.overwrite:
        raise UsageError(f"{output} exists", "choose another --output; --overwrite replaces it")
    return Plan((job,), 0, ())


def _mask_folders(config: ApplyConfig) -> list[Path]:
    return [] if config.masks is None else [Path(config.masks)]


def _refuse_unknown_suffix(output: Path) -> None:
    """A single photo's `result.psd` is meant to be a picture; `painted.v2` may be a folder."""
    suffix = output.suffix.lower()
    if suffix in SUFFIXES or suffix[1:].isalpha():
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
            found, others, closed = find_photos(entry, SUFFIXES)
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


def _places(
    origins: Sequence[Path], photos: Sequence[Path], config: ApplyConfig, style: str
) -> list[Path]:
    """Path of each photo below the output folder; no two differ in case only."""
    if not config.numbered:
        same: dict[Path, list[Path]] = {}
        for origin, photo in zip(origins, photos, strict=True):
            same.setdefault(origin, []).append(photo)
        refuse_twins((origin, found) for origin, found in same.items() if len(found) > 1)
    # No file may take the name of a folder.
    taken = {folded(folder): 1 for origin in set(origins) for folder in origin.parents}
    places: dict[int, Path] = {}
    seen: set[Path] = set()
    # By name, so that it does not matter which of two inputs was listed first.
    order = [(changes_format(origin, config.format), os.fsencode(origin)) for origin in origins]
    for index in sorted(range(len(origins)), key=order.__getitem__):
        origin = origins[index]
        places[index] = choose_place(origin, config, style, taken, twin=origin in seen)
        seen.add(origin)
    return [places[index] for index in range(len(origins))]


def find_mask(origin: Path, folder: str | None) -> Path | None:
    """The mask of a photo in `folder`, which mirrors the inputs.

    For `sub/a.jpg` it is `sub/a.png`, `sub/a.jpg.png` or `sub/a.jpg`, the first that exists.
    """
    if folder is None:
        return None
    paths = (Path(folder) / place for place in mask_places(origin))
    return next((path for path in paths if is_file(path)), None)


def mask_places(origin: Path) -> tuple[Path, ...]:
    """Where the mask of a photo may be, below the folder of the masks."""
    return origin.with_suffix(".png"), origin.with_name(origin.name + ".png"), origin


def style_folders(styles: Sequence[str], output: Location) -> list[tuple[str, Location]]:
    """Each style (a name, a path or a mix) with its output: `output` itself for a single one,
    otherwise the folder below it that has the style's name.

    Raises UsageError: there is no such style, two have the same name, or `output` names a picture.
    """
    if len(styles) == 1:
        return [(styles[0], output)]
    if names_picture(output):
        raise UsageError(
            f"{output} names one picture, and there are {len(styles)} styles",
            "give --output a folder",
        )
    names = [find_mixture(style).name for style in styles]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"two styles are called {name}", "give each style once")
    return [(style, output / name) for style, name in zip(styles, names, strict=True)]

"""Inputs in folders and object stores -> photos, some at a time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from stylize.batch.plan import find_entries
from stylize.errors import UsageError
from stylize.events import PhotoFailed
from stylize.files import READABLE, Location, Url, find_photos, is_clip, is_folder
from stylize.storage.connect import open_store

NO_PATH = "its key holds an empty folder name, which no path can have"
NO_CLIPS = "clips go from a folder into a folder, without object stores"


@dataclass(frozen=True)
class Input:
    """Something to stylize, and what the places of its photos are relative to: `base`, or `alone`
    if it is a single object."""

    entry: Location
    base: Location
    alone: Location


def find_inputs(inputs: Sequence[Location], listed: Sequence[Location]) -> Iterator[Input]:
    """As `plan.find_entries`, for URLs, too; those in `listed` are mirrored below their bucket."""
    for entry in inputs:
        if isinstance(entry, Url):
            yield Input(entry, entry, entry.parent)
    for entry in listed:
        if isinstance(entry, Url):
            root = Url(entry.removesuffix(entry.key).rstrip("/"), entry.login)
            yield Input(entry, root, root)
    for path, base in find_entries(
        [entry for entry in inputs if isinstance(entry, Path)],
        [entry for entry in listed if isinstance(entry, Path)],
    ):
        yield Input(path, base, base)


@dataclass
class Listing:
    """`ignored` counts files that are no photos, `failures` has what cannot be used."""

    ignored: int = 0
    failures: list[PhotoFailed] = field(default_factory=list)

    def pages(self, given: Input) -> Iterator[tuple[Location, list[Location]]]:
        """The photos of an input, some at a time, with what their places are relative to.

        Hidden files and folders are skipped, as in `files.find_photos`. Raises UsageError: there is
        nothing, or a store cannot be listed.
        """
        entry = given.entry
        if isinstance(entry, Url):
            yield from self._objects(entry, given)
        elif is_folder(entry):
            photos, ignored, shut = find_photos(entry)
            self.ignored += ignored
            self.failures += [PhotoFailed(Path(e.filename), str(e.strerror)) for e in shut]
            yield given.base, list(photos)
        else:
            yield given.base, self._pictures([entry])

    def _objects(self, url: Url, given: Input) -> Iterator[tuple[Location, list[Location]]]:
        store = open_store(url)
        found = False
        try:
            for page in store.pages():
                found = found or bool(page)
                shown = [each for each in page if not _is_hidden(each[len(url) + 1 :])]
                photos = [each for each in shown if each.suffix.lower() in READABLE]
                self.ignored += len(shown) - len(photos)
                yield given.base, [each for each in photos if self._fits(each, url)]
            single = store.stat() if url.key and not found else None
        except OSError as error:
            reason = f"cannot list {url}: {error.strerror}"
            raise UsageError(reason, "check the bucket and the credentials") from error
        if single is not None:
            yield given.alone, self._pictures([single])
        elif not found:
            raise UsageError(f"no photo or folder {url}", "check the URL")

    def _pictures(self, places: list[Location]) -> list[Location]:
        """Without clips."""
        self.failures += [PhotoFailed(place, NO_CLIPS) for place in places if is_clip(place)]
        return [place for place in places if not is_clip(place)]

    def _fits(self, url: Url, base: Url) -> bool:
        """Whether its key can be a path; parts that lead upwards are hidden."""
        fits = "" not in url[len(base) + 1 :].split("/")
        if not fits:
            self.failures.append(PhotoFailed(url, NO_PATH))
        return fits


def _is_hidden(key: str) -> bool:
    """Hidden as in a folder, or a key that stands for a folder."""
    return key.endswith("/") or any(part.startswith(".") for part in key.split("/"))

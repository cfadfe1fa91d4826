"""Plan + manifest -> tasks: what is left to do. Hashes files, decodes nothing, changes nothing."""

import hashlib
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path
from typing import Any

from stylize.batch.manifest import Manifest, Records, State
from stylize.batch.places import names_picture
from stylize.batch.plan import Job, Plan, find_mask, make_plan
from stylize.batch.single_output import SingleOutput
from stylize.config import AUTO, ApplyConfig
from stylize.errors import ImageError, UsageError
from stylize.events import PhotoFailed
from stylize.files import Location, Url, fingerprint, is_clip, is_folder, locate
from stylize.network.mixture import find_mixture
from stylize.storage.connect import open_store

MOST_ANCHORS = 16  # photos that represent the set


@dataclass(frozen=True)
class Task:
    """A job, the file of its mask if there is one, and the state of its output.

    `contents` are those of the photo and the mask where they are objects in a store, once they
    have been fetched, or the reason why they could not be.
    """

    job: Job
    mask: Location | None
    state: State
    contents: Mapping[Url, bytes | OSError] = field(default_factory=dict)

    @property
    def pending(self) -> bool:
        return self.state in (State.NEW, State.STALE)

    def content(self, place: Location) -> BytesIO | None:
        """The photo or the mask as it was fetched; None for a file, to be opened when it is read.

        Raises OSError as the store has, or ImageError if it is empty.
        """
        if not isinstance(place, Url):
            return None
        content = self.contents[place]
        if isinstance(content, OSError):
            raise content
        if not content:
            raise ImageError(f"{place}: empty file")
        return BytesIO(content)


@dataclass(frozen=True)
class Recipe:
    """Everything that decides what outputs look like: the name and sha256 of the style, the
    options (more of them for clips), and the anchors (photos whose statistics the norms are pulled
    towards)."""

    name: str
    style: str
    options: dict[str, Any]
    anchors: tuple[Location, ...] = ()
    clip_options: dict[str, Any] = field(default_factory=dict)

    def options_of(self, source: Location) -> dict[str, Any]:
        """The options that decide what the output of a photo or a clip looks like."""
        return self.options | self.clip_options if is_clip(source) else self.options


@dataclass(frozen=True)
class Todo:
    """The tasks of a plan; a `Catalog` answers the same questions."""

    plan: Plan
    all: Sequence[Task]

    @property
    def ignored(self) -> int:
        return self.plan.ignored

    @property
    def failures(self) -> list[PhotoFailed]:
        """Of folders that could not be listed."""
        return [PhotoFailed(Path(e.filename), str(e.strerror)) for e in self.plan.shut]

    def tasks(self, *states: State) -> list[Task]:
        """The tasks in these states, in order."""
        return [task for task in self.all if not states or task.state in states]

    def count(self, *states: State) -> int:
        return len(self.tasks(*states))


def uses_stores(
    inputs: Sequence[Location],
    output: Location,
    config: ApplyConfig,
    listed: Sequence[Location] = (),
) -> bool:
    """Whether a run has anything in an object store."""
    places = [*inputs, output, *listed]
    places += [locate(text) for text in (config.masks, config.anchor) if text]
    return any(isinstance(place, Url) for place in places)


def dry_run(
    style: str,
    inputs: Sequence[Path],
    output: Path,
    config: ApplyConfig,
    listed: Sequence[Path] = (),
    read: Sequence[Path] = (),
) -> tuple[Plan, list[Task]]:
    """What `apply` would do, without doing it; raises UsageError where `apply` would."""
    plan, recipe = prepare(style, inputs, output, config, listed, read)
    records: Records = SingleOutput(output) if names_picture(output) else Manifest(output)
    return plan, list_tasks(plan, records, recipe, config)


def prepare(
    style: str,
    inputs: Sequence[Path],
    output: Path,
    config: ApplyConfig,
    listed: Sequence[Path] = (),
    read: Sequence[Path] = (),
    *,
    may_be_empty: bool = False,
) -> tuple[Plan, Recipe]:
    """Plan and recipe of a run; `read` are other files that it must not write, such as its job.
    Only a plan that `may_be_empty` can be without photos.

    Raises UsageError: the style, an input, the masks, the anchor or the output cannot be used.
    """
    recipe = make_recipe(style, config)
    if config.masks is not None and not is_folder(config.masks):
        raise UsageError(f"no folder {config.masks}", "give --masks the folder of the masks")
    others: list[Location] = [*read, *also_read(style, config)]
    plan = make_plan(inputs, output, config, recipe.name, listed, others, may_be_empty=may_be_empty)
    if config.anchor is not None:
        photos = [job.source for job in plan.jobs if not is_clip(job.source)]
        every = anchors_every(len(photos))
        recipe = with_anchors(recipe, photos[::every], config)
    return plan, recipe


def make_recipe(style: str, config: ApplyConfig) -> Recipe:
    """Raises StyleFileError if there is no such style, UsageError if its file has no valid name."""
    mixture, clip_options = find_mixture(style), config.clip_recipe()
    return Recipe(mixture.name, mixture.digest(), config.recipe(), clip_options=clip_options)


def also_read(style: str, config: ApplyConfig) -> Iterator[Location]:
    """What a run reads beside photos and masks."""
    yield from find_mixture(style).files
    if config.anchor not in (None, AUTO):
        yield locate(str(config.anchor))


def anchors_every(photos: int) -> int:
    """Every so many-th photo of a set represents it."""
    return max(1, math.ceil(photos / MOST_ANCHORS))


def with_anchors(recipe: Recipe, photos: Sequence[Location], config: ApplyConfig) -> Recipe:
    """With `config.anchor` as the anchor; for "auto", with `photos`, which represent the set."""
    chosen = photos if config.anchor == AUTO else [_find_anchor(str(config.anchor))]
    digests: dict[Location, str] = {}
    for place in chosen:
        try:
            digests[place] = fingerprint(place)
        except OSError as error:
            if config.anchor != AUTO:  # in a set, the other photos are enough
                reason = f"{place}: {error.strerror}"
                raise UsageError(reason, "give --anchor a photo, or auto") from error
    options = {
        "anchor": hashlib.sha256("".join(digests.values()).encode()).hexdigest(),
        "anchor_weight": config.anchor_weight,
        "anchor_floor": config.anchor_floor,
    }
    return replace(recipe, options=recipe.options | options, anchors=tuple(digests))


def _find_anchor(text: str) -> Location:
    place = locate(text)
    if not isinstance(place, Url):
        return place
    try:
        found = open_store(place).stat()
    except OSError as error:
        raise UsageError(f"{place}: {error.strerror}", "give --anchor a photo, or auto") from error
    if found is None:
        raise UsageError(f"{place}: not found", "give --anchor a photo, or auto")
    return found


def list_tasks(plan: Plan, manifest: Records, recipe: Recipe, config: ApplyConfig) -> list[Task]:
    """A task for every job of the plan; `config.overwrite` makes every existing output stale."""

    def task(job: Job) -> Task:
        mask = find_mask(job.origin, config.masks)
        state = manifest.state(job, mask, recipe.style, recipe.options_of(job.source))
        if config.overwrite and state is not State.NEW:
            state = State.STALE
        return Task(job, mask, state)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(task, plan.jobs))

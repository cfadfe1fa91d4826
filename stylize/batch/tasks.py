"""Plan + manifest -> tasks: what is left to do. Hashes files, decodes nothing, changes nothing."""

import hashlib
import math
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from stylize.assets import SUFFIX, find_style
from stylize.batch.manifest import Manifest, State
from stylize.batch.plan import Job, Plan, make_plan
from stylize.config import AUTO, ApplyConfig
from stylize.errors import UsageError
from stylize.files import digest, is_file, is_folder

MOST_ANCHORS = 16  # photos that represent the set


@dataclass(frozen=True)
class Task:
    """A job, the file of its mask if there is one, and the state of its output."""

    job: Job
    mask: Path | None
    state: State

    @property
    def pending(self) -> bool:
        return self.state in (State.NEW, State.STALE)


@dataclass(frozen=True)
class Recipe:
    """Everything that decides what outputs look like: the name and sha256 of the style, the
    options, and the anchors (photos whose statistics the norms are pulled towards)."""

    name: str
    style: str
    options: dict[str, Any]
    anchors: tuple[Path, ...] = ()


def dry_run(
    style: str,
    inputs: Sequence[Path],
    output: Path,
    config: ApplyConfig,
    listed: Sequence[Path] = (),
) -> tuple[Plan, list[Task]]:
    """What `apply` would do, without doing it; raises UsageError where `apply` would."""
    plan, recipe = prepare(style, inputs, output, config, listed)
    return plan, list_tasks(plan, Manifest(output), recipe, config)


def prepare(
    style: str,
    inputs: Sequence[Path],
    output: Path,
    config: ApplyConfig,
    listed: Sequence[Path] = (),
) -> tuple[Plan, Recipe]:
    """Plan and recipe of a run.

    Raises UsageError: the style, an input, the masks, the anchor or the output cannot be used.
    """
    recipe = make_recipe(style, config)
    if config.masks is not None and not is_folder(config.masks):
        raise UsageError(f"no folder {config.masks}", "give --masks the folder of the masks")
    plan = make_plan(inputs, output, config, recipe.name, listed)
    if config.anchor is not None:
        recipe = _with_anchors(recipe, plan, config, config.anchor)
    return plan, recipe


def make_recipe(style: str, config: ApplyConfig) -> Recipe:
    """Raises StyleFileError if there is no such style."""
    path = find_style(style)
    return Recipe(path.name.removesuffix(SUFFIX), digest(path), config.recipe())


def _with_anchors(recipe: Recipe, plan: Plan, config: ApplyConfig, anchor: str) -> Recipe:
    """With that photo as the anchor; for "auto", with photos of the plan at even intervals."""
    chosen = [Path(anchor)]
    if anchor == AUTO:
        every = max(1, math.ceil(len(plan.jobs) / MOST_ANCHORS))
        chosen = [job.source for job in plan.jobs[::every]]
    digests: dict[Path, str] = {}
    for path in chosen:
        try:
            digests[path] = digest(path)
        except OSError as error:
            if anchor != AUTO:  # in a set, the other photos are enough
                reason = f"{anchor}: {error.strerror}"
                raise UsageError(reason, "give --anchor a photo, or auto") from error
    options = {
        "anchor": hashlib.sha256("".join(digests.values()).encode()).hexdigest(),
        "anchor_weight": config.anchor_weight,
        "anchor_floor": config.anchor_floor,
    }
    return replace(recipe, options=recipe.options | options, anchors=tuple(digests))


def list_tasks(plan: Plan, manifest: Manifest, recipe: Recipe, config: ApplyConfig) -> list[Task]:
    """A task for every job of the plan; `config.overwrite` makes every existing output stale."""

    def task(job: Job) -> Task:
        mask = find_mask(job, config.masks)
        state = manifest.state(job, mask, recipe.style, recipe.options)
        if config.overwrite and state is not State.NEW:
            state = State.STALE
        return Task(job, mask, state)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(task, plan.jobs))


def find_mask(job: Job, folder: str | None) -> Path | None:
    """The mask of a photo in `folder`, which mirrors the inputs.

    For `sub/a.jpg` it is `sub/a.png`, `sub/a.jpg.png` or `sub/a.jpg`, the first that exists.
    """
    if folder is None:
        return None
    place = Path(folder) / job.origin
    candidates = (place.with_suffix(".png"), place.with_name(place.name + ".png"), place)
    return next((path for path in candidates if is_file(path)), None)

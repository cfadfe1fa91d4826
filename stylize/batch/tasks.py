"""Plan and manifest -> what is left to do. Hashes files, looks at no pixel, changes nothing."""

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

MOST_ANCHORS = 16  # photos that stand for the set


@dataclass(frozen=True)
class Task:
    """A job, the file of its mask if there is one, and how its output stands now."""

    job: Job
    mask: Path | None
    state: State

    @property
    def open(self) -> bool:
        return self.state in (State.NEW, State.STALE)


@dataclass(frozen=True)
class Recipe:
    """What decides how outputs look: the style's name and sha256, and the options; and the photos
    that norms are held near, if any."""

    name: str
    style: str
    options: dict[str, Any]
    anchors: tuple[Path, ...] = ()


def make_recipe(style: str, config: ApplyConfig) -> Recipe:
    """Raises StyleFileError if there is no such style."""
    path = find_style(style)
    return Recipe(path.name.removesuffix(SUFFIX), digest(path), config.recipe())


def survey(plan: Plan, manifest: Manifest, recipe: Recipe, config: ApplyConfig) -> list[Task]:
    """Every job of the plan with its state; with `config.overwrite`, all that exists is stale."""

    def task(job: Job) -> Task:
        mask = find_mask(job, config.masks)
        state = manifest.state(job, mask, recipe.style, recipe.options)
        if config.overwrite and state is not State.NEW:
            state = State.STALE
        return Task(job, mask, state)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(task, plan.jobs))


def find_mask(job: Job, folder: str | None) -> Path | None:
    """The mask of a photo: `folder` mirrors the inputs, in PNG files or in the photos' own format.

    `sub/a.jpg` has its mask in `sub/a.png`, `sub/a.jpg.png` or `sub/a.jpg`.
    """
    if folder is None:
        return None
    place = Path(folder) / job.origin
    for path in (place.with_suffix(".png"), place.with_name(place.name + ".png"), place):
        if is_file(path):
            return path
    return None


def look_over(
    style: str,
    inputs: Sequence[Path],
    output: Path,
    config: ApplyConfig,
    listed: Sequence[Path] = (),
) -> tuple[Plan, list[Task]]:
    """The plan and what `apply` would do, without doing anything.

    Raises:
        UsageError: as `apply` would, for style, inputs, masks or output folder.
    """
    plan, recipe = make_ready(style, inputs, output, config, listed)
    return plan, survey(plan, Manifest(output), recipe, config)


def make_ready(
    style: str,
    inputs: Sequence[Path],
    output: Path,
    config: ApplyConfig,
    listed: Sequence[Path] = (),
) -> tuple[Plan, Recipe]:
    """Plan and recipe of a run; raises UsageError for whatever makes it senseless."""
    recipe = make_recipe(style, config)
    if config.masks is not None and not is_folder(config.masks):
        raise UsageError(f"no folder {config.masks}", "give --masks the folder of the masks")
    plan = make_plan(inputs, output, config, recipe.name, listed)
    if config.anchor is not None:
        recipe = _anchored(recipe, plan, config, config.anchor)
    return plan, recipe


def _anchored(recipe: Recipe, plan: Plan, config: ApplyConfig, anchor: str) -> Recipe:
    """With the photo to hold norms near, or with some of the plan, evenly chosen."""
    chosen = [Path(anchor)]
    if anchor == AUTO:
        every = max(1, math.ceil(len(plan.jobs) / MOST_ANCHORS))
        chosen = [job.source for job in plan.jobs[::every]]
    digests: dict[Path, str] = {}
    for path in chosen:
        try:
            digests[path] = digest(path)
        except OSError as error:
            if anchor != AUTO:  # of a set, others stand for it
                reason = f"{anchor}: {error.strerror}"
                raise UsageError(reason, "give --anchor a photo, or auto") from error
    options = {
        "anchor": hashlib.sha256("".join(digests.values()).encode()).hexdigest(),
        "anchor_weight": config.anchor_weight,
        "anchor_floor": config.anchor_floor,
    }
    return replace(recipe, options=recipe.options | options, anchors=tuple(digests))

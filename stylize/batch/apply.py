"""Photos in one style: inputs -> plan -> tasks -> pipeline -> events."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from stylize import events
from stylize.batch.manifest import Manifest, State
from stylize.batch.pipeline import FOREIGN, Pipeline
from stylize.batch.plan import Plan
from stylize.batch.tasks import Recipe, list_tasks, prepare
from stylize.config import ApplyConfig
from stylize.files import make_folder
from stylize.photos.heic import need_heic
from stylize.style import Style, load_style


def apply(
    style: str,
    inputs: Sequence[Path],
    output: Path,
    config: ApplyConfig | None = None,
    listed: Sequence[Path] = (),
) -> Iterator[events.Event]:
    """Stylize every photo in `inputs` and `listed` (files and folders) into the folder `output`.

    `style` is a name or a path. Yields `Backend`, `ApplyStarted`, one `PhotoCurrent`, `PhotoDone`
    or `PhotoFailed` for each photo (a `PhotoBegun` comes before its result), and `ApplyDone`.
    Nothing is written before the whole plan is checked. Outputs that are up to date stay, and so
    do files that stylize did not write, unless `config.overwrite`.

    Raises:
        UsageError: the style, an input, the output folder, the device or the format cannot be used,
            or another run is writing into the output folder.
    """
    config = config or ApplyConfig()
    if config.format == "heic":
        need_heic()
    plan, recipe = prepare(style, inputs, output, config, listed)
    loaded = load_style(style, config.device, config.precision)
    loaded.check(config.look)
    make_folder(output)
    with Manifest.locked(output) as manifest:
        yield from _run(plan, recipe, loaded, manifest, output, config)


def _run(
    plan: Plan,
    recipe: Recipe,
    style: Style,
    manifest: Manifest,
    output: Path,
    config: ApplyConfig,
) -> Iterator[events.Event]:
    tasks = list_tasks(plan, manifest, recipe, config)
    current = [task.job for task in tasks if task.state is State.CURRENT]
    pending = [task for task in tasks if task.pending]
    if recipe.anchors and pending:
        style.hold(recipe.anchors, config)
    failures = [events.PhotoFailed(Path(e.filename), str(e.strerror)) for e in plan.shut]
    failures += [
        events.PhotoFailed(task.job.source, FOREIGN)
        for task in tasks
        if task.state is State.FOREIGN
    ]
    pipeline = Pipeline(style, manifest, recipe, config, len(plan.jobs))
    yield style.compute.describe()
    yield events.ApplyStarted(recipe.name, len(pending), len(current), plan.ignored)
    yield from (events.PhotoCurrent(job.source, job.target) for job in current)
    yield from failures

    started = time.monotonic()
    begun = done = pixels = 0
    for event in pipeline.run(pending, failed=bool(failures)):
        if isinstance(event, events.PhotoDone):
            done += 1
            pixels += event.width * event.height * event.frames
        elif isinstance(event, events.PhotoFailed):
            failures.append(event)
        begun += not isinstance(event, events.PhotoBegun)
        yield event
    yield events.ApplyDone(
        done=done,
        failed=len(failures),
        current=len(current),
        left=len(pending) - begun,
        megapixels=pixels / 1e6,
        seconds=time.monotonic() - started,
        output=output,
        failures=manifest.write_failures(failures),
        stopped=pipeline.stopped,
    )

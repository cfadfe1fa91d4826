"""Turn photos into one style: inputs -> plan -> what is left to do -> pipeline -> events."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from stylize.batch.manifest import Manifest, State
from stylize.batch.pipeline import FOREIGN, Pipeline
from stylize.batch.tasks import make_ready, survey
from stylize.config import ApplyConfig
from stylize.events import (
    ApplyDone,
    ApplyStarted,
    Backend,
    Event,
    PhotoBegun,
    PhotoCurrent,
    PhotoDone,
    PhotoFailed,
)
from stylize.files import make_folder
from stylize.network.instance_norm.ops import backend
from stylize.style import load_style


def apply(
    style: str,
    inputs: Sequence[Path],
    output: Path,
    config: ApplyConfig | None = None,
    listed: Sequence[Path] = (),
) -> Iterator[Event]:
    """Stylize every photo in `inputs` and `listed` (files and folders) into the folder `output`.

    `style` is a name or a path. Yields `Backend`, `ApplyStarted`, one `PhotoCurrent`, `PhotoDone`
    or `PhotoFailed` a photo (of those that get so far, a `PhotoBegun` before), and `ApplyDone`.
    Nothing is written before the whole plan is known to be sound. Outputs that are up to date are
    left alone, and so are files that stylize did not write, unless `config.overwrite`.

    Raises:
        UsageError: the style, an input, the output folder or the device cannot be used, or another
            run is writing into the output folder.
    """
    config = config or ApplyConfig()
    plan, recipe = make_ready(style, inputs, output, config, listed)
    loaded = load_style(style, config.device, config.precision)
    make_folder(output)
    with Manifest.locked(output) as manifest:
        tasks = survey(plan, manifest, recipe, config)
        current = [task.job for task in tasks if task.state is State.CURRENT]
        todo = [task for task in tasks if task.open]
        if recipe.anchors and todo:
            loaded.hold(recipe.anchors, config)
        failures = [PhotoFailed(Path(error.filename), str(error.strerror)) for error in plan.shut]
        failures += [PhotoFailed(t.job.source, FOREIGN) for t in tasks if t.state is State.FOREIGN]
        pipeline = Pipeline(loaded, manifest, recipe, config, len(plan.jobs))
        compute = loaded.compute
        norm = backend(compute.device.type)
        yield Backend(str(compute.device), compute.precision, compute.detail, norm)
        yield ApplyStarted(recipe.name, len(todo), len(current), plan.ignored)
        yield from (PhotoCurrent(job.source, job.target) for job in current)
        yield from failures

        started = time.monotonic()
        begun = done = pixels = 0
        for event in pipeline.run(todo, failed=bool(failures)):
            if isinstance(event, PhotoDone):
                done += 1
                pixels += event.width * event.height * event.frames
            elif isinstance(event, PhotoFailed):
                failures.append(event)
            begun += not isinstance(event, PhotoBegun)
            yield event
        yield ApplyDone(
            done,
            len(failures),
            len(current),
            len(todo) - begun,
            pixels / 1e6,
            time.monotonic() - started,
            output,
            manifest.write_failures(failures),
            pipeline.stopped,
        )

"""Photos in one style: inputs -> plan -> tasks -> pipeline -> events."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from itertools import takewhile
from pathlib import Path

import torch

from stylize import events
from stylize.batch.catalog import Catalog, prepare_catalog
from stylize.batch.clips import ClipPipeline
from stylize.batch.fetcher import copy_here
from stylize.batch.manifest import Manifest, Records, State
from stylize.batch.object_manifest import ObjectManifest
from stylize.batch.pipeline import Pipeline
from stylize.batch.places import names_picture
from stylize.batch.plan import style_folders
from stylize.batch.ray_pipeline import RayPipeline, connected
from stylize.batch.single_output import SingleOutput
from stylize.batch.tasks import Recipe, Todo, list_tasks, prepare, uses_stores
from stylize.batch.writer import FOREIGN
from stylize.config import LOCAL, ApplyConfig
from stylize.errors import UsageError
from stylize.files import Location, Url, make_folder
from stylize.photos.heic import need_heic
from stylize.style import Style, load_style


def apply(
    style: str,
    inputs: Sequence[Location],
    output: Location,
    config: ApplyConfig | None = None,
    listed: Sequence[Location] = (),
    read: Sequence[Path] = (),
) -> Iterator[events.Event]:
    """Stylize every photo and clip in `inputs` and `listed` (files and folders) into the folder
    `output`, or a single one into the file that `output` names.

    `style` is a name, a path or a mix (`find_mixture`). Photos and folders may be objects and
    prefixes in stores, too (`files.locate` makes them of URLs). Yields `PhotosListed` and
    `PhotosCompared` while stores are listed, then `Backend`, `ApplyStarted`, one `PhotoCurrent`,
    `PhotoDone` or `PhotoFailed` for each photo (a `PhotoBegun` comes before its result) and then
    each clip (a `FramePainted` for each frame, too), and `ApplyDone`. Nothing is written before the
    whole plan is checked. Outputs that are up to date stay, and so do files that stylize did not
    write, unless `config.overwrite`. Nothing that the run reads is ever written: photos, masks,
    anchors, the style, and the files in `read`, such as one with settings.

    Raises:
        UsageError: the style, an input, the output folder, the device or the format cannot be used,
            or another run is writing into the output folder.
    """
    config = config or ApplyConfig()
    if config.format == "heic":
        need_heic()
    if uses_stores(inputs, output, config, listed):
        with closing(Catalog(output, config)) as catalog:
            recipe = yield from prepare_catalog(catalog, style, inputs, listed, read)
            loaded = load(style, config)
            with locked(output) as manifest:
                for count in catalog.check(manifest, recipe):
                    yield events.PhotosCompared(count)
                yield from run(catalog, recipe, loaded, manifest, output, config)
        return
    paths = [Path(place) for place in inputs]
    found = [Path(place) for place in listed]
    plan, recipe = prepare(style, paths, Path(output), config, found, read)
    loaded = load(style, config)
    with locked(output) as manifest:
        todo = Todo(plan, list_tasks(plan, manifest, recipe, config))
        yield from run(todo, recipe, loaded, manifest, output, config)


def apply_styles(
    styles: Sequence[str],
    inputs: Sequence[Location],
    output: Location,
    config: ApplyConfig,
    listed: Sequence[Location] = (),
    read: Sequence[Path] = (),
) -> Iterator[events.Event]:
    """`apply` for each style, one after the other, into the folder below `output` that has its
    name; for a single style, into `output` itself.

    Yields the events of `apply` for each. If one stops early, no other begins, and a `Note` says
    so.

    Raises UsageError: as `apply`, before anything is written, or two styles have the same name.
    """
    folders = style_folders(styles, output)
    if len(folders) > 1:
        for style, folder in folders:
            if not uses_stores(inputs, folder, config, listed):
                paths = [[Path(place) for place in places] for places in (inputs, listed)]
                prepare(style, paths[0], Path(folder), config, paths[1], read)
            load(style, config)
    while folders:
        style, folder = folders.pop(0)
        for event in apply(style, inputs, folder, config, listed, read):
            yield event
        if folders and isinstance(event, events.ApplyDone) and event.stopped:
            yield events.Note(f"not begun: {', '.join(left.name for _, left in folders)}")
            return


def load(name: str, config: ApplyConfig) -> Style:
    """The style for a run; raises UsageError if it cannot do what `config` asks for."""
    # The workers of a cluster have other devices than this machine.
    device = config.device if config.engine == LOCAL else "cpu"
    style = load_style(name, device, config.precision)
    style.check(config.look)
    return style


def locked(output: Location) -> AbstractContextManager[Records]:
    """The records of an output, for this run alone; raises UsageError if another has them."""
    if isinstance(output, Url):
        return ObjectManifest.locked(output)
    if names_picture(output):
        make_folder(output.parent)
        return nullcontext(SingleOutput(output))
    make_folder(output)
    return Manifest.locked(output)


def run(
    todo: Todo | Catalog,
    recipe: Recipe,
    style: Style,
    manifest: Records,
    output: Location,
    config: ApplyConfig,
    stop: threading.Event | None = None,
) -> Iterator[events.Event]:
    """Do what is left to do: from `Backend` to `ApplyDone`. Once `stop` is set, no photo begins."""
    pending = todo.count(State.NEW, State.STALE)
    anchors = _copies(recipe.anchors, manifest.scratch) if recipe.anchors and pending else []
    if config.engine == LOCAL or not pending:
        if anchors:
            style.hold(anchors, config)
        pipeline = Pipeline(style, manifest, recipe, config, todo.count())
        both = ClipPipeline(pipeline, style, manifest, recipe, config)
        yield from _painted(both, todo, recipe, manifest, output, stop)
        return
    with connected(config.address, torch.get_num_threads()):
        source = style.source
        assert source is not None  # noqa: S101 for the type checker: it was loaded by name
        workers = RayPipeline(source, anchors, manifest, recipe, config, todo.count())
        both = ClipPipeline(workers, style, manifest, recipe, config)
        yield from _painted(both, todo, recipe, manifest, output, stop)


def _painted(
    pipeline: ClipPipeline,
    todo: Todo | Catalog,
    recipe: Recipe,
    manifest: Records,
    output: Location,
    stop: threading.Event | None,
) -> Iterator[events.Event]:
    pending, current = todo.count(State.NEW, State.STALE), todo.count(State.CURRENT)
    failures = list(todo.failures)
    failures += (events.PhotoFailed(task.job.source, FOREIGN) for task in todo.tasks(State.FOREIGN))
    yield pipeline.describe()
    yield events.ApplyStarted(recipe.name, pending, current, todo.ignored)
    for task in todo.tasks(State.CURRENT):
        yield events.PhotoCurrent(task.job.source, task.job.target)
    yield from failures

    started = time.monotonic()
    begun = done = pixels = 0
    tasks = todo.tasks(State.NEW, State.STALE)
    going = takewhile(lambda _: stop is None or not stop.is_set(), tasks)
    for event in pipeline.run(going, failed=bool(failures)):
        if isinstance(event, events.PhotoDone):
            done += 1
            pixels += event.width * event.height * event.frames
        elif isinstance(event, events.PhotoFailed):
            failures.append(event)
        begun += isinstance(event, events.PhotoDone | events.PhotoFailed)
        yield event
    yield events.ApplyDone(
        done=done,
        failed=len(failures),
        current=current,
        left=pending - begun,
        megapixels=pixels / 1e6,
        seconds=time.monotonic() - started,
        output=output,
        failures=manifest.write_failures(failures),
        stopped=pipeline.stopped,
    )


def _copies(anchors: Sequence[Location], folder: Path) -> list[Path]:
    """Files of the anchors, as far as they can be read; raises UsageError if none can."""
    copies = []
    for place in anchors:
        try:
            copies.append(copy_here(place, folder))
        except OSError as error:  # in a set, the other photos are enough
            reason = f"{place}: {error.strerror}"
    if not copies:
        raise UsageError(reason, "give --anchor a photo, or auto")
    return copies

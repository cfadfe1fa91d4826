"""Turn photos into one style: files -> images -> batches -> network -> images."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from stylize.batches import prefetch
from stylize.config import ApplyConfig
from stylize.errors import ImageError
from stylize.events import ApplyDone, ApplyStarted, Backend, Event, PhotoDone, PhotoFailed
from stylize.files import Job, make_folder, make_plan
from stylize.images import Photo, fit_alpha, read_photo, write_picture
from stylize.instance_norm_ops import backend
from stylize.style import Style, load_style


def apply(
    style: str, inputs: Sequence[Path], output: Path, config: ApplyConfig | None = None
) -> Iterator[Event]:
    """Stylize every photo in `inputs` (files and folders) into the folder `output`.

    `style` is a name or a path. Yields `Backend`, `ApplyStarted`, one `PhotoDone` or `PhotoFailed`
    a photo, and `ApplyDone`. Nothing is written before the whole plan is known to be sound.

    Raises:
        UsageError: the style, an input, the output folder or the device cannot be used.
    """
    config = config or ApplyConfig()
    plan = make_plan(inputs, output, config.overwrite)
    loaded = load_style(style, config.device, config.precision)
    make_folder(output)
    compute = loaded.compute
    norm = backend(compute.device.type)
    yield Backend(str(compute.device), compute.precision, compute.detail, norm)
    yield ApplyStarted(loaded.header.name, len(plan.jobs), plan.ignored)

    started = time.monotonic()
    done = failed = 0
    pixels = 0
    for event in _stylize(loaded, plan.jobs, config):
        if isinstance(event, PhotoDone):
            done += 1
            pixels += event.width * event.height
        else:
            failed += 1
        yield event
    yield ApplyDone(done, failed, pixels / 1e6, time.monotonic() - started, output)


def _stylize(
    style: Style, jobs: Sequence[Job], config: ApplyConfig
) -> Iterator[PhotoDone | PhotoFailed]:
    """Decode photos ahead in threads; neighbours of one size go through the network at once."""

    def read(job: Job) -> tuple[Job, Photo | ImageError]:
        try:
            return job, fit_alpha(read_photo(job.source, config.size), job.target)
        except ImageError as error:
            return job, error

    batch: list[tuple[Job, Photo]] = []
    for future in prefetch(read, jobs, ahead=config.batch_size + 1):
        job, photo = future.result()
        full = len(batch) == config.batch_size
        if batch and (full or isinstance(photo, ImageError) or photo.size != batch[0][1].size):
            yield from _write_batch(style, batch)
            batch = []
        if isinstance(photo, ImageError):
            yield PhotoFailed(job.source, photo.about(job.source))
        else:
            batch.append((job, photo))
    if batch:
        yield from _write_batch(style, batch)


def _write_batch(
    style: Style, batch: Sequence[tuple[Job, Photo]]
) -> Iterator[PhotoDone | PhotoFailed]:
    started = time.monotonic()
    try:
        results = style.stylize_photos([photo for _, photo in batch])
    except (RuntimeError, MemoryError) as error:  # out of memory, on the device or the host
        for job, _ in batch:
            yield PhotoFailed(job.source, (str(error) or "not enough memory").splitlines()[0])
        return
    for (job, _), result in zip(batch, results, strict=True):
        try:
            write_picture(result, job.target)
        except ImageError as error:
            yield PhotoFailed(job.source, str(error))
        else:
            seconds = (time.monotonic() - started) / len(batch)
            yield PhotoDone(job.source, job.target, result.width, result.height, seconds)

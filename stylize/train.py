"""Learn one style from one picture: style picture -> VGG -> loss -> train -> checkpoint."""

import base64
import hashlib
import io
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

from PIL import Image, ImageOps

from stylize.assets import LOCAL_STYLES, SUFFIX, check_name
from stylize.batches import ContentPhotos, too_small
from stylize.checkpoint import load_run, save_run, save_style
from stylize.config import NetworkConfig, TrainConfig
from stylize.device import choose
from stylize.errors import TrainingError, UsageError
from stylize.events import (
    Backend,
    Event,
    FileWritten,
    Note,
    PhotoSkipped,
    StepDone,
    TrainingDone,
    TrainingStarted,
    TrainingStopped,
)
from stylize.files import find_photos, is_inside, make_folder, write_file
from stylize.formats import write_picture
from stylize.header import StyleHeader, StylePicture
from stylize.images import read_photo
from stylize.instance_norm_ops import backend
from stylize.preview import History, PreviewSheet, losses_plot, losses_table
from stylize.trainer import Trainer

THUMBNAIL_SIZE = 128


@dataclass(frozen=True)
class TrainingFiles:
    """Where a training writes: the style beside a folder with everything of the run."""

    style: Path
    checkpoint: Path
    preview: Path
    losses: Path
    plot: Path

    @classmethod
    def below(cls, output: Path, name: str) -> "TrainingFiles":
        run = output / name
        return cls(
            style=output / (name + SUFFIX),
            checkpoint=run / f"checkpoint{SUFFIX}",
            preview=run / "preview.jpg",
            losses=run / "losses.csv",
            plot=run / "losses.png",
        )


def train(
    picture: Path,
    content: Path,
    name: str,
    config: TrainConfig | None = None,
    network: NetworkConfig | None = None,
    *,
    title: str = "",
    author: str = "",
    year: str = "",
    licence: str = "",
    output: Path = LOCAL_STYLES,
    resume: bool = False,
    overwrite: bool = False,
    stop: threading.Event | None = None,
) -> Iterator[Event]:
    """Train the style of `picture` on the photos below `content`; yields events as it goes.

    Writes `<output>/<name>.safetensors` at the end and, while it runs, a checkpoint, a preview
    sheet, the losses as CSV and as a plot into `<output>/<name>/`. When `stop` is set, the step
    under way is finished, a checkpoint saved and `TrainingStopped` yielded as the last event.

    Johnson et al. 2016, section 3, with Adam at a warmed-up, cosine-decayed rate; what is saved
    and previewed is the moving average of the weights.

    Raises:
        UsageError: a setting or path cannot be used, or the style or a checkpoint exists and
            neither `resume` nor `overwrite` was asked for.
        ImageError: `picture` cannot be read.
        TrainingError: no photo can be used, or the loss is no longer a finite number.
    """
    config = config or TrainConfig()
    files = TrainingFiles.below(output, check_name(name))
    _refuse_to_lose(files, resume, overwrite)
    compute = choose(config.device, config.precision)
    norm = backend(compute.device.type)
    config = replace(config, device=compute.device.type, precision=compute.precision)
    style = read_photo(picture).rgb
    header = StyleHeader(
        name=name,
        network=network or NetworkConfig(),
        training=config,
        picture=_describe(picture, style, title, author, year, licence),
    )
    photos, skipped = _content_photos(content, config.size, without=output)
    make_folder(files.checkpoint.parent)
    crops = ContentPhotos(photos, config.size, config.seed)
    fingerprint = _fingerprint(photos, content)

    yield Backend(str(compute.device), compute.precision, compute.detail, norm)
    for path, reason in skipped.items():
        yield PhotoSkipped(path, reason)
    trainer = Trainer(header, style, compute)
    if resume:
        trainer.restore(load_run(files.checkpoint), fingerprint, files.checkpoint)
    yield TrainingStarted(name, len(photos), trainer.step, config.steps, trainer.parameters)
    if find_spec("matplotlib") is None:
        yield Note('no plot of the losses: it needs pip install "stylize[plot]"')

    sheet = PreviewSheet(style, photos, config.seed)
    started = time.monotonic()
    first_step = trainer.step
    batches = crops.batches(config.batch_size, trainer.step)
    named: set[Path] = set()
    while trainer.step < config.steps:
        losses, total = trainer.train_step(next(batches))
        for path in list(crops.unusable):
            if path not in named:
                named.add(path)
                yield PhotoSkipped(path, crops.unusable[path])
        seconds = time.monotonic() - started
        done = trainer.step - first_step
        yield StepDone(
            step=trainer.step,
            steps=config.steps,
            losses=losses,
            total=total,
            photos_per_second=done * config.batch_size / seconds,
            seconds_left=(config.steps - trainer.step) * seconds / done,
            peak_memory=compute.peak_memory(),
        )
        last = trainer.step == config.steps
        stopped = stop is not None and stop.is_set() and not last
        if last or stopped or trainer.step % config.checkpoint_every == 0:
            save_run(files.checkpoint, trainer.state(fingerprint))
            yield FileWritten("checkpoint", files.checkpoint)
        if last or (config.preview_every and trainer.step % config.preview_every == 0):
            write_picture(sheet.draw(trainer), files.preview)
            yield FileWritten("preview", files.preview)
            yield from _write_losses(trainer.history, files)
        if stopped:
            yield TrainingStopped(trainer.step, files.checkpoint)
            return
    save_style(files.style, trainer.average, trainer.header())
    yield TrainingDone(files.style, trainer.step - first_step, time.monotonic() - started)


def _refuse_to_lose(files: TrainingFiles, resume: bool, overwrite: bool) -> None:
    if resume:
        if not files.checkpoint.is_file():
            raise UsageError(
                f"no checkpoint {files.checkpoint} to resume", "start without --resume"
            )
    elif not overwrite:
        for path in (files.style, files.checkpoint):
            if path.exists():
                raise UsageError(
                    f"{path} exists already",
                    "go on with --resume, start anew with --overwrite, or choose another --name",
                )


def _describe(
    path: Path, picture: Image.Image, title: str, author: str, year: str, licence: str
) -> StylePicture:
    thumbnail = io.BytesIO()
    small = ImageOps.contain(picture, (THUMBNAIL_SIZE, THUMBNAIL_SIZE))
    small.save(thumbnail, "JPEG", quality=80)
    return StylePicture(
        title=title or os.fsencode(path.stem).decode(errors="replace"),
        author=author,
        year=year,
        licence=licence,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        thumbnail=base64.b64encode(thumbnail.getvalue()).decode(),
    )


def _content_photos(content: Path, size: int, without: Path) -> tuple[list[Path], dict[Path, str]]:
    """The usable pictures below `content`, as far as their file headers tell, and the others.

    Of a folder `without` below `content`, nothing is taken: there are the trainings' own previews.
    """
    if not content.is_dir():
        raise UsageError(f"no folder {content}", "--content takes a folder of photos")
    photos, _, shut = find_photos(content)
    if shut:
        raise UsageError(f"{shut[0].filename}: {shut[0].strerror}", "check its permissions")
    if not is_inside(content, without):
        photos = [path for path in photos if not is_inside(path, without)]
    usable: list[Path] = []
    skipped: dict[Path, str] = {}
    for path in photos:
        try:
            with Image.open(path) as image:
                short = min(image.size)
        except Exception as error:  # noqa: BLE001  Pillow raises all kinds on damaged headers
            skipped[path] = f"not a readable picture ({type(error).__name__})"
            continue
        if short < size:
            skipped[path] = too_small(short, size)
        else:
            usable.append(path)
    if not usable:
        raise TrainingError(
            f"no usable photos in {content} ({len(skipped)} unusable)",
            f"they need at least {size} px on the short side; see --size",
        )
    return usable, skipped


def _fingerprint(photos: list[Path], content: Path) -> str:
    """Changes when a photo is added, removed, renamed or resized: resuming would not be exact."""
    digest = hashlib.sha256()
    for path in photos:
        digest.update(os.fsencode(path.relative_to(content)))
        digest.update(f"\0{path.stat().st_size}\n".encode())
    return digest.hexdigest()


def _write_losses(history: History, files: TrainingFiles) -> Iterator[Event]:
    for kind, path, content in (
        ("losses", files.losses, losses_table(history)),
        ("plot", files.plot, losses_plot(history)),
    ):
        if content is None:
            continue
        try:
            write_file(path, content)
        except OSError as error:
            raise TrainingError(
                f"{path}: cannot be written ({error.strerror})",
                "make room, then go on from the last checkpoint with --resume",
            ) from error
        yield FileWritten(kind, path)

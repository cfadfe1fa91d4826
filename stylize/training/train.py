"""Learn one style from one or more pictures: pictures + photos -> training loop -> style file."""

import base64
import io
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from PIL import Image, ImageOps

from stylize.assets import LOCAL_STYLES
from stylize.config import DRAFT_REVISE, Card, NetworkConfig, TrainConfig
from stylize.errors import UsageError, install
from stylize.events import Event, Note, PhotoSkipped, TrainingStarted
from stylize.files import digest, is_file, make_folder, refuse_overwriting, write_file
from stylize.network.device import choose, free_memory
from stylize.network.instance_norm.ops import backend
from stylize.network.style_header import StylePicture
from stylize.photos.decoder import read_photo
from stylize.photos.photo import with_short_side
from stylize.settings import check_number
from stylize.training.content_photos import ContentPhotos, fingerprint_of, usable_photos
from stylize.training.distributed import Workers, join, leave
from stylize.training.loop import TrainingLoop, written
from stylize.training.previews import PreviewSheet
from stylize.training.run_folder import RunFolder
from stylize.training.schedule import picture_size, resolved
from stylize.training.start import Start
from stylize.training.tensorboard import Board
from stylize.training.trainer import Trainer

THUMBNAIL_SIZE = 128
OF_PHOTOS, OF_WHOLE_PHOTOS = 0.5, 0.75  # the least of a photo's short side in a crop
CACHE_SHARE, MOST_CACHE = 0.25, 4e9  # of the free memory; bytes


def train(
    pictures: Path | Sequence[Path],
    content: Path,
    name: str,
    config: TrainConfig | None = None,
    network: NetworkConfig | None = None,
    *,
    weights: Sequence[float] = (),
    card: Card | None = None,
    output: Path = LOCAL_STYLES,
    log_dir: Path | None = None,
    recipe: str = "",
    read: Sequence[Path] = (),
    resume: bool = False,
    overwrite: bool = False,
    stop: threading.Event | None = None,
) -> Iterator[Event]:
    """Train a style of `pictures` on the photos below `content`, and yield events.

    The style of several pictures is their mean, weighted by `weights` (default: equally). Writes
    `<output>/<name>.safetensors` at the end. Meanwhile, writes checkpoints, a preview sheet, the
    losses as CSV and as a plot, and `recipe` into `<output>/<name>/`, and TensorBoard logs into
    `log_dir`. When `stop` is set, finishes the step, saves a checkpoint and yields
    `TrainingStopped` as the last event. Nothing that it reads is ever written: pictures, photos,
    the style it starts from, and the files in `read`, such as a recipe (the same one may be written
    again).

    Johnson et al. 2016, section 3, with Muon and Adam, a rate that decays in the second half, and
    crops that grow. Saves and previews the moving average of the weights. If the loss diverges,
    training returns to the last checkpoint at half the rate. Processes started by `torchrun` share
    each batch; the first one writes.

    Raises:
        UsageError: a setting or path cannot be used, something that is read would be overwritten,
            or the style or a checkpoint exists without `resume` or `overwrite`.
        ImageError: a picture cannot be read.
        TrainingError: no photo can be used, or the loss diverges at any rate.
    """
    config, network = config or TrainConfig(), network or NetworkConfig()
    paths = [pictures] if isinstance(pictures, Path) else list(pictures)
    folder = RunFolder(output, name)
    workers, device = join(config.device)
    board: Board | None = None
    try:
        folder.refuse_to_lose(resume=resume, overwrite=overwrite)
        workers.share(config.batch_size)
        compute = choose(device, config.precision)
        backend(compute.device.type)  # one that cannot run is an error now
        start = Start.find(config, network, name, len(paths))
        config = replace(config, base=_encodable(start.name))
        config = resolved(config, network.architecture, compute, len(paths))
        if drafts := network.architecture == DRAFT_REVISE:
            network = replace(network, draft_size=config.size // 2)
        short = picture_size(config, drafts=drafts)
        styles = [with_short_side(read_photo(path).rgb, short) for path in paths]
        described = _describe(paths, styles, weights, card or Card(), start.pictures)
        header = start.header(name, network, config, described, paths)
        photos, skipped = usable_photos(content, config.size, without=output)
        _keep(folder, [*paths, *photos, *start.files, *read], recipe)
        workers.agree(fingerprint := fingerprint_of(photos, content), "the content photos")
        make_folder(folder.folder)
        if log_dir and workers.first:
            board = Board(log_dir)
        yield compute.describe()
        yield from (PhotoSkipped(path, reason) for path, reason in skipped.items())
        trainer = Trainer(header, styles, compute, workers, start.weights)
        past, damaged = folder.load() if resume else ([], [])
        yield from (Note(f"{text}; using another checkpoint") for text in damaged)
        if resume:
            trainer.restore(past[0], fingerprint, folder.folder)
        workers.agree(str(trainer.step), "the checkpoints")
        if workers.first:
            folder.tidy()
            folder.clear(after=trainer.step if resume else -1)
            if recipe:
                yield written(
                    "recipe", folder.recipe, lambda path: write_file(path, recipe.encode())
                )
        yield TrainingStarted(name, len(photos), trainer.step, trainer.end, trainer.parameters)
        if find_spec("matplotlib") is None:
            yield Note(f"no plot of the losses: it needs {install('plot')}")
        crops = _crops(photos, config, network, workers)
        sheet = PreviewSheet(styles, photos, config.seed) if workers.first else None
        yield from TrainingLoop(trainer, crops, fingerprint, folder, sheet, board, past).run(stop)
    finally:
        if board:
            board.close()
        leave()


def _keep(folder: RunFolder, read: Sequence[Path], recipe: str) -> None:
    """Raise UsageError if the training would write what it reads."""
    kept = is_file(folder.recipe) and folder.recipe.read_bytes() == recipe.encode()
    refuse_overwriting([path for path in folder.files if path != folder.recipe or not kept], read)


def _crops(
    photos: list[Path], config: TrainConfig, network: NetworkConfig, workers: Workers
) -> ContentPhotos:
    cache = min(MOST_CACHE, CACHE_SHARE * free_memory()) / workers.count
    least = OF_WHOLE_PHOTOS if network.architecture == DRAFT_REVISE else OF_PHOTOS
    return ContentPhotos(photos, config.size, config.seed, cache, least)


def _encodable(text: str) -> str:
    """Any file name as text that can be encoded."""
    return os.fsencode(text).decode(errors="replace")


def _describe(
    paths: Sequence[Path],
    pictures: Sequence[Image.Image],
    weights: Sequence[float],
    card: Card,
    known: Mapping[str, StylePicture],
) -> list[StylePicture]:
    """What is known of a picture, by its digest, stands for what the card does not say."""
    if not paths:
        raise UsageError("no style picture", "give at least one")
    weights = list(weights) or [1.0] * len(paths)
    if len(weights) != len(paths):
        message = f"{len(weights)} weights for {len(paths)} pictures"
        raise UsageError(message, "give one for each, or none")
    described = []
    for path, picture, weight in zip(paths, pictures, weights, strict=True):
        check_number("the weight of a picture", weight, above=0)
        thumbnail = io.BytesIO()
        ImageOps.contain(picture, (THUMBNAIL_SIZE, THUMBNAIL_SIZE)).save(
            thumbnail, "JPEG", quality=80
        )
        sha256 = digest(path)
        texts = {key: _encodable(value) for key, value in card.to_dict().items()}
        if sha256 in known:
            texts = {key: text or getattr(known[sha256], key) for key, text in texts.items()}
        texts["title"] = texts["title"] or _encodable(path.stem)
        texts["thumbnail"] = base64.b64encode(thumbnail.getvalue()).decode()
        described.append(StylePicture(**texts, sha256=sha256, weight=weight))
    return described

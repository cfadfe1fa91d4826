"""Learn one style from one or more pictures: picture -> VGG -> loss -> train -> checkpoint."""

import base64
import io
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image, ImageOps
from torch import Tensor

from stylize.assets import BASE, LOCAL_STYLES, find_base, find_named_base
from stylize.config import AUTO, NetworkConfig, TrainConfig
from stylize.errors import UsageError
from stylize.events import Event, Note, PhotoSkipped, TrainingStarted
from stylize.files import digest, make_folder, write_file
from stylize.network.device import choose, free_memory
from stylize.network.instance_norm.ops import backend
from stylize.network.style_file import load_network
from stylize.network.style_header import StyleHeader, StylePicture
from stylize.photos.decoder import read_photo
from stylize.photos.photo import with_short_side
from stylize.settings import LARGEST
from stylize.training.content_photos import ContentPhotos, fingerprint_of, usable_photos
from stylize.training.distributed import Workers, join, leave
from stylize.training.loop import TrainingLoop, written
from stylize.training.previews import PreviewSheet
from stylize.training.run_folder import RunFolder
from stylize.training.tensorboard import Board
from stylize.training.trainer import Trainer, resolved

if TYPE_CHECKING:
    from stylize.training.checkpoint import RunState


THUMBNAIL_SIZE = 128
CACHE_SHARE, MOST_CACHE = 0.25, 4e9  # of the free memory; bytes


@dataclass(frozen=True)
class Card:
    """What a style says of its picture, or of each of them."""

    title: str = ""
    author: str = ""
    year: str = ""
    licence: str = ""


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
    resume: bool = False,
    overwrite: bool = False,
    stop: threading.Event | None = None,
) -> Iterator[Event]:
    """Train a style of `pictures` on the photos below `content`; yields events as it goes.

    Of several pictures, the style is their mean, by `weights` (default: all the same). Writes
    `<output>/<name>.safetensors` at the end and, while it runs, checkpoints, a preview sheet, the
    losses as CSV and as a plot, and `recipe` into `<output>/<name>/`; into `log_dir` for
    TensorBoard. When `stop` is set, the step under way is finished, a checkpoint saved and
    `TrainingStopped` yielded as the last event.

    Johnson et al. 2016, section 3, with Muon and Adam at a rate that decays in the second half, on
    crops that grow; what is saved and previewed is the moving average of the weights. When the loss
    diverges, training goes back to the last checkpoint, with half the rate. Of the processes that
    `torchrun` starts, each takes its share of every batch, and the first one writes.

    Raises:
        UsageError: a setting or path cannot be used, or the style or a checkpoint exists and
            neither `resume` nor `overwrite` was asked for.
        ImageError: a picture cannot be read.
        TrainingError: no photo can be used, or the loss diverges whatever the rate.
    """
    config, network = config or TrainConfig(), network or NetworkConfig()
    pictures = [pictures] if isinstance(pictures, Path) else list(pictures)
    folder = RunFolder(output, name)
    workers, device = join(config.device)
    board: Board | None = None
    try:
        folder.refuse_to_lose(resume=resume, overwrite=overwrite)
        workers.share(config.batch_size)
        compute = choose(device, config.precision)
        backend(compute.device.type)  # one that cannot run is an error now
        start, base_sha256, config = _start(config, network, name)
        config = resolved(config, compute)
        styles = [_read(path, config.style_size) for path in pictures]
        header = StyleHeader(
            name=name,
            network=network,
            training=config,
            pictures=_describe(pictures, styles, weights, config, card or Card()),
            base_sha256=base_sha256,
        )
        photos, skipped = usable_photos(content, config.size, without=output)
        fingerprint = fingerprint_of(photos, content)
        workers.agree(fingerprint, "the content photos")
        make_folder(folder.folder)
        if log_dir and workers.first:
            board = Board(log_dir)
        crops = ContentPhotos(photos, config.size, config.seed, _cache_size(workers))

        yield compute.describe()
        for path, reason in skipped.items():
            yield PhotoSkipped(path, reason)
        trainer = Trainer(header, styles, compute, workers, start)
        past: list[RunState] = []
        if resume:
            past, damaged = folder.load()
            for text in damaged:
                yield Note(f"{text}; going on from another")
            trainer.restore(past[0], fingerprint, folder.folder)
        workers.agree(str(trainer.step), "the checkpoints")
        if workers.first:
            folder.tidy()
            folder.clear(after=trainer.step if resume else -1)
            if recipe:
                yield written(
                    "recipe", folder.recipe, lambda: write_file(folder.recipe, recipe.encode())
                )
        yield TrainingStarted(name, len(photos), trainer.step, trainer.end, trainer.parameters)
        if find_spec("matplotlib") is None:
            yield Note('no plot of the losses: it needs pip install "stylize[plot]"')
        sheet = PreviewSheet(styles, photos, config.seed) if workers.first else None
        loop = TrainingLoop(trainer, crops, fingerprint, folder, sheet, board, past)
        yield from loop.run(stop)
    finally:
        if board:
            board.close()
        leave()


def _read(path: Path, short: int) -> Image.Image:
    return with_short_side(read_photo(path).rgb, short)


def _cache_size(workers: Workers) -> float:
    return min(MOST_CACHE, CACHE_SHARE * free_memory()) / workers.count


def _start(
    config: TrainConfig, network: NetworkConfig, name: str
) -> tuple[Mapping[str, Tensor] | None, str, TrainConfig]:
    """The weights to begin with, if any, and the digest of their file; the base by its name."""
    base = config.base
    if base == AUTO:
        base = "" if config.many or network != NetworkConfig() else BASE
    if not base:
        return None, "", replace(config, base="")
    if config.only_norm and base == name:
        raise UsageError(
            f"a style of norms cannot have the name of its base, {name!r}", "choose another --name"
        )
    path = find_named_base(base) if config.only_norm else find_base(base)
    start, header = load_network(path)
    if header.network != network:
        raise UsageError(f"{path} is a network of another shape", "use --from scratch")
    if config.only_norm and header.training.only_norm:
        raise UsageError(f"{path} needs a base itself", "start from that base")
    return start.state_dict(), digest(path), replace(config, base=_clean(path.stem))


def _clean(text: str) -> str:
    """Any file name as text that can be written."""
    return os.fsencode(text).decode(errors="replace")


def _describe(
    paths: Sequence[Path],
    pictures: Sequence[Image.Image],
    weights: Sequence[float],
    config: TrainConfig,
    card: Card,
) -> list[StylePicture]:
    if not paths:
        raise UsageError("no style picture", "give at least one")
    if weights and config.many:
        raise UsageError("weights are for several pictures of one style", "leave them out")
    weights = list(weights) or [1.0] * len(paths)
    if len(weights) != len(paths):
        raise UsageError(
            f"{len(weights)} weights for {len(paths)} pictures", "give one for each, or none"
        )
    for weight in weights:
        if not 0 < weight < LARGEST:
            raise UsageError(f"the weight of a picture is {weight}", "it must be more than 0")
    described = []
    for path, picture, weight in zip(paths, pictures, weights, strict=True):
        thumbnail = io.BytesIO()
        small = ImageOps.contain(picture, (THUMBNAIL_SIZE, THUMBNAIL_SIZE))
        small.save(thumbnail, "JPEG", quality=80)
        described.append(
            StylePicture(
                title=_clean(card.title or path.stem),
                author=_clean(card.author),
                year=_clean(card.year),
                licence=_clean(card.licence),
                sha256=digest(path),
                thumbnail=base64.b64encode(thumbnail.getvalue()).decode(),
                weight=weight,
            )
        )
    return described

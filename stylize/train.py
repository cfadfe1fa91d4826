"""Learn one style from one picture: style picture -> VGG -> loss -> train -> checkpoint."""

import base64
import csv
import hashlib
import io
import math
import random
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from PIL import Image, ImageOps
from torch import Tensor, nn

from stylize.assets import LOCAL_STYLES, SUFFIX, check_name
from stylize.batches import ContentPhotos
from stylize.checkpoint import RunState, load_run, save_run, save_style
from stylize.config import NetworkConfig, TrainConfig
from stylize.device import Compute, choose
from stylize.errors import ImageError, StyleFileError, TrainingError, UsageError
from stylize.events import (
    Backend,
    Event,
    FileWritten,
    PhotoSkipped,
    StepDone,
    TrainingDone,
    TrainingStarted,
    TrainingStopped,
)
from stylize.files import find_photos, write_file
from stylize.header import StyleHeader, StylePicture
from stylize.images import read_photo, to_picture, to_tensor, write_picture
from stylize.loss import LAYERS, Objective, weighted_sum
from stylize.network import build_network
from stylize.vgg import load_vgg16

ADAM_BETAS = (0.9, 0.999)
WARMUP_STEPS = 20
FINAL_LR = 0.05  # of the full rate, at the end of the cosine
MAX_GRADIENT_NORM = 10.0
AVERAGE_DECAY = 0.99
PREVIEW_PHOTOS = 4
PREVIEW_SIZE = 384
THUMBNAIL_SIZE = 128
MAX_LOSS_ROWS = 200  # kept in the style file

# What a resumed run may change without becoming another run.
FREE_TO_CHANGE = ("device", "preview_every", "checkpoint_every")


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
    config = replace(config, device=compute.device.type, precision=compute.precision)
    style = read_photo(picture).rgb
    header = StyleHeader(
        name=name,
        network=network or NetworkConfig(),
        training=config,
        picture=_describe(picture, style, title, author, year, licence),
    )
    photos, skipped = _content_photos(content, config.size)
    crops = ContentPhotos(photos, config.size, config.seed)
    fingerprint = _fingerprint(photos, content)

    yield Backend(str(compute.device), compute.precision, compute.detail)
    for path, reason in skipped.items():
        yield PhotoSkipped(path, reason)
    trainer = Trainer(header, style, compute)
    if resume:
        trainer.restore(load_run(files.checkpoint), fingerprint, files.checkpoint)
    yield TrainingStarted(name, len(photos), trainer.step, config.steps, trainer.parameters)

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
        if last or (config.preview_every and trainer.step % config.preview_every == 0):
            write_picture(sheet.draw(trainer), files.preview)
            yield FileWritten("preview", files.preview)
            yield from _write_losses(trainer.history, files)
        if last or stopped or trainer.step % config.checkpoint_every == 0:
            save_run(files.checkpoint, trainer.state(fingerprint))
            yield FileWritten("checkpoint", files.checkpoint)
        if stopped:
            yield TrainingStopped(trainer.step, files.checkpoint)
            return
    save_style(files.style, trainer.average, trainer.header())
    yield TrainingDone(files.style, config.steps, time.monotonic() - started)


class Trainer:
    """The network, its optimizer and its objective; one `train_step` at a time."""

    def __init__(self, header: StyleHeader, style: Image.Image, compute: Compute) -> None:
        self._header = header
        self.config = header.training
        self.compute = compute
        self.step = 0
        self.history: list[tuple[int, dict[str, float]]] = []
        vgg = load_vgg16(self.config.vgg, LAYERS).to(compute.device, compute.dtype)
        short = self.config.style_size
        scale = short / min(style.size)
        size = (max(1, round(style.width * scale)), max(1, round(style.height * scale)))
        target = to_tensor(style.resize(size, Image.Resampling.LANCZOS))
        self.objective = Objective(vgg, target[None].to(compute.device))
        torch.manual_seed(self.config.seed)
        self.network = self._build()
        self.average = self._build().requires_grad_(False).eval()
        self.average.load_state_dict(self.network.state_dict())
        self.optimizer = torch.optim.Adam(
            self.network.parameters(), lr=self.config.lr, betas=ADAM_BETAS
        )

    def _build(self) -> nn.Module:
        network = build_network(self._header.network)
        return network.to(self.compute.device, memory_format=torch.channels_last)

    @property
    def parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.network.parameters())

    def autocast(self) -> torch.autocast:
        """bf16 where it is safe, if that is the precision of this training."""
        enabled = self.compute.dtype == torch.bfloat16
        return torch.autocast(self.compute.device.type, torch.bfloat16, enabled=enabled)

    def train_step(self, photos: Tensor) -> tuple[dict[str, float], float]:
        """One optimizer step on (N, 3, H, W) photos in [0, 1]: the named losses and their sum.

        Raises:
            TrainingError: the loss is not finite; the weights are as before the step.
        """
        config = self.config
        photos = photos.to(self.compute.device, memory_format=torch.channels_last)
        # The noise in the network's stem: of this step's own, so that a resumed run sees the same.
        torch.manual_seed(config.seed * 1_000_003 + self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = config.lr * learning_rate_factor(self.step, config.steps)
        with self.autocast():
            target = self.objective.content_target(photos)
            losses = self.objective(self.network(photos), target)
            total = weighted_sum(
                losses, config.content_weight, config.style_weight, config.tv_weight
            )
        if not total.isfinite():
            raise TrainingError(
                f"the loss is {total.item()} at step {self.step + 1}",
                "go on from the last checkpoint with --resume, or start again with a lower --lr",
            )
        self.optimizer.zero_grad()
        total.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), MAX_GRADIENT_NORM)
        self.optimizer.step()
        self.step += 1
        # A short memory at first, so that the untrained weights are soon forgotten.
        decay = min(AVERAGE_DECAY, self.step / (self.step + 9))
        with torch.no_grad():
            pairs = zip(self.average.parameters(), self.network.parameters(), strict=True)
            for average, parameter in pairs:
                average.lerp_(parameter, 1 - decay)
        named = {name: loss.item() for name, loss in losses.items()}
        self.history.append((self.step, named))
        return named, total.item()

    @torch.no_grad()
    def stylize(self, photo: Tensor) -> Tensor:
        """(3, H, W) in [0, 1] -> the same, with the averaged weights."""
        with self.autocast():
            result: Tensor = self.average(photo[None].to(self.compute.device))
        return result[0]

    def header(self) -> StyleHeader:
        """The header of the style as it is now, with the losses so far thinned out."""
        every = math.ceil(len(self.history) / MAX_LOSS_ROWS)
        rows = self.history[:: every or 1]
        return replace(
            self._header,
            losses=[(step, {k: round(v, 5) for k, v in row.items()}) for step, row in rows],
        )

    def state(self, photos: str) -> RunState:
        """Everything needed to go on from here."""
        tensors = {f"network.{key}": value for key, value in self.network.state_dict().items()}
        tensors |= {f"average.{key}": value for key, value in self.average.state_dict().items()}
        for key, parameter in self.network.named_parameters():
            for moment in ("exp_avg", "exp_avg_sq"):
                tensors[f"adam.{moment}.{key}"] = self.optimizer.state[parameter][moment]
        header = replace(self._header, losses=self.history)
        return RunState(self.step, photos, header, tensors)

    def restore(self, state: RunState, photos: str, path: Path) -> None:
        """Go on from `state`, read from `path`, as if never interrupted.

        Raises:
            UsageError: it belongs to a training with other settings, picture or photos.
        """
        _same_run(self._header, state.header, path)
        if state.photos != photos:
            raise UsageError(
                f"{path}: the content photos are not those it was trained on",
                "bring the folder back as it was, or start anew with --overwrite",
            )
        try:
            for prefix, network in (("network.", self.network), ("average.", self.average)):
                network.load_state_dict(
                    {key: state.tensors[prefix + key] for key in network.state_dict()}
                )
            for key, parameter in self.network.named_parameters():
                self.optimizer.state[parameter] = {
                    "step": torch.tensor(float(state.step)),
                    "exp_avg": state.tensors[f"adam.exp_avg.{key}"].to(parameter.device),
                    "exp_avg_sq": state.tensors[f"adam.exp_avg_sq.{key}"].to(parameter.device),
                }
        except (KeyError, RuntimeError) as error:
            raise StyleFileError(f"{path}: damaged checkpoint ({error})") from error
        self.step = state.step
        self.history = list(state.header.losses)


def learning_rate_factor(step: int, steps: int) -> float:
    """Linear warm-up, then half a cosine from 1 down to FINAL_LR; `step` counts from 0."""
    warmup = min(1.0, (step + 1) / WARMUP_STEPS)
    cosine = 0.5 + 0.5 * math.cos(math.pi * step / steps)
    return warmup * (FINAL_LR + (1 - FINAL_LR) * cosine)


class PreviewSheet:
    """The same few photos every time, above what the network makes of them."""

    def __init__(self, style: Image.Image, photos: list[Path], seed: int) -> None:
        square = (PREVIEW_SIZE, PREVIEW_SIZE)
        self.style = ImageOps.contain(style, square)
        self.photos: list[Image.Image] = []
        for path in random.Random(f"{seed} preview").sample(photos, len(photos)):
            if len(self.photos) == PREVIEW_PHOTOS:
                break
            try:
                self.photos.append(ImageOps.fit(read_photo(path).rgb, square))
            except ImageError:
                continue  # training itself names the photos that it cannot read

    def draw(self, trainer: Trainer) -> Image.Image:
        """The sheet: style picture first, then a column a photo."""
        sheet = Image.new("RGB", (PREVIEW_SIZE * (1 + len(self.photos)), 2 * PREVIEW_SIZE), "white")
        sheet.paste(self.style, (0, 0))
        for column, photo in enumerate(self.photos, start=1):
            stylized = to_picture(trainer.stylize(to_tensor(photo)))
            sheet.paste(photo, (column * PREVIEW_SIZE, 0))
            sheet.paste(stylized, (column * PREVIEW_SIZE, PREVIEW_SIZE))
        return sheet


def _refuse_to_lose(files: TrainingFiles, resume: bool, overwrite: bool) -> None:
    if resume:
        if not files.checkpoint.is_file():
            raise UsageError(f"no checkpoint {files.checkpoint} to resume", "start without --resume")
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
        title=title or path.stem,
        author=author,
        year=year,
        licence=licence,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        thumbnail=base64.b64encode(thumbnail.getvalue()).decode(),
    )


def _content_photos(content: Path, size: int) -> tuple[list[Path], dict[Path, str]]:
    """The usable pictures below `content`, as far as their file headers tell, and the others."""
    if not content.is_dir():
        raise UsageError(f"no folder {content}", "--content takes a folder of photos")
    photos, _ = find_photos(content)
    usable: list[Path] = []
    skipped: dict[Path, str] = {}
    for path in photos:
        try:
            with Image.open(path) as image:
                short = min(image.size)
        except Exception as error:  # Pillow raises all kinds on damaged headers
            skipped[path] = f"not a readable picture ({type(error).__name__})"
            continue
        if short < size:
            skipped[path] = f"smaller than the training size ({short} < {size} px)"
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
        digest.update(f"{path.relative_to(content)}\0{path.stat().st_size}\n".encode())
    return digest.hexdigest()


def _same_run(now: StyleHeader, then: StyleHeader, path: Path) -> None:
    if now.picture.sha256 != then.picture.sha256:
        raise UsageError(f"{path} was trained on another style picture", "give the same picture")
    pairs = ((now.training, then.training), (now.network, then.network))
    for new, old in ((a.to_dict(), b.to_dict()) for a, b in pairs):
        for setting in new:
            if new[setting] != old[setting] and setting not in FREE_TO_CHANGE:
                raise UsageError(
                    f"{path} was trained with {setting} {old[setting]}, not {new[setting]}",
                    "resume with the settings it was started with",
                )


def _write_losses(history: list[tuple[int, dict[str, float]]], files: TrainingFiles) -> Iterator[Event]:
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(["step", *history[0][1]])
    writer.writerows([step, *row.values()] for step, row in history)
    write_file(files.losses, table.getvalue().encode())
    yield FileWritten("losses", files.losses)
    plot = _plot(history)
    if plot is not None:
        write_file(files.plot, plot)
        yield FileWritten("plot", files.plot)


def _plot(history: list[tuple[int, dict[str, float]]]) -> bytes | None:
    """A PNG of all losses over the steps; None where matplotlib is not installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return None
    figure = Figure(figsize=(9, 5), layout="constrained")
    axes = figure.subplots()
    steps = [step for step, _ in history]
    for name in history[0][1]:
        axes.plot(steps, [row[name] for _, row in history], label=name, linewidth=1)
    axes.set(xlabel="step", ylabel="loss, unweighted", yscale="log")
    axes.grid(alpha=0.3)
    axes.legend()
    plot = io.BytesIO()
    figure.savefig(plot, format="png", dpi=120)
    return plot.getvalue()

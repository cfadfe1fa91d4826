"""One style being learned: the network, its optimizer and its objective, a step at a time."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean, median
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from stylize.config import VGG_SOURCES, TrainConfig
from stylize.errors import StyleFileError, TrainingError, UsageError
from stylize.network.architectures import build_network
from stylize.network.conditional_norm import ManyStyles, norm_names
from stylize.network.device import Compute
from stylize.network.draft_revise import PARTS
from stylize.network.resample import resize
from stylize.network.style_file import of_set
from stylize.network.style_header import StyleHeader
from stylize.objective.losses import LAYERS, Objective, keep_loss, weighted_sum
from stylize.objective.style_targets import StyleTargets
from stylize.objective.vgg import VGG16Features, load_vgg16
from stylize.objective.vgg_statistics import centre, channel_statistics, pack
from stylize.photos.lighting import random_light, relight
from stylize.photos.photo import to_tensor, with_short_side
from stylize.training.checkpoint import RunState, check_same
from stylize.training.distributed import ALONE, Workers
from stylize.training.optimizer import Optimizer
from stylize.training.schedule import Schedule

MAX_GRADIENT_NORM = 10.0
AVERAGE_DECAY = 0.99
MAX_LOSS_ROWS = 200  # kept in the style file
EXPLODED, RECENT = 10.0, 50  # times the median of the last RECENT steps
# Part -> pixels of the cells within which it can paint what it likes, and how strictly means of
# cells are kept: a reviser adds strokes, a finisher only what is lost at half the size.
KEPT = {"reviser": (8, 1), "finisher": (1, 30)}
PROGRESS = 0.01  # of the loss, over `patience` steps
SEEDS = 1_000_003  # distance of the noise seeds of two trainings


class DivergenceError(TrainingError):
    """The loss or its gradient is not finite, or the loss has exploded; weights are unchanged."""


class Trainer:
    """The network, its optimizer and its objective, at `step` of `end` steps.

    With `TrainConfig.many`, the steps take the pictures in turn. A network that drafts is trained
    in stages: each part stays as it is while the next one is trained on its results.
    """

    def __init__(
        self,
        header: StyleHeader,
        pictures: Sequence[Image.Image],
        compute: Compute,
        workers: Workers = ALONE,
        start: Sequence[Mapping[str, Tensor]] = (),
    ) -> None:
        """`pictures` are at least as large as training needs them; `start` are the initial weights
        (none: random), with `TrainConfig.many` of all styles or of each."""
        self.name = header.name
        self.config = header.training
        self.compute = compute
        self.workers = workers
        self.step = 0
        self.end = self.config.steps
        self.caution = 1.0  # times the learning rate
        self.history: list[tuple[int, dict[str, float]]] = []
        vgg = load_vgg16(self.config.vgg, LAYERS).to(compute.device)
        vgg.features.to(compute.dtype)  # pixel mean and deviation stay in fp32
        self._header = header
        config = self.config
        self.schedule = Schedule(
            header.drafts, config.steps, config.size, config.batch_size, workers.count
        )
        # Of the first stage and of later ones, at twice the size.
        scales = (1, 2) if self.schedule.drafts else (1,)
        self._objectives = [self._make_objectives(vgg, pictures, scale) for scale in scales]
        if self.config.vgg == VGG_SOURCES[0]:
            # The features that an audit uses.
            targets = self._targets(pictures, scales[-1])
            looks = [channel_statistics(vgg, target) for target in targets]
            weights = [picture.weight for picture in header.pictures]
            of_each = zip(header.styles, looks, strict=config.many)
            styles = [replace(style, target=pack(look)) for style, look in of_each]
            target = "" if config.many else pack(centre(looks, weights))
            self._header = replace(header, target=target, styles=styles)
        torch.manual_seed(self.config.seed)
        self.network = self._build(start)
        self.average = self._build(start).requires_grad_(False).eval()
        self.average.load_state_dict(self.network.state_dict())
        if self.config.only_norm:
            names = norm_names(self.network)
            for name, parameter in self.network.named_parameters():
                parameter.requires_grad_(name in names)
        self.optimizer = Optimizer(self.network.named_parameters())
        in_part = self.config.many or self.schedule.drafts
        self._wrapped = workers.wrap(self.network, in_part=in_part)

    def _targets(self, pictures: Sequence[Image.Image], scale: int) -> list[Tensor]:
        """The style pictures, (1, 3, H, W), at `scale` times their working size."""
        short = self.config.style_size * scale
        sized = [to_tensor(with_short_side(each, short))[None] for each in pictures]
        return [picture.to(self.compute.device) for picture in sized]

    def _make_objectives(
        self, vgg: VGG16Features, pictures: Sequence[Image.Image], scale: int
    ) -> list[Objective]:
        targets = self._targets(pictures, scale)
        if self.config.many:
            return [Objective(vgg, StyleTargets.of(vgg, [target])) for target in targets]
        weights = [picture.weight for picture in self._header.pictures]
        return [Objective(vgg, StyleTargets.of(vgg, targets, weights))]

    @property
    def objectives(self) -> list[Objective]:
        """Of the next step: one for each style."""
        return self._objectives[self.schedule.part(self.step) in PARTS[1:]]

    def share(self, step: int) -> slice:
        """This process's part of the photos of that step."""
        return self.workers.share(self.schedule.photos(step))

    def _build(self, start: Sequence[Mapping[str, Tensor]]) -> nn.Module:
        networks = [build_network(self._header.network) for _ in range(len(start) or 1)]
        for network, weights in zip(networks, start, strict=bool(start)):
            network.load_state_dict(weights)
        network = networks[0]
        if self.config.many:
            network = ManyStyles(networks * (len(self.objectives) // len(networks)))
        return network.to(self.compute.device).to(memory_format=torch.channels_last)

    @property
    def parameters(self) -> int:
        """The number of trained parameters."""
        return sum(p.numel() for p in self.network.parameters() if p.requires_grad)

    def autocast(self) -> torch.autocast:
        """bf16 where it is safe, if this training uses it."""
        enabled = self.compute.dtype == torch.bfloat16
        return torch.autocast(self.compute.device.type, torch.bfloat16, enabled=enabled)

    def train_step(self, photos: Tensor) -> tuple[dict[str, float], float]:
        """One optimizer step: the named losses and their weighted sum.

        `photos` are (N, 3, H, W) in [0, 1]: this process's share of the batch.

        Raises DivergenceError: the weights are unchanged.
        """
        config = self.config
        photos = photos.to(self.compute.device, memory_format=torch.channels_last)
        first = config.seed * SEEDS + self.step * config.batch_size
        places = range(first, first + config.batch_size)[self.share(self.step)]
        seen = photos
        if config.lighting:
            seen = relight(photos, [random_light(place, config.lighting) for place in places])
        inputs: dict[str, Any] = {"seeds": torch.tensor(places)} | self._style(self.step)
        objective = self.objectives[self.step % len(self.objectives)]
        with self.autocast():
            target = objective.content_target(photos)
            result, kept = self._paint(seen, inputs)
            # In any light, the target is the photo as it was.
            losses = objective(result, photos, target)
            if self.schedule.drafts:
                losses["keep"] = kept
            total = weighted_sum(losses, self._weighing())
        values = self.workers.mean(torch.stack([*losses.values()]).detach().float()).tolist()
        row = dict(zip(losses, values, strict=True))
        self._check(row)
        total.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), MAX_GRADIENT_NORM)
        if not norm.isfinite():
            self.optimizer.zero_grad()
            raise DivergenceError(f"the gradient is {norm.item()} at step {self.step + 1}")
        factor = self.schedule.learning_rate(self.step, self.end)
        self.optimizer.step(config.lr * self.caution * factor)
        self.step += 1
        # A short memory at first, to forget the untrained weights soon.
        decay = min(AVERAGE_DECAY, self.step / (self.step + 9))
        with torch.no_grad():
            pairs = zip(self.average.parameters(), self.network.parameters(), strict=True)
            for average, parameter in pairs:
                average.lerp_(parameter, 1 - decay)
        if self.step in self.schedule.starts[1:-1]:
            # What the next stage will see is what will be saved.
            self.network.load_state_dict(self.average.state_dict())
        self.history.append((self.step, row))
        self._stop_on_plateau()
        return row, total_of(row, self.config)

    def _paint(self, photos: Tensor, inputs: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
        """The network's result, and how far it strays from what the stage before has painted."""
        part, half = self.schedule.part(self.step), (self.config.size // 2,) * 2
        if part not in KEPT:
            options = {"part": part} if part else {}
            return self._wrapped(photos, **options, **inputs), photos.new_zeros(())
        with torch.no_grad():
            painting = kept = self.network(resize(photos, half), part="draft", **inputs)
            if part == "finisher":
                kept = self.network(photos, painting=painting, part="reviser", **inputs)
                painting = resize(kept, half)  # it learns what is lost by that
        result = self._wrapped(photos, painting=painting, part=part, **inputs)
        cell, strictness = KEPT[part]
        return result, strictness * keep_loss(result, kept, cell)

    def _style(self, index: int) -> dict[str, int]:
        return {"style": index % len(self.objectives)} if self.config.many else {}

    def _weighing(self) -> TrainConfig:
        """The weights of losses in the next step: of a set, each picture multiplies its style's."""
        if not self.config.many:
            return self.config
        picture = self._header.pictures[self.step % len(self.objectives)]
        return replace(self.config, style_weight=self.config.style_weight * picture.weight)

    def _check(self, row: Mapping[str, float]) -> None:
        total = total_of(row, self.config)
        if not math.isfinite(total):
            raise DivergenceError(f"the loss is {total} at step {self.step + 1}")
        styles = len(self.objectives)
        before = self.history[self.step % styles :: styles][-RECENT:]  # of the same style
        if len(before) == RECENT:
            usual = median(total_of(row, self.config) for _, row in before)
            if total > EXPLODED * usual:
                text = f"the loss went from {usual:.3g} to {total:.3g} at step {self.step + 1}"
                raise DivergenceError(text)

    def _stop_on_plateau(self) -> None:
        """Without progress in the first half of a training, start its second half."""
        styles = len(self.objectives)
        window = math.ceil(self.config.patience / styles) * styles  # all styles equally often
        if not window or self.step % window or not 2 * window <= self.step < self.end // 2:
            return
        totals = [total_of(row, self.config) for _, row in self.history[-2 * window :]]
        if fmean(totals[window:]) > (1 - PROGRESS) * fmean(totals[:window]):
            self.end = 2 * self.step

    @torch.no_grad()
    def stylize(self, photo: Tensor, style: int = 0) -> Tensor:
        """(3, H, W) in [0, 1] -> the same, with the averaged weights and that style."""
        with self.autocast():
            result: Tensor = self.average(photo[None].to(self.compute.device), **self._style(style))
        return result[0]

    def weights(self) -> dict[str, Tensor]:
        """The averaged weights; raises DivergenceError if they are not finite."""
        weights: dict[str, Tensor] = self.average.state_dict()
        if not all(weight.isfinite().all() for weight in weights.values()):
            raise DivergenceError(
                f"weights are not finite after step {self.step}", "start over with a lower --lr"
            )
        if isinstance(self.average, ManyStyles):
            styles = range(len(self.objectives))
            return of_set(self.average.base(), [self.average.norm_weights(n) for n in styles])
        return weights

    def targets(self) -> StyleTargets | None:
        """What drafts are refined towards in use; None if the style's file has no use for it."""
        own = not self.config.many and self.config.vgg == VGG_SOURCES[0]  # with the shipped VGG
        if not own or not self.schedule.drafts or self.config.only_norm:
            return None
        return self._objectives[0][0].style

    def header(self) -> StyleHeader:
        """The header of the style at this step, with the losses thinned out."""
        every = math.ceil(len(self.history) / MAX_LOSS_ROWS)
        rows = self.history[:: every or 1]
        return replace(
            self._header,
            losses=[(step, {k: round(v, 5) for k, v in row.items()}) for step, row in rows],
        )

    def state(self, photos: str) -> RunState:
        """A copy of everything needed to resume from here."""
        tensors = {f"network.{key}": value for key, value in self.network.state_dict().items()}
        tensors |= {f"average.{key}": value for key, value in self.average.state_dict().items()}
        tensors |= {f"optimizer.{key}": value for key, value in self.optimizer.state().items()}
        tensors = {key: tensor.detach().clone() for key, tensor in tensors.items()}
        header = replace(self._header, losses=list(self.history))
        return RunState(self.step, self.end, self.caution, photos, header, tensors)

    def restore(self, state: RunState, photos: str, path: Path) -> None:
        """Resume from `state`, read from `path`, as if never interrupted.

        Raises UsageError: it belongs to a training with other settings, pictures or photos.
        """
        check_same(self._header, state.header, path)
        if state.photos != photos:
            raise UsageError(
                f"{path}: the content photos are not those it was trained on",
                "restore the folder, or start over with --overwrite",
            )
        try:
            self.network.load_state_dict(_under("network.", state.tensors))
            self.average.load_state_dict(_under("average.", state.tensors))
            self.optimizer.load(_under("optimizer.", state.tensors))
        except (KeyError, RuntimeError) as error:
            raise StyleFileError(f"{path}: damaged checkpoint ({error})") from error
        self.step, self.end, self.caution = state.step, state.end, state.caution
        self.history = list(state.header.losses)


def total_of(losses: Mapping[str, float], config: TrainConfig) -> float:
    """The total of a row of losses, as `weighted_sum` of tensors."""
    return sum(config.weight(name) * value for name, value in losses.items())


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}

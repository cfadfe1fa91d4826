"""One style being learned: the network, its optimizer and its objective, a step at a time."""

import math
from dataclasses import replace
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor, nn

from stylize.checkpoint import RunState
from stylize.device import Compute
from stylize.errors import StyleFileError, TrainingError, UsageError
from stylize.header import StyleHeader
from stylize.loss import LAYERS, Objective, weighted_sum
from stylize.network import build_network
from stylize.tensors import to_tensor
from stylize.vgg import load_vgg16

ADAM_BETAS = (0.9, 0.999)
WARMUP_STEPS = 20
FINAL_LR = 0.05  # of the full rate, at the end of the cosine
MAX_GRADIENT_NORM = 10.0
AVERAGE_DECAY = 0.99
MAX_LOSS_ROWS = 200  # kept in the style file

LOWER_LR = "start anew with a lower --lr and --overwrite; resuming would lead to the same place"

# What a resumed run may change without becoming another run.
FREE_TO_CHANGE = ("device", "preview_every", "checkpoint_every")


class Trainer:
    """The network, its optimizer and its objective; one `train_step` at a time."""

    def __init__(self, header: StyleHeader, style: Image.Image, compute: Compute) -> None:
        self._header = header
        self.config = header.training
        self.compute = compute
        self.step = 0
        self.history: list[tuple[int, dict[str, float]]] = []
        vgg = load_vgg16(self.config.vgg, LAYERS).to(compute.device)
        vgg.features.to(compute.dtype)  # the pixels' mean and deviation stay in fp32
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
        network = build_network(self._header.network).to(self.compute.device)
        return network.to(memory_format=torch.channels_last)

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
            TrainingError: the loss or its gradient is not finite; the weights are as before.
        """
        config = self.config
        photos = photos.to(self.compute.device, memory_format=torch.channels_last)
        # The noise in the network's stem: of this step's own, so that a resumed run sees the same.
        torch.manual_seed(config.seed * 1_000_003 + self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = config.lr * learning_rate_factor(self.step, config.steps)
        with self.autocast():
            target = self.objective.content_target(photos)
            losses = self.objective(self.network(photos), photos, target)
            total = weighted_sum(
                losses,
                content=config.content_weight,
                style=config.style_weight,
                tone=config.tone_weight,
                tv=config.tv_weight,
            )
        if not total.isfinite():
            raise TrainingError(
                f"the loss is {total.item()} at step {self.step + 1}",
                LOWER_LR,
            )
        self.optimizer.zero_grad()
        total.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), MAX_GRADIENT_NORM)
        if not norm.isfinite():
            raise TrainingError(f"the gradient is {norm.item()} at step {self.step + 1}", LOWER_LR)
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

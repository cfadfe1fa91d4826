"""How long a training is, and what changes in its course: stage, learning rate, size of crops."""

from bisect import bisect
from dataclasses import dataclass, replace

from stylize.config import DRAFT_REVISE, TRAINING_SIZES, TrainConfig
from stylize.errors import UsageError
from stylize.network.device import Compute
from stylize.network.draft_revise import PARTS, STEP

STEPS, STEPS_FROM_BASE = 4000, 1000  # the default
STEPS_IN_SET = 200  # for each picture: the default, if it is more

# Of the steps: where the first two of three stages end.
DRAFTED, REVISED = 0.5, 0.8
WARMUP_STEPS = 20
FINAL_LR = 0.05  # of the full rate, at the end


@dataclass(frozen=True)
class Schedule:
    """What changes from step to step of a training of `steps` steps.

    A network that drafts has three stages: its draft is trained at half of `size`, then its
    reviser, then its finisher, both at `size`. Others have one.
    """

    drafts: bool
    steps: int
    size: int
    batch_size: int
    processes: int = 1

    @property
    def starts(self) -> list[int]:
        """The first step of each stage, and the end of the last."""
        if not self.drafts:
            return [0, self.steps]
        return [0, *(max(1, round(share * self.steps)) for share in (DRAFTED, REVISED)), self.steps]

    def part(self, step: int) -> str:
        """Which of PARTS is trained in that step; empty for networks without parts."""
        return PARTS[self._stage(step)] if self.drafts else ""

    def _stage(self, step: int) -> int:
        return bisect(self.starts[1:-1], step)

    def crop_size(self, step: int, end: int) -> int:
        """The side of the photos of that step, in pixels; `end` is where the training ends."""
        if not self.drafts:
            return crop_size(step, end, self.size)
        return self.size if self._stage(step) else self.size // 2

    def photos(self, step: int) -> int:
        """The number of photos in that step: half as many where they are four times as large, if
        all processes then have as many."""
        half = self.batch_size // 2
        shareable = half > 0 and half % self.processes == 0
        return half if self._stage(step) and shareable else self.batch_size

    def learning_rate(self, step: int, end: int) -> float:
        """The factor of the rate at that step: each stage has its own course."""
        if not self.drafts:
            return learning_rate_factor(step, end)
        first, last = self.starts[self._stage(step) :][:2]
        return learning_rate_factor(step - first, last - first)


def learning_rate_factor(step: int, end: int) -> float:
    """A linear warm-up, the full rate in the first half, then a linear decay to FINAL_LR.

    As the first half does not depend on `end`, `patience` can end a training early. `step` counts
    from 0.
    """
    warmup = min(1.0, (step + 1) / WARMUP_STEPS)
    left = min(1.0, 2 * (1 - step / end))
    return warmup * (FINAL_LR + (1 - FINAL_LR) * left)


def crop_size(step: int, end: int, size: int) -> int:
    """Half of `size` in the first half of a training, three quarters in the next quarter.

    A step at half the size takes a quarter of the time. Multiples of 16, at least 32.
    """
    share = 0.5 if step < 0.5 * end else 0.75 if step < 0.75 * end else 1.0
    return size if share == 1 else min(size, max(32, round(share * size / 16) * 16))


def picture_size(config: TrainConfig, *, drafts: bool) -> int:
    """The short side, in pixels, of the style pictures in the last stage of a training."""
    return config.style_size * (2 if drafts else 1)


def resolved(
    config: TrainConfig, architecture: str, compute: Compute, pictures: int = 1
) -> TrainConfig:
    """The settings for so many pictures with automatic choices filled in, as they go into the style
    file.

    Raises UsageError: a size does not suit the network, or `patience` has no effect.
    """
    drafts = architecture == DRAFT_REVISE
    least = STEPS_IN_SET * pictures if config.many else 0
    steps = config.steps or max(least, STEPS_FROM_BASE if config.base else STEPS)
    usual_size, usual_style_size = TRAINING_SIZES[architecture]
    size, style_size = config.size or usual_size, config.style_size or usual_style_size
    if drafts and size % (2 * STEP):
        raise UsageError(f"size is {size}", f"it must be a multiple of {2 * STEP} for this network")
    if drafts and config.patience:
        raise UsageError("patience is for training in one stage", f"{architecture} has three")
    if 4 * config.patience > steps:
        raise UsageError(
            f"patience is {config.patience} for {steps} steps",
            f"it can be at most a quarter of them, {steps // 4}",
        )
    return replace(
        config,
        steps=steps,
        size=size,
        style_size=style_size,
        device=compute.device.type,
        precision=compute.precision,
    )

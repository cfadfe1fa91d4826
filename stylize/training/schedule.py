"""What changes in the course of a training: its stage, the learning rate, the size of the crops."""

from dataclasses import dataclass

from stylize.config import DRAFT_REVISE

DRAFT_SHARE = 0.5  # of the steps, for networks that draft
WARMUP_STEPS = 20
FINAL_LR = 0.05  # of the full rate, at the end


@dataclass(frozen=True)
class Stage:
    """The steps from `first` to `end` (exclusive); `revises` if they train a reviser."""

    first: int
    end: int
    revises: bool = False


def stages(architecture: str, steps: int) -> list[Stage]:
    """The stages of a training of that many steps: the draft before the reviser."""
    if architecture != DRAFT_REVISE:
        return [Stage(0, steps)]
    drafts = max(1, round(DRAFT_SHARE * steps))
    return [Stage(0, drafts), Stage(drafts, steps, revises=True)]


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

"""The state of a training, to resume from: weights, moving average, optimizer."""

import json
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from stylize.errors import StyleFileError, UsageError
from stylize.network.style_file import read_tensors, write_tensors
from stylize.network.style_header import METADATA_KEY, StyleHeader, read_header, read_metadata

RUN_KEY = "stylize_run"
FREE_TO_CHANGE = ("device", "preview_every", "keep")  # settings that a resumed run may change


@dataclass(frozen=True)
class RunState:
    """Everything that a training needs to resume after `step` of `end` steps.

    `photos` is a fingerprint of the content photos; `caution` multiplies the learning rate.
    `tensors` are the network's weights, their moving average and the optimizer's state. There is no
    random state and no position in the data: both follow from the seed and the step.
    """

    step: int
    end: int
    caution: float
    photos: str
    header: StyleHeader
    tensors: dict[str, Tensor]


def save_run(path: Path, state: RunState) -> None:
    """Write the state of a training in one step; raises StyleFileError if it cannot."""
    kept = ("step", "end", "caution", "photos")
    run = json.dumps({name: getattr(state, name) for name in kept})
    write_tensors(path, state.tensors, {METADATA_KEY: state.header.to_json(), RUN_KEY: run})


def load_run(path: Path) -> RunState:
    """Read what `save_run` wrote; raises StyleFileError if it is missing or damaged."""
    header = read_header(path)
    try:
        run = json.loads(read_metadata(path, RUN_KEY))
        return RunState(
            int(run["step"]),
            int(run["end"]),
            float(run["caution"]),
            str(run["photos"]),
            header,
            read_tensors(path),
        )
    except (ValueError, KeyError, TypeError, ArithmeticError, RecursionError) as error:
        raise StyleFileError(f"{path}: not a training checkpoint ({error})") from error


def check_same(now: StyleHeader, then: StyleHeader, path: Path) -> None:
    """Raise UsageError if the checkpoint `path` belongs to another training."""
    pictures = [[(p.sha256, p.weight) for p in header.pictures] for header in (now, then)]
    if pictures[0] != pictures[1]:
        raise UsageError(f"{path} was trained on another style picture", "give the same picture")
    if now.base_sha256 != then.base_sha256:
        raise UsageError(f"{path} was started from another base", "start over with --overwrite")
    pairs = ((now.training, then.training), (now.network, then.network))
    for new, old in ((a.to_dict(), b.to_dict()) for a, b in pairs):
        for setting in new:
            if new[setting] != old[setting] and setting not in FREE_TO_CHANGE:
                raise UsageError(
                    f"{path} was trained with {setting} {old[setting]}, not {new[setting]}",
                    "resume with the same settings",
                )

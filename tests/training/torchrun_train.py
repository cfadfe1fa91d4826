"""Run by test_torchrun.py, by torchrun: trains, and the first process writes what it reports.

torchrun torchrun_train.py PICTURE PHOTOS OUTPUT LOSSES
"""

import json
import os
import sys
from pathlib import Path

from stylize.config import TrainConfig
from stylize.events import StepDone
from stylize.training.train import train

# At the full rate, on pictures as small as these, the rounding of sums grows by the step: whether
# gradients of four photos are added at once or two by two shows in the losses after ten of them.
CONFIG = TrainConfig(
    lr=4e-3,
    steps=20,
    batch_size=4,
    size=128,
    style_size=48,
    base="",
    device="cpu",
    precision="fp32",
    preview_every=7,
    checkpoint_every=6,
)


def main(picture: Path, photos: Path, output: Path, losses: Path) -> None:
    events = list(train(picture, photos, "x", CONFIG, output=output))
    if os.environ.get("RANK", "0") == "0":
        totals = [event.total for event in events if isinstance(event, StepDone)]
        losses.write_text(json.dumps(totals))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))

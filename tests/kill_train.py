"""Run by test_kill.py in a process of its own: a training, killed with -9 and resumed.

    python kill_train.py PICTURE PHOTOS FOLDER TIMES

Makes FOLDER/whole without being killed. Then FOLDER/0, FOLDER/1 ...: each is killed at a random
moment after its first checkpoint, and resumed.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

import torch
from conftest import TINY

from stylize.config import TrainConfig
from stylize.training.train import train

CONFIG = TrainConfig(
    steps=16,
    size=64,
    style_size=48,
    base="",
    device="cpu",
    precision="fp32",
    preview_every=3,
    checkpoint_every=3,
)


def start(picture: Path, photos: Path, output: Path, *, resume: bool) -> int:
    """The process number of a copy of this one, in which all imports are done."""
    child = os.fork()
    if child == 0:
        try:
            for _ in train(picture, photos, "x", CONFIG, TINY, output=output, resume=resume):
                pass
        finally:
            os._exit(0)
    return child


def wait_for_checkpoint(output: Path) -> None:
    while not list((output / "x").glob("checkpoint-*")):
        time.sleep(0.001)


def main(picture: Path, photos: Path, folder: Path, times: int) -> None:
    torch.set_num_threads(1)  # of several, none would be there after a fork
    child = start(picture, photos, folder / "whole", resume=False)
    wait_for_checkpoint(folder / "whole")
    first = time.monotonic()
    os.waitpid(child, 0)
    working = time.monotonic() - first
    choose = random.Random(0)
    for index in range(times):
        output = folder / str(index)
        child = start(picture, photos, output, resume=False)
        wait_for_checkpoint(output)
        time.sleep(choose.uniform(0, 0.8 * working))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        finished = (output / "x.safetensors").exists()
        (folder / f"{index}-killed").write_text("finished" if finished else "under way")
        os.waitpid(start(picture, photos, output, resume=True), 0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))

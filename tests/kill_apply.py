"""Run by test_kill.py in a process of its own: `stylize apply`, killed with -9 again and again.

    python kill_apply.py STYLE PHOTOS FOLDER TIMES

Makes FOLDER/whole without being killed. Then FOLDER/0, FOLDER/1 ...: each is killed at a random
moment of its run, copied to FOLDER/0-killed ... as it stands, and run again to its end.
"""

import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path

import torch

from stylize.batch.apply import apply
from stylize.config import ApplyConfig

CONFIG = ApplyConfig(device="cpu", precision="fp32")


def start(style: str, photos: Path, output: Path) -> int:
    """The process number of a copy of this one, in which all imports are done."""
    child = os.fork()
    if child == 0:
        try:
            for _ in apply(style, [photos], output, CONFIG):
                pass
        finally:
            os._exit(0)
    return child


def wait_for_first_output(folder: Path) -> None:
    """Until there is a line about it."""
    while not (folder / ".stylize" / "manifest.jsonl").exists():
        time.sleep(0.001)


def main(style: str, photos: Path, folder: Path, times: int) -> None:
    torch.set_num_threads(1)  # of several, none would be there after a fork
    child, started = start(style, photos, folder / "whole"), time.monotonic()
    wait_for_first_output(folder / "whole")
    first = time.monotonic()
    os.waitpid(child, 0)
    ready, working = first - started, time.monotonic() - first
    choose = random.Random(0)
    for index in range(times):
        output = folder / str(index)
        child = start(style, photos, output)
        if index % 4:  # most kills hit while files are written, some before
            wait_for_first_output(output)
            time.sleep(choose.uniform(0, working))
        else:
            time.sleep(choose.uniform(0, ready))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        output.mkdir(exist_ok=True)  # killed before it was made
        shutil.copytree(output, folder / f"{index}-killed")
        os.waitpid(start(style, photos, output), 0)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))

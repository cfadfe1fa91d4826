"""How long until the first photo is painted? A new process each time, beside importing torch alone.

As root, each run starts with an empty file cache, as after a reboot.

    python bench/cold_start.py [--style woodblock] [--repeats 5]
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from common import COFFEE, machine, record
from rich.console import Console
from rich.table import Table

DROP = Path("/proc/sys/vm/drop_caches")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--style", default="woodblock")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    cold = os.access(DROP, os.W_OK)
    console = Console(width=110)
    console.print(machine(torch.device("cpu")))
    console.print(f"files in memory: {'dropped' if cold else 'kept, as this is not root'}")
    times: dict[str, list[float]] = {"import torch": [], "stylize apply, one photo": []}
    for number in range(options.repeats):
        with tempfile.TemporaryDirectory() as folder:
            apply = ["-m", "stylize", "apply", options.style, str(COFFEE), "--output", folder]
            for what, arguments in zip(times, (["-c", "import torch"], apply), strict=True):
                times[what].append(seconds([sys.executable, *arguments], cold))
            if not any(path.suffix == ".png" for path in Path(folder).iterdir()):
                raise SystemExit(f"no picture in run {number}")
    table = Table("", "median, s", "all")
    for what, all_of in times.items():
        row = " ".join(f"{value:.1f}" for value in all_of)
        table.add_row(what, f"{statistics.median(all_of):.1f}", row)
    console.print(table)
    record("cold_start", torch.device("cpu"), {"dropped": cold, **times})


def seconds(command: list[str], cold: bool) -> float:
    if cold:
        os.sync()
        DROP.write_text("3")
    started = time.monotonic()
    subprocess.run(command, check=True, capture_output=True)
    return time.monotonic() - started


if __name__ == "__main__":
    main()

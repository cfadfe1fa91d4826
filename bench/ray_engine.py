"""The Ray engine beside the local one, on the same cores, and one worker beside two.

200 JPEGs of a megapixel. What it takes to start a cluster of this machine, with its workers, is
stated apart.

    python bench/ray_engine.py [--photos 200] [--style woodblock]
"""

import argparse
import tempfile
import time
from pathlib import Path

import torch
from any_size import make_photo
from common import machine, record
from rich.console import Console
from rich.table import Table

from stylize.batch.apply import apply
from stylize.config import LOCAL, RAY, ApplyConfig
from stylize.events import ApplyDone, Backend


def measure(style: str, source: Path, target: Path, engine: str, threads: int) -> dict[str, float]:
    """Seconds until the first worker is there, and those of all photos."""
    torch.set_num_threads(threads)
    started = time.monotonic()
    for event in apply(style, [source], target, ApplyConfig(device="cpu", engine=engine)):
        if isinstance(event, Backend):
            start = time.monotonic() - started
        if isinstance(event, ApplyDone):
            return {"start": start, "photos": event.seconds, "failed": event.failed}
    raise RuntimeError("it did not end")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=int, default=200)
    parser.add_argument("--style", default="woodblock")
    options = parser.parse_args()
    console, threads = Console(width=110), torch.get_num_threads()
    console.print(machine(torch.device("cpu")))
    table = Table("engine", "workers", "start, s", "photos, s", "photos/s")
    figures = {}
    with tempfile.TemporaryDirectory() as place:
        source = Path(place) / "photos"
        source.mkdir()
        make_photo(source / "0.jpg", 1.0)
        for index in range(1, options.photos):
            (source / f"{index}.jpg").write_bytes((source / "0.jpg").read_bytes())
        for engine, workers in ((LOCAL, threads), (RAY, threads), (RAY, max(1, threads // 2))):
            name = f"{engine}, {workers}"
            found = measure(options.style, source, Path(place) / name, engine, workers)
            figures[name] = found
            rate = options.photos / found["photos"]
            cells = (f"{found['start']:.1f}", f"{found['photos']:.1f}", f"{rate:.2f}")
            table.add_row(engine, str(workers), *cells)
    console.print(table)
    local, two, one = (each["photos"] for each in figures.values())
    console.print(f"Ray takes {two / local:.2f} times as long as the local engine")
    console.print(f"{threads} workers are {one / two:.2f} times as fast as {max(1, threads // 2)}")
    record("ray_engine", torch.device("cpu"), figures)


if __name__ == "__main__":
    main()

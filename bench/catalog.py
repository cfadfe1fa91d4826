"""The plan of a run over an object store: seconds and memory for a million photos.

Listings are made up, a thousand keys a page, for photos and for outputs of which all but one in a
hundred are recorded and up to date. Each plan is made in a process of its own; its memory is the
peak beyond that of a plan of 1,000 photos. For comparison, the same number of jobs as objects in
memory, which is how plans of folders are kept.

    python bench/catalog.py [--photos 1000000]
"""

import argparse
import gzip
import io
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from stylize.batch import listing, object_manifest
from stylize.batch.catalog import Catalog
from stylize.batch.manifest import Record
from stylize.batch.object_manifest import LINES, PARTS, ObjectManifest
from stylize.batch.plan import Job
from stylize.batch.tasks import Recipe
from stylize.config import ApplyConfig
from stylize.files import Url

FEW = 1000  # photos, and keys in a page
IN, OUT = Url("memory://bench/in"), Url("memory://bench/out")
OPTIONS = ApplyConfig().recipe()


def key(index: int) -> str:
    return f"{index // 1000:05}/photo-{index:08}.jpg"


def version(index: int) -> str:
    return f"{index:032x}:100000"


class Source:
    """A store that lists so many photos."""

    def __init__(self, photos: int) -> None:
        self.photos = photos

    def pages(self) -> Iterator[list[Url]]:
        for first in range(0, self.photos, FEW):
            some = range(first, first + FEW)
            yield [Url(IN / key(index), None, version(index), 100_000) for index in some]


class Target(Source):
    """A store with their outputs, and the parts of a manifest."""

    url = OUT

    def pages(self) -> Iterator[list[Url]]:
        for first in range(0, self.photos, FEW):
            some = (index for index in range(first, first + FEW) if index % 100)
            yield [Url(OUT / key(index), None, version(index), 100_000) for index in some]
        parts = range(0, self.photos, LINES)
        yield [Url(OUT / f"{PARTS}{first:010}-x.jsonl.gz", None, "x:1", 1) for first in parts]

    def get(self, name: str) -> bytes:
        first = int(name.removeprefix(PARTS).partition("-")[0])
        content = io.BytesIO()
        with gzip.GzipFile(fileobj=content, mode="wb", compresslevel=1) as part:
            for index in range(first, min(first + LINES, self.photos)):
                part.write(self._line(index) + b"\n")
        return content.getvalue()

    def _line(self, index: int) -> bytes:
        made = Record(
            target=key(index),
            output=f"{index:064x}",
            source=IN / key(index),
            size=100_000,
            sha256=f"{index:064x}",
            mask=None,
            style="0" * 64,
            options=OPTIONS,
            time="2026-01-01T00:00:00+00:00",
            seconds=0.1,
            source_version=version(index),
            output_version=version(index),
        )
        return made.to_json()


def on_disk(photos: int) -> dict[str, float]:
    """Seconds of each step, in this process."""
    listing.open_store = lambda _: Source(photos)  # type: ignore[assignment, return-value]
    object_manifest.open_store = lambda _: Target(photos)  # type: ignore[assignment, return-value]
    seconds = {}

    def took(step: str) -> None:
        nonlocal started
        seconds[step] = time.perf_counter() - started
        started = time.perf_counter()

    started = time.perf_counter()
    catalog = Catalog(OUT, ApplyConfig())
    for _ in catalog.fill([IN], (), "wave"):
        pass
    took("list and name")
    with ObjectManifest.opened(OUT) as manifest:
        took("read the manifest")
        for _ in catalog.check(manifest, Recipe("wave", "0" * 64, OPTIONS)):
            pass
        took("compare")
        pending = sum(task.pending for task in catalog.tasks())
        took("read the plan")
    if pending != photos // 100:
        raise SystemExit(f"{pending} photos to do, not {photos // 100}")
    return seconds


def in_memory(photos: int) -> dict[str, float]:
    started = time.perf_counter()
    places = [Path(key(index)) for index in range(photos)]
    jobs = [Job(Path("/in") / place, place, Path("/out") / place, place) for place in places]
    return {"jobs": len(jobs), "seconds": time.perf_counter() - started}


def measured(way: str, photos: int) -> tuple[dict[str, float], float]:
    """What the function of that name returns, and the peak MB, in a process of its own."""
    command = [sys.executable, __file__, "--child", way, "--photos", str(photos)]
    answer = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return answer["figures"], answer["peak"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=int, default=1_000_000)
    parser.add_argument("--child", choices=("on_disk", "in_memory"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        figures = globals()[options.child](options.photos)
        status = Path("/proc/self/status").read_text()
        peak = int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024  # type: ignore[index]
        print(json.dumps({"figures": figures, "peak": peak}))
        return
    console = Console(width=110)
    found = {}
    for way in ("on_disk", "in_memory"):
        _, least = measured(way, FEW)
        figures, peak = measured(way, options.photos)
        found[way] = {**figures, "mb": peak - least}
        steps = ", ".join(f"{name} {value:.0f}" for name, value in figures.items())
        console.print(f"{way}, {options.photos} photos: {peak - least:.0f} MB; {steps}")
    import torch  # not in the processes that are measured
    from common import machine, record

    device = torch.device("cpu")
    console.print(machine(device))
    record("catalog", device, {"photos": options.photos, **found})


if __name__ == "__main__":
    main()

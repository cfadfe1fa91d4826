"""A bucket instead of a folder: how much longer does a run take?

200 small photos (JPEG, 320 px on the longest side, crops of samples/photos), stylized from folder
to folder and from bucket to bucket, in turn, each from nothing to the last event: listing, lease,
manifest and all. The bucket is on an S3 server on this machine (`s3_server.py`), which answers each
request 50 ms late and takes its share of the same cores. Goal: at most 1.3 times as long.

    python bench/object_store.py [--style woodblock] [--photos 200] [--latency 0.05] [--rounds 3]
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from urllib.request import urlopen

import torch
from common import BENCH, PHOTOS, machine, record
from PIL import Image
from rich.console import Console

from stylize.batch.apply import apply
from stylize.config import ApplyConfig
from stylize.events import ApplyDone
from stylize.files import Location, Url, find_photos

SIDE = 320  # pixels


def make_photos(folder: Path, count: int) -> None:
    choose = random.Random(0)
    samples = [Image.open(path).convert("RGB") for path in find_photos(PHOTOS)[0]]
    for index in range(count):
        picture = choose.choice(samples)
        left, top = (choose.uniform(0, 0.2) * side for side in picture.size)
        box = (left, top, 0.8 * picture.width, 0.8 * picture.height)
        scale = SIDE / max(box[2] - left, box[3] - top)
        size = (round((box[2] - left) * scale), round((box[3] - top) * scale))
        path = folder / str(index % 10) / f"{index:03}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.resize(size, Image.Resampling.BICUBIC, box=box).save(path, quality=92)


def run(style: str, source: Location, target: Location) -> float:
    """Seconds from the call to the last event."""
    started = time.perf_counter()
    for event in apply(style, [source], target, ApplyConfig()):
        last = event
    if not isinstance(last, ApplyDone) or last.failed:
        raise SystemExit(f"a photo failed: {last}")
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--style", default="woodblock")
    parser.add_argument("--photos", type=int, default=200)
    parser.add_argument("--latency", type=float, default=0.05, help="seconds a request")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    console = Console(width=110)
    console.print(machine(device))
    command = [sys.executable, BENCH / "s3_server.py", "--latency", str(options.latency)]
    with (
        tempfile.TemporaryDirectory() as place,
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server,
    ):
        try:
            address = str(server.stdout and server.stdout.readline().strip())
            os.environ |= {
                "AWS_ENDPOINT_URL_S3": address,
                "AWS_ACCESS_KEY_ID": "bench",
                "AWS_SECRET_ACCESS_KEY": "bench",
                "AWS_DEFAULT_REGION": "us-east-1",
            }
            folder, bucket = Path(place), Url("s3://bench")
            make_photos(folder / "in", options.photos)
            upload(folder / "in", bucket / "in")
            seconds: dict[str, list[float]] = {"folder": [], "bucket": []}
            for index in range(-1, options.rounds):  # the first round does not count
                pairs = {"folder": (folder / "in", folder / f"out{index}")}
                pairs["bucket"] = (bucket / "in", bucket / f"out{index}")  # type: ignore[assignment]
                for name, (source, target) in pairs.items():
                    taken = run(options.style, source, target)
                    if index >= 0:
                        seconds[name].append(taken)
            again = run(options.style, bucket / "in", bucket / f"out{index}")
            requests = count_requests(address, f"out{index}")
        finally:
            server.kill()
    pairs_of = zip(seconds["bucket"], seconds["folder"], strict=True)
    ratio = statistics.median(slow / fast for slow, fast in pairs_of)
    for name, values in seconds.items():
        console.print(f"{name}: {', '.join(f'{value:.1f}' for value in values)} s")
    console.print(
        f"{options.photos} photos, {options.latency * 1000:.0f} ms a request: {ratio:.2f}"
    )
    console.print(
        f"a run with nothing to do: {again:.1f} s; PUTs below the last output: {requests}"
    )
    figures = {"photos": options.photos, "latency": options.latency, "ratio": ratio}
    record("object_store", device, {**figures, "seconds": seconds, "again": again, **requests})


def upload(folder: Path, url: Url) -> None:
    from s3fs import S3FileSystem

    client = S3FileSystem()
    client.call_s3("create_bucket", Bucket="bench")
    names = (path for path in folder.rglob("*") if path.is_file())
    client.pipe({f"{url}/{path.relative_to(folder)}": path.read_bytes() for path in names})


def count_requests(address: str, output: str) -> dict[str, int]:
    """PUTs below that output: of photos, and of the manifest."""
    with urlopen(f"{address}/-/log") as answer:  # noqa: S310 loopback
        puts = [path for method, path, _ in json.load(answer) if method == "PUT"]
    below = [path for path in puts if f"/{output}/" in path]
    counts = Counter("manifest" if "/manifest/" in path else "other" for path in below)
    return {"parts": counts["manifest"], "puts": len(below)}


if __name__ == "__main__":
    main()

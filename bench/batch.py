"""A nightly batch: how much longer than its network does it take, and how much memory?

200 mixed photos (JPEG, PNG, WebP; 0.2 to 1.5 megapixels, made from samples/photos) in four lots of
50. For each lot in turn, on the same pixels: the network alone; decoding and encoding alone;
`stylize apply` in a process of its own. Goals: apply takes at most 1.15 times the network's time
plus that of decoding and encoding divided by the cores, and the peak of resident memory for all 200
photos is within 10 % of that for 50.

    python bench/batch.py [--style woodblock] [--device cpu]
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
from pathlib import Path

import torch
from common import PHOTOS, machine, record
from PIL import Image
from rich.console import Console
from rich.table import Table

from stylize import load_style
from stylize.files import find_photos
from stylize.photos.decoder import read_picture
from stylize.photos.encoder import encode
from stylize.photos.photo import to_tensor

LOTS, LOT = 4, 50
SUFFIXES = (".jpg", ".jpg", ".jpg", ".png", ".webp")
SIDES = (500, 1500)  # of the longest, pixels
STYLIZE = (
    "import json, re, sys; from pathlib import Path; from stylize.cli.main import app\n"
    "app(['apply', *sys.argv[1:], '--json'], standalone_mode=False)\n"
    # Not getrusage: what it tells is inherited from the process that started this one.
    "peak = re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1]\n"
    "print(json.dumps({'event': 'Peak', 'kilobytes': int(peak)}))"
)


def make_photos(folder: Path) -> None:
    """Lots 0 to 3 of mixed photos: crops of the samples, enlarged or made smaller."""
    choose = random.Random(0)
    samples = [Image.open(path).convert("RGB") for path in find_photos(PHOTOS)[0]]
    for index in range(LOTS * LOT):
        picture = choose.choice(samples)
        left, top = (choose.uniform(0, 0.2) * side for side in picture.size)
        right, bottom = (choose.uniform(0.8, 1) * side for side in picture.size)
        scale = choose.uniform(*SIDES) / max(right - left, bottom - top)
        size = (round((right - left) * scale), round((bottom - top) * scale))
        photo = picture.resize(size, Image.Resampling.BICUBIC, box=(left, top, right, bottom))
        path = folder / str(index // LOT) / f"{index:03}{choose.choice(SUFFIXES)}"
        path.parent.mkdir(parents=True, exist_ok=True)
        photo.save(path, quality=92)


def read(path: Path):
    with path.open("rb") as file:
        return read_picture(path, file, 1e9)


def network_alone(style, pictures: list) -> float:
    images = [
        to_tensor(picture.frames[0].rgb)[None].to(style.compute.device) for picture in pictures
    ]
    started = time.perf_counter()
    for image in images:
        style(image)
    if style.compute.device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def decode_and_encode(paths: list[Path], results: Path) -> float:
    """One after the other; what is encoded are stylized pictures, which compress less."""
    seconds = 0.0
    for path in paths:
        stylized = read(results / path.name).frames[0].rgb
        started = time.perf_counter()
        picture = read(path)
        encode([stylized], picture, path.suffix)
        seconds += time.perf_counter() - started
    return seconds


def run_apply(style: str, device: str, source: Path, target: Path) -> tuple[float, float]:
    """`stylize apply` in a process of its own: seconds of its work, and peak MB."""
    command = [sys.executable, "-c", STYLIZE, style, source, "-o", target, "--device", device]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    events = {event["event"]: event for event in map(json.loads, result.stdout.splitlines())}
    if events["ApplyDone"]["failed"]:
        raise SystemExit("a photo failed")
    return events["ApplyDone"]["seconds"], events["Peak"]["kilobytes"] / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--style", default="woodblock")
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    style = load_style(options.style, options.device)
    device = style.compute.device
    cores = os.cpu_count() or 1
    console = Console(width=110)
    console.print(machine(device))
    table = Table(
        "lot", "network alone", "decode + encode", "apply", "of the sum", "photos/s", "peak MB"
    )
    rows = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        make_photos(folder / "photos")
        for lot in range(LOTS):
            source, target = folder / "photos" / str(lot), folder / "out" / str(lot)
            paths = sorted(source.iterdir())
            seconds, peak = run_apply(options.style, options.device, source, target)
            network = network_alone(style, [read(path) for path in paths])
            files = decode_and_encode(paths, target)
            ratio = seconds / (network + files / cores)
            rows.append((network, files, seconds, ratio, LOT / seconds, peak))
            table.add_row(str(lot), *(f"{value:.2f}" for value in rows[-1]))
        lots = [row[5] for row in rows]
        few, most = statistics.median(lots), max(lots)
        _, many = run_apply(options.style, options.device, folder / "photos", folder / "all")
        pixels = sum(
            image.width * image.height
            for image in map(Image.open, find_photos(folder / "photos")[0])
        )
    ratio = statistics.median(row[3] for row in rows)
    console.print(table)
    console.print(
        f"{LOTS * LOT} photos, {pixels / 1e6:.0f} megapixels, precision {style.compute.precision}"
    )
    console.print(f"apply: {ratio:.2f} of network + (decode + encode) / {cores} cores (goal: 1.15)")
    console.print(
        f"peak memory: {many:.0f} MB for {LOTS * LOT} photos, {few:.0f} MB for {LOT} (median of "
        f"lots; the largest {most:.0f}): {many / few:.2f} ({many / most:.2f}; goal: 1.10)"
    )
    figures = {"rows": rows, "ratio": ratio, "peak_mb": [few, most, many]}
    record("batch", device, json.loads(json.dumps(figures)))


if __name__ == "__main__":
    main()

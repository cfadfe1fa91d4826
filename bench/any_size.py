"""Photos of any size: time and memory from 1 to 400 megapixels, and how exact strips are.

For each size, a JPEG made from the sample photos goes through `apply` in a process of its own, with
reading and writing: once with half of the free memory, and once with so little that strips are kept
on disk. Sizes up to 16 megapixels run three times; figures are medians. Beside the peak of memory
stands what -v printed before.

Then, on eight samples: the difference between strips and one pass (3 megapixels); between the
statistics of a thumbnail and the photo's own (twice as long as the thumbnail); and the structural
similarity of a reduced result and the result of the reduced photo (a third of the size).

    python bench/any_size.py [--style woodblock] [--device cpu] [--most 400] [--plot any-size.png]
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from common import PHOTOS, machine, record
from PIL import Image
from rich.console import Console
from rich.table import Table
from skimage.metrics import structural_similarity

from stylize import Style, load_style
from stylize.config import Look
from stylize.files import find_photos
from stylize.network.memory import THUMBNAIL, Need, Way
from stylize.photos.photo import Photo

SIZES = (1, 2, 4, 8, 16, 30, 50, 100, 200, 400)  # megapixels
SMALL = 16  # and less: three times
BASE, PIXEL = 1200, 16  # MB of a process, bytes of a pixel: with no more, strips are kept on disk
GOAL_GB, GOAL_RATIO = 4, 1.25  # at 100 megapixels; of the time per megapixel at 4
TILE = 800  # pixels
MEASURE = """
import json, re, sys
from pathlib import Path
from PIL import Image
from stylize.batch.apply import apply
from stylize.config import ApplyConfig
from stylize.settings import parse_size
Image.MAX_IMAGE_PIXELS = None
style, device, small, photo, out, most, times = sys.argv[1:]
most = None if most == "auto" else parse_size(most)
config = ApplyConfig(device=device, overwrite=True, max_megapixels=1e4, max_memory=most)
list(apply(style, [Path(small)], Path(out), config))
found = {"seconds": []}
for _ in range(int(times)):
    for event in apply(style, [Path(photo)], Path(out), config):
        kind = type(event).__name__
        if kind == "PhotoBegun":
            found |= {"way": event.way, "expected": event.memory}
        elif kind == "PhotoDone":
            found["seconds"].append(event.seconds)
        elif kind == "PhotoFailed":
            found["failed"] = event.reason
# Not getrusage: what it tells is inherited from the process that started this one.
peak = re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]
print(json.dumps(found | {"peak": int(peak) * 1024}))
"""


def scaled(picture: Image.Image, scale: float) -> Image.Image:
    return picture.resize([round(side * scale) for side in picture.size], Image.Resampling.LANCZOS)


def make_photo(path: Path, megapixels: float) -> None:
    """3:2, of tiles: the samples, each at full size and from another place."""
    random = np.random.default_rng(int(megapixels))
    height = round((megapixels * 1e6 / 1.5) ** 0.5)
    photo = Image.new("RGB", (round(height * 1.5), height))
    samples = [Image.open(place).convert("RGB") for place in find_photos(PHOTOS)[0]]
    samples = [
        s.resize((TILE * s.width // min(s.size), TILE * s.height // min(s.size))) for s in samples
    ]
    for top in range(0, photo.height, TILE):
        for left in range(0, photo.width, TILE):
            sample = samples[random.integers(len(samples))]
            x, y = (int(random.integers(side - TILE + 1)) for side in sample.size)
            photo.paste(sample.crop((x, y, x + TILE, y + TILE)), (left, top))
    photo.save(path, quality=92)


def measure(style: str, device: str, folder: Path, megapixels: int, most: str) -> dict:
    times = 3 if megapixels <= SMALL else 1
    photos = [folder / "1.jpg", folder / f"{megapixels}.jpg"]
    command = [sys.executable, "-c", MEASURE, style, device, *photos, folder / "out", most, times]
    result = subprocess.run(map(str, command), check=False, capture_output=True, text=True)
    if result.returncode:
        return {"failed": result.stderr.strip()[-300:]}
    return json.loads(result.stdout.splitlines()[-1])


def time_and_memory(
    style: str, device: str, sizes: list[int], console: Console, *, from_disk: bool = True
) -> list[dict]:
    table = Table("megapixels", "way", "seconds", "s per megapixel", "peak, GB", "expected")
    rows = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for size in {1, *sizes}:  # of one megapixel is the photo that warms up
            make_photo(folder / f"{size}.jpg", size)
        for size in sizes:
            ways = set()
            for most in ("auto", f"{BASE + PIXEL * size}MB")[: 1 + from_disk]:
                found = measure(style, device, folder, size, most)
                if "failed" in found:
                    console.print(f"{size} megapixels with {most}: {found['failed']}")
                    continue
                if found["way"] in ways:
                    continue
                ways.add(found["way"])
                seconds = statistics.median(found["seconds"])
                row = {"megapixels": size, "way": found["way"], "seconds": seconds}
                row |= {"peak": found["peak"] / 1e9, "expected": found["expected"] / 1e9}
                rows.append(row)
                table.add_row(
                    str(size),
                    row["way"],
                    f"{seconds:.2f}",
                    f"{seconds / size:.3f}",
                    f"{row['peak']:.2f}",
                    f"{row['expected']:.2f}",
                )
    console.print(table)
    return rows


def judge(rows: list[dict], console: Console) -> None:
    each = {size: [row for row in rows if row["megapixels"] == size] for size in (4, 100)}
    if not all(each.values()):
        return
    base = each[4][0]["seconds"] / 4
    for row in each[100]:
        console.print(
            f"100 megapixels {row['way']}: {row['seconds'] / 100 / base:.2f} times the seconds per "
            f"megapixel of 4 (goal: {GOAL_RATIO}), peak {row['peak']:.2f} GB (goal: {GOAL_GB})"
        )


def draw(rows: list[dict], path: Path, title: str) -> None:
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2))
    for way in dict.fromkeys(row["way"] for row in rows):
        part = [row for row in rows if row["way"] == way]
        sizes = [row["megapixels"] for row in part]
        left.plot(sizes, [row["seconds"] for row in part], "o-", label=way)
        (line,) = right.plot(sizes, [row["peak"] for row in part], "o-", label=way)
        expected = [row["expected"] for row in part]
        right.plot(sizes, expected, ":", color=line.get_color(), label=f"{way}, expected")
    for axes, label in ((left, "seconds, reading and writing included"), (right, "peak, GB")):
        axes.set(xscale="log", yscale="log", xlabel="megapixels", ylabel=label)
        axes.grid(alpha=0.3, which="both")
        axes.legend(fontsize=8)
    figure.suptitle(title, fontsize=9)
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def similarity(one: Image.Image, two: Image.Image) -> float:
    return float(structural_similarity(np.asarray(one), np.asarray(two), channel_axis=2))


def levels(one: Image.Image, two: Image.Image) -> np.ndarray:
    return np.abs(np.asarray(one, int) - np.asarray(two, int))


def roughness(style: Style, photo: Photo) -> np.ndarray:
    look, need = Look(statistics="thumbnail"), Need(Way.APPROXIMATE, 0, 0)
    approximate = style.stylize_photos([photo], look, need)[0]
    return levels(approximate, style.stylize_photos([photo], need=Need(Way.STRIPS, 0, 0))[0])


def closeness(style_name: str, device: str, console: Console) -> dict:
    photos = [Image.open(path).convert("RGB") for path in find_photos(PHOTOS)[0]]
    photos = [
        p.resize([round(s * (3e6 / p.width / p.height) ** 0.5) for s in p.size]) for p in photos
    ]
    figures: dict = {}
    for precision in ("fp32", "bf16"):
        style = load_style(style_name, device, precision)
        most, means, rough = 0, [], []
        for photo in photos:
            whole = style.stylize_photos([Photo(photo)])[0]
            strips = style.stylize_photos([Photo(photo)], need=Need(Way.STRIPS, 0, 0))[0]
            most = max(most, int(levels(strips, whole).max()))
            means.append(float(levels(strips, whole).mean()))
            if precision == "bf16":
                large = scaled(photo, 2 * THUMBNAIL / max(photo.size))
                rough.append(float(roughness(style, Photo(large)).mean()))
        figures[precision] = [most, statistics.mean(means)]
        console.print(
            f"strips and one pass, {precision}: differ by at most {most} of 255 levels, "
            f"{statistics.mean(means):.4f} in the mean"
        )
    figures["thumbnail"] = statistics.mean(rough)
    console.print(f"a thumbnail's statistics: {figures['thumbnail']:.1f} levels in the mean (bf16)")
    for stroke in (1.0, 0.5):
        found = []
        for photo in photos:
            small = scaled(photo, 1 / 3)
            result = style.stylize(photo, Look(stroke=stroke))
            made_smaller = result.resize(small.size, Image.Resampling.LANCZOS)
            found.append(similarity(made_smaller, style.stylize(small, Look(stroke=stroke))))
        figures[f"stroke {stroke}"] = [min(found), statistics.median(found)]
        console.print(
            f"--stroke {stroke}: structural similarity of sizes 3 and 1: median "
            f"{statistics.median(found):.3f}, at least {min(found):.3f}"
        )
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--style", default="woodblock")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--most", type=int, default=400, help="megapixels")
    parser.add_argument("--plot", type=Path, default=Path("any-size.png"))
    options = parser.parse_args()
    style = load_style(options.style, options.device)
    console = Console(width=110)
    about = machine(style.compute.device)
    console.print(about)
    sizes = [size for size in SIZES if size <= options.most]
    rows = time_and_memory(options.style, options.device, sizes, console)
    judge(rows, console)
    title = f"{about['hardware']}, {about['threads']} threads, {style.compute.precision}"
    draw(rows, options.plot, title)
    figures = closeness(options.style, options.device, console)
    record("any_size", style.compute.device, {"rows": rows, **figures})


if __name__ == "__main__":
    main()

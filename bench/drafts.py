"""What styles that draft promise: the same picture at every size, and better drafts on request.

    python bench/drafts.py STYLE [PHOTOS] [--count 4]

- Sizes: structural similarity of the result of a photo of 4,000 px on its longest side, reduced to
  512 px, and the result of the photo at 512 px. Smaller photos are enlarged first.
- Refining: the objective of training, of drafts as the network paints them and after 10 and 30
  steps of `--refine`, and the seconds that takes.
"""

import argparse
import statistics
import time
from pathlib import Path

import numpy as np
import torch
from common import PHOTOS, machine, record, some_photos
from PIL import Image
from rich.console import Console
from rich.table import Table
from skimage.metrics import structural_similarity

from stylize.assets import find_style
from stylize.network.style_file import read_targets
from stylize.objective.losses import LAYERS, Objective, weighted_sum
from stylize.objective.refine import refine
from stylize.objective.style_targets import StyleTargets
from stylize.objective.vgg import load_vgg16
from stylize.photos.decoder import read_photo
from stylize.photos.photo import to_tensor
from stylize.style import Style, load_style

LARGE, SMALL = 4000, 512  # pixels on the longest side
STEPS = (0, 10, 30)


def at(photo: Image.Image, longest: int) -> Image.Image:
    scale = longest / max(photo.size)
    width, height = (round(side * scale) for side in photo.size)
    return photo.resize((width, height), Image.Resampling.LANCZOS)


def similarity(style: Style, photo: Image.Image) -> float:
    large = at(photo, LARGE)
    small = at(large, SMALL)
    both = (at(style.stylize(large), SMALL), style.stylize(small))
    return float(structural_similarity(*map(np.asarray, both), channel_axis=2))


def refined(style: Style, photo: Image.Image, objective: Objective) -> dict[int, list[float]]:
    """Steps -> objective, seconds."""
    config, image = style.header.training, to_tensor(at(photo, SMALL))[None]
    with torch.no_grad():
        seen, draft = style._network.float().paint_draft(image, None, 1.0)
        content = objective.content_target(seen)
    found = {}
    for steps in STEPS:
        started = time.perf_counter()
        result = refine(draft, seen, objective, config, steps) if steps else draft
        seconds = time.perf_counter() - started
        with torch.no_grad():
            total = weighted_sum(objective(result, seen, content), config)
        found[steps] = [float(total), seconds]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("style")
    parser.add_argument("photos", type=Path, nargs="?", default=PHOTOS)
    parser.add_argument("--count", type=int, default=4)
    options = parser.parse_args()
    style = load_style(options.style, "cpu")
    device = style.compute.device
    console = Console(width=110)
    console.print(machine(device))
    photos = [read_photo(path).rgb for path in some_photos(options.photos, options.count)]
    similarities = [similarity(style, photo) for photo in photos]
    console.print(f"similarity of sizes: {statistics.median(similarities):.2f} (median)")
    path = find_style(options.style)
    targets = StyleTargets.from_tensors(read_targets(path), path, device)
    objective = Objective(load_vgg16("shipped", LAYERS), targets)
    rows = [refined(style, photo, objective) for photo in photos]
    table = Table("steps", "objective, median", "seconds, median")
    figures: dict[str, object] = {"similarity": similarities, "photos": len(photos)}
    for steps in STEPS:
        total, seconds = (
            statistics.median(values) for values in zip(*(row[steps] for row in rows), strict=True)
        )
        table.add_row(str(steps), f"{total:.2f}", f"{seconds:.1f}")
        figures[f"refine {steps}"] = {"objective": total, "seconds": seconds}
    console.print(table)
    record("drafts", device, figures)


if __name__ == "__main__":
    main()

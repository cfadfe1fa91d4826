"""Pictures of a training: the preview sheet, the losses as table and plot, the summary."""

import csv
import io
import random
from collections.abc import Sequence
from contextlib import nullcontext
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from statistics import fmean

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from stylize.errors import ImageError
from stylize.photos.decoder import read_photo
from stylize.photos.photo import to_picture, to_tensor
from stylize.training.trainer import Trainer

PREVIEW_PHOTOS = 4
PREVIEW_SIZE = 384
MARGIN, TEXT, LINE, COLUMN = 24, 22, 32, 190  # of the summary, pixels
AVERAGED = 50  # steps

History = list[tuple[int, dict[str, float]]]


class PreviewSheet:
    """The same few photos every time, with the stylized ones below."""

    def __init__(self, styles: Sequence[Image.Image], photos: Sequence[Path], seed: int) -> None:
        square = (PREVIEW_SIZE, PREVIEW_SIZE)
        self.style = _side_by_side(styles)
        self.photos: list[Image.Image] = []
        for path in random.Random(f"{seed} preview").sample(photos, len(photos)):
            if len(self.photos) == PREVIEW_PHOTOS:
                break
            try:
                self.photos.append(ImageOps.fit(read_photo(path).rgb, square))
            except ImageError:
                continue  # training reports the photos that it cannot read

    def draw(self, trainer: Trainer) -> Image.Image:
        """The sheet: style pictures first, then a column for each photo."""
        sheet = Image.new("RGB", (PREVIEW_SIZE * (1 + len(self.photos)), 2 * PREVIEW_SIZE), "white")
        sheet.paste(self.style, (0, 0))
        for column, photo in enumerate(self.photos, start=1):
            stylized = to_picture(trainer.stylize(to_tensor(photo), column - 1))
            sheet.paste(photo, (column * PREVIEW_SIZE, 0))
            sheet.paste(stylized, (column * PREVIEW_SIZE, PREVIEW_SIZE))
        return sheet


def _side_by_side(styles: Sequence[Image.Image]) -> Image.Image:
    """All style pictures in one square of the sheet, with as many rows as columns."""
    columns = next(n for n in range(1, len(styles) + 1) if n * n >= len(styles))
    side = PREVIEW_SIZE // columns
    square = Image.new("RGB", (PREVIEW_SIZE, PREVIEW_SIZE), "white")
    for index, style in enumerate(styles):
        row, column = divmod(index, columns)
        square.paste(ImageOps.contain(style, (side, side)), (column * side, row * side))
    return square


def summary(trainer: Trainer, sheet: PreviewSheet, seconds: float) -> Image.Image:
    """A training in one picture: results, losses, settings."""
    pictures, config, history = sheet.draw(trainer), trainer.config, trainer.history
    names = list(history[0][1])
    start, end = (
        {name: fmean(row[name] for _, row in rows) for name in names}
        for rows in (history[:AVERAGED], history[-AVERAGED:])
    )
    lines = [
        (f"{trainer.step} steps of {config.batch_size} photos, up to {config.size} px",),
        (f"{timedelta(seconds=round(seconds))} in this run on {trainer.compute.detail}",),
        (f"started from {config.base or 'random weights'}, seed {config.seed}",),
        (),
        ("loss", "weight", f"first {AVERAGED}", f"last {AVERAGED} steps"),
        *(
            (name, f"{config.weight(name):g}", f"{start[name]:.3f}", f"{end[name]:.3f}")
            for name in names
        ),
    ]
    top = 2 * MARGIN + 2 * TEXT + pictures.height + MARGIN
    plot = losses_plot(history) if find_spec("matplotlib") else None
    with Image.open(io.BytesIO(plot)) if plot else nullcontext() as graph:
        below = max(LINE * len(lines), graph.height if graph else 0)
        size = (pictures.width + 2 * MARGIN, top + below + MARGIN)
        page = Image.new("RGB", size, "white")
        if graph:
            page.paste(graph.convert("RGB"), (page.width - MARGIN - graph.width, top))
    page.paste(pictures, (MARGIN, 2 * MARGIN + 2 * TEXT))
    draw = ImageDraw.Draw(page)
    draw.text((MARGIN, MARGIN), trainer.name, "black", ImageFont.load_default(2 * TEXT))
    for index, cells in enumerate(lines):
        for column, cell in enumerate(cells):
            place = (MARGIN + column * COLUMN, top + index * LINE)
            draw.text(place, cell, "black", ImageFont.load_default(TEXT))
    return page


def losses_table(history: History) -> bytes:
    """The losses as CSV, one row per step."""
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(["step", *history[0][1]])
    writer.writerows([step, *row.values()] for step, row in history)
    return table.getvalue().encode()


def losses_plot(history: History) -> bytes:
    """A PNG of all losses over the steps, smoothed; raises ImportError without matplotlib."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5), layout="constrained")
    axes = figure.subplots()
    steps = [step for step, _ in history]
    window = max(1, len(history) // 100)  # small batches are noisy
    for name in history[0][1]:
        values = np.convolve([row[name] for _, row in history], np.ones(window) / window, "valid")
        axes.plot(steps[window - 1 :], values, label=name, linewidth=1)
    axes.set(xlabel="step", ylabel="loss, unweighted", yscale="log")
    axes.grid(alpha=0.3)
    axes.legend()
    plot = io.BytesIO()
    figure.savefig(plot, format="png", dpi=120)
    return plot.getvalue()

"""What a training shows of itself: a sheet of pictures, and its losses as a table and a plot."""

import csv
import io
import random
from pathlib import Path

from PIL import Image, ImageOps

from stylize.errors import ImageError
from stylize.images import read_photo
from stylize.tensors import to_picture, to_tensor
from stylize.trainer import Trainer

PREVIEW_PHOTOS = 4
PREVIEW_SIZE = 384

History = list[tuple[int, dict[str, float]]]


class PreviewSheet:
    """The same few photos every time, above what the network makes of them."""

    def __init__(self, style: Image.Image, photos: list[Path], seed: int) -> None:
        square = (PREVIEW_SIZE, PREVIEW_SIZE)
        self.style = ImageOps.contain(style, square)
        self.photos: list[Image.Image] = []
        for path in random.Random(f"{seed} preview").sample(photos, len(photos)):
            if len(self.photos) == PREVIEW_PHOTOS:
                break
            try:
                self.photos.append(ImageOps.fit(read_photo(path).rgb, square))
            except ImageError:
                continue  # training itself names the photos that it cannot read

    def draw(self, trainer: Trainer) -> Image.Image:
        """The sheet: style picture first, then a column a photo."""
        sheet = Image.new("RGB", (PREVIEW_SIZE * (1 + len(self.photos)), 2 * PREVIEW_SIZE), "white")
        sheet.paste(self.style, (0, 0))
        for column, photo in enumerate(self.photos, start=1):
            stylized = to_picture(trainer.stylize(to_tensor(photo)))
            sheet.paste(photo, (column * PREVIEW_SIZE, 0))
            sheet.paste(stylized, (column * PREVIEW_SIZE, PREVIEW_SIZE))
        return sheet


def losses_table(history: History) -> bytes:
    """The losses as CSV, a row a step."""
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(["step", *history[0][1]])
    writer.writerows([step, *row.values()] for step, row in history)
    return table.getvalue().encode()


def losses_plot(history: History) -> bytes | None:
    """A PNG of all losses over the steps; None where matplotlib is not installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return None
    figure = Figure(figsize=(9, 5), layout="constrained")
    axes = figure.subplots()
    steps = [step for step, _ in history]
    for name in history[0][1]:
        axes.plot(steps, [row[name] for _, row in history], label=name, linewidth=1)
    axes.set(xlabel="step", ylabel="loss, unweighted", yscale="log")
    axes.grid(alpha=0.3)
    axes.legend()
    plot = io.BytesIO()
    figure.savefig(plot, format="png", dpi=120)
    return plot.getvalue()

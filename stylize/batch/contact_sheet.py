"""A contact sheet: all styles on one photo."""

from collections.abc import Iterator, Mapping
from math import ceil, sqrt
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from stylize.errors import StyleFileError, UsageError
from stylize.events import Event, FileWritten, Note, StyleDrawn
from stylize.files import FORMATS
from stylize.photos.decoder import read_photo
from stylize.photos.encoder import write_picture
from stylize.photos.photo import merge_alpha
from stylize.style import load_style

CELL = 640  # pixels on the longest side: strokes can be seen
MARGIN, TEXT = 16, 24  # pixels
NARROWEST = 240  # pixels: room for a name


def draw_sheet(
    photo: Path,
    styles: Mapping[str, Path | str],
    output: Path,
    device: str = "auto",
    precision: str = "auto",
) -> Iterator[Event]:
    """Draw the photo, and below it the photo in each of the styles (`load_style`), with their
    names.

    Yields `Backend`, a `StyleDrawn` for each style (a `Note` if it cannot be read), `FileWritten`.

    Raises:
        UsageError: `output` exists, or its suffix is not that of a picture.
        ImageError: the photo cannot be read, or the sheet cannot be written.
        DeviceError: the device or the precision is not available.
    """
    if output.suffix.lower() not in FORMATS:
        raise UsageError(f"{output} is no name of a picture", "end it in .png, .jpg or .webp")
    if output.exists():
        raise UsageError(f"{output} is there already", "choose another --output, or remove it")
    picture = read_photo(photo, CELL)
    cells = {"the photo": merge_alpha(picture.rgb.copy(), picture.alpha)}
    for name, path in styles.items():
        try:
            style = load_style(str(path), device, precision)
        except StyleFileError as error:
            yield Note(f"left out: {error}")
            continue
        if len(cells) == 1:
            yield style.compute.describe()
        (cells[name],) = style.stylize_photos([picture])
        yield StyleDrawn(name)
    write_picture(_arrange(cells), output)
    yield FileWritten("sheet", output)


def _arrange(cells: Mapping[str, Image.Image]) -> Image.Image:
    """In rows, close to a square, the last one at least half full; names below."""
    (size,) = {picture.size for picture in cells.values()}
    width, height = max(size[0], NARROWEST) + MARGIN, size[1] + TEXT + 2 * MARGIN
    square = min(len(cells), ceil(sqrt(len(cells) * height / width)))
    wider = range(square, len(cells) + 1)
    columns = next(n for n in wider if len(cells) % n == 0 or 2 * (len(cells) % n) >= n)
    rows = ceil(len(cells) / columns)
    page = Image.new("RGB", (columns * width + MARGIN, rows * height + MARGIN), "white")
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(TEXT)
    for number, (name, picture) in enumerate(cells.items()):
        row, column = divmod(number, columns)
        left, top = MARGIN + column * width, MARGIN + row * height
        page.paste(picture, (left, top), picture if picture.mode == "RGBA" else None)
        fits = (n for n in range(len(name), 0, -1) if font.getlength(name[:n]) <= width - MARGIN)
        draw.text((left, top + size[1] + MARGIN // 2), name[: next(fits)], "black", font)
    return page

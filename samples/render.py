"""Render the shipped style on the sample photos: `expected/` and the README's picture.

Run it after a style was trained anew, and look at what it made before committing:

    python samples/render.py
"""

from pathlib import Path

from PIL import Image, ImageOps

from stylize import load_style
from stylize.files import find_photos
from stylize.formats import write_picture
from stylize.images import read_photo

HERE = Path(__file__).parent
STYLE = "great-wave"
EXPECTED_SIZE = 256  # longest side, pixels
CELL = 320  # of the README's picture


def main() -> None:
    style = load_style(STYLE, device="cpu", precision="fp32")
    photos, *_ = find_photos(HERE / "photos")
    for path in photos:
        picture = style.stylize(read_photo(path, EXPECTED_SIZE).rgb)
        write_picture(picture, HERE / "expected" / STYLE / f"{path.stem}.png")

    columns = len(photos) // 2
    sheet = Image.new("RGB", (columns * CELL, 4 * CELL), "white")
    for index, path in enumerate(photos):
        photo = read_photo(path).rgb
        left, top = index % columns * CELL, index // columns * 2 * CELL
        for row, picture in enumerate((photo, style.stylize(photo))):
            sheet.paste(
                ImageOps.pad(picture, (CELL, CELL), color="white"), (left, top + row * CELL)
            )
    write_picture(sheet, HERE.parent / "docs" / f"{STYLE}.jpg")


if __name__ == "__main__":
    main()

"""Render the shipped styles on the sample photos: `expected/`, the pictures of README and docs,
the gallery.

Run it after a style was trained anew, and look at what it made before committing:

    python samples/render.py
"""

from pathlib import Path

import torch
from PIL import Image, ImageOps

from stylize import load_style
from stylize.assets import SUFFIX, shipped
from stylize.batch.contact_sheet import draw_sheet
from stylize.files import find_photos
from stylize.network.draft_revise import DraftReviseNet, revised
from stylize.network.resample import resize
from stylize.network.style_file import load_network
from stylize.photos.decoder import read_photo
from stylize.photos.encoder import write_picture
from stylize.photos.photo import to_picture, to_tensor

HERE = Path(__file__).parent
PHOTOS, DOCS = HERE / "photos", HERE.parent / "docs"
EXPECTED = ("kitchen/cherries.jpg", "kitchen/coffee.png", "travel/fort.jpg")
EXPECTED_SIZE = 256  # longest side, pixels
SET = "starry-night"  # the style of the README's picture
CELL = 320  # of it
STAGES = "people/astronaut.jpg"  # the photo that is shown from draft to result
STAGE, GAP = 420, 10  # pixels
GALLERY = (
    "kitchen/coffee.png",
    "music/drums.jpg",
    "garden/anemone.jpg",
    "workshop/light-bulb.jpg",
    "people/astronaut.jpg",
    "travel/fort.jpg",
)


def main() -> None:
    styles = {
        path.name.removesuffix(SUFFIX): path
        for path in sorted(shipped("models").glob("*" + SUFFIX))
    }
    for name in styles:
        render_expected(name)
    render_set(SET)
    render_stages(styles[SET], PHOTOS / STAGES)
    for name in GALLERY:
        output = DOCS / "gallery" / f"{Path(name).stem}.jpg"
        output.unlink(missing_ok=True)
        for _ in draw_sheet(PHOTOS / name, styles, output, "cpu", "fp32"):
            pass


def render_expected(name: str) -> None:
    style = load_style(name, device="cpu", precision="fp32")
    for photo in EXPECTED:
        picture = style.stylize(read_photo(PHOTOS / photo, EXPECTED_SIZE).rgb)
        write_picture(picture, HERE / "expected" / name / f"{Path(photo).stem}.png")


def render_set(name: str) -> None:
    """All sample photos above what the style makes of them."""
    style = load_style(name, device="cpu", precision="fp32")
    photos, *_ = find_photos(PHOTOS)
    columns = len(photos) // 2
    sheet = Image.new("RGB", (columns * CELL, 4 * CELL), "white")
    for index, path in enumerate(photos):
        photo = read_photo(path).rgb
        left, top = index % columns * CELL, index // columns * 2 * CELL
        for row, picture in enumerate((photo, style.stylize(photo))):
            sheet.paste(
                ImageOps.pad(picture, (CELL, CELL), color="white"), (left, top + row * CELL)
            )
    write_picture(sheet, DOCS / "set.jpg")


@torch.inference_mode()
def render_stages(path: Path, photo: Path) -> None:
    """A photo, its draft, the revision and the result, all enlarged or reduced to one size."""
    network: DraftReviseNet = load_network(path)[0]
    image = to_tensor(read_photo(photo, 1024).rgb)[None]
    small, draft = network.eval().paint_draft(image, None, 1.0)
    size = (2 * small.shape[-2], 2 * small.shape[-1])
    revision = revised(network.reviser, draft, resize(image, size))
    stages = [image, draft, revision, network(image)]
    sheet = Image.new("RGB", (len(stages) * (STAGE + GAP) - GAP, STAGE), "white")
    for index, stage in enumerate(stages):
        whole = stage.shape[-1] > STAGE
        resample = Image.Resampling.LANCZOS if whole else Image.Resampling.NEAREST
        tile = ImageOps.fit(to_picture(stage[0]), (STAGE, STAGE), resample)
        sheet.paste(tile, (index * (STAGE + GAP), 0))
    write_picture(sheet, DOCS / "draft.jpg")


if __name__ == "__main__":
    main()

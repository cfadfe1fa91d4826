"""Two thousand damaged picture files in one run: no crash, no hang, no file in a wrong place."""

import io
import random
from importlib.util import find_spec

from conftest import draw_picture
from fuzz import mutated
from PIL import Image

from stylize.batch.apply import apply
from stylize.config import ApplyConfig
from stylize.events import ApplyDone
from stylize.photos.decoder import read_picture

COUNT = 2000
KINDS = {
    "jpg": ("JPEG", {"quality": 80}),
    "jpeg": ("JPEG", {"progressive": True}),
    "png": ("PNG", {}),
    "apng": ("PNG", {"save_all": True}),
    "webp": ("WEBP", {}),
    "gif": ("GIF", {"save_all": True}),
    "tif": ("TIFF", {"save_all": True}),
    "tiff": ("TIFF", {"compression": "tiff_lzw"}),
    "bmp": ("BMP", {}),
    "avif": ("AVIF", {}),
    "jp2": ("JPEG2000", {}),
    "ico": ("ICO", {}),
    "ppm": ("PPM", {}),
}
if find_spec("pillow_heif"):
    KINDS["heic"] = ("HEIF", {})


def seeds():
    """A small file of each kind, with metadata where it has a place for them."""
    exif = Image.Exif()
    exif[0x0112], exif[0x010F], exif[0x8825] = 6, "Maker", {1: "N", 2: (48.0, 10.0, 1.5)}
    for index, (suffix, (kind, options)) in enumerate(KINDS.items()):
        buffer = io.BytesIO()
        frames = [draw_picture(index + 50, 24, 20)] if "save_all" in options else []
        holds_exif = suffix in ("jpg", "jpeg", "png", "apng", "webp", "tif", "avif", "heic")
        blocks = {"exif": exif.tobytes()} if holds_exif else {}
        picture = draw_picture(index, 24, 20)
        picture.save(buffer, kind, append_images=frames, **blocks, **options)
        yield suffix, buffer.getvalue()


def test_two_thousand_damaged_files(style_file, tmp_path):
    choose = random.Random(4)
    folder = tmp_path / "in"
    folder.mkdir()
    files = list(seeds())
    for index in range(COUNT):
        suffix, content = files[index % len(files)]
        (folder / f"{index:04}.{suffix}").write_bytes(mutated(content, choose))
    before = {path: path.read_bytes() for path in folder.iterdir()}
    config = ApplyConfig(device="cpu", precision="fp32", max_megapixels=0.01)
    *_, end = apply(str(style_file), [folder], tmp_path / "out", config)
    assert isinstance(end, ApplyDone)
    assert end.done + end.failed == COUNT
    assert end.done > COUNT / 20  # many formats do not notice a changed pixel
    assert end.failed > COUNT / 4
    assert before == {path: path.read_bytes() for path in folder.iterdir()}
    assert {path.name for path in tmp_path.iterdir()} == {"in", "out", style_file.name}
    written = [path for path in (tmp_path / "out").iterdir() if path.name != ".stylize"]
    assert len(written) == end.done
    for path in written:
        with path.open("rb") as file:
            read_picture(path, file, 1e6)

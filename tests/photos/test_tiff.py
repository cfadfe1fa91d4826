"""Pages of a TIFF, counted; Pillow, which reads them all, is the oracle."""

import io
import struct

import pytest
from conftest import draw_picture
from PIL import Image, TiffImagePlugin

from stylize.errors import ImageError
from stylize.photos.decoder import MOST_FRAMES, measure
from stylize.photos.tiff import count_pages


def chain(pages: int, order: str = "<", big: bool = False, end: int = 0) -> bytes:
    """A TIFF of so many grey pages of one pixel; `end` is the offset after the last one."""
    kind, offset, number = (16, "Q", "Q") if big else (4, "I", "H")
    tags = {256: 1, 257: 1, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: 1, 279: 1}
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "H", 43 if big else 42)
    head += struct.pack(order + "HHQ", 8, 0, 16) if big else struct.pack(order + "I", 8)
    size = struct.calcsize(order + number) + len(tags) * (20 if big else 12)
    size += struct.calcsize(order + offset)
    for page in range(pages):
        after = len(head) + size if page < pages - 1 else end
        head += struct.pack(order + number, len(tags))
        for tag, value in tags.items():
            head += struct.pack(order + "HH" + 2 * offset, tag, kind, 1, value)
        head += struct.pack(order + offset, after)
    return head


def pillow(content: bytes) -> int:
    with Image.open(io.BytesIO(content)) as image:
        return image.n_frames


@pytest.mark.parametrize("pages", [1, 2, 7])
@pytest.mark.parametrize(("order", "big"), [("<", False), (">", False), ("<", True)])
def test_pages_are_those_that_pillow_finds(pages, order, big):
    content = chain(pages, order, big)
    file = io.BytesIO(content)
    file.seek(5)
    assert count_pages(file, 100) == pillow(content) == pages
    assert file.tell() == 5


def test_a_file_as_programs_write_it(tmp_path):
    pages = [draw_picture(index, 20 + index, 30) for index in range(4)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    with (tmp_path / "a.tif").open("rb") as file:
        assert count_pages(file, 100) == 4


@pytest.mark.parametrize("end", [8, 8 + 114])
def test_a_chain_that_comes_back_ends(end):
    content = chain(3, end=end)
    assert count_pages(io.BytesIO(content), 100) == pillow(content) == 3


@pytest.mark.parametrize("end", [10**6, 2**32 - 1])
def test_a_chain_that_leads_out_of_the_file_is_damaged(tmp_path, end):
    (tmp_path / "a.tif").write_bytes(chain(3, end=end))
    with pytest.raises(ImageError, match="damaged picture"):
        measure(tmp_path / "a.tif")


def test_no_page_of_too_many_is_read(tmp_path, monkeypatch):
    assert count_pages(io.BytesIO(chain(60)), 10) == 11
    path = tmp_path / "a.tif"
    path.write_bytes(chain(MOST_FRAMES + 1))
    loads = []
    load = TiffImagePlugin.ImageFileDirectory_v2.load
    monkeypatch.setattr(
        TiffImagePlugin.ImageFileDirectory_v2,
        "load",
        lambda self, file: loads.append(file.tell()) or load(self, file),
    )
    with pytest.raises(ImageError, match="more than 5000 frames or pages"):
        measure(path)
    assert set(loads) == {8}  # the first one

"""A sheet shows the photo and every style that can be read, at its own size."""

import numpy as np
import pytest
from conftest import draw_picture
from PIL import Image

from stylize.batch.contact_sheet import CELL, MARGIN, TEXT, draw_sheet
from stylize.errors import ImageError, UsageError
from stylize.events import Backend, FileWritten, Note, StyleDrawn
from stylize.photos.decoder import read_photo
from stylize.style import load_style


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.png"
    draw_picture(1, 1000, 500).save(path)
    return path


def test_every_style_is_drawn_and_a_damaged_one_is_left_out(photo, style_file, tmp_path):
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"no style")
    styles = {"one": style_file, "broken": broken, "two": style_file}
    events = [*draw_sheet(photo, styles, tmp_path / "sheet.png", "cpu", "fp32")]
    assert [event.name for event in events if isinstance(event, StyleDrawn)] == ["one", "two"]
    (note,) = (event for event in events if isinstance(event, Note))
    assert "broken.safetensors" in note.text
    assert isinstance(events[0], Backend)
    assert events[-1] == FileWritten("sheet", tmp_path / "sheet.png")

    sheet = np.asarray(Image.open(tmp_path / "sheet.png").convert("RGB"))
    small = read_photo(photo, CELL).rgb
    painted = load_style(str(style_file), "cpu", "fp32").stylize(small)
    first, second = (slice(MARGIN + n * (CELL + MARGIN), (n + 1) * (CELL + MARGIN)) for n in (0, 1))
    rows = slice(MARGIN, MARGIN + CELL // 2)
    below = slice(MARGIN + CELL // 2 + TEXT + 2 * MARGIN, None)
    assert np.array_equal(sheet[rows, first], small)
    assert np.array_equal(sheet[rows, second], painted)
    assert np.array_equal(sheet[below, first][: CELL // 2], painted)
    named = sheet[rows.stop : below.start, first]
    assert (named.min(), named.max()) == (0, 255)  # a name, black on white


def test_a_cut_out_lies_on_white(style_file, tmp_path):
    cut_out = draw_picture(1, 300, 200)
    cut_out.putalpha(Image.new("L", cut_out.size))
    cut_out.save(tmp_path / "photo.png")
    [*draw_sheet(tmp_path / "photo.png", {"x": style_file}, tmp_path / "sheet.png", "cpu", "fp32")]
    sheet = np.asarray(Image.open(tmp_path / "sheet.png").convert("RGB"))
    assert (sheet[MARGIN : MARGIN + 200] == 255).all()


@pytest.mark.parametrize("name", ["sheet", "sheet.pdf", "photo.png"])
def test_a_sheet_goes_into_a_new_picture(photo, style_file, name):
    before = photo.read_bytes()
    with pytest.raises(UsageError, match=r"no name of a picture|there already"):
        next(draw_sheet(photo, {"x": style_file}, photo.with_name(name), "cpu"))
    assert photo.read_bytes() == before


def test_a_photo_that_cannot_be_read_is_an_error(style_file, tmp_path):
    (tmp_path / "photo.png").write_text("no picture")
    with pytest.raises(ImageError, match=r"photo\.png"):
        [*draw_sheet(tmp_path / "photo.png", {"one": style_file}, tmp_path / "sheet.png", "cpu")]


def test_the_last_row_is_at_least_half_full(style_file, tmp_path):
    draw_picture(1, 240, 240).save(tmp_path / "photo.png")
    styles = {str(number): style_file for number in range(12)}
    [*draw_sheet(tmp_path / "photo.png", styles, tmp_path / "sheet.png", "cpu")]
    cell = (240 + MARGIN, 240 + TEXT + 2 * MARGIN)
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (5 * cell[0] + MARGIN, 3 * cell[1] + MARGIN)  # 5, 5 and 3

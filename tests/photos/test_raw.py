"""Camera raw: a DNG written here by hand (DNG 1.7, chapters 3 and 4), developed by LibRaw."""

import struct
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stylize.errors import ImageError
from stylize.files import find_photos
from stylize.photos.decoder import measure, read_photo, read_picture

BYTE, ASCII, SHORT, LONG, RATIONAL, SRATIONAL = 1, 2, 3, 4, 5, 10
WHITE = 10_000  # the sensor's largest value
NEUTRAL = (0.4, 0.8, 0.5)  # what the sensor sees of a grey card in that light
# XYZ (D65) -> linear sRGB: the camera's colours are those of sRGB, but for the light.
MATRIX = (3.2406, -1.5372, -0.4986, -0.9689, 1.8758, 0.0415, 0.0557, -0.2040, 1.0570)


def rationals(kind: int, values: tuple[float, ...]) -> tuple[int, int, bytes]:
    layout = "<iI" if kind == SRATIONAL else "<II"
    data = b"".join(struct.pack(layout, round(value * 10_000), 10_000) for value in values)
    return kind, len(values), data


def numbers(kind: int, *values: int) -> tuple[int, int, bytes]:
    return (
        kind,
        len(values),
        struct.pack(f"<{len(values)}{ {BYTE: 'B', SHORT: 'H', LONG: 'I'}[kind] }", *values),
    )


def text(value: bytes) -> tuple[int, int, bytes]:
    return ASCII, len(value) + 1, value + b"\0"


def directory(tags: dict[int, tuple[int, int, bytes]], place: int) -> bytes:
    """A directory at `place` of a file, with its values behind it."""
    end = place + 2 + 12 * len(tags) + 4
    entries, values = struct.pack("<H", len(tags)), b""
    for tag, (kind, count, data) in sorted(tags.items()):
        entries += struct.pack("<HHI", tag, kind, count)
        if len(data) <= 4:
            entries += data.ljust(4, b"\0")
        else:
            entries += struct.pack("<I", end + len(values))
            values += data + bytes(len(data) % 2)
    return entries + bytes(4) + values


def dng(scene: np.ndarray, orientation: int = 1, *, preview: bool = False) -> bytes:
    """A raw file of a (H, W, 3) linear scene in [0, 1], seen in tinted light by an RGGB sensor.

    With a `preview` of 4 x 3 pixels, that comes first, as cameras write it.
    """
    height, width, _ = scene.shape
    seen = scene * np.array(NEUTRAL) * WHITE
    mosaic = seen[..., 1].copy()
    mosaic[::2, ::2], mosaic[1::2, 1::2] = seen[::2, ::2, 0], seen[1::2, 1::2, 2]
    data = np.rint(mosaic).astype("<u2").tobytes()
    exif = directory({0x829A: rationals(RATIONAL, (0.004,)), 0x927C: (7, 8, b"MAKER\0\1\2")}, 8)
    of_data = {
        254: numbers(LONG, 0),
        256: numbers(LONG, width),
        257: numbers(LONG, height),
        258: numbers(SHORT, 16),
        259: numbers(SHORT, 1),
        262: numbers(SHORT, 32803),
        273: numbers(LONG, 8 + len(exif)),
        277: numbers(SHORT, 1),
        278: numbers(LONG, height),
        279: numbers(LONG, len(data)),
        284: numbers(SHORT, 1),
        33421: numbers(SHORT, 2, 2),
        33422: numbers(BYTE, 0, 1, 1, 2),
        50714: numbers(SHORT, 0),
        50717: numbers(LONG, WHITE),
    }
    of_photo = {
        271: text(b"Test"),
        272: text(b"Camera"),
        274: numbers(SHORT, orientation),
        315: text("Éric".encode("latin-1")),
        0x8769: numbers(LONG, 8),
        50706: numbers(BYTE, 1, 4, 0, 0),
        50707: numbers(BYTE, 1, 1, 0, 0),
        50708: text(b"Test Camera"),
        50721: rationals(SRATIONAL, MATRIX),
        50728: rationals(RATIONAL, NEUTRAL),
        50778: numbers(SHORT, 21),
    }
    behind = 8 + len(exif) + len(data)
    if not preview:
        return head(behind) + exif + data + directory(of_data | of_photo, behind)
    below = directory(of_data, behind)
    small = {
        254: numbers(LONG, 1),
        256: numbers(LONG, 4),
        257: numbers(LONG, 3),
        258: numbers(SHORT, 8),
        259: numbers(SHORT, 1),
        262: numbers(SHORT, 1),
        273: numbers(LONG, 8 + len(exif)),
        277: numbers(SHORT, 1),
        278: numbers(LONG, 3),
        279: numbers(LONG, 12),
        330: numbers(LONG, behind),
    }
    main = behind + len(below)
    return head(main) + exif + data + below + directory(of_photo | small, main)


def head(place: int) -> bytes:
    return b"II*\0" + struct.pack("<I", place)


def scene() -> np.ndarray:
    """A grey card, with a red patch at the top left and a blue one at the bottom right."""
    grey = np.full((96, 128, 3), 0.3)
    grey[:40, :50] = (0.6, 0.1, 0.1)
    grey[60:, 90:] = (0.1, 0.1, 0.6)
    return grey


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    path = tmp_path / "photo.dng"
    path.write_bytes(dng(scene()))
    return path


def middle(picture: Image.Image, x: int, y: int) -> np.ndarray:
    return np.asarray(picture, float)[y - 5 : y + 5, x - 5 : x + 5].mean(axis=(0, 1))


def test_the_white_balance_is_as_shot(raw):
    pytest.importorskip("rawpy", reason="needs stylize[raw]")
    photo = read_photo(raw).rgb
    assert photo.size == (128, 96)
    assert np.ptp(middle(photo, 64, 48)) <= 3  # the card is grey, in whatever light
    red, blue = middle(photo, 20, 16), middle(photo, 110, 80)
    assert red[0] > 2 * max(red[1:])
    assert blue[2] > 2 * max(blue[:2])
    assert measure(raw).size == (128, 96)
    assert read_photo(raw, size=64).size == (64, 48)


@pytest.mark.parametrize(("orientation", "size"), [(6, (96, 128)), (3, (128, 96)), (8, (96, 128))])
def test_a_turned_photo_is_upright(tmp_path, orientation, size):
    pytest.importorskip("rawpy", reason="needs stylize[raw]")
    path = tmp_path / "a.dng"
    path.write_bytes(dng(scene(), orientation))
    assert measure(path).size == size
    photo = read_photo(path).rgb
    assert photo.size == size
    red = {6: (80, 20), 3: (110, 80), 8: (16, 110)}[orientation]  # where the first corner goes
    found = middle(photo, *red)
    assert found[0] > 2 * max(found[1:])


def test_what_is_said_of_the_photo_is_kept(raw):
    pytest.importorskip("rawpy", reason="needs stylize[raw]")
    with raw.open("rb") as file:
        picture = read_picture(raw, file, 1e6)
    assert not picture.warnings
    tags = Image.Exif()
    tags.load(picture.metadata.exif)
    assert (tags[271], tags[272]) == ("Test", "Camera")
    assert "Éric".encode("latin-1") in picture.metadata.exif
    assert tags.get_ifd(0x8769) == {0x829A: pytest.approx(0.004)}  # without the maker's note
    assert not {256, 273, 50706} & set(tags)


def test_the_content_decides_not_the_suffix(raw, tmp_path):
    pytest.importorskip("rawpy", reason="needs stylize[raw]")
    renamed = raw.rename(tmp_path / "photo.tif")
    assert read_photo(renamed).size == (128, 96)
    picture = Image.new("RGB", (20, 10), (1, 2, 3))
    picture.save(tmp_path / "plain.dng", "TIFF")
    assert read_photo(tmp_path / "plain.dng").rgb.getpixel((0, 0)) == (1, 2, 3)


def test_a_preview_is_not_taken_for_the_photo(tmp_path):
    pytest.importorskip("rawpy", reason="needs stylize[raw]")
    path = tmp_path / "a.dng"
    path.write_bytes(dng(scene(), preview=True))
    with Image.open(path, formats=["TIFF"]) as image:
        assert image.size == (4, 3)
    assert read_photo(path).size == (128, 96)
    assert find_photos(tmp_path)[0] == [path]


@pytest.mark.parametrize("cut", [2000, 20])
def test_a_damaged_file_is_named(raw, cut):
    pytest.importorskip("rawpy", reason="needs stylize[raw]")
    raw.write_bytes(raw.read_bytes()[:cut])
    with pytest.raises(ImageError, match=r"photo\.dng: "):
        read_photo(raw)


def test_without_the_part_the_command_is_named(raw, monkeypatch):
    """And no preview is taken for the photo."""
    monkeypatch.setitem(sys.modules, "rawpy", None)
    with pytest.raises(ImageError) as caught:
        read_photo(raw)
    assert str(caught.value) == f'{raw}: camera raw needs rawpy: pip install "stylize[raw]"'

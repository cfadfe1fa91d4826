"""HEIC files, made here by pillow-heif, in and out."""

import io
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import draw_picture
from PIL import Image, ImageCms

from stylize.batch.apply import apply
from stylize.config import ApplyConfig, Look
from stylize.photos.decoder import UPRIGHT, measure, read_photo, read_picture
from stylize.photos.encoder import encode
from stylize.photos.metadata import Metadata
from stylize.photos.photo import Photo, Picture

pillow_heif = pytest.importorskip("pillow_heif", reason="needs stylize[heic]")

# The chromaticities of Display P3 (SMPTE EG 432-1) and D65, and a gamma close to that of sRGB.
P3 = ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))
D65 = (0.3127, 0.3290)
GAMMA = 2.2


def saved(path: Path, image: Image.Image, **options: object) -> Path:
    image.save(path, "HEIF", quality=-1, chroma=444, **options)
    return path


def xyz(x: float, y: float) -> np.ndarray:
    return np.array([x / y, 1, (1 - x - y) / y])


def p3_to_xyz() -> np.ndarray:
    primaries = np.stack([xyz(*each) for each in P3], axis=1)
    return primaries * np.linalg.solve(primaries, xyz(*D65))


def adapted(matrix: np.ndarray) -> np.ndarray:
    """From D65 to the D50 of ICC profiles, by Bradford's cones (ICC.1:2022, annex E)."""
    cones = np.array(
        [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
    )
    gain = (cones @ np.array([0.9642, 1, 0.8249])) / (cones @ xyz(*D65))
    return np.linalg.inv(cones) @ np.diag(gain) @ cones @ matrix


def display_p3() -> bytes:
    """A profile of three primaries and one gamma (ICC.1:2001-04, clauses 6.1 to 6.4)."""

    def fixed(value: float) -> bytes:
        return round(value * 65536).to_bytes(4, "big", signed=True)

    columns = adapted(p3_to_xyz()).T
    tags = {
        f"{name}XYZ".encode(): b"XYZ \0\0\0\0" + b"".join(map(fixed, column))
        for name, column in zip("rgb", columns, strict=True)
    }
    tags[b"wtpt"] = b"XYZ \0\0\0\0" + b"".join(map(fixed, (0.9642, 1, 0.8249)))
    curve = b"curv\0\0\0\0\0\0\0\1" + round(GAMMA * 256).to_bytes(2, "big") + b"\0\0"
    tags |= {f"{name}TRC".encode(): curve for name in "rgb"}
    tags[b"cprt"] = b"text\0\0\0\0none\0\0\0\0"
    text = b"Display P3\0"
    tags[b"desc"] = b"desc\0\0\0\0" + len(text).to_bytes(4, "big") + text + bytes(79)
    tags[b"desc"] += bytes(-len(tags[b"desc"]) % 4)
    table, data = len(tags).to_bytes(4, "big"), b""
    for name, content in tags.items():
        place = 128 + 4 + 12 * len(tags) + len(data)
        table += name + place.to_bytes(4, "big") + len(content).to_bytes(4, "big")
        data += content
    head = bytearray(128)
    head[0:4] = (128 + len(table) + len(data)).to_bytes(4, "big")
    head[8:12], head[12:24], head[36:40] = b"\x02\x40\0\0", b"mntrRGB XYZ ", b"acsp"
    head[68:80] = b"".join(map(fixed, (0.9642, 1, 0.8249)))
    return bytes(head) + table + data


def test_pixels_are_read(tmp_path):
    picture = draw_picture(1, 64, 48)
    path = saved(tmp_path / "a.heic", picture, matrix_coefficients=0)  # then without any loss
    assert np.array_equal(read_photo(path).rgb, picture)
    assert measure(path).size == (64, 48)
    assert read_photo(path, size=32).size == (32, 24)


def test_the_content_decides_not_the_suffix(tmp_path):
    path = saved(tmp_path / "a.jpg", draw_picture(1))
    assert read_photo(path).size == (64, 64)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_photo_becomes_upright_once(tmp_path, orientation):
    picture = draw_picture(2, 48, 32)
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = orientation, "Maker"
    path = saved(tmp_path / "a.heic", picture, exif=exif.tobytes(), matrix_coefficients=0)
    with path.open("rb") as file:
        found = read_picture(path, file, 1e6)
    turned = picture.transpose(UPRIGHT[orientation]) if orientation in UPRIGHT else picture
    assert np.array_equal(found.frames[0].rgb, turned)
    tags = Image.Exif()
    tags.load(found.metadata.exif)
    assert tags[0x0112] == 1
    assert tags[0x010F] == "Maker"


def test_display_p3_becomes_srgb(tmp_path):
    """Against the two matrices: P3 -> XYZ -> sRGB (IEC 61966-2-1)."""
    levels = np.array([[200, 90, 80], [100, 180, 110], [90, 100, 190], [128, 128, 128]], np.uint8)
    picture = Image.fromarray(levels.repeat(64, axis=0).reshape(16, 16, 3))
    path = saved(tmp_path / "a.heic", picture, icc_profile=display_p3(), matrix_coefficients=0)
    to_linear_srgb = np.array(
        [[3.2406, -1.5372, -0.4986], [-0.9689, 1.8758, 0.0415], [0.0557, -0.2040, 1.0570]]
    )
    linear = (levels / 255) ** GAMMA @ (to_linear_srgb @ p3_to_xyz()).T
    assert linear.min() > 0.0031308
    expected = 255 * (1.055 * linear ** (1 / 2.4) - 0.055)
    found = np.asarray(read_photo(path).rgb, float).reshape(4, 64, 3)[:, 0]
    assert np.abs(expected[:3] - levels[:3]).max() > 10  # the profile matters
    assert np.abs(found - expected).max() <= 1.5


@pytest.mark.parametrize(("primaries", "transfer"), [(1, 13), (12, 13), (9, 16)])
def test_colours_given_by_numbers_are_told_of(tmp_path, primaries, transfer):
    """ISO 23091-2: 1 and 13 are sRGB, 12 is Display P3, 9 and 16 are those of HDR10."""
    numbers = {"color_primaries": primaries, "transfer_characteristics": transfer}
    path = saved(tmp_path / "a.heic", draw_picture(1), **numbers)
    with path.open("rb") as file:
        warnings = read_picture(path, file, 1e6).warnings
    assert [text for text in warnings if "taken as sRGB" in text] == list(warnings)
    assert bool(warnings) == (primaries != 1)


def test_10_bits_become_8(tmp_path):
    levels = np.arange(1024, dtype=np.uint16).reshape(32, 32, 1).repeat(3, axis=2)
    path = tmp_path / "a.heic"
    file = pillow_heif.from_bytes("RGB;10", (32, 32), levels.tobytes())
    file.save(path, quality=-1, chroma=444, matrix_coefficients=0)
    assert pillow_heif.open_heif(path, convert_hdr_to_8bit=False).info["bit_depth"] == 10
    found = np.asarray(read_photo(path).rgb, float)
    assert np.abs(found - levels / 1023 * 255).max() <= 1


def again(content: bytes) -> Picture:
    return read_picture(Path("again"), io.BytesIO(content), 1e9)


def test_a_picture_is_written_and_read_back():
    exif = Image.Exif()
    exif[0x010F], exif[0x013B], exif[0x0112] = "Maker", "Ã\x89ric".encode("latin-1"), 1
    metadata = Metadata(exif=exif.tobytes(), xmp=b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>")
    picture = Picture((Photo(draw_picture(3, 64, 48)),), metadata)
    content, warnings = encode([picture.frames[0].rgb], picture, ".heic")
    assert content[4:12] == b"ftypheic"
    assert not warnings
    found = again(content)
    assert found.metadata == metadata
    before, after = (np.asarray(p.frames[0].rgb.convert("L"), float) for p in (picture, found))
    assert np.abs(after - before).mean() < 2  # of colour, it keeps half the resolution
    profile = Image.open(io.BytesIO(content)).info["icc_profile"]
    named = ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(profile)))
    assert "sRGB" in named
    _, warnings = encode(
        [picture.frames[0].rgb], replace(picture, metadata=Metadata(iptc=b"\x1c\x02")), ".heic"
    )
    assert "IPTC" in warnings[0]


def test_transparency_survives_byte_by_byte():
    picture = draw_picture(2)
    picture.putalpha(draw_picture(1).convert("L"))
    content, _ = encode([picture], Picture((Photo(picture),)), ".heic")
    assert np.array_equal(again(content).frames[0].alpha, picture.getchannel("A"))


def test_quality_is_what_the_encoder_is_given():
    picture = draw_picture(0)
    sizes = [len(encode([picture], Picture((Photo(picture),)), ".heic", q)[0]) for q in (20, 95)]
    assert sizes[0] * 2 < sizes[1]


def test_a_phones_photo_goes_through_apply_and_back(tmp_path, style_file):
    """Display P3, on its side, as HEIC; at strength 0, so that the result is known."""
    (tmp_path / "in").mkdir()
    levels = np.array([[200, 90, 80], [100, 180, 110], [90, 100, 190], [128, 128, 128]], np.uint8)
    patches = levels.reshape(2, 2, 3).repeat(32, axis=0).repeat(24, axis=1)
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Phone"
    options = {"exif": exif.tobytes(), "icc_profile": display_p3(), "matrix_coefficients": 0}
    path = saved(tmp_path / "in" / "a.heic", Image.fromarray(patches), **options)
    look = Look(strength=0)
    config = ApplyConfig(device="cpu", precision="fp32", look=look, format="heic", quality=100)
    *_, done = apply(str(style_file), [tmp_path / "in"], tmp_path / "out", config)
    assert (done.done, done.failed) == (1, 0)
    with (tmp_path / "out" / "a.heic").open("rb") as file:
        found = read_picture(Path("a.heic"), file, 1e6)
    assert found.frames[0].size == (64, 48)  # 48 x 64, turned
    tags = Image.Exif()
    tags.load(found.metadata.exif)
    assert (tags[0x0112], tags[0x010F]) == (1, "Phone")
    before = np.asarray(read_photo(path).rgb, float)
    difference = np.abs(np.asarray(found.frames[0].rgb, float) - before)
    assert difference[8:16, 8:24].max() <= 2  # within a patch
    assert difference[32:40, 40:56].max() <= 2


def test_without_the_part_the_command_is_named(tmp_path, style_file):
    """In a process where pillow-heif cannot be found."""
    (tmp_path / "in").mkdir()
    saved(tmp_path / "in" / "a.heic", draw_picture(1))
    draw_picture(2).save(tmp_path / "in" / "b.png")
    code = (
        "import sys, importlib.util as util\n"
        "find = util.find_spec\n"
        "util.find_spec = lambda name, *r: find(name, *r) if name != 'pillow_heif' else None\n"
        "from stylize.cli.main import main\n"
        "main()"
    )
    style = ("apply", str(style_file), "in", "--output", "out", "--quiet")

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", code, *style, *arguments]
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)

    result = run()
    assert result.returncode == 1
    assert 'a.heic: HEIC photos need pillow-heif: pip install "stylize[heic]"' in result.stderr
    assert [path.name for path in (tmp_path / "out").glob("[!.]*")] == ["b.png"]
    result = run("--format", "heic")
    assert result.returncode == 2
    assert 'hint: pip install "stylize[heic]"' in result.stderr

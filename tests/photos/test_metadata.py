import io
import struct
from pathlib import Path

import pytest
from conftest import draw_picture
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.ExifTags import IFD, Base
from PIL.PngImagePlugin import PngInfo

from stylize.photos import exif as exif_block
from stylize.photos.decoder import read_picture
from stylize.photos.encoder import encode
from stylize.photos.metadata import _clean_xmp, jpeg_segment, resized

XMP = (
    b'<?xpacket begin="\xef\xbb\xbf"?><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF>'
    b"<rdf:Description "
    b'tiff:Orientation="6" exif:GPSLatitude="48,10.5N" exif:GPSLongitude=\'11,5E\' dc:title="t">'
    b"<exif:GPSAltitude>500/1</exif:GPSAltitude><tiff:Orientation>6</tiff:Orientation>"
    b"</rdf:Description></rdf:RDF></x:xmpmeta>"
)
IPTC = b"\x1c\x02\x78\x00\x05hello\x1c\x02\x74\x00\x02me"
MAKER_NOTE = b"Maker\0\1\2\3" * 9


def full_exif(endian="<"):
    exif = Image.Exif()
    exif.endian = endian
    exif[Base.Make] = "Maker"
    exif[Base.Copyright] = b"\xc2\xa9 me"  # a copyright sign as cameras and editors write it
    exif[Base.Orientation] = 6
    exif[IFD.Exif] = {
        Base.ExposureTime: (1, 250),
        Base.FNumber: 2.8,
        Base.ExposureBiasValue: -0.5,
        Base.DateTimeOriginal: "2026:01:02 03:04:05",
        Base.ExifImageWidth: 64,
        Base.ExifImageHeight: 48,
        Base.ColorSpace: 0xFFFF,
        Base.MakerNote: MAKER_NOTE,
    }
    exif[IFD.GPSInfo] = {1: "N", 2: (48.0, 10.0, 30.0)}
    return exif.tobytes()


def photo_file(exif=None, **options):
    buffer = io.BytesIO()
    exif = full_exif() if exif is None else exif
    draw_picture(0, 64, 48).save(buffer, "JPEG", exif=exif, **options)
    return buffer.getvalue()


def read(content, *, gps=True):
    return read_picture(Path("photo"), io.BytesIO(content), 1e9, gps=gps)


def fields(exif):
    """Everything that the block tells, as Pillow reads it: (directory, tag) -> value."""
    parsed = Image.Exif()
    parsed.load(exif)
    found = {(0, tag): value for tag, value in parsed.items() if tag not in tuple(IFD)}
    for ifd in (IFD.Exif, IFD.GPSInfo):
        found |= {(int(ifd), tag): value for tag, value in parsed.get_ifd(ifd).items()}
    return found


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".avif", ".tif"])
@pytest.mark.parametrize("endian", ["<", ">"])
def test_exif_comes_through_every_format(suffix, endian):
    picture = read(photo_file(full_exif(endian)))
    content, _ = encode([picture.frames[0].rgb], picture, suffix)
    expected = fields(full_exif(endian))
    expected[0, Base.Orientation] = 1
    expected[int(IFD.Exif), Base.ColorSpace] = 1
    found = fields(read(content).metadata.exif)
    if suffix == ".avif":  # says it in a way of its own
        del expected[0, Base.Orientation]
        found.pop((0, Base.Orientation), None)
    if suffix == ".tif":  # which also tells its own resolution and so on
        found = {place: value for place, value in found.items() if place in expected}
    assert found == expected
    assert found[0, Base.Copyright] == b"\xc2\xa9 me".decode("latin-1")


def test_nothing_but_what_changes_is_touched():
    before, after = full_exif(), exif_block.clean(full_exif(), gps=True)
    assert len(before) == len(after)
    changed = [i for i, (a, b) in enumerate(zip(before, after, strict=True)) if a != b]
    assert len(changed) <= 3  # orientation 6 -> 1, colour space 65535 -> 1
    assert MAKER_NOTE in after


@pytest.mark.parametrize("value", [0, 1, 8, 9, 65535])
def test_any_orientation_becomes_upright(value):
    exif = Image.Exif()
    exif[Base.Orientation] = value
    assert fields(exif_block.clean(exif.tobytes(), gps=True)) == {(0, Base.Orientation): 1}
    assert not fields(exif_block.without_orientation(exif.tobytes()))


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".avif", ".tif"])
def test_the_place_can_be_left_out_of_all_blocks(suffix):
    content = photo_file(xmp=XMP, extra=jpeg_segment(IPTC))
    picture = read(content, gps=False)
    written, _ = encode([picture.frames[0].rgb], picture, suffix)
    assert b"GPS" not in written
    assert struct.pack("<II", 48, 1) not in written  # the degrees themselves
    kept = fields(read(written).metadata.exif)
    assert not [place for place in kept if place[0] == IFD.GPSInfo]
    assert kept[0, Base.Make] == "Maker"
    assert b'dc:title="t"' in read(written).metadata.xmp


def test_an_xmp_packet_whose_place_is_hidden_goes_as_a_whole():
    content = photo_file(xmp=XMP.decode().encode("utf-16"))
    assert read(content, gps=False).metadata.xmp == b""
    assert read(content).metadata.xmp != b""


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".avif", ".tif"])
def test_xmp_comes_through_upright(suffix):
    picture = read(photo_file(xmp=XMP))
    content, _ = encode([picture.frames[0].rgb], picture, suffix)
    upright = XMP.replace(b'Orientation="6"', b'Orientation="1"')
    upright = upright.replace(b"<tiff:Orientation>6", b"<tiff:Orientation>1")
    assert read(content).metadata.xmp == upright


@pytest.mark.parametrize("suffix", [".jpg", ".tif"])
def test_iptc_comes_through(suffix):
    picture = read(photo_file(extra=jpeg_segment(IPTC)))
    content, warnings = encode([picture.frames[0].rgb], picture, suffix)
    assert read(content).metadata.iptc == IPTC
    assert not warnings


def test_exif_as_text_in_a_png_comes_through():
    text = "\nexif\n    " + str(len(full_exif())) + "\n" + full_exif().hex() + "\n"
    info = PngInfo()
    info.add_text("Raw profile type exif", text, zip=True)
    buffer = io.BytesIO()
    draw_picture(0, 64, 48).save(buffer, "PNG", pnginfo=info)
    assert fields(read(buffer.getvalue()).metadata.exif)[0, Base.Make] == "Maker"


def test_from_tiff_to_jpeg():
    picture = read(photo_file(xmp=XMP, extra=jpeg_segment(IPTC), dpi=(300, 300)))
    tiff, _ = encode([picture.frames[0].rgb], picture, ".tif")
    jpeg, _ = encode([picture.frames[0].rgb], read(tiff), ".jpg")
    before, after = picture.metadata, read(jpeg).metadata
    assert (after.xmp, after.iptc, after.dpi) == (before.xmp, before.iptc, before.dpi)
    assert fields(before.exif).items() <= fields(after.exif).items()
    structure = {Base.StripOffsets, Base.BitsPerSample, Base.Compression, Base.ImageWidth}
    assert not {tag for _, tag in fields(after.exif)} & structure


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".bmp"])
def test_resolution_comes_through(suffix):
    picture = read(photo_file(dpi=(300, 200)))
    content, _ = encode([picture.frames[0].rgb], picture, suffix)
    assert read(content).metadata.dpi == pytest.approx((300, 200), abs=0.1)


def test_dimensions_are_those_of_the_output():
    metadata = resized(read(photo_file()).metadata, 100_000, 7)
    found = fields(metadata.exif)
    assert found[int(IFD.Exif), Base.ExifImageWidth] == 100_000
    assert found[int(IFD.Exif), Base.ExifImageHeight] == 7


def test_a_thumbnail_of_the_photo_is_blanked():
    thumbnail = b"\xff\xd8 the photo as it was \xff\xd9"
    # A main directory with the orientation; behind it one with place and length of a thumbnail.
    block = exif_block.PREFIX + struct.pack("<2sHI", b"II", 42, 8)
    block += struct.pack("<HHHIHHI", 1, 0x0112, 3, 1, 6, 0, 26)
    block += struct.pack("<HHHIIHHIII", 2, 0x0201, 4, 1, 56, 0x0202, 4, 1, len(thumbnail), 0)
    block += thumbnail
    cleaned = exif_block.clean(block, gps=True)
    assert b"photo" not in cleaned
    assert fields(cleaned) == {(0, Base.Orientation): 1}
    parsed = Image.Exif()
    parsed.load(block)
    assert parsed.get_ifd(IFD.IFD1)  # the block was what it was meant to be
    parsed.load(cleaned)
    assert not parsed.get_ifd(IFD.IFD1)


def directory(*entries, following=0):
    """A TIFF directory of (tag, type, count, value)."""
    packed = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return struct.pack("<H", len(entries)) + packed + struct.pack("<I", following)


def test_a_block_whose_own_parts_are_blanked_is_damaged():
    """A thumbnail that says it lies at the start of the block."""
    main = directory((0x0112, 3, 1, 6), following=26)
    block = b"II*\0\x08\0\0\0" + main + directory((0x0201, 4, 1, 0), (0x0202, 4, 1, 8))
    with pytest.raises(ValueError, match="not a TIFF structure"):
        exif_block.clean(block, gps=True)


def test_every_place_is_forgotten_wherever_it_stands():
    degrees = struct.pack("<6I", 48, 1, 10, 1, 30, 1)
    where = {"main": 8, "details": 100, "thumbnail": 200, "a": 300, "b": 400, "c": 500, "d": 600}
    block = bytearray(700)
    block[:8] = b"II*\0\x08\0\0\0"
    parts = {
        "main": directory(
            (0x8769, 4, 1, where["details"]),
            (0x8825, 4, 1, where["a"]),
            (0x8825, 4, 1, where["b"]),
            following=where["thumbnail"],
        ),
        "details": directory((0x8825, 4, 1, where["c"])),
        "thumbnail": directory((0x8825, 4, 1, where["d"])),
    }
    for name in "abcd":
        parts[name] = directory((2, 5, 3, where[name] + 50)) + bytes(32) + degrees
    for name, part in parts.items():
        block[where[name] : where[name] + len(part)] = part
    assert block.count(degrees) == 4
    cleaned = exif_block.clean(bytes(block), gps=False)
    assert degrees not in cleaned
    assert not [place for place in fields(cleaned) if place[0] == IFD.GPSInfo]


@pytest.mark.parametrize(
    "xmp",
    [
        b'<x dji:Latitude="52.5" dji:GpsLatitude="1" dji:GPSLongtitude="2" a="b"/>',
        b"<x><d:AbsoluteAltitude>9</d:AbsoluteAltitude><exif:gpslatitude>8</exif:gpslatitude></x>",
    ],
)
def test_places_by_other_names_go_as_well(xmp):
    kept = read(photo_file(xmp=xmp), gps=False).metadata.xmp
    assert kept in (b'<x a="b"/>', b"<x></x>")


@pytest.mark.parametrize(
    "part", [b"a", b"gps", b"<a:gps", b"<a:gps>", b" a:gps='", b' a:gps="', b"<a:b>", b" a:", b" "]
)
@pytest.mark.parametrize("start", [b"", b"<a:", b" a:", b"<a:gps>", b"tiff:Orientation"])
def test_packets_made_to_take_long_do_not(start, part):
    """With patterns that go back and forth, hours."""
    packet = start + part * (1_000_000 // len(part))
    assert len(_clean_xmp(packet, gps=False)) <= len(packet)


@settings(deadline=None, max_examples=400)
@given(st.data())
def test_damaged_exif_is_refused_in_one_way(data):
    block = bytearray(full_exif(data.draw(st.sampled_from("<>"))))
    del block[data.draw(st.integers(0, len(block))) :]
    for _ in range(data.draw(st.integers(0, 4)) if block else 0):
        block[data.draw(st.integers(0, len(block) - 1))] = data.draw(st.integers(0, 255))
    for gps in (False, True):
        try:
            cleaned = exif_block.clean(bytes(block), gps=gps)
            exif_block.with_size(cleaned, 5, 5)
        except ValueError:
            continue


@pytest.mark.parametrize("exif", [b"Exif\0\0garbage", b"Exif\0\0II*\0\xff\xff\xff\x7f"])
def test_damaged_exif_is_left_out_and_it_is_said(exif):
    picture = read(photo_file(exif))
    assert picture.metadata.exif == b""
    assert picture.warnings == ("damaged EXIF left out",)

"""The metadata of a picture file: EXIF, XMP, IPTC, resolution. Read, corrected, written back.

Values are kept as they are. Only what no longer holds is corrected: pixels are upright, sRGB, and
may have another size. An embedded thumbnail, which shows the photo, is blanked.
"""

import re
from dataclasses import dataclass, replace

from PIL import Image, TiffImagePlugin
from PIL.ExifTags import IFD

from stylize.photos import exif as exif_block

# TIFF tags that describe how pixels are stored, and blocks that are kept separately.
_STRUCTURE = frozenset(
    {
        *range(254, 267), *(273, 277, 278, 279, 280, 281, 284), *range(288, 294), 297, 301,
        *(317, 318, 319, 320, 321, 322, 323, 324, 325, 330, 332, 333, 334, 336, 337, 338, 339),
        *(340, 341, 342, 343, 344, 347), *range(512, 522), *(529, 530, 531, 532, 559),
        *(700, 33723, 34377, 34675, 37724, 50341, 50838, 50839),
    }
)  # fmt: skip
_GEOTIFF = frozenset({33550, 33922, 34264, 34735, 34736, 34737})
_PLACE = re.compile(rb"gps|latitude|longi?t?ude|altitude", re.IGNORECASE)  # in XMP names
# Possessive, and never past the next bracket: megabytes of XMP take milliseconds.
_XMP_VALUES = (
    re.compile(rb"\s[\w.-]++:([\w.-]++)\s*+=\s*+(?:\"[^\"<]*+\"|'[^'<]*+')"),
    re.compile(rb"<(?=[\w.-]++:([\w.-]++))([^<>\s/]++)[^<>]*+>(?:(?<=/>)|[^<]*+</\2\s*+>)"),
)
_IPTC_RESOURCE = 0x0404  # of Photoshop's image resources
XMP_TAG, IPTC_TAG = 700, 33723  # of TIFF


@dataclass(frozen=True)
class Metadata:
    """`exif` is a TIFF structure behind "Exif\\0\\0", `xmp` an XML packet, `iptc` IIM records."""

    exif: bytes = b""
    xmp: bytes = b""
    iptc: bytes = b""
    dpi: tuple[float, float] | None = None


def read_metadata(image: Image.Image, *, gps: bool = True) -> tuple[Metadata, list[str]]:
    """The metadata of `image`, which must be loaded; without the location unless `gps`.

    The second value names what is damaged and left out.
    """
    warnings = []
    exif = xmp = iptc = b""
    try:
        raw = _raw_exif(image, gps=gps)
        exif = raw and exif_block.clean(raw, gps=gps)
    except Exception:  # noqa: BLE001 Pillow raises all kinds on damaged tags of a TIFF
        warnings.append("damaged EXIF left out")
    try:
        raw = _raw_xmp(image)
        xmp = _clean_xmp(raw, gps=gps)
        if raw and not xmp:
            warnings.append("XMP left out: it holds a location in an unknown form")
        iptc = _raw_iptc(image)
    except (ValueError, TypeError, AttributeError, LookupError):
        warnings.append("damaged XMP or IPTC left out")
    return Metadata(exif, xmp, iptc, _dpi(image)), warnings


def resized(metadata: Metadata, width: int, height: int) -> Metadata:
    """With the pixel dimensions in the EXIF, if present, set to these."""
    exif = metadata.exif and exif_block.with_size(metadata.exif, width, height)
    return replace(metadata, exif=exif)


def _raw_exif(image: Image.Image, *, gps: bool) -> bytes:
    """The EXIF block as it is; for a TIFF, a block made of its descriptive tags."""
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        older = "Raw profile type exif" in image.info  # how ImageMagick stores it in a PNG
        return bytes(image.info.get("exif") or (image.getexif().tobytes() if older else b""))
    tags = image.getexif()
    exif = Image.Exif()
    for tag in set(tags) - _STRUCTURE - (frozenset() if gps else _GEOTIFF):
        exif[tag] = dict(tags.get_ifd(tag)) if tag in tuple(IFD) else as_read(tags[tag])
    return exif.tobytes() if len(exif) else b""


def as_read(value: object) -> object:
    """Non-ASCII text as bytes: Pillow reads it as Latin-1, but writes question marks."""
    return value.encode("latin-1") if isinstance(value, str) and not value.isascii() else value


def as_tiff_tags(metadata: Metadata) -> Image.Exif:
    """The metadata as the tags of a TIFF file."""
    tags = Image.Exif()
    if metadata.exif:
        tags.load(metadata.exif)
        for tag, value in tags.items():
            tags[tag] = as_read(value)
    for tag, block in ((XMP_TAG, metadata.xmp), (IPTC_TAG, metadata.iptc)):
        if block:
            tags[tag] = block
    return tags


def _raw_xmp(image: Image.Image) -> bytes:
    if isinstance(image, TiffImagePlugin.TiffImageFile):  # its `info` may be of another page
        xmp = image.tag_v2.get(XMP_TAG, b"")
    else:
        xmp = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp") or b""
    return xmp.encode() if isinstance(xmp, str) else bytes(xmp)


def _clean_xmp(xmp: bytes, *, gps: bool) -> bytes:
    xmp = re.sub(rb'(tiff:Orientation\s*=\s*["\'])\d+', rb"\g<1>1", xmp)
    xmp = re.sub(rb"(<tiff:Orientation>\s*)\d+", rb"\g<1>1", xmp)
    if not gps:
        for pattern in _XMP_VALUES:
            xmp = pattern.sub(lambda found: b"" if _PLACE.search(found[1]) else found[0], xmp)
        # In another encoding or an unexpected form: better no XMP than a location.
        if _PLACE.search(xmp.replace(b"\0", b"")):
            return b""
    return xmp


def _raw_iptc(image: Image.Image) -> bytes:
    resources = image.info.get("photoshop")
    if isinstance(resources, dict):
        return bytes(resources.get(_IPTC_RESOURCE, b""))
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        records = image.tag_v2.get(IPTC_TAG, b"")
        return records if isinstance(records, bytes) else b""
    return b""


def _dpi(image: Image.Image) -> tuple[float, float] | None:
    try:
        across, down = (float(value) for value in image.info["dpi"])
    except (LookupError, ValueError, TypeError, ArithmeticError):
        return None
    return (across, down) if 0 < across < 1e5 and 0 < down < 1e5 else None


def jpeg_segment(iptc: bytes) -> bytes:
    """IPTC records, at most 65,000 bytes, as application segment 13 of a JPEG file."""
    resource = b"8BIM" + _IPTC_RESOURCE.to_bytes(2, "big") + b"\0\0" + len(iptc).to_bytes(4, "big")
    content = b"Photoshop 3.0\0" + resource + iptc + b"\0" * (len(iptc) % 2)
    return b"\xff\xed" + (len(content) + 2).to_bytes(2, "big") + content

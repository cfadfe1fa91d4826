"""What a picture file says beside its pixels: EXIF, XMP, IPTC, resolution. Read, cleaned, put back.

Values are carried as they are. What no longer holds is put right: pixels are upright (orientation
1), sRGB, perhaps of another size; an embedded thumbnail shows the photo and is left out.
"""

import re
from dataclasses import dataclass, replace

from PIL import Image, TiffImagePlugin
from PIL.ExifTags import IFD, Base

# TIFF tags that describe how pixels are stored, and blocks that are carried by themselves.
_STRUCTURE = frozenset(
    {
        *range(254, 267), *(273, 277, 278, 279, 280, 281, 284), *range(288, 294), 297, 301,
        *(317, 318, 319, 320, 321, 322, 323, 324, 325, 330, 332, 333, 334, 336, 337, 338, 339),
        *(340, 341, 342, 343, 344, 347), *range(512, 522), *(529, 530, 531, 532, 559),
        *(700, 33723, 34377, 34675, 37724, 50341, 50838, 50839),
    }
)  # fmt: skip
_SRGB, _UNKNOWN_COLOUR = 1, 0xFFFF  # values of EXIF's ColorSpace
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
    """What `image`, whose data must be loaded, tells; without the place unless `gps`.

    The second value names what is damaged and left out.
    """
    warnings = []
    exif = xmp = iptc = b""
    try:
        exif = _clean_exif(image.getexif(), gps=gps)
    except Exception:  # noqa: BLE001 Pillow raises all kinds on damaged tags
        warnings.append("damaged EXIF left out")
    try:
        xmp = _clean_xmp(_raw_xmp(image), gps=gps)
        iptc = _raw_iptc(image)
    except (ValueError, TypeError, AttributeError, LookupError):
        warnings.append("damaged XMP or IPTC left out")
    return Metadata(exif, xmp, iptc, _dpi(image)), warnings


def resized(metadata: Metadata, width: int, height: int) -> Metadata:
    """With the pixel dimensions in the EXIF, if they are there, set to those."""
    if not metadata.exif:
        return metadata
    exif = Image.Exif()
    exif.load(metadata.exif)
    exif[IFD.Exif] = details = dict(exif.get_ifd(IFD.Exif))
    for tag, value in ((Base.ExifImageWidth, width), (Base.ExifImageHeight, height)):
        if tag in details:
            details[tag] = value
    return replace(metadata, exif=exif.tobytes())


def _clean_exif(exif: Image.Exif, *, gps: bool) -> bytes:
    clean = Image.Exif()
    clean.endian = exif.endian or clean.endian
    for tag in set(exif) - _STRUCTURE:
        clean[tag] = exif[tag]
    if IFD.Exif in clean:
        clean[IFD.Exif] = details = dict(exif.get_ifd(IFD.Exif))
        if IFD.Interop in details:
            details[IFD.Interop] = dict(exif.get_ifd(IFD.Interop))
        if details.get(Base.ColorSpace) == _UNKNOWN_COLOUR:
            details[Base.ColorSpace] = _SRGB
    if IFD.GPSInfo in clean:
        clean[IFD.GPSInfo] = dict(exif.get_ifd(IFD.GPSInfo))
        if not gps:
            del clean[IFD.GPSInfo]
    if Base.Orientation in clean:
        clean[Base.Orientation] = 1
    return clean.tobytes() if len(clean) else b""


def _raw_xmp(image: Image.Image) -> bytes:
    xmp = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp") or b""
    if not xmp and isinstance(image, TiffImagePlugin.TiffImageFile):
        xmp = image.tag_v2.get(XMP_TAG, b"")
    return xmp.encode() if isinstance(xmp, str) else bytes(xmp)


def _clean_xmp(xmp: bytes, *, gps: bool) -> bytes:
    xmp = re.sub(rb'(tiff:Orientation\s*=\s*["\'])\d+', rb"\g<1>1", xmp)
    xmp = re.sub(rb"(<tiff:Orientation>\s*)\d+", rb"\g<1>1", xmp)
    if not gps:
        xmp = re.sub(rb"\s[\w.-]+:GPS\w+\s*=\s*(\"[^\"]*\"|'[^']*')", b"", xmp)
        xmp = re.sub(rb"<([\w.-]+:GPS\w+)\b[^>]*(/>|>.*?</\1\s*>)", b"", xmp, flags=re.DOTALL)
        # In another encoding or in a form that was not foreseen: rather nothing than the place.
        if b"GPS" in xmp.replace(b"\0", b""):
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
    """IPTC records, at most 65,000 bytes, as the application segment 13 of a JPEG file."""
    resource = b"8BIM" + _IPTC_RESOURCE.to_bytes(2, "big") + b"\0\0" + len(iptc).to_bytes(4, "big")
    content = b"Photoshop 3.0\0" + resource + iptc + b"\0" * (len(iptc) % 2)
    return b"\xff\xed" + (len(content) + 2).to_bytes(2, "big") + content

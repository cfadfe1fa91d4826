"""Pictures -> picture files: what each format can hold, and how it is written."""

import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image, PngImagePlugin

from stylize.errors import ImageError
from stylize.files import FORMATS, write_file
from stylize.photos import heic
from stylize.photos.color import srgb_profile
from stylize.photos.decoder import ANIMATIONS, PAGES
from stylize.photos.exif import without_orientation
from stylize.photos.metadata import Metadata, as_tiff_tags, jpeg_segment
from stylize.photos.photo import Photo, Picture

QUALITY = {"JPEG": 95, "WEBP": 95, "AVIF": 90, "HEIF": 90}
WITHOUT_ALPHA = frozenset({"JPEG", "BMP"})  # Pillow writes alpha into a BMP but does not read it
WITH_EXIF = frozenset({"JPEG", "PNG", "WEBP", "AVIF", "HEIF", "TIFF"})
WITH_IPTC = frozenset({"JPEG", "TIFF"})
LONGEST_SIDE = {"JPEG": 65_500, "WEBP": 16_383, "GIF": 65_535}
JPEG_SEGMENT = 65_000  # bytes of EXIF or XMP
GIF_COLOURS = 255  # and one that is transparent
RESTORE_BACKGROUND = 2  # GIF's disposal: otherwise the last frame shows through


def fit(picture: Picture, suffix: str) -> Picture:
    """`picture` as a file with that suffix can hold it; fully opaque alpha may be dropped.

    Raises ImageError: the format cannot hold its size, transparency, frames or pages.
    """
    kind = FORMATS[suffix.lower()]
    count, longest = len(picture.frames), max(max(frame.size) for frame in picture.frames)
    if count > 1 and kind not in (PAGES if picture.durations is None else ANIMATIONS):
        what = "pages" if picture.durations is None else "frames"
        raise ImageError(f"it has {count} {what}, which a {suffix} file cannot hold")
    if picture.still_first and kind != "PNG":
        raise ImageError(f"it has a still before its animation, which a {suffix} file cannot hold")
    if longest > LONGEST_SIDE.get(kind, longest):
        raise ImageError(f"it is {longest} pixels long, which a {suffix} file cannot hold")
    return replace(picture, frames=tuple(_fit_alpha(f, kind, suffix) for f in picture.frames))


def _fit_alpha(photo: Photo, kind: str, suffix: str) -> Photo:
    if photo.alpha is None:
        return photo
    if kind in WITHOUT_ALPHA:
        if photo.alpha.getextrema() == (255, 255):
            return replace(photo, alpha=None)
        raise ImageError(f"it has transparency, which a {suffix} file cannot hold")
    if kind == "GIF" and any(photo.alpha.histogram()[1:255]):
        raise ImageError(f"it has half transparent pixels, which a {suffix} file cannot hold")
    return photo


def encode(
    images: Sequence[Image.Image], picture: Picture, suffix: str, quality: int | None = None
) -> tuple[bytes, list[str]]:
    """The content of a file with `images` and the timing and metadata of `picture`; and warnings.

    Tagged as sRGB. JPEG keeps colour at full resolution (4:4:4). TIFF is not compressed, as
    Pillow's compressing encoder loses EXIF. `quality`, 1 to 100, applies to JPEG, WebP, AVIF and
    HEIC. With transparency, HEIC is lossless.

    Raises ImageError: the encoder fails.
    """
    kind = FORMATS[suffix.lower()]
    buffer = io.BytesIO()
    try:
        options = {"icc_profile": srgb_profile(), **_encoder_options(kind, quality)}
        if kind == heic.KIND:
            alpha = any(image.mode == "RGBA" for image in images)
            options |= heic.encoder_options(options["quality"], alpha=alpha)
        metadata, warnings = _metadata_options(kind, picture.metadata)
        options |= metadata
        if kind == "GIF":
            images = [_palette(image) for image in images]
        if len(images) > 1:
            options |= {"save_all": True, "append_images": list(images[1:])}
            if picture.durations is not None:
                options |= _timing(kind, images, picture)
                if kind == "AVIF" and picture.loop != 0:
                    warnings.append("plays forever now: an AVIF file always does")
        images[0].save(buffer, kind, **options)
    except Exception as error:  # Pillow's encoders raise all kinds on odd metadata
        raise ImageError(f"cannot be written as {kind} ({error})") from error
    return buffer.getvalue(), warnings


def write_picture(image: Image.Image, path: Path) -> None:
    """Write one picture to `path` in the format of its suffix, in one step.

    Raises ImageError: the folder or file cannot be written.
    """
    content, _ = encode([image], Picture((Photo(image),)), path.suffix)
    try:
        write_file(path, content)
    except OSError as error:
        raise ImageError(f"{path}: cannot be written ({error.strerror})") from error


def _encoder_options(kind: str, quality: int | None) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if kind in QUALITY:
        options["quality"] = QUALITY[kind] if quality is None else quality
    if kind in ("JPEG", "AVIF"):
        options["subsampling"] = "4:4:4"
    if kind == "AVIF":
        options |= {"codec": "aom", "advanced": {"alpha:cq-level": "0"}}  # lossless alpha
    if kind == "WEBP":
        options["exact"] = True  # keep colours where alpha is 0
    return options


def _timing(kind: str, images: Sequence[Image.Image], picture: Picture) -> dict[str, Any]:
    options: dict[str, Any] = {"duration": list(picture.durations or ())[picture.still_first :]}
    if picture.loop is not None:
        options["loop"] = picture.loop
    elif kind in ("PNG", "WEBP"):
        options["loop"] = 1  # how a GIF without a loop count plays; here, none means forever
    if kind == "WEBP" and any(image.mode == "RGBA" for image in images):
        options |= {"kmin": 0, "kmax": 1}  # full frames: libwebp may lose alpha between them
    if kind == "GIF" and any("transparency" in image.info for image in images):
        options["disposal"] = RESTORE_BACKGROUND
    if kind == "PNG":
        options["default_image"] = picture.still_first
    return options


def _metadata_options(kind: str, metadata: Metadata) -> tuple[dict[str, Any], list[str]]:
    """Options of Pillow's encoder for what the format can hold; warnings for the rest."""
    blocks = {"EXIF": metadata.exif, "XMP": metadata.xmp, "IPTC": metadata.iptc}
    # In a PNG, XMP is UTF-8; another encoding would be misread.
    xmp = kind in WITH_EXIF and (kind != "PNG" or _is_utf8(metadata.xmp))
    holds = {"EXIF": kind in WITH_EXIF, "XMP": xmp, "IPTC": kind in WITH_IPTC}
    kept: dict[str, bytes] = {}
    warnings = []
    for name, block in blocks.items():
        if block and holds[name] and (kind != "JPEG" or len(block) <= JPEG_SEGMENT):
            kept[name] = block
        elif block:
            warnings.append(f"{name} left out: this {kind} file has no place for it")
    options: dict[str, Any] = {}
    if metadata.dpi is not None and kind in ("JPEG", "PNG", "TIFF", "BMP"):
        options["dpi"] = metadata.dpi
    if kind == "TIFF":
        options["tiffinfo"] = as_tiff_tags(metadata)
        return options, warnings
    if "EXIF" in kept:
        # For AVIF, Pillow rewrites EXIF that has an orientation, and loses non-ASCII text.
        options["exif"] = without_orientation(kept["EXIF"]) if kind == "AVIF" else kept["EXIF"]
    if kind == "PNG" and "XMP" in kept:
        options["pnginfo"] = PngImagePlugin.PngInfo()
        options["pnginfo"].add_itxt("XML:com.adobe.xmp", kept["XMP"].decode())
    elif "XMP" in kept:
        options["xmp"] = kept["XMP"]
    if kind == "JPEG" and "IPTC" in kept:
        options["extra"] = jpeg_segment(kept["IPTC"])
    return options, warnings


def _is_utf8(block: bytes) -> bool:
    try:
        block.decode()
    except UnicodeDecodeError:
        return False
    return True


def _palette(image: Image.Image) -> Image.Image:
    """In at most 256 dithered colours; one of them is transparent if `image` has alpha."""
    rgb = image.convert("RGB")
    colours = rgb.quantize(GIF_COLOURS, Image.Quantize.MEDIANCUT)
    indexed = rgb.quantize(palette=colours, dither=Image.Dither.FLOYDSTEINBERG)
    if image.mode == "RGBA":
        hidden = image.getchannel("A").point(lambda alpha: 255 if alpha == 0 else 0)
        indexed.paste(GIF_COLOURS, mask=hidden)
        indexed.info["transparency"] = GIF_COLOURS
    return indexed

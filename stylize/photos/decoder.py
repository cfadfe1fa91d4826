"""Picture files -> photos: upright, sRGB, 8 bits, with alpha, frames and metadata.

The content of a file decides its format, not its suffix.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from PIL import Image, UnidentifiedImageError

from stylize.errors import ImageError
from stylize.files import READABLE, Location, open_file
from stylize.photos import heic, raw  # noqa: F401 Pillow learns their formats
from stylize.photos.color import other_colours, profile_of, to_8_bits, to_srgb
from stylize.photos.exif import ORIENTATION
from stylize.photos.metadata import read_metadata
from stylize.photos.photo import Photo, Picture, downscale, scaled_down
from stylize.photos.tiff import count_pages

ANIMATIONS = frozenset({"GIF", "PNG", "WEBP", "AVIF"})  # in other formats, frames are previews
PAGES = frozenset({"TIFF"})
# Whatever the suffix says. Raw first: most of it is TIFF, too, with a small preview.
READ = (raw.KIND, *sorted(set(READABLE.values()) - {raw.KIND}))
MOST_FRAMES = 5000
UPRIGHT = {  # EXIF 2.3, section 4.6.4
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
NEW_SUBFILE_TYPE, REDUCED = 254, 1  # TIFF's tag, and its bit for a preview of another page
NO_PAGE = "no page but previews of other pages"
DECODING, DECODING_DEEP = 12, 24  # bytes per pixel to decode and convert; from 16 or 32 bits
DECODING_RAW = 32  # the same, for the data of a sensor
DRAFT = 2  # times the wanted size: a JPEG is decoded at 1/2, 1/4 or 1/8 if that leaves so much


@dataclass(frozen=True)
class Extent:
    """The size of a picture, from its header: `size` is (width, height) of the largest frame after
    scaling, `pixels` the total of all frames in the file, `decoding` the bytes to decode one."""

    size: tuple[int, int]
    frames: int
    pixels: int
    decoding: int


def measure(path: Location, size: int | None = None, file: BinaryIO | None = None) -> Extent:
    """Measure what `read_picture` would decode, in `file` or, by default, in the file at `path`.

    Raises:
        ImageError: not a picture.
        OSError: it cannot be opened.
    """
    with (
        file or open_file(Path(path)) as opened,
        _named(path),
        Image.open(opened, formats=READ) as image,
    ):
        sizes = []
        for index in range(_count_frames(image, opened)):
            if index == 0 or image.format in PAGES:  # all frames of an animation have one size
                image.seek(index)
            if not _is_preview(image):
                sizes.append(image.size)
        if not sizes:
            raise ImageError(NO_PAGE)
        largest = max(width * height for width, height in sizes)
        small = max((scaled_down(each, size) for each in sizes), key=lambda pair: pair[0] * pair[1])
        if image.format in ("JPEG", "MPO"):
            largest = min(largest, (2 * DRAFT) ** 2 * small[0] * small[1])
        pixels = sum(width * height for width, height in sizes)
        each = DECODING_DEEP if image.mode in ("I", "F") or "16" in image.mode else DECODING
        each = DECODING_RAW if image.format == raw.KIND else each
        return Extent(small, len(sizes), pixels, each * largest)


def check_pixels(pixels: int, most: float) -> None:
    """Raises ImageError if there are more `pixels` than `most`."""
    if pixels > most:
        raise ImageError(f"{pixels / 1e6:.1f} megapixels, more than --max-megapixels allows")


def _is_preview(image: Image.Image) -> bool:
    """Whether this page is a preview of another one."""
    return image.format in PAGES and bool(image.tag_v2.get(NEW_SUBFILE_TYPE, 0) & REDUCED)  # type: ignore[attr-defined]


def _count_frames(image: Image.Image, file: BinaryIO) -> int:
    kind = image.format or ""
    if kind in PAGES:
        count = count_pages(file, MOST_FRAMES)  # Pillow would read them all
    else:
        count = getattr(image, "n_frames", 1) if kind in ANIMATIONS else 1
    if count > MOST_FRAMES:
        raise ImageError(f"more than {MOST_FRAMES} frames or pages")
    return int(count)


def read_photo(path: Path, size: int | None = None, max_pixels: float = math.inf) -> Photo:
    """Decode the (first) picture in `path`, with at most `size` px on its longest side.

    Applies the EXIF orientation and converts an embedded ICC profile to sRGB; with a broken
    profile, pixels count as sRGB.

    Raises:
        ImageError: the file cannot be opened, is not a picture, is damaged, has more than
            `max_pixels`, or is too large to be safe.
    """
    with _named(path), open_file(path) as file, Image.open(file, formats=READ) as image:
        check_pixels(image.width * image.height, max_pixels)
        return _frame(image, size)


def read_picture(
    path: Location, file: BinaryIO, max_pixels: float, size: int | None = None, *, gps: bool = True
) -> Picture:
    """Decode everything in `file`, opened from `path`: frames, timing, metadata.

    Raises ImageError as `read_photo`; `max_pixels` limits the total of all frames.
    """
    with _named(path), Image.open(file, formats=READ) as image:
        kind = image.format or ""
        count = _count_frames(image, file)
        warnings: list[str] = []
        frames, durations = [], []
        pixels = 0
        for index in range(count):
            image.seek(index)
            if _is_preview(image):
                continue
            # All frames of an animation have one size: refuse a long one at its first frame.
            pixels += image.width * image.height * (1 if kind in PAGES else count - index)
            check_pixels(pixels, max_pixels)
            pixels = pixels if kind in PAGES else 0
            frame = _frame(image, size, warnings.append)
            # Pillow decodes the next frame into the same memory.
            frames.append(frame if count == 1 else replace(frame, rgb=frame.rgb.copy()))
            durations.append(round(image.info.get("duration") or 0))
            if len(frames) == 1:
                metadata, damaged = read_metadata(image, gps=gps)
                warnings += damaged
                loop = image.info.get("loop")
                still_first = bool(image.info.get("default_image"))
        if not frames:
            raise ImageError(NO_PAGE)
        return Picture(
            tuple(frames),
            metadata,
            tuple(durations) if kind in ANIMATIONS and len(frames) > 1 else None,
            loop,
            still_first,
            tuple(dict.fromkeys(warnings)),
        )


def read_mask(
    path: Location, size: tuple[int, int], max_pixels: float, file: BinaryIO | None = None
) -> Image.Image:
    """A mask in mode L at `size`, (width, height): 255 is product, 0 background.

    Reads what background removers write: a mask, or a cut-out whose opaque part is the product. It
    is in `file` or, by default, in the file at `path`.

    Raises ImageError: it cannot be read, is too large, or has another aspect ratio.
    """
    with _named(path), file or open_file(Path(path)) as opened:
        photo = read_picture(path, opened, max_pixels).frames[0]
    cutout = photo.alpha is not None and photo.alpha.getextrema() != (255, 255)
    mask = photo.alpha if photo.alpha is not None and cutout else photo.rgb.convert("L")
    if abs(mask.width * size[1] - mask.height * size[0]) > max(*mask.size, *size):  # half a pixel
        raise ImageError(
            f"its mask {path} is {mask.width} x {mask.height} px, not of its proportions"
        )
    return mask if mask.size == size else mask.resize(size, Image.Resampling.BOX)


@contextmanager
def _named(path: Location) -> Iterator[None]:
    """Turn anything that goes wrong with a picture into an ImageError that names its file."""
    try:
        yield
    except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
        raise ImageError(f"{path}: {error.strerror}") from error
    except UnidentifiedImageError as error:
        empty = isinstance(path, Path) and path.stat().st_size == 0
        raise ImageError(f"{path}: {'empty file' if empty else 'not a picture'}") from error
    except Image.DecompressionBombError as error:
        raise ImageError(f"{path}: too many pixels to be safe") from error
    except MemoryError as error:
        raise ImageError(f"{path}: not enough memory to decode it") from error
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from error
    except Exception as error:  # Pillow's plugins raise all kinds on damaged headers
        raise ImageError(f"{path}: damaged picture ({error})") from error


def _frame(
    image: Image.Image, size: int | None, warn: Callable[[str], object] = lambda _: None
) -> Photo:
    """The current frame of `image`, with at most `size` pixels on its longest side."""
    width, height = image.size
    if size is not None and size < max(width, height) and image.format in ("JPEG", "MPO"):
        scale = DRAFT * size / max(width, height)
        image.draft(None, (max(1, round(width * scale)), max(1, round(height * scale))))
    photo = split_photo(image, warn)
    if size is None or max(width, height) <= size:
        return photo
    long, short = sorted(scaled_down((width, height), size), reverse=True)
    # By now it is upright, and the decoder may have made it smaller.
    return downscale(photo, (long, short) if photo.rgb.width > photo.rgb.height else (short, long))


def split_photo(image: Image.Image, warn: Callable[[str], object] = lambda _: None) -> Photo:
    """Decode a Pillow picture of any mode: apply orientation and profile, separate alpha.

    Calls `warn` with what could not be kept as it was; raises ImageError for damaged data.
    """
    try:
        deep = any("16" in str(tile[-1]) for tile in getattr(image, "tile", ()))
        image.load()
        icc, turn, alpha = profile_of(image), _turn(image), None
        if other_colours(image):
            warn("colours of another space without an ICC profile: taken as sRGB")
        if deep and image.mode == "RGB" and "transparency" in image.info:
            raise ImageError("its transparent colour is one of 16 bits, and only 8 are read")
        if image.mode in ("I", "F") or image.mode.startswith("I;16"):
            image, alpha = to_8_bits(image, warn)
        if turn is not None:
            image, alpha = image.transpose(turn), alpha and alpha.transpose(turn)
        if image.has_transparency_data:
            rgba = image.convert("RGBA")
            alpha = rgba.getchannel("A")
            # Grey stays grey: a grey profile fits nothing else.
            image = image.convert("L") if image.mode == "LA" else rgba.convert("RGB")
        elif image.mode in ("1", "P"):
            image = image.convert("RGB")
        image = to_srgb(image, icc, warn)
        # `convert` to the same mode would copy 4 bytes per pixel.
        return Photo(image if image.mode == "RGB" else image.convert("RGB"), alpha)
    except (ImageError, MemoryError):
        raise
    except Exception as error:  # Pillow's decoders raise all kinds on damaged data
        raise ImageError(f"damaged picture ({error})") from error


def _turn(image: Image.Image) -> Image.Transpose | None:
    """The transposition that makes the picture upright."""
    try:
        return UPRIGHT.get(image.getexif().get(ORIENTATION, 1))
    except Exception:  # noqa: BLE001 the pixels are usable without the tag
        return None

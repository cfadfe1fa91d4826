"""Camera raw: developed by LibRaw (rawpy, an optional part), with the white balance as shot.

Importing this module teaches Pillow the format, or to say what is missing. Most raw files are TIFF
files whose first picture is a small preview, so a file counts as raw if it holds a sensor's data.
"""

from typing import Any, BinaryIO, cast

from PIL import Image, ImageFile, TiffImagePlugin
from PIL.ExifTags import IFD

from stylize.errors import ImageError, install
from stylize.photos.metadata import as_read

KIND = "RAW"  # this package's name of the format, for Pillow
MOST_BYTES = 1 << 30  # of a file, which is read as a whole
MOST_DIRECTORIES = 32  # of a TIFF structure
TURNED = (5, 6)  # LibRaw's flips that exchange width and height
_TIFF = (b"II*\0", b"MM\0*")
_OTHERS = (b"FUJIFILMCCD-RAW", b"IIRO", b"IIRS", b"MMOR", b"IIU\0")  # Fujifilm, Olympus, Panasonic
_CANON = (b"ftypcrx ", b"CR")  # at byte 4 of a CR3, at byte 8 of a CR2
# Tags (TIFF 6.0; TIFF/EP; DNG 1.7), and their values for a sensor's data.
SUB_IFDS, PHOTOMETRIC, DNG_VERSION, MAKER_NOTE = 330, 262, 50706, 37500
SENSOR = (32803, 34892)  # a colour filter array; linear raw
# Description, make, model, software, date, artist, copyright.
KEPT = (270, 271, 272, 305, 306, 315, 33432)


class RawImageFile(ImageFile.ImageFile):
    """A raw file as Pillow sees it: its size at once, and upright sRGB pixels on `load`."""

    format = KIND
    format_description = "camera raw"

    def _open(self) -> None:
        assert self.fp is not None  # noqa: S101 for the type checker
        start = self.fp.read(10)
        tiff = start.startswith(_TIFF)
        if tiff and start[8:] != _CANON[1] and not _holds_sensor_data(self.fp):
            raise SyntaxError("a TIFF file without a sensor's data")  # Pillow tries others
        try:
            import rawpy
        except ImportError as error:
            raise ImageError(f"camera raw needs rawpy: {install('raw')}") from error
        if self.fp.seek(0, 2) > MOST_BYTES:
            raise ImageError("too large for a camera raw file")
        self.fp.seek(0)
        try:
            self._raw: Any = rawpy.imread(cast("BinaryIO", self.fp))
        except rawpy.LibRawError as error:
            raise ImageError(f"camera raw that LibRaw cannot read ({error})") from error
        sizes = self._raw.sizes
        size = (sizes.iwidth, sizes.iheight)
        self._size = size[::-1] if sizes.flip in TURNED else size
        self._mode = "RGB"
        if tiff:
            self.info["exif"] = _exif(self.fp)

    def load(self) -> Any:
        if self._raw is not None:
            import rawpy

            try:
                srgb = rawpy.ColorSpace.sRGB
                pixels = self._raw.postprocess(use_camera_wb=True, output_color=srgb, output_bps=8)
            except rawpy.LibRawError as error:
                raise ImageError(f"camera raw that LibRaw cannot develop ({error})") from error
            finally:
                self._raw.close()
                self._raw = None
            developed = Image.fromarray(pixels)
            self._size = developed.size  # pixels that are not square make another one
            self.im = developed.im
        return super().load()


def _holds_sensor_data(file: Any) -> bool:
    try:
        main = _directory(file, None)
        places = main.get(SUB_IFDS, ())
        places = places if isinstance(places, tuple) else (places,)
        below = (_directory(file, int(place)) for place in places[:MOST_DIRECTORIES])
        return DNG_VERSION in main or any(
            directory.get(PHOTOMETRIC) in SENSOR for directory in (main, *below)
        )
    except Exception:  # noqa: BLE001 damaged: then it is for Pillow's TIFF reader to say so
        return False


def _directory(file: Any, place: int | None) -> TiffImagePlugin.ImageFileDirectory_v2:
    """The directory of a TIFF structure at `place` (None: its first)."""
    file.seek(0)
    directory = TiffImagePlugin.ImageFileDirectory_v2(file.read(8))
    file.seek(directory.next if place is None else place)
    directory.load(file)
    return directory


def _exif(file: Any) -> bytes:
    """What is said of the photo, not of its data, as an EXIF block. Empty if it is damaged."""
    try:
        file.seek(0)
        tags, kept = Image.Exif(), Image.Exif()
        tags.load_from_fp(file)
        for tag in KEPT:
            if tag in tags:
                kept[tag] = as_read(tags[tag])
        for tag in (IFD.Exif, IFD.GPSInfo):
            entries = {key: as_read(value) for key, value in tags.get_ifd(tag).items()}
            entries.pop(MAKER_NOTE, None)  # it holds offsets into the raw file
            if entries:
                kept[tag] = entries
        return kept.tobytes() if len(kept) else b""
    except Exception:  # noqa: BLE001 Pillow raises all kinds on damaged tags
        return b""


def _accept(prefix: bytes) -> bool:
    return prefix.startswith((*_TIFF, *_OTHERS)) or prefix[4:12] == _CANON[0]


Image.register_open(KIND, RawImageFile, _accept)

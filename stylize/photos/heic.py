"""HEIC and HEIF, as phones write them: read and written by pillow-heif, an optional part.

Importing this module teaches Pillow the format, or to say what is missing.
"""

from importlib.util import find_spec
from typing import IO, NoReturn

from PIL import Image

from stylize.errors import ImageError, UsageError, install

KIND = "HEIF"  # Pillow's name of the format
# ISO 14496-12, section 4.3: the brand of a file, after its first box's size and type.
_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1")
_LOSSLESS = -1  # of pillow-heif's qualities


def need_heic() -> None:
    """Raises UsageError if pillow-heif is not installed."""
    if find_spec("pillow_heif") is None:
        raise UsageError("HEIC files need pillow-heif", install("heic"))


def encoder_options(quality: int, *, alpha: bool) -> dict[str, object]:
    """For Pillow's `save`. Colour has half the resolution (4:2:0): few devices decode more. With
    alpha, the encoder is lossless, as it would round alpha, too."""
    return {"quality": _LOSSLESS if alpha else quality, "chroma": 420}


def _is_heic(prefix: bytes) -> bool:
    return prefix[4:8] == b"ftyp" and prefix[8:12] in _BRANDS


def _refuse(file: IO[bytes], name: str | bytes) -> NoReturn:
    raise ImageError(f"HEIC photos need pillow-heif: {install('heic')}")


if find_spec("pillow_heif") is None:
    Image.register_open(KIND, _refuse, _is_heic)
else:
    import pillow_heif

    pillow_heif.register_heif_opener(thumbnails=False, depth_images=False)

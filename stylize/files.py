"""Files and where they are: paths, URLs, which are pictures, hashes, atomic writes.

Reads no pixels.
"""

import errno
import hashlib
import os
import re
import stat
import tempfile
import tomllib
from collections.abc import Container, Iterable, Iterator
from io import BufferedReader
from pathlib import Path, PurePosixPath
from typing import Any, Self
from urllib.parse import unquote

from stylize.errors import UsageError

# Suffix -> Pillow's name of the format, for formats that can be written.
FORMATS = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jfif": "JPEG",
    ".png": "PNG",
    ".apng": "PNG",
    ".webp": "WEBP",
    ".avif": "AVIF",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".gif": "GIF",
    ".bmp": "BMP",
    ".heic": "HEIF",
    ".heif": "HEIF",
    ".hif": "HEIF",
}
# The same for formats that can be read. Not PostScript, for which Pillow starts another program.
READABLE = FORMATS | {
    ".jp2": "JPEG2000",
    ".ppm": "PPM",
    ".pgm": "PPM",
    ".pbm": "PPM",
    ".pnm": "PPM",
    ".ico": "ICO",
    # Camera raw, for which `photos.raw` makes a format of Pillow's.
    **dict.fromkeys((".dng", ".cr2", ".cr3", ".nef", ".nrw", ".arw", ".raf", ".orf"), "RAW"),
    **dict.fromkeys((".rw2", ".pef", ".srw"), "RAW"),
}
# Suffix of a clip -> FFmpeg's name of its container, for containers that can be written.
CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}
# Suffixes of clips. Not .ts, which is a TypeScript source more often.
CLIPS = frozenset(CONTAINERS).union(
    (".webm", ".avi", ".mpg", ".mpeg", ".mts", ".m2ts", ".3gp", ".wmv", ".asf", ".flv", ".ogv")
)

MOST_TOML = 1 << 20  # bytes
TEMPORARY = ".stylize-"  # prefix of files that are not complete yet

LOCAL_SCHEMES = ("file", "local")
WITH_KEYS = ("s3", "s3a", "gs", "gcs")  # their buckets have no colon in their names

# The process's umask. Reading it means setting it for a moment, for all threads.
_UMASK = os.umask(0)
os.umask(_UMASK)


class Url(str):
    """The address of an object in a store that fsspec knows, or of all objects below it.

    Its text holds no credentials: those of the URL are in `login` (user, password), so no message
    or record shows them. `version` and `size` (bytes) are those of the object as it was listed.
    """

    login: tuple[str, str] | None
    version: str
    size: int

    def __new__(
        cls, text: str, login: tuple[str, str] | None = None, version: str = "", size: int = 0
    ) -> Self:
        url = super().__new__(cls, text)
        url.login, url.version, url.size = login, version, size
        return url

    def __truediv__(self, name: object) -> "Url":
        return Url(f"{self}/{name}", self.login)

    def is_inside(self, other: "Url") -> bool:
        return f"{self}/".startswith(f"{other}/")

    @property
    def scheme(self) -> str:
        return self.partition("://")[0]

    @property
    def key(self) -> str:
        """The path within its bucket or host."""
        return self.partition("://")[2].partition("/")[2]

    @property
    def parent(self) -> "Url":
        return Url(self.rpartition("/")[0], self.login)

    @property
    def name(self) -> str:
        return self.rpartition("/")[2]

    @property
    def suffix(self) -> str:
        return PurePosixPath(self.name).suffix


Location = Path | Url


def locate(text: str) -> Location:
    """A path as it is, or a URL without its credentials; `file://` URLs are paths.

    Raises UsageError: the URL names no bucket, or its credentials cannot be told from its path.
    """
    found = re.fullmatch(r"([A-Za-z][A-Za-z0-9+.-]*)://(?:([^/@]*)@)?(.*)", text, re.DOTALL)
    if not found:
        return Path(text)
    scheme, user, rest = found[1].lower(), found[2], found[3].rstrip("/")
    if scheme in LOCAL_SCHEMES:
        return Path(f"{user}@{found[3]}" if user else found[3])
    host = rest.partition("/")[0]
    if scheme in WITH_KEYS and ":" in host:  # not shown: it may be half of a secret
        raise UsageError(
            f"a {scheme}:// URL with a key or secret that cannot be read",
            "write / in it as %2F and @ as %40, or set environment variables instead",
        )
    if not host:
        raise UsageError(f"{scheme}:// names no bucket", f"such as {scheme}://bucket/photos")
    name, _, password = (user or "").partition(":")
    return Url(f"{scheme}://{rest}", (unquote(name), unquote(password)) if user else None)


def locate_here(text: str) -> Path:
    """A path; raises UsageError for a URL, where only files will do."""
    place = locate(text)
    if isinstance(place, Url):
        hint = "copy what you need into a folder; stylize apply works with URLs"
        raise UsageError(f"{place} is in an object store", hint)
    return place


def find_photos(
    folder: Path, suffixes: Container[str] = READABLE
) -> tuple[list[Path], int, list[OSError]]:
    """All pictures below `folder`, sorted; the number of other files; errors of shut folders.

    The suffix decides, in any case. Hidden files and folders are skipped and not counted. Links to
    folders are not followed, so a loop of links ends.
    """
    photos: list[Path] = []
    ignored = 0
    shut: list[OSError] = []
    for path in _walk(folder, shut):
        # Pipes and devices are not pictures; a broken link may have been one.
        if path.suffix.lower() in suffixes and (path.is_file() or not path.exists()):
            photos.append(path)
        else:
            ignored += 1
    return photos, ignored, shut


def _walk(folder: Path, shut: list[OSError]) -> Iterator[Path]:
    for root, folders, names in os.walk(folder, onerror=shut.append):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(root, name) for name in sorted(names) if not name.startswith("."))


def is_clip(place: Location) -> bool:
    """Whether its name is that of a clip."""
    return place.suffix.lower() in CLIPS


def is_file(path: str | Path) -> bool:
    """False also for a path that the system refuses (too long ...)."""
    return os.path.isfile(path)  # noqa: PTH113 Path.is_file raises then


def is_folder(path: str | Path) -> bool:
    """False also for a path that the system refuses (too long ...)."""
    return os.path.isdir(path)  # noqa: PTH112 Path.is_dir raises then


def is_inside(path: Path, folder: Path) -> bool:
    """Whether `path` is `folder` or lies below it, after links are resolved."""
    # Not `Path.resolve`, which raises on a loop of links.
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def identity(place: Location) -> str:
    """Equal for all names of one file or folder: links, and spellings where case does not count.

    That of a URL is its text. Empty if there is no such file.
    """
    if isinstance(place, Url):
        return str(place)
    try:
        found = place.stat()
    except (OSError, ValueError):
        return ""
    return f"{found.st_dev}:{found.st_ino}"


def refuse_overwriting(written: Iterable[Path], read: Iterable[Path]) -> None:
    """Raise UsageError if one of the files that are to be `written` is one of those `read`."""
    known = {identity(path) for path in read} - {""}
    for path in written:
        if identity(path) in known:
            hint = "choose another name or place for the output"
            raise UsageError(f"{path} is read and would be overwritten", hint)


def open_file(path: Path) -> BufferedReader:
    """Open a file for reading; raises OSError, also for a pipe or a device, and never waits."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    mode = os.fstat(handle).st_mode
    if stat.S_ISREG(mode):
        return os.fdopen(handle, "rb")
    os.close(handle)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    raise OSError(errno.EINVAL, "Not a regular file", str(path))


def digest(path: Path) -> str:
    """The sha256 of a file in hex; raises OSError."""
    with open_file(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprint(place: Location) -> str:
    """What changes with the content: the sha256 of a file, the version of an object as listed.

    Raises OSError.
    """
    return place.version if isinstance(place, Url) else digest(place)


def read_toml(path: Path, hint: str) -> tuple[str, dict[str, Any]]:
    """The text and the values of a TOML file.

    Raises UsageError with `hint`: it cannot be read, is too large, or is not TOML (with the line).
    """
    try:
        with open_file(path) as file:
            content = file.read(MOST_TOML + 1)
        if len(content) > MOST_TOML:
            raise UsageError(f"{path}: too large, more than {MOST_TOML} bytes", hint)
        text = content.decode("utf-8-sig")
        return text, tomllib.loads(text)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", hint) from error
    except (ValueError, RecursionError) as error:
        found = re.search(r"\(at line (\d+), column \d+\)", str(error))
        place = f"{path}:{found[1]}" if found else str(path)
        raise UsageError(f"{place}: not TOML: {str(error).split(' (at ')[0]}", hint) from error


def write_file(path: Path, content: bytes | Iterable[bytes], scratch: Path | None = None) -> None:
    """Write `content`, whole or in pieces, to `path` in one step, and make its folder.

    Raises OSError.

    Until it is complete, the file lies in `scratch`, a folder on the same file system (default:
    beside `path`). It reaches the disk before it gets its name, so not even a power cut leaves half
    a file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=TEMPORARY, dir=scratch or path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.writelines([content] if isinstance(content, bytes) else content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o666 & ~_UMASK)  # mkstemp makes files private
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def make_folder(folder: Path) -> None:
    """Make `folder` and its parents; raises UsageError if it cannot be written into."""
    hint = "check its permissions, or choose another folder"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot make the folder {folder}: {error.strerror}", hint) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(f"cannot write into the folder {folder}", hint)

"""A prefix of an object store, through fsspec: list, get and put whole objects.

Every failure is an OSError whose `strerror` names the cause and holds no credentials.
"""

import errno
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from stylize.files import Url

# Stores where an object is there completely or not at all. Elsewhere (SFTP, SMB ...) files grow.
WHOLE = ("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "memory")
VERSIONS = ("ETag", "etag", "md5Hash", "content_md5", "LastModified", "mtime", "updated", "created")
ANY = "*"  # version of an object that may be replaced whatever it is

KNOWN = (
    (FileNotFoundError, errno.ENOENT, "not found"),
    (FileExistsError, errno.EEXIST, "another object is there"),
    (PermissionError, errno.EACCES, "access denied"),
)

P = ParamSpec("P")
R = TypeVar("R")


def explained(error: Exception, login: tuple[str, str] | None = None) -> OSError:
    """The same failure in words; those of the store's library may hold credentials."""
    for kind, number, words in KNOWN:
        if isinstance(error, kind):
            return OSError(number, words)  # Python chooses FileNotFoundError ...
    text = str(error).strip() or type(error).__name__
    code = error.errno if isinstance(error, OSError) else None
    if isinstance(error, OSError) and error.strerror:
        text = error.strerror
    for secret in login or ():
        text = text.replace(secret, "***") if secret else text
    return OSError(code or errno.EIO, text.splitlines()[0])


def _explains(method: Callable[P, R]) -> Callable[P, R]:
    """Let a method raise nothing but explained errors."""

    @wraps(method)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        store: Any = args[0]
        try:
            return method(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 every library raises its own
            raise store.explained(error) from None

    return wrapped


class Store:
    """All objects below `url`. Keys are relative to it; threads may share it."""

    def __init__(self, url: Url, filesystem: Any) -> None:
        self.url = url
        self.fs = filesystem
        self.root = str(filesystem._strip_protocol(str(url)))

    @_explains
    def pages(self) -> Iterator[list[Url]]:
        """All objects below the prefix, with versions and sizes, some at a time.

        This one needs the whole listing in memory: fsspec has no other for every store.
        """
        self.fs.invalidate_cache()
        try:
            found = self.fs.find(self.root, detail=True)
        except FileNotFoundError:  # in some libraries: nothing is below it
            found = {}
        found.pop(self.root, None)  # a single object, not a prefix
        return iter([[self._found(name, info) for name, info in found.items()]])

    @_explains
    def stat(self, key: str = "") -> Url | None:
        """The object as it is now, or None."""
        try:
            self.fs.invalidate_cache()
            info = self.fs.info(self._path(key))
        except FileNotFoundError:
            return None
        return self._found(self._path(key), info) if info["type"] == "file" else None

    @_explains
    def get(self, key: str = "") -> bytes:
        """The whole object."""
        return bytes(self.fs.cat_file(self._path(key)))

    @_explains
    def put(self, key: str, content: bytes, replaces: str | None = ANY) -> str:
        """Write a whole object in one step, and return its version.

        `replaces` is the version that it replaces, or None if there must be no object yet.

        Raises FileExistsError if another one is there.
        """
        path = self._path(key)
        if replaces not in (None, ANY):
            there = self.stat(key)
            if there is None or there.version != replaces:
                raise FileExistsError(path)
        self.fs.pipe_file(path, content, mode="create" if replaces is None else "overwrite")
        found = self.stat(key)
        return found.version if found else ""

    @_explains
    def delete(self, keys: Sequence[str]) -> None:
        self.fs.rm([self._path(key) for key in keys])

    def predicted(self, content: bytes) -> str:
        """The version that an object with that content is likely to get."""
        return f":{len(content)}"

    def explained(self, error: Exception) -> OSError:
        return explained(error, self.url.login)

    def _path(self, key: str) -> str:
        return f"{self.root}/{key}" if key else self.root

    def _found(self, path: str, info: dict[str, Any]) -> Url:
        size = int(info["size"] or 0)
        mark = next((info[name] for name in VERSIONS if info.get(name)), "")
        if isinstance(mark, datetime):  # in some libraries, listings have seconds in its place
            mark = mark.timestamp()
        key = path.removeprefix(self.root).strip("/")
        url = f"{self.url}/{key}" if key else str(self.url)
        return Url(url, self.url.login, version_of(str(mark), size), size)


def version_of(mark: str, size: int) -> str:
    """A version from a store's ETag, or what it has in its place, and the size in bytes."""
    return mark.strip('"') + f":{size}"

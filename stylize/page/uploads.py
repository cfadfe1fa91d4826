"""Bodies of requests, within limits; the photos among them, in the server's folder."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.requests import Request

from stylize.page.labels import clean, suffix_of
from stylize.page.limits import Limits
from stylize.page.refusals import BAD_REQUEST, FULL, NOT_FOUND, TIMED_OUT, TOO_LARGE, RefusalError

MOST_JSON = 1_000_000  # bytes


@dataclass(frozen=True)
class Photo:
    """An uploaded file. `label` is what the client calls it, made safe; `size` is in bytes."""

    id: str
    label: Path
    path: Path
    size: int


class Photos:
    """The photos that clients have uploaded, until they remove them or the server ends."""

    def __init__(self, folder: Path, limits: Limits) -> None:
        folder.mkdir()
        self._folder = folder
        self._limits = limits
        self._known: dict[str, Photo] = {}

    async def receive(self, request: Request) -> Photo:
        """Keep the photo in the body of a request.

        Raises RefusalError: it is no picture by its name, too large, too slow, or one too many.
        """
        label = label_of(request)
        stored = sum(photo.size for photo in self._known.values())
        if len(self._known) >= self._limits.photos or stored >= self._limits.stored:
            raise RefusalError(FULL, "no room for more photos", "remove some")
        name = secrets.token_urlsafe(16)
        path = self._folder / name
        size = await save_body(request, path, self._limits)
        self._known[name] = Photo(name, label, path, size)
        return self._known[name]

    def get(self, name: str) -> Photo:
        """Raises RefusalError (404)."""
        if name not in self._known:
            raise RefusalError(NOT_FOUND, "no such photo", "upload it again")
        return self._known[name]

    def remove(self, name: str) -> None:
        """Raises RefusalError (404)."""
        self.get(name).path.unlink()
        del self._known[name]


def label_of(request: Request) -> Path:
    """What the client calls the photo in the body: `name` in the query, or only its type.

    Raises RefusalError (415): neither says that it is a picture.
    """
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return clean(request.query_params.get("name") or f"photo{suffix_of(media)}")


async def save_body(request: Request, path: Path, limits: Limits) -> int:
    """Write the body of a request to a new file; returns its size in bytes.

    Raises RefusalError as `parts`. Then, and when the client goes away, there is no file.
    """
    try:
        with path.open("xb") as file:
            async for part in parts(request, limits.body, limits):
                file.write(part)
            return file.tell()
    except BaseException:
        path.unlink()
        raise


@asynccontextmanager
async def received(request: Request, folder: Path, limits: Limits) -> AsyncIterator[Path]:
    """The body of a request in a file, which is gone afterwards; raises RefusalError as `parts`."""
    path = folder / secrets.token_urlsafe(16)
    await save_body(request, path, limits)
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


async def read_json(request: Request, limits: Limits) -> Any:
    """The JSON in the body of a request; raises RefusalError as `parts`, or (400) if it is none."""
    try:
        return json.loads(b"".join([part async for part in parts(request, MOST_JSON, limits)]))
    except (ValueError, RecursionError) as error:
        raise RefusalError(
            BAD_REQUEST, "the body is not JSON", "/openapi.json describes it"
        ) from error


async def parts(request: Request, most: int, limits: Limits) -> AsyncIterator[bytes]:
    """The body of a request, part by part.

    Raises RefusalError: it has more than `most` bytes (413), or the client is too slow (408).
    """
    too_large = RefusalError(
        TOO_LARGE, f"more than {most / 1e6:g} MB", "`stylize apply` takes files of any size"
    )
    if int(request.headers.get("content-length", 0)) > most:
        raise too_large
    size = 0
    stream = request.stream()
    try:
        async with asyncio.timeout(limits.receiving):
            while True:
                async with asyncio.timeout(limits.idle):
                    part = await anext(stream, None)
                if part is None:
                    return
                size += len(part)
                if size > most:
                    raise too_large
                yield part
    except TimeoutError as error:
        raise RefusalError(
            TIMED_OUT, "the body took too long to arrive", "send it again"
        ) from error

"""Photos, painted pictures, files and progress as answers."""

import asyncio
import io
import json
import os
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from stylize.config import ApplyConfig
from stylize.errors import ImageError
from stylize.page.easel import Painted
from stylize.page.labels import MEDIA
from stylize.page.openapi import EVENTS
from stylize.page.uploads import Photo
from stylize.page.work import Work
from stylize.photos.decoder import read_photo
from stylize.photos.photo import merge_alpha

SHOWN = 1600  # pixels on the longest side of a photo as the page shows it
QUALITY = 85  # of WebP
PART = 1 << 18  # bytes
TICK = 0.2  # seconds between two looks at a job


def show(photo: Photo, size: int) -> bytes:
    """An uploaded photo as WebP, at most `size` pixels long; raises ImageError."""
    try:
        found = read_photo(photo.path, size, ApplyConfig().max_megapixels * 1e6)
    except ImageError as error:
        raise ImageError(f"{photo.label}: {error.about(photo.path)}") from error
    content = io.BytesIO()
    merge_alpha(found.rgb, found.alpha).save(content, "WEBP", quality=QUALITY)
    return content.getvalue()


async def painted(request: Request, future: Future[Painted], label: Path) -> Response:
    """The picture, once it is painted; withdraws the request when the client goes away."""
    painted = asyncio.wrap_future(future)
    gone = asyncio.create_task(_gone(request))
    await asyncio.wait((painted, gone), return_when=asyncio.FIRST_COMPLETED)
    gone.cancel()
    if not painted.done():
        painted.cancel()
        raise ClientDisconnect
    found = painted.result()
    name = label.with_suffix(found.suffix).name
    response = file_answer(found.file, MEDIA[found.suffix.lower()], name)
    if found.warnings:
        response.headers["Stylize-Warnings"] = quote("; ".join(found.warnings))
    return response


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def progress_answer(request: Request, work: Work) -> Response:
    """How far it is: as JSON, or as server-sent events until its end, as the client accepts."""
    if EVENTS in request.headers.get("accept", ""):
        return StreamingResponse(_changes(work), media_type=EVENTS)
    return JSONResponse(work.progress())


async def _changes(work: Work) -> AsyncIterator[str]:
    """A server-sent event for each change, until the end."""
    seen = None
    while True:
        ended, now = work.ended, work.progress()
        if now != seen:
            yield f"data: {json.dumps(now)}\n\n"
            seen = now
        if ended:
            return
        await asyncio.sleep(TICK)


def file_answer(
    file: BinaryIO, media: str, name: str, *, attached: bool = False
) -> StreamingResponse:
    """The content of an open file, under a name to save it by."""

    def parts() -> Iterator[bytes]:
        with file:
            while part := file.read(PART):
                yield part

    how = "attachment" if attached else "inline"
    headers = {
        "Content-Length": str(os.fstat(file.fileno()).st_size),
        "Content-Disposition": f"{how}; filename*=UTF-8''{quote(name)}",
    }
    return StreamingResponse(parts(), media_type=media, headers=headers)

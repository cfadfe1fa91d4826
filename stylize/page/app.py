"""Requests -> answers: the page, its files, and the operations of the API."""

import asyncio
import base64
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from stylize.assets import find_named_style, shipped, style_files
from stylize.config import ApplyConfig
from stylize.errors import StyleFileError, StylizeError
from stylize.network.style_header import read_header
from stylize.page import openapi
from stylize.page.answers import SHOWN, file_answer, painted, progress_answer, show
from stylize.page.easel import Easel
from stylize.page.jobs import Job, Jobs
from stylize.page.limits import Limits
from stylize.page.openapi import EVENTS, JSON, PICTURE, Operation
from stylize.page.options import OPTIONS, read_options
from stylize.page.refusals import BAD_REQUEST, NOT_FOUND, RefusalError, answer
from stylize.page.training_operations import TrainingOperations
from stylize.page.trainings import Trainings
from stylize.page.uploads import Photo, Photos, label_of, read_json, received


class Page:
    """Everything behind the page. All of it runs in one event loop; painting has its threads."""

    def __init__(
        self,
        folder: Path,
        output: Path | None,
        content: Path | None,
        device: str,
        precision: str,
        limits: Limits,
    ) -> None:
        """Files of clients are kept in `folder`. Jobs may save their results in `output`, and
        styles are trained on the photos in `content`."""
        self._name = folder.name  # pages that another server has sent know photos of that one
        self._folder = folder
        self._device, self._precision = device, precision
        self._limits = limits
        self._photos = Photos(folder / "photos", limits)
        self._easel = Easel(folder / "requests", (device, precision), limits.requests)
        self._jobs = Jobs(folder / "jobs", output, limits)
        self._trainings = Trainings(content)
        self._training_operations = TrainingOperations(
            self._trainings, folder, (device, precision), limits
        )
        self._shown = ThreadPoolExecutor(1, "shown")
        environment = Environment(
            loader=PackageLoader("stylize.page", "."), autoescape=True, undefined=StrictUndefined
        )
        self._template = environment.get_template("page.html.jinja")

    def close(self) -> None:
        """Finish the photos in work, and end all threads."""
        self._jobs.close()
        self._trainings.close()
        self._easel.close()
        self._shown.shutdown(cancel_futures=True)

    def app(self) -> Starlette:
        """The application, without the checks of `Guard`."""
        described = openapi.document(self.operations())
        return Starlette(
            routes=[
                Route("/", self.page),
                Route("/openapi.json", lambda _: JSONResponse(described)),
                *(operation.route() for operation in self.operations()),
                Mount("/static", StaticFiles(directory=Path(__file__).parent / "static")),
            ],
            exception_handlers={StylizeError: _refuse, HTTPException: _refuse_route},
        )

    def operations(self) -> list[Operation]:
        text, number = openapi.TEXT, openapi.NUMBER
        photo = {"id": text, "name": text, "size": number}
        reasons = {"type": "array", "items": {"type": "object", "properties": openapi.REASON}}
        job = {"id": text, "style": text, "state": text, "photos": number, "done": number}
        job |= {"failures": reasons, "warnings": reasons, "seconds": {"type": "number"}}
        job |= {"saved": text, **openapi.ERROR}
        photos = {"photos": {"type": "array", "items": text}}
        styles = {"styles": {"type": "array", "items": {"type": "object"}}}
        return [
            Operation("GET", "/styles", self.list_styles, "All styles.", content={JSON: styles}),
            Operation(
                *("GET", "/styles/{style}/picture", self.style_picture),
                "What a style makes of the sample photo.",
                content={PICTURE: {}},
                refusals=(404,),
            ),
            Operation(
                *("POST", "/stylize", self.stylize),
                "A photo in, the photo in a style out.",
                content={PICTURE: {}},
                query={**openapi.STYLE, **openapi.NAME},
                optional=("name",),
                body={PICTURE: {}},
                options=OPTIONS,
                refusals=(400, 404, 408, 413, 415, 422, 429),
            ),
            Operation(
                *("POST", "/photos", self.add_photo),
                "Upload a photo for previews and jobs.",
                status=201,
                content={JSON: photo},
                query=openapi.NAME,
                optional=("name",),
                body={PICTURE: {}},
                refusals=(408, 413, 415, 507),
            ),
            Operation(
                *("GET", "/photos/{photo}", self.show_photo),
                f"An uploaded photo as WebP, at most {SHOWN} pixels long.",
                content={PICTURE: {}},
                query={"size": "Longest side in pixels."},
                optional=("size",),
                refusals=(400, 404, 422),
            ),
            Operation(
                *("DELETE", "/photos/{photo}", self.remove_photo),
                "Remove an uploaded photo. A job that has it keeps it.",
                status=204,
                refusals=(404,),
            ),
            Operation(
                *("GET", "/photos/{photo}/painted", self.paint_photo),
                "An uploaded photo in a style.",
                content={PICTURE: {}},
                query=openapi.STYLE,
                options=OPTIONS,
                refusals=(400, 404, 422, 429),
            ),
            Operation(
                *("POST", "/jobs", self.start_job),
                "Paint uploaded photos in the background, as `stylize apply` does a folder.",
                status=201,
                content={JSON: job},
                query={
                    **openapi.STYLE,
                    "save": "true: write into the folder that the server was given.",
                },
                optional=("save",),
                body={JSON: photos},
                options=OPTIONS,
                refusals=(400, 404, 408, 413, 429),
            ),
            Operation(
                *("GET", "/jobs/{job}", self.show_job),
                "How far a job is; as server-sent events until its end, if they are accepted.",
                content={JSON: job, EVENTS: {}},
                refusals=(404,),
            ),
            Operation(
                *("DELETE", "/jobs/{job}", self.stop_job),
                "Stop a job, and keep what is done. Remove a job that has ended.",
                content={JSON: job},
                refusals=(404,),
            ),
            Operation(
                *("GET", "/jobs/{job}/zip", self.zip_job),
                "The results of a job so far.",
                content={"application/zip": {}},
                refusals=(404,),
            ),
            *self._training_operations.all(),
        ]

    async def page(self, _: Request) -> Response:
        output = self._jobs.output
        page = self._template.render(
            output=str(output) if output else "",
            trains=self._trainings.content is not None,
            server=self._name,
        )
        return HTMLResponse(page)

    async def list_styles(self, _: Request) -> Response:
        return JSONResponse({"styles": list(_styles())})

    async def style_picture(self, request: Request) -> Response:
        header = read_header(find_named_style(request.path_params["style"]))
        content, media = header.preview, "image/png"
        if not content:
            content, media = header.pictures[0].thumbnail, "image/jpeg"
        return Response(base64.b64decode(content), media_type=media)

    async def stylize(self, request: Request) -> Response:
        style, config = self._asked(request, "name")
        label = label_of(request)
        with self._easel.place():
            async with received(request, self._folder, self._limits) as path:
                future = self._easel.paint(path, label, style, config)
            return await painted(request, future, label)

    async def add_photo(self, request: Request) -> Response:
        photo = await self._photos.receive(request)
        found = {"id": photo.id, "name": photo.label.as_posix(), "size": photo.size}
        return JSONResponse(found, 201)

    async def show_photo(self, request: Request) -> Response:
        photo = self._photo(request)
        size = request.query_params.get("size", str(SHOWN))
        if not (size.isdecimal() and 0 < int(size) <= SHOWN):
            hint = f"give a number of pixels, up to {SHOWN}"
            raise RefusalError(BAD_REQUEST, f"the size is {size!r}", hint)
        loop = asyncio.get_running_loop()
        content = await loop.run_in_executor(self._shown, show, photo, int(size))
        return Response(content, media_type="image/webp")

    async def remove_photo(self, request: Request) -> Response:
        self._photos.remove(request.path_params["photo"])
        return Response(status_code=204)

    async def paint_photo(self, request: Request) -> Response:
        photo = self._photo(request)
        style, config = self._asked(request)
        with self._easel.place():
            future = self._easel.paint(photo.path, photo.label, style, config)
            return await painted(request, future, photo.label)

    async def start_job(self, request: Request) -> Response:
        style, config = self._asked(request, "save")
        body = await read_json(request, self._limits)
        names = body.get("photos") if isinstance(body, dict) else None
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            hint = 'such as {"photos": ["..."]}, of what POST /photos answers'
            raise RefusalError(BAD_REQUEST, "the body does not list photos", hint)
        photos = [self._photos.get(name) for name in names]
        save = request.query_params.get("save") == "true"
        job = self._jobs.start(style, config, photos, save=save)
        return JSONResponse(job.progress(), 201)

    async def show_job(self, request: Request) -> Response:
        return progress_answer(request, self._job(request))

    async def stop_job(self, request: Request) -> Response:
        job = self._jobs.stop(request.path_params["job"])
        return JSONResponse(job.progress())

    async def zip_job(self, request: Request) -> Response:
        job = self._job(request)
        file = await asyncio.to_thread(job.zip)
        return file_answer(file, "application/zip", f"{job.style.stem}.zip", attached=True)

    def _photo(self, request: Request) -> Photo:
        return self._photos.get(request.path_params["photo"])

    def _job(self, request: Request) -> Job:
        return self._jobs.get(request.path_params["job"])

    def _asked(self, request: Request, *others: str) -> tuple[str, ApplyConfig]:
        """The style and the options in the query; `others` in it are neither.

        Raises UsageError: an option that cannot be used; RefusalError (400): no style.
        """
        query = {name: text for name, text in request.query_params.items() if name not in others}
        if "style" not in query:
            raise RefusalError(BAD_REQUEST, "no style", "add ?style=NAME; GET /styles lists them")
        return query.pop("style"), read_options(query, self._device, self._precision)


def _styles() -> Iterator[dict[str, Any]]:
    for name, path in style_files().items():
        try:
            header = read_header(path)
        except StyleFileError as error:
            yield {"name": name, "error": str(error)}
        else:
            if header.members:  # a set; the page paints with single styles
                continue
            picture = header.pictures[0]
            own = path.parent != shipped("models")
            yield {"name": name, "title": picture.title, "author": picture.author, "own": own}


async def _refuse(_: Request, error: Exception) -> Response:
    assert isinstance(error, StylizeError)  # noqa: S101 for the type checker
    return answer(error)


async def _refuse_route(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 for the type checker
    hint = "/openapi.json lists the operations" if error.status_code >= NOT_FOUND else ""
    return answer(RefusalError(error.status_code, error.detail.lower(), hint, error.headers))

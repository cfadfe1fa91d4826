"""The operations of the API that train styles."""

import asyncio
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response

from stylize.page.answers import progress_answer
from stylize.page.limits import Limits
from stylize.page.openapi import ERROR, EVENTS, JSON, NAME, NUMBER, PICTURE, TEXT, Json, Operation
from stylize.page.options import TRAINING, read_training
from stylize.page.refusals import NOT_FOUND, RefusalError
from stylize.page.trainings import Training, Trainings
from stylize.page.uploads import label_of, received

PREVIEW_EVERY = "25"  # steps, unless the client says otherwise: somebody looks at it


class TrainingOperations:
    """Starts, shows, stops and resumes trainings."""

    def __init__(
        self, trainings: Trainings, folder: Path, machine: tuple[str, str], limits: Limits
    ) -> None:
        """Bodies of requests arrive in `folder`; `machine` is the device and the precision."""
        self._trainings = trainings
        self._folder = folder
        self._machine = machine
        self._limits = limits

    def all(self) -> list[Operation]:
        training: Json = {"style": TEXT, "state": TEXT, "step": NUMBER, "steps": NUMBER}
        training |= {"seconds_left": NUMBER, "losses": {"type": "array"}, "preview": NUMBER}
        training |= {"note": TEXT, **ERROR}
        trainings = {"type": "array", "items": {"type": "object", "properties": training}}
        return [
            Operation(
                *("GET", "/trainings", self.list_trainings),
                "All trainings, also those that an earlier server has begun.",
                content={JSON: {"trainings": trainings}},
            ),
            Operation(
                *("POST", "/trainings", self.start_training),
                "Train a new style of the picture in the body.",
                status=201,
                content={JSON: training},
                query={"style": "Name of the new style.", **NAME},
                optional=("name",),
                body={PICTURE: {}},
                options=TRAINING,
                refusals=(400, 408, 413, 415),
            ),
            Operation(
                *("GET", "/trainings/{style}", self.show_training),
                "How far a training is; as server-sent events until its end, if accepted.",
                content={JSON: training, EVENTS: {}},
                refusals=(404,),
            ),
            Operation(
                *("GET", "/trainings/{style}/preview", self.preview_training),
                "What the style makes of a few photos so far.",
                content={PICTURE: {}},
                refusals=(404,),
            ),
            Operation(
                *("POST", "/trainings/{style}/resume", self.resume_training),
                "Continue a training that was stopped, from its last checkpoint.",
                content={JSON: training},
                refusals=(400, 404),
            ),
            Operation(
                *("DELETE", "/trainings/{style}", self.stop_training),
                "Stop a training after its step, with a checkpoint.",
                content={JSON: training},
                refusals=(404,),
            ),
        ]

    async def list_trainings(self, _: Request) -> Response:
        found = [training.progress() for training in self._trainings.all()]
        return JSONResponse({"trainings": found})

    async def start_training(self, request: Request) -> Response:
        query = {"preview-every": PREVIEW_EVERY, **request.query_params}
        query.pop("name", None)
        style = query.pop("style", "")
        config = read_training(query, *self._machine)
        self._trainings.check(style)
        label = label_of(request)
        async with received(request, self._folder, self._limits) as path:
            training = self._trainings.start(style, path, label.suffix, config)
        return JSONResponse(training.progress(), 201)

    async def show_training(self, request: Request) -> Response:
        return progress_answer(request, self._training(request))

    async def preview_training(self, request: Request) -> Response:
        path = self._training(request).preview
        if not path.is_file():
            raise RefusalError(NOT_FOUND, "no preview yet", "ask again after some steps")
        return FileResponse(path)

    async def resume_training(self, request: Request) -> Response:
        name = self._training(request).name
        training = await asyncio.to_thread(self._trainings.resume, name)
        return JSONResponse(training.progress())

    async def stop_training(self, request: Request) -> Response:
        return JSONResponse(self._trainings.stop(self._training(request).name).progress())

    def _training(self, request: Request) -> Training:
        return self._trainings.get(request.path_params["style"])

"""Many photos in one style: `stylize apply` in the background, one job after the other."""

import os
import secrets
import shutil
import tempfile
import time
import zipfile
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, cast

import torch

from stylize.assets import find_named_style
from stylize.batch.apply import apply
from stylize.config import ApplyConfig
from stylize.errors import StylizeError
from stylize.events import ApplyDone, Event, PhotoCurrent, PhotoDone, PhotoFailed
from stylize.page.labels import numbered
from stylize.page.limits import Limits
from stylize.page.refusals import BAD_REQUEST, BUSY, NOT_FOUND, RefusalError
from stylize.page.uploads import Photo
from stylize.page.work import State, Work

RETRY = 10  # seconds


@dataclass
class Job(Work):
    """Photos on their way through one style."""

    id: str
    style: Path
    config: ApplyConfig
    photos: int
    folder: Path  # its own, with the photos, and with the results unless they are saved elsewhere
    output: Path
    saved: bool
    files: list[Path] = field(default_factory=list)
    failures: list[PhotoFailed] = field(default_factory=list)
    warnings: list[PhotoDone] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def inputs(self) -> Path:
        return self.folder / "photos"

    def progress(self) -> dict[str, Any]:
        """What clients see of it."""

        def label(event: PhotoDone | PhotoFailed) -> str:
            return Path(event.source).relative_to(self.inputs).as_posix()

        return {
            "id": self.id,
            "style": self.style.stem,
            "state": self.state,
            "photos": self.photos,
            "done": len(self.files),
            "failures": [{"photo": label(each), "reason": each.reason} for each in self.failures],
            "warnings": [
                {"photo": label(each), "reason": "; ".join(each.warnings)} for each in self.warnings
            ],
            "seconds": round(self.seconds, 3),
            "saved": str(self.output) if self.saved else "",
            **self.reason(),
        }

    def run(self) -> None:
        """Paint the photos, until the end or until `stop` is set."""
        started = time.monotonic()
        self.state, end = State.RUNNING, State.STOPPED
        painting = apply(str(self.style), [self.inputs], self.output, self.config)
        try:
            with closing(cast("Generator[Event, None, None]", painting)) as events:
                for event in events:
                    self._note(event)
                    self.seconds = time.monotonic() - started
                    if isinstance(event, ApplyDone):
                        end = State.DONE
                    elif self.stop.is_set():
                        break
        except Exception as error:  # noqa: BLE001 no job ends the thread
            end = self.fail(error)
        finally:
            shutil.rmtree(self.inputs)
            self.state = end

    def _note(self, event: Event) -> None:
        match event:
            case PhotoDone() | PhotoCurrent():
                self.files.append(Path(event.target))
                if isinstance(event, PhotoDone) and event.warnings:
                    self.warnings.append(event)
            case PhotoFailed():
                self.failures.append(event)
            case ApplyDone() if event.stopped:
                self.error = StylizeError(f"{event.stopped}: {event.left} photos not begun")

    def zip(self) -> BinaryIO:
        """All results so far in an open file without a name. Pictures are compressed already."""
        file = tempfile.TemporaryFile(dir=self.folder)  # noqa: SIM115 the caller closes it
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            for path in list(self.files):
                archive.write(path, path.relative_to(self.output).as_posix())
        file.seek(0)
        return cast("BinaryIO", file)


class Jobs:
    """The jobs of a server, one of which runs at a time."""

    def __init__(self, folder: Path, output: Path | None, limits: Limits) -> None:
        """Jobs that are to be saved write into a folder of their style in `output`."""
        folder.mkdir()
        self._folder = folder
        self.output = output
        self._limits = limits
        self._known: dict[str, Job] = {}
        threads = torch.get_num_threads()
        self._pool = ThreadPoolExecutor(1, "jobs", torch.set_num_threads, (threads,))

    def start(self, style: str, config: ApplyConfig, photos: Sequence[Photo], *, save: bool) -> Job:
        """Let a job wait for its turn.

        Raises:
            StyleFileError: there is no such style.
            RefusalError: too many wait (429), no photos, or nowhere to save (400).
        """
        path = find_named_style(style)
        if not photos:
            raise RefusalError(BAD_REQUEST, "no photos", "upload some first")
        if save and self.output is None:
            hint = "start `stylize page` with --output FOLDER"
            raise RefusalError(BAD_REQUEST, "there is no folder to save into", hint)
        if sum(not job.ended for job in self._known.values()) >= self._limits.jobs:
            hint = f"ask again in {RETRY} s"
            raise RefusalError(BUSY, "too many jobs wait", hint, {"Retry-After": str(RETRY)})
        self._forget_old()
        name = secrets.token_urlsafe(16)
        folder = self._folder / name
        output = self.output / path.stem if save and self.output else folder / "painted"
        job = Job(name, path, config, len(photos), folder, output, saved=save)
        for photo, label in zip(photos, numbered(photo.label for photo in photos), strict=True):
            place = job.inputs / label
            place.parent.mkdir(parents=True, exist_ok=True)
            os.link(photo.path, place)
        self._known[name] = job
        job.turn = self._pool.submit(job.run)
        return job

    def get(self, name: str) -> Job:
        """Raises RefusalError (404)."""
        if name not in self._known:
            raise RefusalError(NOT_FOUND, "no such job", "it has ended, and others since")
        return self._known[name]

    def stop(self, name: str) -> Job:
        """Stop a job that waits or runs; remove one that has ended, with its zip.

        Raises RefusalError (404).
        """
        job = self.get(name)
        if job.ended:
            self._remove(job)
        job.end()
        return job

    def close(self) -> None:
        """Stop all jobs; photos in work are finished."""
        for job in self._known.values():
            job.stop.set()
        self._pool.shutdown(cancel_futures=True)

    def _forget_old(self) -> None:
        ended = [job for job in self._known.values() if job.ended]
        for job in ended[: -self._limits.ended]:
            self._remove(job)

    def _remove(self, job: Job) -> None:
        del self._known[job.id]
        shutil.rmtree(job.folder)

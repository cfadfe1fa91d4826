"""Styles that are trained in the background, one after the other, as `stylize train` does."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from stylize.assets import LOCAL_STYLES
from stylize.config import TrainConfig
from stylize.errors import UsageError
from stylize.events import Event, Note, StepDone, TrainingDone, TrainingStopped, WentBack
from stylize.page.refusals import BAD_REQUEST, NOT_FOUND, RefusalError
from stylize.page.work import State, Work
from stylize.training.run_folder import RunFolder
from stylize.training.train import train
from stylize.training.trainer import total_of

PICTURE = "picture"  # name, without suffix, of the style picture in the folder of its training
MOST_POINTS = 300  # of the plot of the losses


@dataclass
class Training(Work):
    """One style in training."""

    name: str
    picture: Path
    config: TrainConfig
    step: int = 0
    steps: int = 0
    seconds_left: float = 0.0
    losses: list[tuple[int, float]] = field(default_factory=list)
    note: str = ""

    @property
    def preview(self) -> Path:
        return RunFolder(LOCAL_STYLES, self.name).preview

    def progress(self) -> dict[str, Any]:
        """What clients see of it. `preview` changes with the picture that it stands for."""
        losses = list(self.losses)
        every = 1 + len(losses) // MOST_POINTS
        return {
            "style": self.name,
            "state": self.state,
            "step": self.step,
            "steps": self.steps,
            "seconds_left": round(self.seconds_left),
            "losses": [[step, round(loss, 4)] for step, loss in losses[::every]],
            "preview": self.preview.stat().st_mtime_ns // 10**6 if self.preview.exists() else 0,
            "note": self.note,
            **self.reason(),
        }

    def run(self, content: Path, *, resume: bool) -> None:
        """Train until the end, or until `stop` is set and a checkpoint is written."""
        self.state, end = State.RUNNING, State.DONE
        try:
            for event in train(
                self.picture, content, self.name, self.config, resume=resume, stop=self.stop
            ):
                self._see(event)
                if isinstance(event, TrainingStopped):
                    end = State.STOPPED
        except Exception as error:  # noqa: BLE001 no training ends the thread
            end = self.fail(error)
        finally:
            self.state = end

    def _see(self, event: Event) -> None:
        match event:
            case StepDone():
                self.step, self.steps = event.step, event.steps
                self.seconds_left = event.seconds_left
                self.losses.append((event.step, event.total))
            case WentBack():
                self.losses = [point for point in self.losses if point[0] <= event.step]
                self.note = f"{event.reason}: back to step {event.step}"
            case Note():
                self.note = event.text
            case TrainingDone():
                self.seconds_left = 0


class Trainings:
    """The trainings of this server, and those in ./styles that earlier ones have begun."""

    def __init__(self, content: Path | None) -> None:
        """Trains on the photos below `content`; without it, cannot train."""
        self.content = content
        self._known: dict[str, Training] = {}
        threads = torch.get_num_threads()
        self._pool = ThreadPoolExecutor(1, "training", torch.set_num_threads, (threads,))

    def all(self) -> list[Training]:
        for picture in sorted(LOCAL_STYLES.glob(f"*/{PICTURE}.*")):
            name = picture.parent.name
            steps = list(RunFolder(LOCAL_STYLES, name).checkpoints())
            if steps and name not in self._known:
                begun = Training(name, picture, TrainConfig(), steps[0], state=State.STOPPED)
                self._known[name] = begun
        return list(self._known.values())

    def get(self, name: str) -> Training:
        """Raises RefusalError (404)."""
        for training in self.all():
            if training.name == name:
                return training
        raise RefusalError(NOT_FOUND, "no such training", "GET /trainings lists them")

    def check(self, name: str) -> None:
        """Raises UsageError: it names no style or one that is there; RefusalError: no photos."""
        self._photos()
        RunFolder(LOCAL_STYLES, name).refuse_to_lose(resume=False, overwrite=False)
        if name in self._known and not self._known[name].ended:
            raise UsageError(f"{name} is in training already", "choose another name")

    def start(self, name: str, picture: Path, suffix: str, config: TrainConfig) -> Training:
        """Let a training of a new style wait for its turn; takes the file `picture`."""
        folder = RunFolder(LOCAL_STYLES, name).folder
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob(f"{PICTURE}.*"):  # of a training that never got anywhere
            old.unlink()
        place = folder / f"{PICTURE}{suffix}"
        shutil.move(picture, place)
        return self._submit(Training(name, place, config), resume=False)

    def resume(self, name: str) -> Training:
        """Continue from the last checkpoint, with the settings in it.

        Raises StyleFileError or UsageError: there is none; RefusalError: it has not stopped.
        """
        before = self.get(name)
        if not before.ended:
            raise RefusalError(BAD_REQUEST, f"{name} is in training", "stop it first")
        run = RunFolder(LOCAL_STYLES, name)
        run.refuse_to_lose(resume=True, overwrite=False)
        header = run.load()[0][0].header
        losses = [(step, total_of(row, header.training)) for step, row in header.losses]
        again = Training(name, before.picture, header.training, step=before.step, losses=losses)
        return self._submit(again, resume=True)

    def stop(self, name: str) -> Training:
        """Stop a training; a running one finishes its step and writes a checkpoint."""
        training = self.get(name)
        training.end()
        return training

    def close(self) -> None:
        """Stop all; the running one can be resumed."""
        for training in self._known.values():
            training.stop.set()
        self._pool.shutdown(cancel_futures=True)

    def _submit(self, training: Training, *, resume: bool) -> Training:
        self._known[training.name] = training
        training.turn = self._pool.submit(training.run, self._photos(), resume=resume)
        return training

    def _photos(self) -> Path:
        if self.content is None:
            hint = "start `stylize page` with --content FOLDER"
            raise RefusalError(BAD_REQUEST, "there are no photos to train on", hint)
        return self.content

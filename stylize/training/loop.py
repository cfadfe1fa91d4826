"""The steps of a training in their order: crops, checkpoints, previews, and ways out of trouble."""

import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import replace
from importlib.util import find_spec
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

from stylize.errors import ImageError, StyleFileError, StylizeError, TrainingError
from stylize.events import (
    Event,
    FileWritten,
    Note,
    PhotoSkipped,
    StepDone,
    TrainingDone,
    TrainingStopped,
    WentBack,
)
from stylize.files import write_file
from stylize.network.style_file import save_style
from stylize.photos.encoder import write_picture
from stylize.training.checkpoint import RunState
from stylize.training.content_photos import ContentPhotos
from stylize.training.previews import PreviewSheet, losses_plot, losses_table, summary
from stylize.training.run_folder import RunFolder
from stylize.training.tensorboard import Board
from stylize.training.trainer import DivergenceError, Trainer, crop_size
from stylize.training.verify import preview

if TYPE_CHECKING:
    from torch import Tensor

LEAST_CAUTION = 1 / 64  # of the learning rate


class TrainingLoop:
    """From where `trainer` is to its end. Of several processes, only the first has a sheet, and
    writes."""

    def __init__(
        self,
        trainer: Trainer,
        crops: ContentPhotos,
        photos: str,
        folder: RunFolder,
        sheet: PreviewSheet | None,
        board: Board | None,
        past: Sequence[RunState],
    ) -> None:
        """`photos` is the fingerprint of the content photos, `past` what there are of earlier
        checkpoints, newest first."""
        self._trainer = trainer
        self._crops = crops
        self._photos = photos
        self._folder = folder
        self._sheet = sheet
        self._board = board
        # Where to go back to. Only those that a run without interruptions would have, too.
        every = trainer.config.checkpoint_every
        regular = [state for state in reversed(past) if state.step % every == 0]
        self._good = deque(regular or [trainer.state(photos)], maxlen=2)
        self._batches = self._plan()
        self._named: set[Path] = set()
        self._started = time.monotonic()
        self._steps = self._pixels = 0  # done; of one crop each

    def run(self, stop: threading.Event | None) -> Iterator[Event]:
        """Until the end, or until `stop` is set and a checkpoint written."""
        trainer, config, workers = self._trainer, self._trainer.config, self._trainer.workers
        while trainer.step < trainer.end:
            try:
                yield from self._step()
            except DivergenceError as error:
                yield self._go_back(error)
                continue
            last = trainer.step == trainer.end
            asked = stop is not None and stop.is_set()
            stopped = workers.any(asked, trainer.compute.device) and not last
            if last or stopped or trainer.step % config.checkpoint_every == 0:
                yield from self._checkpoint()
            if last or (config.preview_every and trainer.step % config.preview_every == 0):
                yield from self._show()
            if stopped:
                yield TrainingStopped(trainer.step, self._folder.folder)
                return
        yield from self._finish()

    def _step(self) -> Iterator[Event]:
        trainer, end = self._trainer, self._trainer.end
        pixels = self._sizes[trainer.step] ** 2
        losses, total = trainer.train_step(next(self._batches))
        self._steps += 1
        self._pixels += pixels
        yield from self._name_unusable(self._crops.unusable)
        if trainer.end != end:
            self._plan_anew()
            yield Note(f"no more progress at step {trainer.step}: ending at step {trainer.end}")
        if self._board:
            self._board.losses(trainer.step, losses, total)
            if self._board.trouble:
                yield Note(f"no more for TensorBoard: {self._board.trouble}")
                self._board = None
        yield StepDone(
            step=trainer.step,
            steps=trainer.end,
            losses=losses,
            total=total,
            photos_per_second=self._steps * trainer.config.batch_size / self._seconds(),
            seconds_left=self._seconds_left(),
            peak_memory=trainer.compute.peak_memory(),
        )

    def _go_back(self, error: DivergenceError) -> WentBack:
        """To the last checkpoint: the same photos come again, at half the rate.

        If already the first step after it failed, it is not good itself: to the one before.
        """
        trainer = self._trainer
        failed, caution = trainer.step + 1, trainer.caution / 2
        if caution < LEAST_CAUTION:
            raise TrainingError(str(error), "start anew with a lower --lr") from error
        if failed == self._good[-1].step + 1 and len(self._good) > 1:
            self._good.pop()
        trainer.restore(self._good[-1], self._photos, self._folder.folder)
        trainer.caution = caution
        if trainer.workers.first:
            self._folder.clear(after=trainer.step)
        self._plan_anew()
        return WentBack(failed, trainer.step, trainer.config.lr * caution, str(error))

    def _plan_anew(self) -> None:
        self._batches.close()  # those ahead are of the old plan
        self._batches = self._plan()

    def _plan(self) -> Generator["Tensor", None, None]:
        """Begin with the crops for the steps from here to the end, of the sizes they shall have."""
        trainer, config = self._trainer, self._trainer.config
        self._sizes = [crop_size(step, trainer.end, config.size) for step in range(trainer.end)]
        left = [size**2 for size in reversed(self._sizes)]
        self._pixels_left = [*accumulate(left, initial=0)][::-1]  # at each step
        return self._crops.batches(
            lambda step: self._sizes[min(step, len(self._sizes) - 1)],
            config.batch_size,
            trainer.step,
            trainer.workers.share(config.batch_size),
        )

    def _name_unusable(self, unusable: dict[Path, str]) -> Iterator[Event]:
        for path in sorted(unusable.keys() - self._named):
            self._named.add(path)
            yield PhotoSkipped(path, unusable[path])

    def _seconds(self) -> float:
        return time.monotonic() - self._started

    def _seconds_left(self) -> float:
        """A step takes time in proportion to the pixels of its crops."""
        return self._seconds() * self._pixels_left[self._trainer.step] / self._pixels

    def _checkpoint(self) -> Iterator[Event]:
        """One that cannot be written ends nothing: there may be room for the next."""
        state = self._trainer.state(self._photos)
        if state.step % self._trainer.config.checkpoint_every == 0:
            self._good.append(state)
        yield from self._name_unusable(self._trainer.workers.together(self._crops.unusable))
        if not self._trainer.workers.first:
            return
        try:
            path = self._folder.save(state, self._trainer.config.keep)
        except StyleFileError as error:
            yield Note(f"{error}; training goes on, the checkpoints before are as they were")
        else:
            yield FileWritten("checkpoint", path)

    def _show(self) -> Iterator[Event]:
        if self._sheet is None:
            return
        folder, history = self._folder, self._trainer.history
        picture = self._sheet.draw(self._trainer)
        if self._board:
            self._board.picture(self._trainer.step, picture)
        yield written("preview", folder.preview, lambda: write_picture(picture, folder.preview))
        yield written(
            "losses", folder.losses, lambda: write_file(folder.losses, losses_table(history))
        )
        if find_spec("matplotlib"):
            yield written(
                "plot", folder.plot, lambda: write_file(folder.plot, losses_plot(history))
            )

    def _finish(self) -> Iterator[Event]:
        if self._sheet is None:
            return
        folder, sheet = self._folder, self._sheet
        weights, header = self._trainer.weights(), self._trainer.header()
        try:
            painted = preview(weights, header, self._trainer.compute.device)
        except StylizeError as error:  # without, there still is a style
            yield Note(f"what the style makes of a photo is not noted in its file: {error}")
        else:
            header = replace(header, preview=painted)
        try:
            save_style(folder.style, weights, header, scratch=folder.folder)
        except StyleFileError as error:
            raise TrainingError(str(error), "make room, then go on with --resume") from error
        seconds = self._seconds()
        yield written(
            "summary",
            folder.summary,
            lambda: write_picture(summary(self._trainer, sheet, seconds), folder.summary),
        )
        yield TrainingDone(folder.style, self._steps, seconds)


def written(kind: str, path: Path, write: Callable[[], None]) -> Event:
    """What only tells of a training and cannot be written is said, and ends nothing."""
    try:
        write()
    except (OSError, ImageError, UnicodeEncodeError) as error:
        return Note(f"{kind} not written: {error}")
    return FileWritten(kind, path)

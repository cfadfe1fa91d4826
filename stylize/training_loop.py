"""The steps of a training in their order: crops, checkpoints, previews, and ways out of trouble."""

import threading
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

from torch import Tensor

from stylize.batches import ContentPhotos
from stylize.board import Board
from stylize.checkpoint import save_style
from stylize.errors import ImageError, StyleFileError, TrainingError
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
from stylize.formats import write_picture
from stylize.preview import PreviewSheet, losses_plot, losses_table, summary
from stylize.run_folder import RunFolder
from stylize.trainer import DivergenceError, Trainer, crop_size

LEAST_CAUTION = 1 / 64  # of the learning rate


class TrainingLoop:
    """From where `trainer` is to its end. Only the first of several processes writes."""

    def __init__(
        self,
        trainer: Trainer,
        crops: ContentPhotos,
        photos: str,
        folder: RunFolder,
        sheet: PreviewSheet,
        board: Board | None,
    ) -> None:
        """`photos` is the fingerprint of the content photos."""
        self._trainer = trainer
        self._crops = crops
        self._photos = photos
        self._folder = folder
        self._sheet = sheet
        self._board = board if trainer.workers.first else None
        self._batches = self._ahead()
        self._good = trainer.state(photos)
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
        pixels = trainer.crop_size**2
        losses, total = trainer.train_step(next(self._batches))
        self._steps += 1
        self._pixels += pixels
        for path in sorted(self._crops.unusable.keys() - self._named):
            self._named.add(path)
            yield PhotoSkipped(path, self._crops.unusable[path])
        if trainer.end != end:
            self._batches.close()  # those ahead have the sizes of the old plan
            self._batches = self._ahead()
            yield Note(f"no more progress at step {trainer.step}: ending at step {trainer.end}")
        if self._board:
            self._board.losses(trainer.step, losses, total)
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
        """To the last checkpoint: the same photos come again, at half the rate."""
        trainer = self._trainer
        failed, caution = trainer.step + 1, trainer.caution / 2
        if caution < LEAST_CAUTION:
            raise TrainingError(str(error), "start anew with a lower --lr") from error
        trainer.restore(self._good, self._photos, self._folder.folder)
        trainer.caution = caution
        self._batches.close()
        self._batches = self._ahead()
        return WentBack(failed, trainer.step, trainer.config.lr * caution, str(error))

    def _ahead(self) -> Generator[Tensor, None, None]:
        trainer, config = self._trainer, self._trainer.config
        end = trainer.end
        return self._crops.batches(
            lambda step: crop_size(step, end, config.size),
            config.batch_size,
            trainer.step,
            trainer.workers.share(config.batch_size),
        )

    def _seconds(self) -> float:
        return time.monotonic() - self._started

    def _seconds_left(self) -> float:
        """A step takes time in proportion to the pixels of its crops."""
        trainer = self._trainer
        steps = range(trainer.step, trainer.end)
        left = sum(crop_size(step, trainer.end, trainer.config.size) ** 2 for step in steps)
        return self._seconds() * left / self._pixels

    def _checkpoint(self) -> Iterator[Event]:
        """One that cannot be written ends nothing: there may be room for the next."""
        self._good = self._trainer.state(self._photos)
        if not self._trainer.workers.first:
            return
        try:
            path = self._folder.save(self._good, self._trainer.config.keep)
        except StyleFileError as error:
            yield Note(f"{error}; training goes on, the checkpoints before are as they were")
        else:
            yield FileWritten("checkpoint", path)

    def _show(self) -> Iterator[Event]:
        if not self._trainer.workers.first:
            return
        folder, history = self._folder, self._trainer.history
        picture = self._sheet.draw(self._trainer)
        if self._board:
            self._board.picture(self._trainer.step, picture)
        yield written("preview", folder.preview, lambda: write_picture(picture, folder.preview))
        table, plot = losses_table(history), losses_plot(history)
        yield written("losses", folder.losses, lambda: write_file(folder.losses, table))
        if plot is not None:
            yield written("plot", folder.plot, lambda: write_file(folder.plot, plot))

    def _finish(self) -> Iterator[Event]:
        if not self._trainer.workers.first:
            return
        path = self._folder.summary
        save_style(self._folder.style, self._trainer.weights(), self._trainer.header())
        picture = summary(self._trainer, self._sheet, self._seconds())
        yield written("summary", path, lambda: write_picture(picture, path))
        yield TrainingDone(self._folder.style, self._steps, self._seconds())


def written(kind: str, path: Path, write: Callable[[], None]) -> Event:
    """What only tells of a training and cannot be written is said, and ends nothing."""
    try:
        write()
    except (OSError, ImageError) as error:
        return Note(f"{kind} not written: {error}")
    return FileWritten(kind, path)

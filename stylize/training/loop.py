"""The steps of a training in order: crops, checkpoints, previews, recovery from divergence."""

import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from importlib.util import find_spec
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

from stylize import events
from stylize.errors import ImageError, StyleFileError, StylizeError, TrainingError
from stylize.files import write_file
from stylize.network.style_file import save_style
from stylize.photos.encoder import write_picture
from stylize.training.checkpoint import RunState
from stylize.training.content_photos import ContentPhotos
from stylize.training.previews import PreviewSheet, losses_plot, losses_table, summary
from stylize.training.run_folder import RunFolder
from stylize.training.tensorboard import Board
from stylize.training.trainer import DivergenceError, Trainer
from stylize.training.verify import with_previews

if TYPE_CHECKING:
    from torch import Tensor

LEAST_CAUTION = 1 / 64  # of the learning rate


class TrainingLoop:
    """Runs `trainer` to its end. Of several processes, only the first has a sheet, and writes."""

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
        """`photos` is the fingerprint of the content photos; `past` are the earlier checkpoints,
        newest first."""
        self._trainer = trainer
        self._crops = crops
        self._photos = photos
        self._folder = folder
        self._sheet = sheet
        self._board = board
        # Where to return to: only checkpoints that an uninterrupted run would have, too.
        every = trainer.config.checkpoint_every
        regular = [state for state in reversed(past) if state.step % every == 0]
        self._good = deque(regular or [trainer.state(photos)], maxlen=2)
        self._batches = self._plan()
        self._named: set[Path] = set()
        self._started = time.monotonic()
        self._steps = self._photos_seen = self._pixels = 0

    def run(self, stop: threading.Event | None) -> Iterator[events.Event]:
        """Run until the end, or until `stop` is set and a checkpoint is written."""
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
                yield events.TrainingStopped(trainer.step, self._folder.folder)
                return
        yield from self._finish()

    def _step(self) -> Iterator[events.Event]:
        trainer, end = self._trainer, self._trainer.end
        pixels = self._pixels_of(trainer.step)
        self._photos_seen += trainer.schedule.photos(trainer.step)
        losses, total = trainer.train_step(next(self._batches))
        self._steps += 1
        self._pixels += pixels
        yield from self._name_unusable(self._crops.unusable)
        if trainer.end != end:
            self._restart_batches()
            yield events.Note(
                f"no more progress at step {trainer.step}: ending at step {trainer.end}"
            )
        if self._board:
            self._board.losses(trainer.step, losses, total)
            if self._board.trouble:
                yield events.Note(f"no more for TensorBoard: {self._board.trouble}")
                self._board = None
        yield events.StepDone(
            step=trainer.step,
            steps=trainer.end,
            losses=losses,
            total=total,
            photos_per_second=self._photos_seen / self._seconds(),
            seconds_left=self._seconds_left(),
            peak_memory=trainer.compute.peak_memory(),
        )

    def _go_back(self, error: DivergenceError) -> events.WentBack:
        """Return to the last checkpoint; the same photos come again, at half the rate.

        If the first step after it failed, that checkpoint is bad itself: return to the one before.
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
        self._restart_batches()
        return events.WentBack(failed, trainer.step, trainer.config.lr * caution, str(error))

    def _restart_batches(self) -> None:
        self._batches.close()  # prefetched crops belong to the old plan
        self._batches = self._plan()

    def _plan(self) -> Generator["Tensor", None, None]:
        """Start prefetching the crops for the steps from here to the end."""
        trainer, config = self._trainer, self._trainer.config
        self._sizes = [trainer.schedule.crop_size(step, trainer.end) for step in range(trainer.end)]
        left = [self._pixels_of(step) for step in reversed(range(trainer.end))]
        self._pixels_left = [*accumulate(left, initial=0)][::-1]  # at each step
        return self._crops.batches(
            lambda step: self._sizes[min(step, len(self._sizes) - 1)],
            config.batch_size,
            trainer.step,
            trainer.share,
        )

    def _pixels_of(self, step: int) -> int:
        return self._trainer.schedule.photos(step) * self._sizes[step] ** 2

    def _name_unusable(self, unusable: dict[Path, str]) -> Iterator[events.Event]:
        for path in sorted(unusable.keys() - self._named):
            self._named.add(path)
            yield events.PhotoSkipped(path, unusable[path])

    def _seconds(self) -> float:
        return time.monotonic() - self._started

    def _seconds_left(self) -> float:
        """The time of a step is proportional to the pixels of its crops."""
        return self._seconds() * self._pixels_left[self._trainer.step] / self._pixels

    def _checkpoint(self) -> Iterator[events.Event]:
        """A checkpoint that cannot be written stops nothing: there may be room for the next."""
        state = self._trainer.state(self._photos)
        if state.step % self._trainer.config.checkpoint_every == 0:
            self._good.append(state)
        yield from self._name_unusable(self._trainer.workers.together(self._crops.unusable))
        if not self._trainer.workers.first:
            return
        try:
            path = self._folder.save(state, self._trainer.config.keep)
        except StyleFileError as error:
            yield events.Note(f"{error}; training goes on; earlier checkpoints are intact")
        else:
            yield events.FileWritten("checkpoint", path)

    def _show(self) -> Iterator[events.Event]:
        if self._sheet is None:
            return
        folder, history = self._folder, self._trainer.history
        picture = self._sheet.draw(self._trainer)
        if self._board:
            self._board.picture(self._trainer.step, picture)
        yield written("preview", folder.preview, lambda path: write_picture(picture, path))
        yield written("losses", folder.losses, lambda path: write_file(path, losses_table(history)))
        if find_spec("matplotlib"):
            yield written("plot", folder.plot, lambda path: write_file(path, losses_plot(history)))

    def _finish(self) -> Iterator[events.Event]:
        if self._sheet is None:
            return
        folder, sheet = self._folder, self._sheet
        weights, header = self._trainer.weights(), self._trainer.header()
        try:
            header = with_previews(header, weights, self._trainer.compute.device)
        except StylizeError as error:  # the style works without
            yield events.Note(f"the style gets no preview in its file: {error}")
        try:
            targets = self._trainer.targets()
            kept = targets.to_tensors() if targets else {}
            save_style(folder.style, weights, header, kept, scratch=folder.folder)
        except StyleFileError as error:
            raise TrainingError(str(error), "make room, then go on with --resume") from error
        seconds = self._seconds()

        def write(path: Path) -> None:
            write_picture(summary(self._trainer, sheet, seconds), path)

        yield written("summary", folder.summary, write)
        yield events.TrainingDone(folder.style, self._steps, seconds)


def written(kind: str, path: Path, write: Callable[[Path], None]) -> events.Event:
    """Write a file that only documents the training: a failure is reported and stops nothing."""
    try:
        write(path)
    except (OSError, ImageError, UnicodeEncodeError) as error:
        return events.Note(f"{kind} not written: {error}")
    return events.FileWritten(kind, path)

"""Losses and preview sheets for TensorBoard (an optional extra)."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from stylize.errors import UsageError, install


class Board:
    """Writes TensorBoard logs into `folder`.

    Raises UsageError: TensorBoard is not installed, or the folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self.trouble = ""
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise UsageError("--log-dir needs TensorBoard", install("tensorboard")) from error
        try:
            self._writer = SummaryWriter(str(folder))
        except OSError as error:
            raise UsageError(f"{folder}: {error.strerror}", "choose another --log-dir") from error

    def losses(self, step: int, losses: Mapping[str, float], total: float) -> None:
        for name, value in {**losses, "total": total}.items():
            self._write(self._writer.add_scalar, f"loss/{name}", value, step)

    def picture(self, step: int, picture: Image.Image) -> None:
        write = partial(self._writer.add_image, dataformats="HWC")
        self._write(write, "preview", np.array(picture), step)

    def close(self) -> None:
        self._write(self._writer.close)

    def _write(self, write: Callable[..., object], *arguments: object) -> None:
        """Write unless an earlier write has failed (a full disk ...): `trouble` is the reason."""
        if not self.trouble:
            try:
                write(*arguments)
            except OSError as error:
                self.trouble = str(error)

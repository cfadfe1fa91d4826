"""What can go wrong, said in one line for the person, with a hint what to do next."""

from pathlib import Path


class StylizeError(Exception):
    """Base of every error that stylize raises on purpose.

    `str(error)` is one line that names the thing that is wrong; `hint` says what to do about it
    (empty when there is nothing useful to say).
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(" ".join(message.split()))
        self.hint = " ".join(hint.split())


class UsageError(StylizeError):
    """An option, path or setting that cannot be used as given."""


class DeviceError(UsageError):
    """A device or precision that was asked for and is not there."""


class StyleFileError(UsageError):
    """A style (or other weights file) that is missing, damaged or not one of ours."""


class ImageError(StylizeError):
    """A picture that cannot be read or written. One such photo never stops a batch."""

    def about(self, path: Path) -> str:
        """The message without `path` in front, for where the path is shown already."""
        return str(self).removeprefix(" ".join(f"{path}:".split())).lstrip()


class TrainingError(StylizeError):
    """A training that cannot go on: no usable photos, or a loss that is no longer a number."""

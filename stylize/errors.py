"""The errors: one line that says what is wrong, and a hint what to do about it.

Names and texts from files are part of them: `visible` is how people are shown such texts.
"""

import re
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path

# What a terminal or a browser obeys instead of showing it: control characters, ends of lines and
# paragraphs, marks of the direction of text; and bytes of a path that are not UTF-8.
_OBEYED = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def visible(text: str, keep: str = "") -> str:
    """The text with characters written out that would be obeyed: ESC becomes \\x1b.

    Those in `keep` stay. Doing it twice changes nothing more.
    """

    def written_out(found: re.Match[str]) -> str:
        return found[0] if found[0] in keep else found[0].encode("unicode_escape").decode()

    return _OBEYED.sub(written_out, text)


class StylizeError(Exception):
    """Base of every error that stylize raises on purpose.

    `str(error)` is one line that names what is wrong; `hint` says what to do about it, or is empty.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(" ".join(message.split()))
        self.hint = " ".join(hint.split())


class UsageError(StylizeError):
    """An option, path or setting that cannot be used."""


class DeviceError(UsageError):
    """A device or precision that is not available."""


class StyleFileError(UsageError):
    """A style or other weights file that is missing, damaged or foreign."""


class ImageError(StylizeError):
    """A picture that cannot be read or written. It never stops a batch."""

    def about(self, path: Path | str) -> str:
        """The message without its leading `path`, for use beside the path."""
        return str(self).removeprefix(" ".join(f"{path}:".split())).lstrip()


class TrainingError(StylizeError):
    """A training that cannot continue: no usable photos, or a loss that is not finite."""


def install(extra: str) -> str:
    """The command that adds an optional part (an extra in pyproject.toml)."""
    return f'pip install "stylize[{extra}]"'


def suggest(name: str, known: Iterable[str], otherwise: str) -> str:
    """A hint with the known names most like `name`, or `otherwise`."""
    near = get_close_matches(name.lower(), list(known), n=3, cutoff=0.6)
    return f"did you mean {' or '.join(near)}?" if near else otherwise

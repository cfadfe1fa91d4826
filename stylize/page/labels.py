"""What clients call their photos -> relative paths that are safe on any system."""

import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from stylize.batch.places import folded
from stylize.files import FORMATS, READABLE
from stylize.page.refusals import UNSUPPORTED, RefusalError

MOST_PARTS, MOST_BYTES = 8, 120  # folders and file; of each
MEDIA = {suffix: f"image/{kind.lower()}" for suffix, kind in FORMATS.items()}
_UNSAFE = re.compile(r'[\x00-\x1f\x7f<>:"|?*\\]|[\ud800-\udfff\u202a-\u202e\u2066-\u2069]')


def clean(name: str) -> Path:
    """A name as a path below any folder: no `..`, no hidden part, nothing that a system refuses.

    Raises RefusalError (415): its suffix is not that of a picture.
    """
    parts = unicodedata.normalize("NFC", name).replace("\\", "/").split("/")
    safe = [_UNSAFE.sub("_", part).strip(" .") for part in parts]
    *folders, file = [part for part in safe if part][-MOST_PARTS:] or [""]
    path = Path(file)
    if path.suffix.lower() not in READABLE:
        raise RefusalError(
            UNSUPPORTED,
            f"{file or 'a photo without a name'}: not a picture by its name",
            f"name it with one of {' '.join(sorted(READABLE))}",
        )
    # A folder never has the name of a file, so the two cannot be in each other's way.
    named = [f"{_cut(folder)}_" if "." in folder else _cut(folder) for folder in folders]
    return Path(*named, _cut(path.stem) + path.suffix)


def suffix_of(media: str) -> str:
    """The suffix for a type such as image/png; empty if it is none of ours."""
    return next((suffix for suffix, known in MEDIA.items() if known == media), "")


def numbered(labels: Iterable[Path]) -> list[Path]:
    """The same labels, each once: what comes later gets a number, as in `a~2.jpg`."""
    # With its last number, so that those of one name are counted once, however many want it.
    taken: dict[str, int] = {}
    found = []
    for label in labels:
        own, wanted = label, folded(label)
        number = taken.get(wanted, 1)
        while folded(own) in taken:
            number += 1
            own = label.with_name(f"{label.stem}~{number}{label.suffix}")
        taken[wanted] = number
        taken.setdefault(folded(own), 1)
        found.append(own)
    return found


def _cut(text: str) -> str:
    return text.encode()[:MOST_BYTES].decode(errors="ignore").strip(" .") or "_"

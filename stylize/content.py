"""The content photos of a training: which can be used, and whether they are still the same."""

import hashlib
import os
from pathlib import Path

from PIL import Image

from stylize.batches import too_small
from stylize.errors import TrainingError, UsageError
from stylize.files import find_photos, is_inside


def usable_photos(content: Path, size: int, without: Path) -> tuple[list[Path], dict[Path, str]]:
    """The usable pictures below `content`, as far as their file headers tell, and the others.

    Of a folder `without` below `content`, nothing is taken: there are the trainings' own previews.

    Raises:
        UsageError: `content` is no folder, or one of its folders cannot be read.
        TrainingError: none can be used.
    """
    if not content.is_dir():
        raise UsageError(f"no folder {content}", "--content takes a folder of photos")
    photos, _, shut = find_photos(content)
    if shut:
        raise UsageError(f"{shut[0].filename}: {shut[0].strerror}", "check its permissions")
    if not is_inside(content, without):
        photos = [path for path in photos if not is_inside(path, without)]
    usable: list[Path] = []
    skipped: dict[Path, str] = {}
    for path in photos:
        try:
            with Image.open(path) as image:
                short = min(image.size)
        except Exception as error:  # noqa: BLE001  Pillow raises all kinds on damaged headers
            skipped[path] = f"not a readable picture ({type(error).__name__})"
            continue
        if short < size:
            skipped[path] = too_small(short, size)
        else:
            usable.append(path)
    if not usable:
        raise TrainingError(
            f"no usable photos in {content} ({len(skipped)} unusable)",
            f"they need at least {size} px on the short side; see --size",
        )
    return usable, skipped


def fingerprint_of(photos: list[Path], content: Path) -> str:
    """Changes when a photo is added, removed, renamed or resized: resuming would not be exact."""
    digest = hashlib.sha256()
    for path in photos:
        digest.update(os.fsencode(path.relative_to(content)))
        digest.update(f"\0{path.stat().st_size}\n".encode())
    return digest.hexdigest()

"""How much a style's pictures depend on the light in which photos were taken."""

import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from stylize.batch.ahead import in_order
from stylize.consistency.appearance import color_difference
from stylize.consistency.audit import MOST_PIXELS
from stylize.errors import ImageError, UsageError
from stylize.events import AuditStarted, Event, LightingDone, LightingMeasured, PhotoFailed
from stylize.files import find_photos, is_folder
from stylize.photos.decoder import read_photo
from stylize.photos.lighting import LIGHTINGS, relight
from stylize.photos.photo import Photo, to_picture, to_tensor
from stylize.style import Style, load_style

SIZE = 512  # pixels on the longest side


def light_spread(
    style: str, folder: Path, device: str = "auto", precision: str = "auto"
) -> Iterator[Event]:
    """Measure each photo below `folder` under all LIGHTINGS, before and after `style`.

    Yields `AuditStarted`, a `LightingMeasured` or `PhotoFailed` for each photo, `LightingDone`.

    Raises UsageError: no photo can be read, or there is no such style.
    """
    if not is_folder(folder):
        raise UsageError(f"no folder {folder}", "give a folder of photos")
    photos, _, shut = find_photos(folder)
    loaded = load_style(style, device, precision)

    yield AuditStarted(len(photos), 0)
    failures = [PhotoFailed(Path(error.filename), str(error.strerror)) for error in shut]
    yield from failures
    rows: list[LightingMeasured] = []
    for event in _measured(photos, loaded):
        if isinstance(event, PhotoFailed):
            failures.append(event)
        else:
            rows.append(event)
        yield event
    if not rows:
        raise UsageError(f"no photo in {folder} can be read", "give a folder of photos")
    before, after = (
        {light: statistics.median(getattr(row, when)[light] for row in rows) for light in LIGHTINGS}
        for when in ("before", "after")
    )
    spread_before, spread = (
        statistics.median(value for row in rows for value in getattr(row, when).values())
        for when in ("before", "after")
    )
    yield LightingDone(len(rows), len(failures), spread, spread_before, before, after)


def _measured(photos: Sequence[Path], style: Style) -> Iterator[LightingMeasured | PhotoFailed]:
    """Each photo, in order. On a CPU every core takes a photo of its own: cores that share one
    wait for each other in every layer, and for long where one of them is busy otherwise."""
    threads = torch.get_num_threads()

    def measure(path: Path) -> LightingMeasured | PhotoFailed:
        torch.set_num_threads(1)
        try:
            photo = read_photo(path, SIZE, MOST_PIXELS)
        except ImageError as error:
            return PhotoFailed(path, str(error))
        return measure_lights(path, photo, style)

    try:
        yield from in_order(measure, photos, threads)
    finally:
        torch.set_num_threads(threads)  # of threads that start from now on


def measure_lights(path: Path, photo: Photo, style: Style) -> LightingMeasured:
    """Compare a photo in its own light with the same under all others."""
    image = to_tensor(photo.rgb)[None]
    own = style.stylize_photos([photo])[0].convert("RGB")
    before, after = {}, {}
    for name, light in LIGHTINGS.items():
        lit = to_picture(relight(image, [light])[0])
        before[name] = color_difference(lit, photo.rgb)
        after[name] = color_difference(style.stylize_photos([Photo(lit)])[0], own)
    return LightingMeasured(path, before, after)

"""How much a style's pictures depend on the light in which photos were taken."""

import statistics
from collections.abc import Iterator
from pathlib import Path

from stylize.consistency.appearance import color_difference, need_colours
from stylize.consistency.audit import MOST_PIXELS
from stylize.errors import ImageError, UsageError
from stylize.events import AuditStarted, Event, LightingDone, LightingMeasured, PhotoFailed
from stylize.files import find_photos, is_folder
from stylize.photos.decoder import read_photo
from stylize.photos.lighting import LIGHTINGS, relight
from stylize.photos.photo import Photo, to_picture, to_tensor
from stylize.style import Style, load_style
from stylize.training.content_photos import prefetch

SIZE = 512  # pixels on the longest side


def light_spread(
    style: str, folder: Path, device: str = "auto", precision: str = "auto"
) -> Iterator[Event]:
    """Measure each photo below `folder` under all LIGHTINGS, before and after `style`.

    Yields `AuditStarted`, a `LightingMeasured` or `PhotoFailed` for each photo, `LightingDone`.

    Raises UsageError: no photo can be read, or there is no such style.
    """
    need_colours()
    if not is_folder(folder):
        raise UsageError(f"no folder {folder}", "give a folder of photos")
    photos, _, shut = find_photos(folder)
    loaded = load_style(style, device, precision)

    yield AuditStarted(len(photos), 0)
    failures = [PhotoFailed(Path(error.filename), str(error.strerror)) for error in shut]
    yield from failures
    rows: list[LightingMeasured] = []
    for path, reading in zip(
        photos, prefetch(lambda path: read_photo(path, SIZE, MOST_PIXELS), photos, 2), strict=True
    ):
        try:
            photo = reading.result()
        except ImageError as error:
            failures.append(PhotoFailed(path, str(error)))
            yield failures[-1]
        else:
            rows.append(measure_lights(path, photo, loaded))
            yield rows[-1]
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

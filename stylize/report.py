"""What an audit has found, as a page that anyone can open: a folder without server or network."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from io import BytesIO
from pathlib import Path

from jinja2 import Environment, StrictUndefined

from stylize.batches import prefetch
from stylize.errors import ImageError
from stylize.events import AuditDone, PhotoAudited
from stylize.files import write_file
from stylize.images import merge_alpha, read_photo

REPORT = "report.html"
PICTURES = "pictures"
THUMBNAIL = 640  # pixels on the longest side
QUALITY = 80  # of WebP
AHEAD = 4  # photos


@dataclass(frozen=True)
class Row:
    """One photo on the page; `now` and `before` are files beside it, "" if there are none."""

    name: str
    now: str
    before: str
    width: int
    height: int
    photo: PhotoAudited


def write_report(folder: Path, title: str, found: Sequence[PhotoAudited | AuditDone]) -> None:
    """Write `folder`/report.html and small pictures beside it, of what `audit` has found.

    Raises:
        OSError: the folder cannot be written into.
    """
    photos = [event for event in found if isinstance(event, PhotoAudited)]
    (done,) = (event for event in found if isinstance(event, AuditDone))
    numbered = [*enumerate(photos, start=1)]
    rows = [row.result() for row in prefetch(lambda item: _row(folder, *item), numbered, AHEAD)]
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    template = environment.from_string(
        files("stylize").joinpath("report.html.jinja").read_text(encoding="utf-8")
    )
    page = template.render(title=title, rows=rows, done=done, chart=chart(photos))
    write_file(folder / REPORT, page.encode(errors="replace"))
    used = {name for row in rows for name in (row.now, row.before)}
    for path in (folder / PICTURES).iterdir():  # of a set that was larger
        if f"{PICTURES}/{path.name}" not in used:
            path.unlink(missing_ok=True)


def chart(photos: Sequence[PhotoAudited]) -> list[tuple[str, list[tuple[float, bool]]]]:
    """For each of before and after, a dot for each photo: its place in [0, 1], and whether it is an
    outlier."""
    rows = {
        "before": [(p.before, False) for p in photos if p.before is not None],
        "after": [(p.distance, bool(p.reasons)) for p in photos],
    }
    largest = max(value for row in rows.values() for value, _ in row) or 1.0
    return [
        (name, [(value / largest, outlier) for value, outlier in row])
        for name, row in rows.items()
        if row
    ]


def _row(folder: Path, number: int, photo: PhotoAudited) -> Row:
    now = f"{PICTURES}/{number:05d}-after.webp"
    before = f"{PICTURES}/{number:05d}-before.webp" if photo.source else ""
    size = _thumbnail(photo.path, folder / now)
    if photo.source:
        try:
            _thumbnail(photo.source, folder / before)
        except ImageError:
            before = ""
    return Row(photo.path.name, now, before, *size, photo)


def _thumbnail(path: Path, target: Path) -> tuple[int, int]:
    """Transparent parts stay transparent."""
    photo = read_photo(path, THUMBNAIL)
    picture = merge_alpha(photo.rgb, photo.alpha)
    content = BytesIO()
    picture.save(content, "WEBP", quality=QUALITY)
    write_file(target, content.getvalue())
    return picture.size

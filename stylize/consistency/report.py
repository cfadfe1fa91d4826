"""The report of an audit: a page that opens without a server or a network.

Names, titles and reasons come from files. They are shown, never run: they are escaped, and the
page's policy lets a browser run and load nothing but the page's own script, style and pictures.
"""

import base64
import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from io import BytesIO
from pathlib import Path

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from stylize.consistency.audit import MOST_PIXELS
from stylize.errors import ImageError, visible
from stylize.events import AuditDone, Event, PhotoAudited
from stylize.files import write_file
from stylize.photos.decoder import read_photo
from stylize.photos.photo import merge_alpha
from stylize.training.content_photos import prefetch

REPORT = "report.html"
PICTURES = "pictures"
THUMBNAIL = 640  # pixels on the longest side
QUALITY = 80  # of WebP
AHEAD = 4  # photos
POLICY = (
    "default-src 'none'; img-src 'self'; style-src 'sha256-{style}'; "
    "script-src 'sha256-{script}'; base-uri 'none'; form-action 'none'"
)
OWN = re.compile(r"\d{5,}-(after|before)\.webp")


@dataclass(frozen=True)
class Row:
    """One photo on the page; `now` and `before` are picture files beside it, or empty."""

    name: str
    now: str
    before: str
    width: int
    height: int
    photo: PhotoAudited


def write_report(folder: Path, title: str, found: Iterable[Event], root: Path) -> None:
    """Write `folder`/report.html and thumbnails for the events that `audit` found in `root`.

    Raises OSError: the folder cannot be written into.
    """
    found = [*found]
    photos = [event for event in found if isinstance(event, PhotoAudited)]
    (done,) = (event for event in found if isinstance(event, AuditDone))
    numbered = [*enumerate(photos, start=1)]
    made = prefetch(lambda item: _row(folder, *item, root), numbered, AHEAD)
    rows = [row.result() for row in made]
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, finalize=_finalized
    )
    style, script = _part("css"), _part("js")
    page = environment.from_string(_part("html.jinja")).render(
        title=title,
        rows=rows,
        done=done,
        chart=chart(photos),
        policy=POLICY.format(style=_digest(style), script=_digest(script)),
        style=Markup(style),  # noqa: S704 ours
        script=Markup(script),  # noqa: S704 ours
    )
    write_file(folder / REPORT, page.encode())
    used = {name for row in rows for name in (row.now, row.before)}
    for path in (folder / PICTURES).glob("*"):  # left from a larger set
        if OWN.fullmatch(path.name) and f"{PICTURES}/{path.name}" not in used:
            path.unlink(missing_ok=True)


def _part(kind: str) -> str:
    """A part of the page, from the file beside this one."""
    part = files("stylize.consistency").joinpath(f"report.{kind}")
    return part.read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _finalized(value: object) -> object:
    """A text as people see it, with nothing left in it that turns or hides a part of it."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def chart(photos: Sequence[PhotoAudited]) -> list[tuple[str, list[tuple[float, bool]]]]:
    """Rows "before" and "after" with a dot for each photo: its position in [0, 1], and whether it
    is an outlier."""
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


def _row(folder: Path, number: int, photo: PhotoAudited, root: Path) -> Row:
    now, size = _thumbnail(photo.path, folder, f"{number:05d}-after.webp")
    before, _ = _thumbnail(photo.source, folder, f"{number:05d}-before.webp")
    return Row(str(photo.path.relative_to(root)), now, before, *size, photo)


def _thumbnail(path: Path | None, folder: Path, name: str) -> tuple[str, tuple[int, int]]:
    """The thumbnail's file and size; an empty name if the photo can no longer be read."""
    try:
        photo = read_photo(path, THUMBNAIL, MOST_PIXELS) if path else None
    except ImageError:
        photo = None
    if photo is None:
        return "", (0, 0)
    content = BytesIO()
    merge_alpha(photo.rgb, photo.alpha).save(content, "WEBP", quality=QUALITY)
    write_file(folder / PICTURES / name, content.getvalue())
    return f"{PICTURES}/{name}", photo.size

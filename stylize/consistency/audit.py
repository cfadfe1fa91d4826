"""How far a set of pictures is from one look: photos -> appearances -> spread, outliers."""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from stylize.batch.manifest import Manifest
from stylize.config import STYLE_LAYERS, ApplyConfig
from stylize.consistency.appearance import Appearance, look_at
from stylize.errors import ImageError, StyleFileError, UsageError
from stylize.events import AuditDone, AuditStarted, Event, PhotoAudited, PhotoFailed, PhotoSeen
from stylize.files import digest, find_photos, is_file, is_folder
from stylize.network.device import choose
from stylize.network.mixture import Part, find_mixture
from stylize.objective.vgg import VGG16Features, load_vgg16
from stylize.objective.vgg_statistics import Statistics, centre, distance, unpack
from stylize.photos.decoder import read_photo
from stylize.photos.masks import product_mask
from stylize.photos.photo import Photo
from stylize.training.content_photos import prefetch

LOOKED_AT = 1024  # pixels on the longest side of a decoded photo
MOST_PIXELS = ApplyConfig().max_megapixels * 1e6  # of a file
FAR = 3.5  # modified z-score of an outlier (Iglewicz & Hoaglin 1993, section 3.3)
FEWEST = 5  # photos: in a smaller set, none is called an outlier
AHEAD = 4  # photos decoded ahead


@dataclass(frozen=True)
class Measure:
    """A property to compare between pictures, in its own unit; differences up to `step` do not
    count. `low` and `high` describe a picture that is far off; empty if that is not a fault."""

    step: float
    low: str = ""
    high: str = ""


# Products may have any colour; their backgrounds should be alike.
MEASURES = {
    "lightness": Measure(3),
    "contrast": Measure(3),
    "red": Measure(3),
    "yellow": Measure(3),
    "ground lightness": Measure(1.5, "dark ground", "light ground"),
    "ground red": Measure(1, "green ground", "red ground"),
    "ground yellow": Measure(1, "blue ground", "yellow ground"),
    "veil": Measure(4, "", "hazy"),
    "share": Measure(0.06, "small in the picture", "large in the picture"),
    "cut": Measure(0.06, "", "cut off by the frame"),
    "strokes": Measure(0.2, "fine strokes", "coarse strokes"),  # octaves
    "distance": Measure(0.03, "", "another texture"),
}


@dataclass(frozen=True)
class Seen:
    """A picture of the set, and its source photo, if that is known and still exists."""

    path: Path
    now: Appearance
    source: Path | None
    before: Appearance | None


def audit(
    folder: Path,
    style: str | None = None,
    device: str = "auto",
    precision: str = "auto",
    pictures: Mapping[Path, Path] | None = None,
) -> Iterator[Event]:
    """Compare all photos below `folder` with each other, and with the picture of `style`.

    In an output folder of `apply`, the source photos are compared as well: the set as it was
    before. `pictures` maps the pictures to audit to their sources. Yields `AuditStarted`, a
    `PhotoSeen` or `PhotoFailed` for each photo, a `PhotoAudited` for each one read, farthest
    first, and `AuditDone`.

    Raises:
        UsageError: there are fewer than two photos, or the style has no statistics of its picture.
    """
    if not is_folder(folder):
        raise UsageError(f"no folder {folder}", "give a folder of photos")
    shut: list[OSError] = []
    if pictures is None:
        photos, _, shut = find_photos(folder)
    else:
        photos = [*pictures]
    if len(photos) < 2:
        raise UsageError(f"no two photos in {folder}", "a set is two photos or more")
    target = _target(style) if style else None
    compute = choose(device, precision)
    vgg = load_vgg16("shipped", STYLE_LAYERS).to(compute.device)
    vgg.features.to(compute.dtype)
    sources = _sources(folder, photos) if pictures is None else pictures

    yield AuditStarted(len(photos), len(sources))
    failures = [PhotoFailed(Path(error.filename), str(error.strerror)) for error in shut]
    yield from failures
    seen = []
    pairs = [(path, sources.get(path)) for path in photos]
    for pair, reading in zip(pairs, prefetch(_read, pairs, AHEAD), strict=True):
        try:
            read = reading.result()
        except ImageError as error:
            failures.append(PhotoFailed(pair[0], str(error)))
            yield failures[-1]
        else:
            seen.append(_see(pair, read, vgg))
            yield PhotoSeen(pair[0])
    if len(seen) < 2:
        raise UsageError(f"no two photos in {folder} can be read", "a set is two photos or more")
    yield from compare(seen, target, len(failures))


def compare(seen: Sequence[Seen], target: Statistics | None, failed: int = 0) -> Iterator[Event]:
    """Yield a `PhotoAudited` for each picture, farthest from the centre first, then `AuditDone`."""
    after = _distances([each.now for each in seen])
    paired = [each.before for each in seen if each.before is not None]
    known = _distances(paired) if len(paired) > 1 else []
    before = dict(zip(map(id, paired), known, strict=False))
    rows = [each.now.measures | {"distance": away} for each, away in zip(seen, after, strict=True)]
    audited = [
        PhotoAudited(
            path=each.path,
            source=each.source,
            distance=away,
            before=before.get(id(each.before)),
            style_distance=distance(each.now.statistics, target) if target else None,
            measures=each.now.measures,
            reasons=reasons,
        )
        for each, away, reasons in zip(seen, after, find_reasons(rows), strict=True)
    ]
    yield from sorted(
        audited, key=lambda photo: (bool(photo.reasons), photo.distance), reverse=True
    )
    own = [photo.style_distance for photo in audited if photo.style_distance is not None]
    yield AuditDone(
        photos=len(audited),
        failed=failed,
        spread=statistics.fmean(after),
        spread_before=statistics.fmean(before.values()) if before else None,
        style_distance=statistics.fmean(own) if own else None,
        outliers=sum(bool(photo.reasons) for photo in audited),
        deviations={
            name: statistics.pstdev(values)
            for name in MEASURES
            if (values := [row[name] for row in rows if name in row])
        },
    )


def find_reasons(rows: Sequence[Mapping[str, float]]) -> list[tuple[str, ...]]:
    """For each photo, the reasons why it does not belong to the set, worst first."""
    found: list[list[tuple[float, str]]] = [[] for _ in rows]
    for name, measure in MEASURES.items():
        values = [row[name] for row in rows if name in row]
        if len(values) < FEWEST:
            continue
        middle = statistics.median(values)
        deviation = statistics.median(abs(value - middle) for value in values)
        for reasons, row in zip(found, rows, strict=True):
            score = 0.6745 * (row.get(name, middle) - middle) / max(deviation, measure.step)
            words = measure.high if score > 0 else measure.low
            if abs(score) > FAR and words:
                text = f"{words} ({name} {row[name]:.3g}, the others {middle:.3g})"
                reasons.append((abs(score), text))
    return [tuple(text for _, text in sorted(reasons, reverse=True)) for reasons in found]


def _distances(appearances: Sequence[Appearance]) -> list[float]:
    """The distance of each from the centre of all."""
    middle = centre([appearance.statistics for appearance in appearances])
    return [distance(appearance.statistics, middle) for appearance in appearances]


def _target(style: str) -> Statistics:
    """That of a mix is the mean of its parts, as that of a style of several pictures is."""
    mixture = find_mixture(style)
    return centre([_target_of(part) for part in mixture.parts], mixture.shares)


def _target_of(part: Part) -> Statistics:
    header = part.header()
    if not header.target:
        raise UsageError(
            f"{part} has no statistics of its picture",
            "train it again, or leave out --style",
        )
    try:
        return unpack(header.target)
    except StyleFileError as error:
        raise StyleFileError(f"{part}: {error}", "train it again") from error


def _sources(folder: Path, photos: Sequence[Path]) -> dict[Path, Path]:
    """Picture -> source photo, for sources that have not changed since."""
    manifest = Manifest(folder)
    if not is_folder(manifest.folder):
        return {}
    sources = {}
    for path in photos:
        record = manifest.record(path.relative_to(folder), path)
        if record is not None and is_file(record.source):
            source = Path(record.source)
            if digest(source) == record.sha256:
                sources[path] = source
    return sources


def _read(pair: tuple[Path, Path | None]) -> tuple[Photo, Photo | None]:
    """The picture, and its source if that can be read."""
    path, source = pair
    picture = read_photo(path, LOOKED_AT, MOST_PIXELS)
    try:
        return picture, read_photo(source, LOOKED_AT, MOST_PIXELS) if source else None
    except ImageError:
        return picture, None


def _see(
    pair: tuple[Path, Path | None], read: tuple[Photo, Photo | None], vgg: VGG16Features
) -> Seen:
    """The mask comes from the source if there is one: its background has no strokes."""
    picture, source = read
    mask = product_mask(picture if source is None else source)
    before = look_at(source, vgg, mask) if source else None
    return Seen(pair[0], look_at(picture, vgg, mask), pair[1] if source else None, before)

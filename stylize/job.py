"""A brand's job: every variant of every style, then the audit, the report, one result."""

import hashlib
import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from stylize._version import __version__
from stylize.appearance import need_colours
from stylize.apply import apply
from stylize.assets import find_style
from stylize.audit import audit
from stylize.brand import REPORT_FOLDER, Brand
from stylize.events import (
    ApplyDone,
    AuditDone,
    Event,
    FileWritten,
    JobDone,
    Note,
    PhotoAudited,
    VariantPlanned,
    VariantStarted,
)
from stylize.files import digest, is_file, write_file
from stylize.header import read_header
from stylize.report import REPORT, write_report
from stylize.todo import look_over, make_ready

AUDIT = "audit.json"


def check_job(brand: Brand) -> Iterator[VariantPlanned]:
    """What the job would do, without doing anything.

    Raises:
        UsageError: a style or an input is missing, or outputs would lie among the inputs.
    """
    for name, style in brand.styles.items():
        for variant in brand.variants:
            folder = brand.folder(name, variant.name)
            plan, tasks = look_over(style, brand.inputs, folder, variant.config)
            states = Counter(str(task.state) for task in tasks)
            yield VariantPlanned(name, variant.name, folder, dict(states), plan.ignored)


def run_job(brand: Brand) -> Iterator[Event]:
    """Do what is new or has changed. Yields `VariantStarted` and the events of `apply` for each
    variant, those of `audit` for each style, `FileWritten` for reports, and `JobDone`.

    All is checked before anything is written. A job that was killed goes on where it was.

    Raises:
        UsageError: as `check_job`, or another run is writing into the outputs.
    """
    started = time.monotonic()
    if brand.limits is not None:
        need_colours()
    for _ in check_job(brand):
        pass
    counts: Counter[str] = Counter()
    broken: list[str] = []
    reports: list[Path] = []
    for name, style in brand.styles.items():
        for variant in brand.variants:
            folder = brand.folder(name, variant.name)
            yield VariantStarted(name, variant.name, folder)
            for event in apply(style, brand.inputs, folder, variant.config):
                if isinstance(event, ApplyDone):
                    for count in ("done", "current", "failed", "left"):
                        counts[count] += getattr(event, count)
                yield event
        if brand.limits is not None:
            for event in _audit(brand, name, style):
                if isinstance(event, AuditDone):
                    texts = brand.limits.broken(event.spread, event.outliers)
                    broken += [f"{name}: {text}" for text in texts]
                    counts["failed"] += event.failed
                elif isinstance(event, FileWritten):
                    reports.append(event.path)
                yield event
    yield JobDone(
        done=counts["done"],
        current=counts["current"],
        failed=counts["failed"],
        left=counts["left"],
        broken=tuple(broken),
        reports=tuple(reports),
        seconds=time.monotonic() - started,
    )


def _audit(brand: Brand, name: str, style: str) -> Iterator[Event]:
    """Of the first variant; what was found last time, if its pictures are the same as then.

    Pictures whose photos are no longer among the inputs stay where they are, and do not count.
    """
    variant = brand.variants[0]
    folder = brand.folder(name, variant.name)
    plan, _ = make_ready(style, brand.inputs, folder, variant.config)
    photos = [job.target for job in plan.jobs if is_file(job.target)]
    if len(photos) < 2:
        yield Note(f"no audit of {name}: it takes two pictures")
        return
    lines = [f"{path.relative_to(folder)} {digest(path)}\n" for path in photos]
    text = "".join([__version__, *lines])
    pictures = hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()
    kept, report = brand.output / name / AUDIT, brand.output / name / REPORT_FOLDER
    found = _read_kept(kept, pictures)
    if found is None:
        found = []
        target = style if read_header(find_style(style)).target else None
        for event in audit(folder, target, photos=photos):
            if isinstance(event, PhotoAudited | AuditDone):
                found.append(event)
            else:
                yield event
        write_file(kept, _kept(found, pictures))
        (report / REPORT).unlink(missing_ok=True)  # it tells of others
    yield from found
    if brand.report:
        if not is_file(report / REPORT):
            write_report(report, f"{brand.path.stem}: {name}", found)
        yield FileWritten("report", report / REPORT)


def _kept(found: Sequence[PhotoAudited | AuditDone], pictures: str) -> bytes:
    rows = [asdict(event) for event in found]
    return json.dumps({"pictures": pictures, "found": rows}, default=str, indent=1).encode()


def _read_kept(path: Path, pictures: str) -> list[PhotoAudited | AuditDone] | None:
    """None if there is nothing that can be read, or it is of other pictures."""
    try:
        values = json.loads(path.read_bytes())
        if values["pictures"] != pictures:
            return None
        *rows, done = values["found"]
        return [*map(_photo, rows), AuditDone(**done)]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _photo(row: dict[str, Any]) -> PhotoAudited:
    source = Path(row["source"]) if row["source"] else None
    row |= {"path": Path(row["path"]), "source": source, "reasons": tuple(row["reasons"])}
    return PhotoAudited(**row)

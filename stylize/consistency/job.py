"""A brand's job: every variant of every style, then an audit and a report for each style."""

import hashlib
import json
import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from stylize import __version__, events
from stylize.batch.apply import apply
from stylize.batch.guard import Guard
from stylize.batch.tasks import dry_run, prepare
from stylize.config import LOCAL
from stylize.consistency.audit import audit
from stylize.consistency.job_file import AUDIT, REPORT_FOLDER, Brand
from stylize.consistency.report import PICTURES, REPORT, write_report
from stylize.errors import UsageError
from stylize.files import digest, is_clip, is_file, is_folder, is_inside, open_file, write_file
from stylize.network.mixture import find_mixture

Kept = events.PhotoAudited | events.PhotoFailed | events.AuditDone  # in audit.json


def check_job(brand: Brand) -> Iterator[events.VariantPlanned]:
    """What the job would do, without doing it.

    Raises:
        UsageError: a style or an input is missing, or outputs would lie among the inputs.
    """
    read = _check(brand)
    for name, style in brand.styles.items():
        for variant in brand.variants:
            folder = brand.folder(name, variant.name)
            plan, tasks = dry_run(style, brand.inputs, folder, variant.config, read=read)
            states = Counter(str(task.state) for task in tasks)
            yield events.VariantPlanned(name, variant.name, folder, dict(states), plan.ignored)


def run_job(
    brand: Brand, engine: str = LOCAL, address: str | None = None
) -> Iterator[events.Event]:
    """Do what is new or has changed, with that engine (`ApplyConfig`). Yields `VariantStarted` and
    the events of `apply` for each variant, those of `audit` for each style, `FileWritten` for
    reports, and `JobDone`.

    Checks everything before it writes anything. A killed job continues where it stopped.

    Raises UsageError: as `check_job`, or another run is writing into the outputs.
    """
    started = time.monotonic()
    read = _check(brand)
    for name, style in brand.styles.items():
        for variant in brand.variants:
            folder = brand.folder(name, variant.name)
            prepare(style, brand.inputs, folder, variant.config, read=read)
    counts: Counter[str] = Counter()
    broken: list[str] = []
    reports: list[Path] = []
    for name, style in brand.styles.items():
        for variant in brand.variants:
            folder = brand.folder(name, variant.name)
            yield events.VariantStarted(name, variant.name, folder)
            config = replace(variant.config, engine=engine, address=address)
            for event in apply(style, brand.inputs, folder, config, read=read):
                if isinstance(event, events.ApplyDone):
                    for count in ("done", "current", "failed", "left"):
                        counts[count] += getattr(event, count)
                yield event
        if brand.limits is not None:
            for event in _audit(brand, name, style):
                if isinstance(event, events.AuditDone):
                    texts = brand.limits.broken(event.spread, event.outliers)
                    broken += [f"{name}: {text}" for text in texts]
                    counts["failed"] += event.failed
                elif isinstance(event, events.FileWritten):
                    reports.append(event.path)
                yield event
    yield events.JobDone(
        done=counts["done"],
        current=counts["current"],
        failed=counts["failed"],
        left=counts["left"],
        broken=tuple(broken),
        reports=tuple(reports),
        seconds=time.monotonic() - started,
    )


def _check(brand: Brand) -> list[Path]:
    """The job file and the style files, which no part of the job may write over.

    Raises UsageError: a style or a package for audits is missing, or a folder of the job would lie
    among what it reads, outside of its output, or where others have put files.
    """
    read = [brand.path]
    for style in brand.styles.values():
        read += find_mixture(style).files
    masks = {variant.config.masks for variant in brand.variants}
    inputs = [*brand.inputs, *(Path(folder) for folder in masks if folder)]
    guard = Guard(brand.output, filter(is_folder, inputs))
    for name in brand.styles:
        folders = [brand.folder(name, variant.name) for variant in brand.variants]
        if brand.limits is not None:
            report = brand.output / name / REPORT_FOLDER
            folders += [report, report / PICTURES]
            _check_report(report, brand.output / name / AUDIT, inputs)
        for folder in folders:
            guard.check(folder / REPORT)
    return read


def _check_report(report: Path, kept: Path, inputs: Sequence[Path]) -> None:
    for place in inputs:
        if is_inside(place, report):
            hint = "choose another output, or move it"
            raise UsageError(f"{place} lies where the job writes its report", hint)
    for place in (kept, report):
        if os.path.lexists(place) and _load_kept(kept) is None:
            hint = "move it away, or choose another output"
            raise UsageError(f"{place} is there already, and no job has written it", hint)


def _audit(brand: Brand, name: str, style: str) -> Iterator[events.Event]:
    """Audit the first variant; if its pictures are unchanged, repeat the last result.

    Clips, and pictures whose photos are no longer among the inputs, do not count.
    """
    variant = brand.variants[0]
    folder = brand.folder(name, variant.name)
    plan, _ = prepare(style, brand.inputs, folder, variant.config)
    jobs = (job for job in plan.jobs if is_file(job.target) and not is_clip(job.source))
    pictures = {Path(job.target): Path(job.source) for job in jobs}
    if len(pictures) < 2:
        yield events.Note(f"no audit of {name}: it needs two pictures")
        return
    lines = (f"{path} {digest(path)} {source}\n" for path, source in pictures.items())
    text = "".join([__version__, *lines])
    state = hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()
    kept, report = brand.output / name / AUDIT, brand.output / name / REPORT_FOLDER
    found = _read_kept(kept, state)
    if found is None:
        found = []
        known = all(part.header().target for part in find_mixture(style).parts)
        target = style if known else None
        for event in audit(folder, target, pictures=pictures):
            if isinstance(event, Kept):
                found.append(event)
            else:
                yield event
        (report / REPORT).unlink(missing_ok=True)  # first: it describes the old result
        write_file(kept, _kept(found, state))
    yield from found
    if brand.report:
        if not is_file(report / REPORT):
            yield events.Note(f"writing the report of {len(pictures)} pictures")
            write_report(report, f"{brand.path.stem}: {name}", found, folder)
        yield events.FileWritten("report", report / REPORT)


def _kept(found: Sequence[Kept], state: str) -> bytes:
    rows = [[type(event).__name__, asdict(event)] for event in found]
    return json.dumps({"state": state, "found": rows}, default=str, indent=1).encode()


def _read_kept(path: Path, state: str) -> list[Kept] | None:
    """The last result; None if there is none, or it belongs to other pictures."""
    values = _load_kept(path)
    if values is None or values["state"] != state:
        return None
    try:
        return [_event(kind, row) for kind, row in values["found"]]
    except (ValueError, KeyError, TypeError):
        return None


def _load_kept(path: Path) -> dict[str, Any] | None:
    """The content of an `audit.json`; None if no job has written it."""
    try:
        with open_file(path) as file:
            values = json.load(file)
    except (OSError, ValueError, RecursionError):
        return None
    ours = isinstance(values, dict) and values.keys() == {"state", "found"}
    return values if ours else None


def _event(kind: str, row: dict[str, Any]) -> Kept:
    """The event in a row of JSON, with its paths and tuples restored."""
    if kind == "PhotoFailed":
        return events.PhotoFailed(Path(row["source"]), row["reason"])
    if kind == "AuditDone":
        return events.AuditDone(**row)
    source = Path(row["source"]) if row["source"] else None
    row |= {"path": Path(row["path"]), "source": source, "reasons": tuple(row["reasons"])}
    return events.PhotoAudited(**row)

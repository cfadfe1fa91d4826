"""What `stylize job` reports -> terminal; as `progress`, it computes nothing."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Never

from rich.console import Console
from rich.table import Table
from rich.text import Text
from tqdm import tqdm

from stylize.cli.progress_audit import print_set
from stylize.cli.terminal import count, print_reasons, shown
from stylize.events import (
    ApplyDone,
    ApplyStarted,
    AuditDone,
    AuditStarted,
    Event,
    JobDone,
    Note,
    PhotoAudited,
    PhotoDone,
    PhotoFailed,
    PhotoSeen,
    VariantPlanned,
    VariantStarted,
)


class _Bar:
    """One for each variant and audit, while it runs."""

    def __init__(self) -> None:
        self._bar: tqdm[Never] | None = None
        self._title = ""

    def follow(self, event: Event) -> None:
        match event:
            case VariantStarted():
                self._title = f"{event.style} {event.variant}"
            case ApplyStarted():
                self._bar = tqdm(total=event.photos, unit="photo", desc=self._title, leave=False)
            case AuditStarted():
                self._bar = tqdm(total=event.photos, unit="photo", desc="audit", leave=False)
            case PhotoDone() | PhotoFailed() | PhotoSeen() if self._bar is not None:
                self._bar.update()
            case ApplyDone() | AuditDone():
                self.close()

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()


def draw_job(events: Iterable[Event], console: Console) -> Iterator[Event]:
    """A bar for each variant and audit, then one summary; passes the events on."""
    bar = _Bar()
    failures: list[PhotoFailed] = []
    warned: list[PhotoDone] = []
    audited: list[PhotoAudited] = []
    table = Table("style", "variant", "stylized", "up to date", "failed", "not begun")
    variant: VariantStarted | None = None
    try:
        for event in events:
            bar.follow(event)
            match event:
                case VariantStarted():
                    variant = event
                case Note():
                    console.print(Text(event.text, style="yellow"))
                case PhotoFailed():
                    failures.append(event)
                case PhotoDone() if event.warnings:
                    warned.append(event)
                case ApplyDone() if variant is not None:
                    numbers = (event.done, event.current, event.failed, event.left)
                    cells = (str(number) if number else "" for number in numbers)
                    table.add_row(variant.style, variant.variant, *cells)
                    if event.stopped:
                        console.print(Text(event.stopped, style="red"))
                case PhotoAudited():
                    audited.append(event)
                case AuditDone() if variant is not None:
                    console.print(Text(f"audit of {shown(variant.style)}"))
                    print_set(console, event, audited, farthest=0)
                    audited = []
                case JobDone():
                    _print_result(console, event, table, failures, warned)
            yield event
    finally:
        bar.close()


def _print_result(
    console: Console,
    done: JobDone,
    table: Table,
    failures: Sequence[PhotoFailed],
    warned: Sequence[PhotoDone],
) -> None:
    if warned:
        reasons = ((photo.target, "; ".join(photo.warnings)) for photo in warned)
        print_reasons(console, "Done, but", reasons)
    if failures:
        print_reasons(console, "Failed", ((photo.source, photo.reason) for photo in failures))
    console.print(table)
    for text in done.broken:
        console.print(Text(text, style="red"))
    for path in done.reports:
        console.print(Text(f"report: {shown(path)}"), soft_wrap=True)
    text = f"{count(done.done, 'picture')} made, {done.current} up to date, {done.failed} failed"
    text += f", {done.left} not begun" if done.left else ""
    console.print(f"{text}, in {done.seconds:.0f} s")


def print_plan(console: Console, plan: Iterable[VariantPlanned]) -> None:
    """A row for each variant of each style."""
    table = Table("style", "variant", "photos", "what would be done", "output")
    for event in plan:
        states = ", ".join(f"{number} {state}" for state, number in sorted(event.states.items()))
        table.add_row(
            event.style,
            event.variant,
            str(sum(event.states.values())),
            states,
            Text(shown(event.output), overflow="fold"),
        )
    console.print(table)


def print_next_steps(console: Console, file: Path) -> None:
    """After a job file was written."""
    name = shown(file)
    text = f"wrote {name}; edit it, then: stylize job check {name}, stylize job run {name}"
    console.print(Text(text), soft_wrap=True)

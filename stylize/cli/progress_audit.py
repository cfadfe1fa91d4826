"""What `stylize audit` reports -> terminal; as `progress`, it computes nothing."""

from collections.abc import Iterable, Iterator
from typing import Never

from rich.console import Console
from rich.table import Table
from rich.text import Text
from tqdm import tqdm

from stylize.cli.terminal import shown
from stylize.events import (
    AuditDone,
    AuditStarted,
    Event,
    LightingDone,
    LightingMeasured,
    PhotoAudited,
    PhotoFailed,
    PhotoSeen,
)

FARTHEST = 10  # photos in the table, beside all outliers


def draw_audit(events: Iterable[Event], console: Console) -> Iterator[Event]:
    """A progress bar while photos are measured, then tables; passes the events on."""
    bar: tqdm[Never] | None = None
    audited: list[PhotoAudited] = []
    try:
        for event in events:
            match event:
                case AuditStarted():
                    bar = tqdm(total=event.photos, unit="photo", desc="audit", leave=False)
                case PhotoSeen() | LightingMeasured() if bar is not None:
                    bar.update()
                case PhotoFailed() if bar is not None:
                    bar.write(f"{shown(event.source)}: {shown(event.reason)}", file=console.file)
                    bar.update()
                case PhotoAudited():
                    audited.append(event)
                case AuditDone() | LightingDone():
                    if bar is not None:
                        bar.close()
                    if isinstance(event, AuditDone):
                        print_set(console, event, audited)
                    else:
                        _print_lightings(console, event)
            yield event
    finally:
        if bar is not None:
            bar.close()


def print_set(
    console: Console, done: AuditDone, audited: list[PhotoAudited], farthest: int = FARTHEST
) -> None:
    """What does not belong, what besides is among the `farthest`, and the spread."""
    table = Table("photo", "distance", "before", "style", "why it does not belong")
    listed = [photo for photo in audited if photo.reasons]
    listed += [photo for photo in audited if not photo.reasons][: max(0, farthest - len(listed))]
    for photo in listed:
        numbers = (photo.distance, photo.before, photo.style_distance)
        cells = ("" if number is None else f"{number:.3f}" for number in numbers)
        reasons = Text("\n".join(photo.reasons), style="red")
        table.add_row(Text(shown(photo.path), overflow="fold"), *cells, reasons)
    if listed:
        console.print(table)
    summary = Table(show_header=False)
    spread = f"{done.spread:.3f}"
    if done.spread_before is not None:
        spread += f" (before: {done.spread_before:.3f})"
    summary.add_row("spread", spread)
    if done.style_distance is not None:
        summary.add_row("from the style", f"{done.style_distance:.3f}")
    summary.add_row("photos", str(done.photos))
    summary.add_row("outliers", str(done.outliers))
    if done.failed:
        summary.add_row("failed", f"[red]{done.failed}[/red]")
    console.print(summary)


def _print_lightings(console: Console, done: LightingDone) -> None:
    table = Table("light", "photos", "stylized", title="CIEDE2000", title_justify="left")
    for light, after in done.after.items():
        table.add_row(light, f"{done.before[light]:.1f}", f"{after:.1f}")
    table.add_section()
    spreads = (f"[bold]{spread:.1f}[/bold]" for spread in (done.spread_before, done.spread))
    table.add_row("[bold]all[/bold]", *spreads)
    console.print(table)

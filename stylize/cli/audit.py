"""`stylize audit`: how far a set of photos, or a style under other lights, is from one look."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from stylize import events
from stylize.cli import options, terminal
from stylize.cli.terminal import ProgressBar, print_line
from stylize.config import AUTO
from stylize.consistency.limits import AuditLimits
from stylize.errors import UsageError
from stylize.files import locate_here

EPILOG = (
    "Examples:\n\n"
    "stylize audit painted/ --style woodblock\n\n"
    "stylize audit painted/ --max-spread 0.4 --max-outliers 0 --json\n\n"
    "stylize audit photos/ --lighting woodblock"
)
FARTHEST = 10  # photos in the table, beside all outliers


@options.with_settings(AuditLimits)
def audit(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER",
            help="Photos, or the output of `stylize apply`, which is compared with its sources.",
            parser=locate_here,
        ),
    ],
    style: Annotated[
        str | None,
        typer.Option(
            help="Also measure how far the photos are from this style's picture.",
            autocompletion=options.complete_style,
        ),
    ] = None,
    lighting: Annotated[
        str | None,
        typer.Option(
            metavar="STYLE",
            help="Stylize each photo under twelve lights, and measure how much the results differ.",
            autocompletion=options.complete_style,
        ),
    ] = None,
    device: options.Device = AUTO,
    precision: options.Precision = AUTO,
    json: options.Json = False,
    **settings: Any,
) -> None:
    """Measure how far a set of photos is from one look, and name those that do not belong.

    Compares VGG-16 channel statistics, lightness and colour of product and background, the share
    of the picture that the product fills, and the scale of strokes. The spread is the mean
    distance from the centre of the set: 0 for equal pictures. Exit codes: 0 within the limits, 1
    beyond them or a photo could not be read.
    """
    from PIL import Image

    Image.MAX_IMAGE_PIXELS = None  # in this process: an audit has its own limit
    limits = AuditLimits(**settings)
    if lighting is not None:
        if style is not None or limits.max_outliers is not None:
            raise UsageError("--lighting goes with --max-spread only", "leave out the others")
        from stylize.consistency.lighting_audit import light_spread

        running = light_spread(lighting, folder, device, precision)
    else:
        from stylize.consistency.audit import audit as run

        running = run(folder, style, device, precision)
    broken: list[str] = []
    failed = 0
    with options.interruptible(running) as running:
        for event in (
            terminal.print_json(running) if json else print_progress(running, terminal.out)
        ):
            if isinstance(event, events.AuditDone | events.LightingDone):
                failed = event.failed
                outliers = event.outliers if isinstance(event, events.AuditDone) else 0
                broken = limits.broken(event.spread, outliers)
    if not json:
        for text in broken:
            print_line(terminal.out, text, "red")
    if broken or failed:
        raise typer.Exit(options.SOME_FAILED)


def print_progress(stream: Iterable[events.Event], console: Console) -> Iterator[events.Event]:
    """A progress bar while photos are measured, then tables; passes the events on."""
    audited: list[events.PhotoAudited] = []
    with ProgressBar() as bar:
        for event in stream:
            match event:
                case events.AuditStarted():
                    bar.start(event.photos, "audit")
                case events.PhotoSeen() | events.LightingMeasured():
                    bar.update()
                case events.PhotoFailed():
                    print_line(console, f"{event.source}: {event.reason}")
                    bar.update()
                case events.PhotoAudited():
                    audited.append(event)
                case events.AuditDone():
                    bar.close()
                    print_audit(console, event, audited)
                case events.LightingDone():
                    bar.close()
                    console.print(_lightings(event))
            yield event


def print_audit(
    console: Console,
    done: events.AuditDone,
    audited: Sequence[events.PhotoAudited],
    farthest: int = FARTHEST,
) -> None:
    """The outliers, filled up to `farthest` photos from the centre, then the spread."""
    listed = [photo for photo in audited if photo.reasons]
    listed += [photo for photo in audited if not photo.reasons][: max(0, farthest - len(listed))]
    table = Table("photo", "distance", "before", "style", "why it does not belong")
    for photo in listed:
        numbers = (photo.distance, photo.before, photo.style_distance)
        cells = ("" if number is None else f"{number:.3f}" for number in numbers)
        reasons = Text("\n".join(photo.reasons), style="red")
        table.add_row(terminal.path_cell(photo.path), *cells, reasons)
    if listed:
        console.print(table)
    summary = Table(show_header=False)
    before = f" (before: {done.spread_before:.3f})" if done.spread_before is not None else ""
    summary.add_row("spread", f"{done.spread:.3f}{before}")
    if done.style_distance is not None:
        summary.add_row("from the style", f"{done.style_distance:.3f}")
    summary.add_row("photos", str(done.photos))
    summary.add_row("outliers", str(done.outliers))
    if done.failed:
        summary.add_row("failed", f"[red]{done.failed}[/red]")
    console.print(summary)


def _lightings(done: events.LightingDone) -> Table:
    table = Table("light", "photos", "stylized", title="CIEDE2000", title_justify="left")
    for light, after in done.after.items():
        table.add_row(light, f"{done.before[light]:.1f}", f"{after:.1f}")
    table.add_section()
    spreads = (f"[bold]{spread:.1f}[/bold]" for spread in (done.spread_before, done.spread))
    table.add_row("[bold]all[/bold]", *spreads)
    return table

"""`stylize job`: a brand's job from one file."""

from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from stylize import events
from stylize.cli import terminal
from stylize.cli.audit import print_audit
from stylize.cli.options import SOME_FAILED, Json, interruptible
from stylize.cli.progress import print_outcome
from stylize.cli.terminal import ProgressBar, print_line
from stylize.config import LOCAL, ApplyConfig
from stylize.consistency.job_file import read_brand, write_example

app = typer.Typer(
    name="job",
    help="A brand's job: inputs, styles, sizes and limits from one file, every night.",
    epilog="Start with: stylize job new brand.toml",
    no_args_is_help=True,
)

_File = Annotated[Path, typer.Argument(metavar="FILE", help="A job file (TOML).")]


@app.command(epilog="Example:\n\nstylize job new brand.toml")
def new(file: _File) -> None:
    """Write a commented job file to start from."""
    write_example(file)
    steps = f"edit it, then: stylize job check {file}, stylize job run {file}"
    print_line(terminal.out, f"wrote {file}; {steps}")


@app.command(epilog="Example:\n\nstylize job check brand.toml")
def check(file: _File, json: Json = False) -> None:
    """Check a job file and print what a run would do. Changes nothing."""
    from stylize.consistency.job import check_job

    plan = check_job(read_brand(file))
    if json:
        deque(terminal.print_json(plan), maxlen=0)
    else:
        terminal.out.print(_plan(plan))


@app.command(
    epilog="Examples:\n\nstylize job run brand.toml\n\nstylize job run brand.toml --json\n\n"
    "stylize job run brand.toml --engine ray --address auto"
)
def run(
    file: _File,
    engine: Annotated[
        str, typer.Option(help="local (this process), or ray (workers of a Ray cluster).")
    ] = LOCAL,
    address: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT|auto",
            help="Address of the Ray cluster (default: one of this machine alone).",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Do what is new or has changed, audit the result, and write the report.

    Exit codes: 0 everything is done and within the limits, 1 not, 2 the job file is wrong.
    """
    from PIL import Image

    from stylize.consistency.job import run_job

    Image.MAX_IMAGE_PIXELS = None  # in this process: max_megapixels is the limit instead
    complete = True
    ApplyConfig(engine=engine, address=address)  # checks them before anything else
    with interruptible(run_job(read_brand(file), engine, address)) as running:
        for event in (
            terminal.print_json(running) if json else print_progress(running, terminal.out)
        ):
            if isinstance(event, events.JobDone):
                complete = event.complete
    if not complete:
        raise typer.Exit(SOME_FAILED)


def _plan(plan: Iterable[events.VariantPlanned]) -> Table:
    table = Table("style", "variant", "photos", "what would be done", "output")
    for event in plan:
        states = ", ".join(f"{number} {state}" for state, number in sorted(event.states.items()))
        photos, output = str(sum(event.states.values())), terminal.path_cell(event.output)
        table.add_row(event.style, event.variant, photos, states, output)
    return table


def print_progress(stream: Iterable[events.Event], console: Console) -> Iterator[events.Event]:
    """A bar for each variant and audit, then one summary; passes the events on."""
    failed: list[events.PhotoFailed] = []
    warned: list[events.PhotoDone] = []
    audited: list[events.PhotoAudited] = []
    table = Table("style", "variant", "stylized", "up to date", "failed", "not begun")
    variant = events.VariantStarted("", "", Path())
    with ProgressBar() as bar:
        for event in stream:
            _follow(bar, event, f"{variant.style} {variant.variant}")
            match event:
                case events.VariantStarted():
                    variant = event
                case events.Note():
                    print_line(console, event.text, "yellow")
                case events.PhotoFailed():
                    failed.append(event)
                case events.PhotoDone() if event.warnings:
                    warned.append(event)
                case events.ApplyDone():
                    numbers = (event.done, event.current, event.failed, event.left)
                    cells = (str(number) if number else "" for number in numbers)
                    table.add_row(variant.style, variant.variant, *cells)
                    if event.stopped:
                        print_line(console, event.stopped, "red")
                case events.PhotoAudited():
                    audited.append(event)
                case events.AuditDone():
                    print_line(console, f"audit of {variant.style}")
                    print_audit(console, event, audited, farthest=0)
                    audited = []
                case events.JobDone():
                    reasons = [(photo.source, photo.reason) for photo in failed]
                    warnings = [(photo.target, "; ".join(photo.warnings)) for photo in warned]
                    print_outcome(console, reasons, warnings)
                    console.print(table)
                    _print_summary(console, event)
            yield event


def _follow(bar: ProgressBar, event: events.Event, title: str) -> None:
    """One bar after the other: for each variant, then for its audit."""
    match event:
        case events.ApplyStarted():
            bar.start(event.photos, title)
        case events.AuditStarted():
            bar.start(event.photos, "audit")
        case events.PhotoDone() | events.PhotoFailed() | events.PhotoSeen():
            bar.update()
        case events.ApplyDone() | events.AuditDone():
            bar.close()


def _print_summary(console: Console, done: events.JobDone) -> None:
    for text in done.broken:
        print_line(console, text, "red")
    for path in done.reports:
        print_line(console, f"report: {path}")
    made = terminal.count(done.done, "picture")
    left = f", {done.left} not begun" if done.left else ""
    text = f"{made} made, {done.current} up to date, {done.failed} failed{left}"
    print_line(console, f"{text}, in {done.seconds:.0f} s")

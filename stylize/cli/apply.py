"""`stylize apply`: photos and folders of photos in one style."""

import os
import sys
from collections import Counter, deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from stylize import events
from stylize.cli import options, terminal
from stylize.cli.defaults import Defaults
from stylize.cli.terminal import ProgressBar, count, print_line, shown
from stylize.config import AUTO, LOOK, MACHINE, NORM_VARIABLE, RUN, ApplyConfig, Look
from stylize.errors import UsageError
from stylize.files import Location, locate
from stylize.settings import parse_size

STATE_WIDTH = len("out of date")  # unlike foreign ones, which are few

EPILOG = (
    "Examples:\n\n"
    "stylize apply woodblock photo.jpg --output painted/\n\n"
    "stylize apply woodblock photos/ --output painted/ --dry-run\n\n"
    "stylize apply woodblock photos/ --output web/ --size 2048 --format webp --strip-gps\n\n"
    "stylize apply woodblock photos/ --output painted/ --keep-background --strength 0.7\n\n"
    "stylize apply woodblock poster.tif --output painted/ --max-memory 4GB --stroke 0.5 -v\n\n"
    "find photos -name '*.jpg' -print0 | stylize apply woodblock - --output painted/\n\n"
    "stylize apply woodblock s3://bucket/photos --output s3://bucket/painted"
)


@options.with_settings(Look, ApplyConfig)
def apply(
    style: options.Style,
    inputs: Annotated[
        list[Any],
        typer.Argument(
            metavar="INPUT...",
            help="Photos and folders, also as s3:// and gs:// URLs. - reads paths from stdin.",
            parser=locate,
        ),
    ],
    output: Annotated[
        Any,
        typer.Option(
            "--output",
            "-o",
            metavar="FOLDER",
            help="Folder or URL for the results; mirrors the inputs.",
            parser=locate,
        ),
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only print what would be done.", rich_help_panel=RUN)
    ] = False,
    keep_background: Annotated[
        bool,
        typer.Option(
            "--keep-background",
            help="Stylize the product only: what is opaque, or stands out from a flat background.",
            rich_help_panel=LOOK,
        ),
    ] = False,
    cut_out: Annotated[
        bool,
        typer.Option(
            "--cut-out",
            help="Stylize the product only; the rest becomes transparent (not in JPEG and BMP).",
            rich_help_panel=LOOK,
        ),
    ] = False,
    max_memory: Annotated[
        str,
        typer.Option(
            help="Memory limit, such as 700MB or 4GB. Photos that need more are stylized in "
            "strips, with the same result. auto: half of what is free.",
            rich_help_panel=MACHINE,
        ),
    ] = AUTO,
    defaults: Defaults = None,
    norm: options.Norm = AUTO,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print failures only.")] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Print how each photo is computed.")
    ] = False,
    json: options.Json = False,
    **settings: Any,
) -> None:
    """Stylize photos and folders of photos.

    Subfolders are mirrored below the output folder, and photos keep their format. A photo that
    cannot be stylized is named at the end and never stops the others (exit code 1). Run the
    command again to do only what is new or has changed.
    """
    background = _background(
        keep=keep_background, cut_out=cut_out, masks=settings["masks"] is not None
    )
    config = ApplyConfig(
        look=Look(background=background, **Look.own(settings)),
        max_memory=None if max_memory == AUTO else parse_size(max_memory),
        **ApplyConfig.own(settings),
    )
    listed = _read_paths() if Path("-") in inputs else []
    inputs = [path for path in inputs if path != Path("-")]
    read = [defaults] if defaults is not None else []
    if dry_run:
        _print_dry_run(style, inputs, output, config, listed, read, json=json)
        return
    os.environ[NORM_VARIABLE] = norm
    # Large pages for tensors: photos of different sizes fragment the heap less.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    from PIL import Image

    from stylize.batch.apply import apply as run

    Image.MAX_IMAGE_PIXELS = None  # in this process: --max-megapixels is the limit instead

    complete = True
    with options.interruptible(run(style, inputs, output, config, listed, read)) as running:
        if json:
            stream = terminal.print_json(running)
        elif quiet:
            stream = print_failures(running, terminal.err)
        else:
            if verbose and defaults is not None:
                print_line(terminal.out, f"settings from {shown(defaults)}", "dim")
            stream = print_progress(running, terminal.out, verbose=verbose)
        for event in stream:
            if isinstance(event, events.ApplyDone):
                complete = not event.failed and not event.left
    if not complete:
        raise typer.Exit(options.SOME_FAILED)


def _background(*, keep: bool, cut_out: bool, masks: bool) -> str:
    if keep and cut_out:
        raise UsageError("--keep-background and --cut-out exclude each other", "give one of them")
    return "transparent" if cut_out else "keep" if keep or masks else "stylize"


def _read_paths() -> list[Location]:
    """Paths and URLs on stdin: one per line, or separated by NUL, as `find -print0` does."""
    text = sys.stdin.buffer.read()
    names = text.split(b"\0") if b"\0" in text else text.splitlines()
    return [locate(os.fsdecode(name)) for name in names if name]


def _print_dry_run(
    style: str,
    inputs: Sequence[Location],
    output: Location,
    config: ApplyConfig,
    listed: Sequence[Location],
    read: Sequence[Path],
    *,
    json: bool,
) -> None:
    from stylize.batch import catalog
    from stylize.batch.tasks import dry_run, uses_stores

    if uses_stores(inputs, output, config, listed):
        planned = catalog.dry_run(style, inputs, output, config, listed, read)
        if json:
            deque(terminal.print_json(planned), maxlen=0)
        else:
            _print_streamed(planned, terminal.out)
        return
    paths = [Path(place) for place in inputs]
    found = [Path(place) for place in listed]
    plan, tasks = dry_run(style, paths, Path(output), config, found, read)
    rows = [events.Planned(task.job.source, task.job.target, task.state) for task in tasks]
    if json:
        deque(terminal.print_json(rows), maxlen=0)
    else:
        print_plan(rows, plan.ignored, terminal.out)


def _print_streamed(planned: Generator[events.Event, None, int], console: Console) -> None:
    """As `print_plan`, of any number of photos."""
    counts: Counter[str] = Counter()
    try:
        while True:
            event = next(planned)
            if isinstance(event, events.Planned):
                counts[event.state] += 1
                print_line(console, _planned(event, STATE_WIDTH))
    except StopIteration as end:
        print_line(console, _counted(counts, end.value))


def _planned(event: events.Planned, width: int) -> str:
    return f"{event.state:>{width}}  {shown(event.source)} -> {shown(event.target)}"


def _counted(counts: Counter[str], ignored: int) -> str:
    parts = [f"{number} {state}" for state, number in sorted(counts.items())]
    parts += [count(ignored, "other file") + " ignored"] if ignored else []
    return f"{count(counts.total(), 'photo')}: {', '.join(parts)}"


def print_plan(plan: Sequence[events.Planned], ignored: int, console: Console) -> None:
    """Every photo with its output and the state of that, then the number of each state."""
    width = max((len(event.state) for event in plan), default=0)
    for event in plan:
        print_line(console, _planned(event, width))
    print_line(console, _counted(Counter(event.state for event in plan), ignored))


def print_failures(stream: Iterable[events.Event], console: Console) -> Iterator[events.Event]:
    """A line for each failure and for a run that stopped early; passes the events on."""
    for event in stream:
        if isinstance(event, events.PhotoFailed):
            print_line(console, f"{shown(event.source)}: {shown(event.reason)}")
        elif isinstance(event, events.ApplyDone) and event.stopped:
            print_line(console, _stopped(event))
        yield event


def print_progress(
    stream: Iterable[events.Event], console: Console, *, verbose: bool = False
) -> Iterator[events.Event]:
    """A progress bar while photos are stylized, then a table; passes the events on.

    `verbose` prints how each photo is computed.
    """
    ignored, megapixels = 0, 0.0
    failed: list[events.PhotoFailed] = []
    warned: list[events.PhotoDone] = []
    with ProgressBar() as bar:
        for event in stream:
            match event:
                case events.Backend():
                    print_line(console, terminal.backend_line(event), "dim")
                case events.PhotosListed():
                    bar.count(event.photos, "listing")
                case events.PhotosCompared():
                    bar.count(event.photos, "comparing")
                case events.ApplyStarted():
                    bar.start(event.photos, event.style)
                    ignored = event.ignored
                case events.PhotoBegun() if verbose:
                    print_line(console, _how(event))
                case events.PhotoDone():
                    megapixels += event.width * event.height * event.frames / 1e6
                    bar.show(f"{megapixels / max(bar.seconds, 1e-9):.2f} megapixels/s")
                    bar.update()
                    if event.warnings:
                        warned.append(event)
                case events.PhotoFailed():
                    failed.append(event)
                    bar.update()
                case events.ApplyDone():
                    bar.close()
                    print_outcome(console, failed, [(p.source, p.warnings) for p in warned])
                    console.print(_summary(event, ignored))
            yield event


def print_outcome(
    console: Console,
    failed: Iterable[events.PhotoFailed],
    warned: Iterable[tuple[Location, Sequence[str]]],
) -> None:
    """Tables of the photos that came with warnings, and of those that failed."""
    rows = ((path, "; ".join(warnings)) for path, warnings in warned)
    terminal.print_reasons(console, "Done, with warnings", rows)
    terminal.print_reasons(console, "Failed", ((photo.source, photo.reason) for photo in failed))


def _summary(done: events.ApplyDone, ignored: int) -> Table:
    table = Table(show_header=False)
    table.add_row("stylized", f"{count(done.done, 'photo')}, {done.megapixels:.1f} megapixels")
    if done.current:
        table.add_row("up to date", count(done.current, "photo"))
    if done.failed:
        table.add_row("failed", f"[red]{count(done.failed, 'photo')}[/red]")
    if done.failures:
        table.add_row("", terminal.path_cell(done.failures))
    if done.stopped:
        table.add_row("stopped", f"[red]{_stopped(done)}[/red]")
    if ignored:
        table.add_row("ignored", f"{count(ignored, 'other file')}")
    if done.done and done.seconds:
        speed = f"{done.done / done.seconds:.2f} photos/s, "
        speed += f"{done.megapixels / done.seconds:.2f} megapixels/s"
        table.add_row("time", f"{done.seconds:.1f} s, {speed}")
    table.add_row("output", terminal.path_cell(done.output))
    return table


def _how(event: events.PhotoBegun) -> str:
    megapixels = event.width * event.height / 1e6
    memory = f"up to {event.memory / 1e9:.1f} GB in all"
    return f"{shown(event.source)}: {megapixels:.1f} megapixels {event.way}, {memory}"


def _stopped(done: events.ApplyDone) -> str:
    return f"{done.stopped}: {count(done.left, 'photo')} not begun"

"""`stylize apply`: photos and folders of photos in one style, or in several."""

import os
import signal
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer

from stylize import events
from stylize.assets import split_styles
from stylize.cli import options, terminal
from stylize.cli.defaults import Defaults
from stylize.cli.progress import (
    print_failures,
    print_plan,
    print_progress,
    print_streamed,
    print_watch,
)
from stylize.cli.terminal import print_line, shown
from stylize.config import AUTO, LOOK, MACHINE, NORM_VARIABLE, RUN, ApplyConfig, Look
from stylize.errors import UsageError
from stylize.files import Location, locate
from stylize.settings import parse_size

ENDING = "ending: photos in work are finished (press again to stop at once) ..."
EPILOG = (
    "Examples:\n\n"
    "stylize apply woodblock photo.jpg --output painted.png\n\n"
    "stylize apply woodblock,ink photos/ --output painted/\n\n"
    "stylize apply woodblock=0.7,ink=0.3 photos/ --output painted/\n\n"
    "stylize apply woodblock photos/ --output painted/ --dry-run\n\n"
    "stylize apply woodblock photos/ --output web/ --size 2048 --format webp --strip-gps\n\n"
    "stylize apply woodblock photos/ --output painted/ --keep-background --strength 0.7\n\n"
    "stylize apply woodblock photos/ --output painted/ --watch\n\n"
    "stylize apply woodblock poster.tif --output painted/ --max-memory 4GB --stroke 0.5 -v\n\n"
    "find photos -name '*.jpg' -print0 | stylize apply woodblock - --output painted/\n\n"
    "stylize apply woodblock clip.mp4 --output painted/\n\n"
    "stylize apply woodblock s3://bucket/photos --output s3://bucket/painted"
)


@options.with_settings(Look, ApplyConfig)
def apply(
    style: Annotated[
        str,
        typer.Argument(
            metavar="STYLE[,STYLE...]",
            help="Name (see `stylize styles`) or file of a style, or several with commas between "
            "them: each gets a folder of its name below the output folder. With weights, such as "
            "woodblock=0.7,ink=0.3, they are mixed into one.",
            autocompletion=options.complete_styles,
        ),
    ],
    inputs: Annotated[
        list[Any],
        typer.Argument(
            metavar="INPUT...",
            help="Photos, clips and folders; photos also as s3:// and gs:// URLs. - reads paths "
            "from stdin.",
            parser=locate,
        ),
    ],
    output: Annotated[
        Any,
        typer.Option(
            "--output",
            "-o",
            metavar="FOLDER|FILE",
            help="Folder or URL for the results; mirrors the inputs. For a single photo or clip, "
            "also the name of the result, such as painted.png.",
            parser=locate,
        ),
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only print what would be done.", rich_help_panel=RUN)
    ] = False,
    watch: Annotated[
        bool,
        typer.Option(
            "--watch",
            help="Go on with photos that come or change, until Ctrl-C or SIGTERM.",
            rich_help_panel=RUN,
        ),
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
    """Stylize photos, clips and folders of them.

    Subfolders are mirrored below the output folder, and photos keep their format. A photo that
    cannot be stylized is named at the end and never stops the others (exit code 1). Run the
    command again to do only what is new or has changed; --watch does so by itself.
    """
    background = _background(
        keep=keep_background, cut_out=cut_out, masks=settings["masks"] is not None
    )
    config = ApplyConfig(
        look=Look(background=background, **Look.own(settings)),
        max_memory=None if max_memory == AUTO else parse_size(max_memory),
        **ApplyConfig.own(settings),
    )
    if watch:
        _refuse_with_watch(inputs, dry_run=dry_run)
    listed = _read_paths() if Path("-") in inputs else []
    inputs = [path for path in inputs if path != Path("-")]
    read = [defaults] if defaults is not None else []
    styles = split_styles(style)
    if dry_run:
        _print_dry_run(styles, inputs, output, config, listed, read, json=json)
        return
    os.environ[NORM_VARIABLE] = norm
    # Large pages for tensors: photos of different sizes fragment the heap less.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    from PIL import Image

    from stylize.batch.apply import apply_styles
    from stylize.batch.watch import watch as watch_folders

    Image.MAX_IMAGE_PIXELS = None  # in this process: --max-megapixels is the limit instead

    def printed(stream: Iterator[events.Event]) -> Iterator[events.Event]:
        if json:
            return terminal.print_json(stream)
        if quiet:
            return print_failures(stream, terminal.err)
        if verbose and defaults is not None:
            print_line(terminal.out, f"settings from {shown(defaults)}", "dim")
        show = print_watch if watch else print_progress
        return show(stream, terminal.out, verbose=verbose)

    # The last word on each output: a watch says more than one.
    done: dict[Location, bool] = {}
    with ExitStack() as stack:
        if watch:
            ends = (signal.SIGINT, signal.SIGTERM)
            stop = stack.enter_context(options.stop_signals(ENDING, *ends))
            stream = watch_folders(styles, inputs, output, config, stop, read)
        else:
            painting = apply_styles(styles, inputs, output, config, listed, read)
            stream = stack.enter_context(options.interruptible(painting))
        for event in printed(stream):
            if isinstance(event, events.ApplyDone):
                done[event.output] = not (event.failed or event.left)
    if not all(done.values()):
        raise typer.Exit(options.SOME_FAILED)


def _refuse_with_watch(inputs: Sequence[Location], *, dry_run: bool) -> None:
    if dry_run:
        raise UsageError("--dry-run and --watch exclude each other", "give one of them")
    if Path("-") in inputs:
        raise UsageError("a list on stdin cannot be watched", "--watch needs folders as inputs")


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
    styles: Sequence[str],
    inputs: Sequence[Location],
    output: Location,
    config: ApplyConfig,
    listed: Sequence[Location],
    read: Sequence[Path],
    *,
    json: bool,
) -> None:
    from stylize.batch import catalog
    from stylize.batch.plan import style_folders
    from stylize.batch.tasks import dry_run, uses_stores

    for style, folder in style_folders(styles, output):
        if uses_stores(inputs, folder, config, listed):
            planned = catalog.dry_run(style, inputs, folder, config, listed, read)
            if json:
                deque(terminal.print_json(planned), maxlen=0)
            else:
                print_streamed(planned, terminal.out)
            continue
        paths, others = ([Path(place) for place in places] for places in (inputs, listed))
        plan, tasks = dry_run(style, paths, Path(folder), config, others, read)
        rows = [events.Planned(task.job.source, task.job.target, task.state) for task in tasks]
        if json:
            deque(terminal.print_json(rows), maxlen=0)
        else:
            print_plan(rows, plan.ignored, terminal.out)

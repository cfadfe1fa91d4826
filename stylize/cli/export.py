"""`stylize export`: a style as files for other runtimes."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

import typer

from stylize.cli import options, terminal
from stylize.cli.terminal import out, print_line
from stylize.events import Event, FileWritten, PartChecked

EPILOG = (
    "Examples:\n\n"
    "stylize export woodblock\n\n"
    "stylize export styles/mine.safetensors --format pt2 --output app/models/"
)


def export(
    style: options.Style,
    kind: Annotated[
        str, typer.Option("--format", help="onnx, or pt2 (an exported program of PyTorch).")
    ] = "onnx",
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the files.")] = Path(
        "exported"
    ),
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files that are there already.")
    ] = False,
    json: options.Json = False,
) -> None:
    """Write a style for other runtimes: any batch, height and width, pixels from 0 to 1.

    A style that drafts becomes three files: docs/export.md shows how to run them. Styles of one
    pass become one. Each file is run and compared with the style before anything is written.
    """
    from stylize.export.export import export as run

    with options.interruptible(run(style, output, kind, overwrite=overwrite)) as running:
        for _ in terminal.print_json(running) if json else _print_progress(running):
            pass


def _print_progress(stream: Iterable[Event]) -> Iterator[Event]:
    """A line for each part and each file; passes the events on."""
    for event in stream:
        match event:
            case PartChecked():
                what = event.part or "network"
                print_line(out, f"{what} checked: off by {event.difference:.3f} of 255 grey levels")
            case FileWritten():
                print_line(out, f"wrote {event.path}")
        yield event

"""`stylize styles`: list them, show one, draw all on a photo. `stylize verify`: check them."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text
from tqdm import tqdm

from stylize.assets import shipped, style_files
from stylize.cli import options, terminal
from stylize.cli.terminal import out, print_line, shown
from stylize.config import AUTO
from stylize.errors import StyleFileError, UsageError
from stylize.events import Backend, Event, FileWritten, Note, StyleDrawn, StyleVerified
from stylize.network.mixture import Mixture, find_mixture, mix_headers, singles
from stylize.network.style_card import card
from stylize.network.style_header import StyleHeader, read_header

EPILOG = (
    "Examples:\n\n"
    "stylize styles\n\n"
    "stylize styles woodblock\n\n"
    "stylize styles --sheet photo.jpg --output sheet.png"
)
VERIFY_EPILOG = "Examples:\n\nstylize verify\n\nstylize verify woodblock --device cuda --json"

NAME_WIDTH = 16  # characters


def styles(
    name: Annotated[
        str | None,
        typer.Argument(
            help="Show the card of this style or mix.", autocompletion=options.complete_style
        ),
    ] = None,
    names: Annotated[bool, typer.Option("--names", help="Print names only, one per line.")] = False,
    sheet: Annotated[
        Path | None, typer.Option(metavar="PHOTO", help="Draw all styles, or NAME, on one photo.")
    ] = None,
    output: Annotated[Path, typer.Option(help="File for the sheet.")] = Path("sheet.png"),
    device: options.Device = AUTO,
    precision: options.Precision = AUTO,
) -> None:
    """List the styles: shipped ones, and your own in ./styles."""
    if sheet is not None:
        _draw_sheet(sheet, name, output, device, precision)
    elif name is not None:
        mixture = find_mixture(name)
        out.print(_card(mix_headers(mixture), mixture))
    elif names:
        for known in style_files():
            print(shown(known))
    else:
        out.print(_list(style_files()))


def _draw_sheet(photo: Path, name: str | None, output: Path, device: str, precision: str) -> None:
    from stylize.batch.contact_sheet import draw_sheet

    wanted = {single: single for single in singles([name] if name else style_files())}
    left_out = False
    drawing = draw_sheet(photo, wanted, output, device, precision)
    with (
        options.interruptible(drawing) as stream,
        tqdm(total=len(wanted), unit="style", leave=False, file=terminal.err.file) as bar,
    ):
        for event in stream:
            match event:
                case Backend():
                    print_line(out, terminal.backend_line(event))
                case StyleDrawn():
                    bar.update()
                case Note():
                    print_line(out, event.text)
                    left_out = True
                case FileWritten():
                    print_line(out, f"The sheet is in {event.path}")
    if left_out:
        raise typer.Exit(options.SOME_FAILED)


def _list(files: dict[str, Path]) -> Table:
    # A name is there to be copied: unless it is very long, it stays on one line.
    width = min(NAME_WIDTH, max((len(name) for name in files), default=0))
    table = Table(Column("style", min_width=width), "picture", "author", "licence", "size", "place")
    for name, path in files.items():
        place = "shipped" if path.parent == shipped("models") else str(path)
        try:
            header = read_header(path)
        except StyleFileError as error:
            cells = [name, f"unreadable: {error}", "", "", "", place]
        else:
            size = f"{path.stat().st_size / 1e6:.1f} MB"
            cells = [name, *_origin(header), size, place]
        table.add_row(*(terminal.path_cell(cell) for cell in cells))
    return table


def _origin(header: StyleHeader) -> tuple[str, str, str]:
    """Title, author and licence of the picture; of a set, what it holds."""
    if header.members:
        return f"a set of {len(header.members)}: {', '.join(header.members)}", "", ""
    picture = header.pictures[0]
    return picture.title, picture.author, picture.licence


def _card(header: StyleHeader, mixture: Mixture) -> Table:
    """All that a style's file says of it, or the files of a mix say together."""
    table = Table(show_header=False)
    for name, text in (("style", header.name), ("file", shown(str(mixture))), *card(header)):
        table.add_row(name, Text(text, overflow="fold"))
    return table


def verify(
    styles: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[STYLE]...",
            help="Names or files (default: all styles).",
            autocompletion=options.complete_style,
        ),
    ] = None,
    device: options.Device = AUTO,
    precision: options.Precision = AUTO,
    json: options.Json = False,
) -> None:
    """Check that styles still paint what they painted when they were trained.

    Paints the shipped photo again and compares the picture with the one in the style's file. Use
    it after an update, or on another machine or device. Exit code 1 if a style has changed.
    """
    from stylize.training.verify import verify as run

    with options.interruptible(run(styles or (), device, precision)) as events:
        printed = terminal.print_json(events) if json else _print_verified(events, out)
        found = [event for event in printed if isinstance(event, StyleVerified)]
    if not found:
        raise UsageError("there is no style", "`stylize train` makes one")
    if not all(event.same for event in found):
        raise typer.Exit(options.SOME_FAILED)


def _print_verified(events: Iterable[Event], console: Console) -> Iterator[Event]:
    """A row for each style; passes the events on."""
    table = Table("style", "largest difference", "mean", "", title="grey levels of 255")
    for event in events:
        match event:
            case Backend():
                print_line(console, terminal.backend_line(event), "dim")
            case StyleVerified():
                measured = event.largest is not None
                numbers = (f"{event.largest}", f"{event.mean:.3f}") if measured else ("", "")
                verdict = "unchanged" if event.same else event.reason
                table.add_row(*map(terminal.path_cell, (event.name, *numbers, verdict)))
        yield event
    if table.row_count:
        console.print(table)

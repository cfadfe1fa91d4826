"""`stylize styles`: which there are, what one is like, all on one photo; `stylize verify`."""

from pathlib import Path
from typing import Annotated

import typer

from stylize.assets import find_style, shipped, style_files
from stylize.cli import progress_styles, terminal
from stylize.cli.common import (
    SOME_FAILED,
    Device,
    Json,
    Precision,
    complete_style,
    interruptible,
    out,
)
from stylize.errors import StyleFileError, UsageError
from stylize.events import Note, StyleVerified
from stylize.network.style_header import read_header

EPILOG = (
    "Examples:\n\n"
    "stylize styles\n\n"
    "stylize styles woodblock\n\n"
    "stylize styles --sheet photo.jpg --output sheet.png"
)
VERIFY_EPILOG = "Examples:\n\nstylize verify\n\nstylize verify woodblock --device cuda --json"


def styles(
    name: Annotated[
        str | None,
        typer.Argument(help="Say all that is known of this one.", autocompletion=complete_style),
    ] = None,
    names: Annotated[bool, typer.Option("--names", help="Print names only, one a line.")] = False,
    sheet: Annotated[
        Path | None, typer.Option(metavar="PHOTO", help="Draw all of them, or NAME, on one photo.")
    ] = None,
    output: Annotated[Path, typer.Option(help="Where the sheet goes.")] = Path("sheet.png"),
    device: Device = "auto",
    precision: Precision = "auto",
) -> None:
    """List the styles there are: shipped ones, and your own in ./styles."""
    if sheet is not None:
        _draw_sheet(sheet, name, output, device, precision)
    elif name is not None:
        path = find_style(name)
        progress_styles.print_card(out, read_header(path), path)
    elif names:
        for known in style_files():
            print(terminal.shown(known))
    else:
        progress_styles.print_styles(out, map(_row, style_files().items()))


def _draw_sheet(photo: Path, name: str | None, output: Path, device: str, precision: str) -> None:
    from stylize.batch.contact_sheet import draw_sheet

    wanted = style_files() if name is None else {name: find_style(name)}
    with interruptible():
        events = draw_sheet(photo, wanted, output, device, precision)
        drawn = [*progress_styles.draw_sheet(events, out, len(wanted))]
    if any(isinstance(event, Note) for event in drawn):
        raise typer.Exit(SOME_FAILED)


def _row(style: tuple[str, Path]) -> tuple[str, ...]:
    name, path = terminal.shown(style[0]), style[1]
    place = "shipped" if path.parent == shipped("models") else terminal.shown(path)
    try:
        picture = read_header(path).pictures[0]
    except StyleFileError as error:
        return name, f"unreadable: {terminal.shown(str(error))}", "", "", "", place
    size = f"{path.stat().st_size / 1e6:.1f} MB"
    return name, picture.title, picture.author, picture.licence, size, place


def verify(
    styles: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[STYLE]...",
            help="Names or files; without, all.",
            autocompletion=complete_style,
        ),
    ] = None,
    device: Device = "auto",
    precision: Precision = "auto",
    json: Json = False,
) -> None:
    """Check that styles still paint what they painted when they were trained.

    Each paints the shipped photo anew, and the picture is compared with the one in its file: by
    another version of stylize, on another machine or device. Exit code 1 if one has changed.
    """
    from stylize.training.verify import verify as check

    with interruptible():
        events = check(styles or (), device, precision)
        events = terminal.print_json(events) if json else progress_styles.draw_verify(events, out)
        found = [event for event in events if isinstance(event, StyleVerified)]
    if not found:
        raise UsageError("there is no style", "`stylize train` makes one")
    if not all(event.same for event in found):
        raise typer.Exit(SOME_FAILED)

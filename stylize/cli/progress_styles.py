"""What `stylize styles` and `verify` report -> terminal; as `progress`, it computes nothing."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text
from tqdm import tqdm

from stylize.cli.terminal import backend_line, shown
from stylize.config import TrainConfig
from stylize.events import Backend, Event, FileWritten, Note, StyleDrawn, StyleVerified
from stylize.network.style_header import StyleHeader, printable

RECIPE = (
    *("style_size", "content_weight", "style_weight", "tone_weight", "even_weight", "tv_weight"),
    *("size", "lighting", "lr", "seed"),
)

NAME_WIDTH = 16  # characters


def print_styles(console: Console, rows: Iterable[tuple[str, ...]]) -> None:
    """A table of styles: name, title, author, licence, size, place."""
    rows = list(rows)
    # A name is there to be copied: unless it is very long, it stays in one piece.
    width = min(NAME_WIDTH, max((len(name) for name, *_ in rows), default=0))
    table = Table(Column("style", min_width=width), "picture", "author", "licence", "size", "place")
    for row in rows:
        table.add_row(*(Text(cell, overflow="fold") for cell in row))
    console.print(table)


def print_card(console: Console, header: StyleHeader, path: Path) -> None:
    """All that a style says of itself."""
    training, table = header.training, Table(show_header=False)
    rows = [("style", header.name), ("file", shown(path)), ("licence", header.licence)]
    for picture in header.pictures:
        parts = (picture.title, picture.author, picture.year, picture.licence)
        rows.append(("picture", ", ".join(part for part in parts if part) or "not said"))
    start = training.base or "random weights"
    rows += [
        ("steps", f"{training.steps} of {training.batch_size} photos, from {printable(start)}"),
        ("recipe", _recipe(training)),
        ("working scale", f"{header.working_size} px on the short side, as in training"),
        *((name, f"{value:.3g}") for name, value in header.figures.items()),
        ("made by", f"stylize {header.package_version}"),
    ]
    for name, text in rows:
        table.add_row(name, Text(text, overflow="fold"))
    console.print(table)


def _recipe(training: TrainConfig) -> str:
    """What was set for this style, as options of `stylize train`."""
    usual = TrainConfig()
    changed = [
        f"--{name.replace('_', '-')} {getattr(training, name):g}"
        for name in RECIPE
        if getattr(training, name) != getattr(usual, name)
    ]
    changed += [f"--layer-weight {key}={value:g}" for key, value in training.layer_weights.items()]
    return " ".join(changed) or "the defaults"


def draw_sheet(events: Iterable[Event], console: Console, styles: int) -> Iterator[Event]:
    """A progress bar, then where the sheet is; passes the events on."""
    with tqdm(total=styles, unit="style", leave=False) as bar:
        for event in events:
            match event:
                case Backend():
                    bar.write(backend_line(event), file=console.file)
                case StyleDrawn():
                    bar.update()
                case Note():
                    bar.write(shown(event.text), file=console.file)
                case FileWritten():
                    bar.write(f"The sheet is in {shown(event.path)}", file=console.file)
            yield event


def draw_verify(events: Iterable[Event], console: Console) -> Iterator[Event]:
    """A row a style; passes the events on."""
    table = Table("style", "largest difference", "mean", "", title="grey levels of 255")
    for event in events:
        match event:
            case Backend():
                console.print(backend_line(event), style="dim")
            case StyleVerified():
                numbers = ("", "")
                if event.largest is not None:
                    numbers = (f"{event.largest}", f"{event.mean:.3f}")
                verdict = "as it was" if event.same else shown(event.reason)
                cells = (shown(event.name), *numbers, verdict)
                table.add_row(*(Text(cell, overflow="fold") for cell in cells))
        yield event
    if table.row_count:
        console.print(table)

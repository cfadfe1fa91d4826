"""What all commands print: errors, JSON, tables of photos and reasons. Imports no torch.

Names and texts from files never steer a terminal: whatever is printed, control characters in it are
written out, here and in no other place.
"""

import json
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Never, Self, TextIO

import rich.console
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text
from tqdm import tqdm

from stylize.errors import visible
from stylize.events import Backend, Event
from stylize.files import Location

# Of the processes that torchrun starts, the first one prints.
FIRST = "TORCHELASTIC_RUN_ID" not in os.environ or os.environ.get("RANK", "0") == "0"


class Screen(Console):
    """A console whose only control characters are its own, for colours and the like."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            text = segment.text if segment.control else visible(segment.text, keep="\n")
            yield segment._replace(text=text)


out = Screen()
err = Screen(stderr=True)


class _Stream:
    """A stream for all that is printed past the screens: tracebacks, log lines, warnings."""

    def __init__(self, stream: TextIO) -> None:
        self.rich_proxied_file = stream  # by this name, consoles find it

    def write(self, text: str) -> int:
        return self.rich_proxied_file.write(visible(text, keep="\n\t"))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.rich_proxied_file, name)


def guard_streams() -> None:
    """From now on, nothing that this process prints steers the terminal."""
    sys.stdout, sys.stderr = _Stream(sys.stdout), _Stream(sys.stderr)
    # Typer, which makes its own to print help, imports the class when it needs it.
    rich.console.Console = Screen  # type: ignore[misc]


def print_json(events: Iterable[Event]) -> Iterator[Event]:
    """Print each event as one line of JSON, and pass it on."""
    for event in events:
        line = {"event": type(event).__name__, **asdict(event)}
        print(json.dumps(line, default=str), flush=True)
        yield event


def print_error(message: str, hint: str, console: Console = err) -> None:
    """One line for what is wrong, and one for what to do about it."""
    console.print(Text.assemble(("error: ", "bold red"), shown(message)), soft_wrap=True)
    if hint:
        console.print(Text.assemble(("hint: ", "cyan"), shown(hint)), soft_wrap=True)


def print_line(console: Console, text: str, style: str = "") -> None:
    """One line above all progress bars, however long; brackets in it are no markup."""
    with tqdm.external_write_mode(err.file):
        console.print(Text(shown(text), style=style), soft_wrap=True)


def print_reasons(console: Console, title: str, rows: Iterable[tuple[Location, str]]) -> None:
    """A table of photos with the reason for each; nothing if there are none."""
    table = Table("photo", "why", title=title, title_justify="left")
    for path, reason in rows:
        table.add_row(path_cell(path), Text(shown(reason)))
    if table.row_count:
        console.print(table)


class ProgressBar:
    """Counts photos, from `start` to `close`; leaves no trace on the terminal."""

    def __init__(self) -> None:
        self._bar: tqdm[Never] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def count(self, photos: int, title: str) -> None:
        """Before `start`, where no total is known: so many photos so far."""
        if self._bar is None:
            self._bar = tqdm(unit="photo", leave=False, file=err.file)
        self._bar.set_description(title, refresh=False)
        self._bar.n = photos
        self._bar.refresh()

    def start(self, photos: int, title: str, unit: str = "photo") -> None:
        self.close()
        self._bar = tqdm(total=photos, unit=unit, desc=shown(title), leave=False, file=err.file)

    def update(self, photos: int = 1) -> None:
        """So many more photos are done."""
        if self._bar is not None:
            self._bar.update(photos)

    def show(self, note: str) -> None:
        """Put a note behind the bar."""
        if self._bar is not None:
            self._bar.set_postfix_str(note, refresh=False)

    @property
    def seconds(self) -> float:
        """Since the start."""
        return 0.0 if self._bar is None else float(self._bar.format_dict["elapsed"])

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def backend_line(event: Backend) -> str:
    """The device, precision and norm backend in words."""
    where = f"device {event.device} ({event.detail})"
    return f"{where}, precision {event.precision}, instance norm by {event.norm}"


def count(number: int, thing: str) -> str:
    """Such as 1 photo, 2 photos."""
    return f"{number} {thing}" + ("" if number == 1 else "s")


def path_cell(path: Path | str) -> Text:
    """A path for a cell of a table: folded, never cut."""
    return Text(shown(path), overflow="fold")


def shown(path: Path | str) -> str:
    """A path, or text that holds one, in one line that any terminal can print."""
    return visible(str(path))

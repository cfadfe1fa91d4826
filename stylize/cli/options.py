"""What the commands share: exit codes, options, completion of style names, Ctrl-C."""

import inspect
import os
import signal
import sys
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import fields
from types import FrameType
from typing import Annotated, Any, cast

import typer

from stylize.assets import BASE, SCRATCH, style_files
from stylize.cli import terminal
from stylize.config import DEVICE_HELP, NORM_VARIABLE, PRECISION_HELP
from stylize.events import Event
from stylize.settings import Settings

SOME_FAILED = 1
WRONG_USAGE = 2
INTERRUPTED = 130

SHOW_CURSOR = b"\x1b[?25h"

Device = Annotated[str, typer.Option(help=DEVICE_HELP)]
Precision = Annotated[str, typer.Option(help=PRECISION_HELP)]
Norm = Annotated[
    str,
    typer.Option(
        envvar=NORM_VARIABLE,
        help="What computes instance norm: auto, torch, or triton (GPU kernels).",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print events as JSON, one per line.")]


def with_settings(*kinds: type[Settings]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command an option for every setting of `kinds` that has a help text.

    The command receives their values as keyword arguments, in its `**settings`.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(command)
        own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
        added = [
            inspect.Parameter(
                each.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=each.default,
                annotation=Annotated[each.type, _option(each.name, each.default, each.metadata)],
            )
            for kind in kinds
            for each in fields(kind)  # type: ignore[arg-type]
            if each.metadata.get("text")
        ]
        command.__signature__ = signature.replace(parameters=[*own, *added])  # type: ignore[attr-defined]
        command.__annotations__ |= {parameter.name: parameter.annotation for parameter in added}
        return command

    return decorate


def _option(name: str, default: Any, rule: Any) -> Any:
    # What is off by default needs no --no-... option.
    words = [f"--{name.replace('_', '-')}"] if default is False else []
    heading = rule["heading"] or None
    return typer.Option(*words, help=rule["text"], metavar=rule["metavar"], rich_help_panel=heading)


def complete_style(incomplete: str) -> list[str]:
    """Names that a shell offers for a style (`stylize --install-completion`)."""
    return [name for name in style_files() if name.startswith(incomplete)]


def complete_styles(incomplete: str) -> list[str]:
    """As `complete_style`, for the last of several with commas between them."""
    before, comma, last = incomplete.rpartition(",")
    return [before + comma + name for name in complete_style(last)]


Style = Annotated[
    str,
    typer.Argument(
        metavar="STYLE",
        help="Name (see `stylize styles`) or file of a style.",
        autocompletion=complete_style,
    ),
]


def complete_start(incomplete: str) -> list[str]:
    """Names that a shell offers for what training starts from."""
    return [name for name in (BASE, SCRATCH, *style_files()) if name.startswith(incomplete)]


@contextmanager
def interruptible(stream: Iterator[Event]) -> Iterator[Iterator[Event]]:
    """The events of `stream`. The first Ctrl-C closes it after its next event and ends the command
    with its own exit code; the second ends the process at once.

    By default, Python raises KeyboardInterrupt at any instruction. That could leave a lock of a
    thread pool closed for ever, and the command would hang instead of ending.
    """
    with (
        stop_signals("stopping (press again to stop at once) ...", signal.SIGINT) as stop,
        closing(cast("Generator[Event, None, None]", stream)),
    ):

        def events() -> Iterator[Event]:
            for event in stream:
                yield event
                if stop.is_set():
                    raise KeyboardInterrupt

        try:
            yield events()
        except KeyboardInterrupt:
            terminal.print_error("interrupted", "every file that was written is whole")
            raise typer.Exit(INTERRUPTED) from None


@contextmanager
def stop_signals(text: str, *numbers: signal.Signals) -> Iterator[threading.Event]:
    """An event that the first of these signals sets, and prints `text`; the second ends the process
    at once. A signal that is ignored stays so, as for what nohup starts."""
    stop = threading.Event()
    usual = (signal.SIG_DFL, signal.default_int_handler)
    before = {number: signal.getsignal(number) for number in numbers}
    ours = [number for number, handler in before.items() if handler in usual]

    def on_signal(number: int, frame: FrameType | None) -> None:
        for each in ours:
            signal.signal(each, signal.SIG_DFL)
        stop.set()
        if sys.stdout.isatty():
            os.write(1, SHOW_CURSOR)  # a live display has hidden it
        # Not by `print`, which the signal may have interrupted.
        os.write(2, f"\n{text}\n".encode())

    for number in ours:
        signal.signal(number, on_signal)
    try:
        yield stop
    finally:
        for number in ours:
            signal.signal(number, before[number])

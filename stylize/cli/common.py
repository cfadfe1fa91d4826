"""What the commands share: exit codes, consoles, options, Ctrl-C."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.console import Console

from stylize.assets import BASE, SCRATCH, style_files
from stylize.cli import terminal
from stylize.config import NORM_VARIABLE

SOME_FAILED = 1
WRONG_USAGE = 2
INTERRUPTED = 130

# Of the processes that torchrun starts, the first one speaks.
FIRST = "TORCHELASTIC_RUN_ID" not in os.environ or os.environ.get("RANK", "0") == "0"

out = Console()
err = Console(stderr=True)

Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
Precision = Annotated[str, typer.Option(help="auto, fp32 or bf16 (auto: bf16 where it is fast).")]
Norm = Annotated[
    str,
    typer.Option(
        envvar=NORM_VARIABLE,
        help="Instance norm by: auto, torch, or triton (kernels for a GPU).",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print events as JSON, one a line.")]


def complete_style(incomplete: str) -> list[str]:
    """What the shell offers where a style is wanted (`stylize --install-completion`)."""
    return [name for name in style_files() if name.startswith(incomplete)]


def complete_start(incomplete: str) -> list[str]:
    """The same for what a training starts from."""
    return [name for name in (BASE, SCRATCH, *style_files()) if name.startswith(incomplete)]


@contextmanager
def interruptible() -> Iterator[None]:
    """Ends the command with its own exit code on Ctrl-C."""
    try:
        yield
    except KeyboardInterrupt:
        terminal.print_error(err, "interrupted", "every file that was written is whole")
        raise typer.Exit(INTERRUPTED) from None

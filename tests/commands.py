"""The `stylize` command in a process of its own, and what it prints of events."""

import io
import os
import subprocess
import sys
from pathlib import Path

from rich.console import Console

STYLIZE = (sys.executable, "-m", "stylize")


def stylize(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*STYLIZE, *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        check=False,
        env={**os.environ, "COLUMNS": "200", "NO_COLOR": "1"},
    )


def fails(result: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    """The run ended with `code`, saying `words`, in one error line and no traceback."""
    assert result.returncode == code, result.stderr
    assert "Traceback" not in result.stderr
    for word in words:
        assert word in result.stderr
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1


PATH = Path("some") / "[odd] name.jpg"


def printed(show, events, terminal: bool) -> str:
    """What `show` prints of `events`, which it passes on."""
    console = Console(file=io.StringIO(), force_terminal=terminal, width=100)
    assert list(show(events, console)) == events
    return console.file.getvalue()

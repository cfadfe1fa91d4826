"""What is printed, whatever names and texts hold: a terminal is never steered by them."""

import io
import json
import os
import pty
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from commands import STYLIZE, stylize
from conftest import draw_picture
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from stylize.cli.progress import print_failures, print_progress
from stylize.cli.terminal import ProgressBar, Screen, print_error, print_line, print_reasons
from stylize.errors import visible
from stylize.events import ApplyDone, ApplyStarted, PhotoBegun, PhotoDone, PhotoFailed
from stylize.network.style_file import load_network, save_style

HOSTILE = "a\x1b]0;owned\x07\x1b[2J\x1b[8m\x9b31m\r\x08\u202egpj\u2066\u2028b"
# Rich and tqdm colour lines, move the cursor by lines, erase them, and hide it.
OWN = re.compile(r"\x1b\[(?:\d*(?:;\d+)*m|\d*[AKG]|\?25[lh])")
OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def test_an_error_is_two_plain_lines():
    console = Console(file=io.StringIO(), width=40)
    print_error("[wrong] " + "x" * 100, "do [this]", console)
    lines = console.file.getvalue().splitlines()
    assert lines == ["error: [wrong] " + "x" * 100, "hint: do [this]"]


def test_what_would_be_obeyed_is_written_out():
    assert visible("a\x1b[2J\x07\x9b\n\u202e\u2028") == r"a\x1b[2J\x07\x9b\n\u202e\u2028"
    assert visible(os.fsdecode(b"caf\xe9")) == r"caf\udce9"
    assert visible("a\tb\nc\r", keep="\t\n") == "a\tb\nc\\r"
    same = "wood\u00e9 \u65e5\u672c \U0001f469\u200d\U0001f3a8 \\x1b \u0627\u0644"
    assert visible(same) == same


@given(st.text())
def test_it_holds_for_any_text(text):
    shown = visible(text)
    shown.encode()  # whatever the surrogates
    assert not OBEYED.search(shown)
    assert "\n" not in shown
    assert visible(shown) == shown


def everything(console):
    """All ways to print, with hostile texts in all places."""
    print_error(HOSTILE, HOSTILE, console)
    print_line(console, HOSTILE, "red")
    print_reasons(console, HOSTILE, [(Path(HOSTILE), HOSTILE)])
    console.print(HOSTILE, Text(HOSTILE), Panel(HOSTILE, title=HOSTILE))
    table = Table(HOSTILE, title=HOSTILE, caption=HOSTILE)
    table.add_row(Text(HOSTILE))
    console.print(table)
    path = Path(HOSTILE)
    stream = [
        ApplyStarted(HOSTILE, 2, 0, 0),
        PhotoBegun(path, 8, 8, HOSTILE, 1),
        PhotoDone(path, path, 8, 8, 1, 0.1, (HOSTILE,)),
        PhotoFailed(path, HOSTILE),
        ApplyDone(1, 1, 0, 1, 0.1, 1.0, path, path, HOSTILE),
    ]
    list(print_progress(stream, console, verbose=True))
    list(print_failures(stream, console))


@pytest.mark.parametrize("terminal", [False, True])
def test_no_text_steers_a_terminal(capfd, terminal):
    console = Screen(file=io.StringIO(), width=100, force_terminal=terminal)
    everything(console)
    printed = console.file.getvalue()
    assert "owned" in printed
    assert not OBEYED.search(OWN.sub("", printed) if terminal else printed)
    bars = capfd.readouterr().err
    assert "owned" in bars
    assert not OBEYED.search(OWN.sub("", bars).replace("\r", ""))


def on_a_terminal(*words: str, cwd: Path) -> str:
    """What the command prints on a terminal, both streams."""
    ours, theirs = pty.openpty()
    found = bytearray()

    def read() -> None:
        try:
            while part := os.read(ours, 4096):
                found.extend(part)
        except OSError:  # it is closed
            pass

    reader = threading.Thread(target=read)
    reader.start()
    environment = {**os.environ, "COLUMNS": "100", "TERM": "xterm-256color"}
    environment.pop("NO_COLOR", None)
    subprocess.run(
        words, cwd=cwd, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, check=False
    )
    os.close(theirs)
    reader.join()
    os.close(ours)
    return found.decode(errors="replace")


def steered(text: str) -> bool:
    """Whether anything but what rich and tqdm write for themselves reaches the terminal."""
    return bool(OBEYED.search(OWN.sub("", text).replace("\r", "")))


NAME = "a\x1b]0;owned\x07\x1b[2J\u202eb"
TRACEBACK = (
    "import sys; sys.argv[1:] = ['styles', '--names']\n"
    "import stylize.cli.main as main, stylize.cli.styles as styles\n"
    "def fail(): raise RuntimeError('\\x1b]0;owned\\x07')\n"
    "styles.style_files = fail; main.main()"
)
LOG = (
    "import sys; sys.argv[1:] = ['styles', '--names']\n"
    "import logging, warnings, stylize.cli.main as main, stylize.cli.styles as styles\n"
    "def warn():\n"
    "    logging.warning('\\x1b]0;owned\\x07'); warnings.warn('\\x1b]0;owned\\x07'); return {}\n"
    "styles.style_files = warn; main.main()"
)


@pytest.mark.parametrize(
    "words",
    [
        ("apply", NAME, "in", "-o", "out"),
        ("apply", "tiny.safetensors", f"{NAME}.png", "-o", "out"),
        ("apply", "tiny.safetensors", "in", "-o", "out", "--size", NAME),
        ("apply", "tiny.safetensors", "in", "-o", "out", f"--{NAME}"),
        ("apply", "tiny.safetensors", "in", "-o", "out", "--format", NAME),
        ("apply", "tiny.safetensors", "in", "-o", f"out/{NAME}", "-v"),
        ("apply", "tiny.safetensors", "in", "-o", f"out/{NAME}", "--dry-run"),
        ("apply", "--settings", "hostile.toml", "--help"),
        ("apply", "--settings", f"{NAME}.toml", "tiny.safetensors", "in"),
        ("styles", "tiny.safetensors"),
        ("styles", NAME),
        ("styles",),
        ("styles", "--names"),
        (NAME,),
        ("job", "run", f"{NAME}.toml"),
    ],
    ids=lambda words: " ".join(words).replace(NAME, "NAME"),
)
def test_no_name_and_no_option_steers_a_terminal(style_file, tmp_path, words):
    """On a real one, with hostile photos, settings, and a style with a hostile title."""
    network, header = load_network(style_file)
    header.pictures[0] = type(header.pictures[0])(HOSTILE, NAME, "", "", "0" * 64)
    save_style(style_file, network.state_dict(), header)
    (tmp_path / "styles").mkdir()
    (tmp_path / "styles" / f"{NAME}.safetensors").touch()
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / f"{NAME}.jpg").touch()
    draw_picture(1, 32, 32).save(tmp_path / "in" / f"{NAME}.png")
    (tmp_path / "hostile.toml").write_text(f"[apply]\nname = {json.dumps('{stem}' + NAME)}\n")
    text = on_a_terminal(*STYLIZE, *words, cwd=tmp_path)
    assert len(text) > 5
    assert not steered(text)


@pytest.mark.parametrize("code", [TRACEBACK, LOG], ids=["traceback", "log"])
def test_neither_a_traceback_nor_a_log_line_steers_a_terminal(tmp_path, code):
    text = on_a_terminal(sys.executable, "-c", code, cwd=tmp_path)
    assert r"\x1b]0;owned\x07" in text
    assert not steered(text)


def test_json_stays_json(style_file, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / f"{NAME}.jpg").touch()
    result = stylize("apply", style_file, "in", "-o", "out", "--json", cwd=tmp_path)
    assert not OBEYED.search(result.stdout)
    (failed,) = (e for e in map(json.loads, result.stdout.splitlines()) if "reason" in e)
    assert failed["source"] == f"in/{NAME}.jpg"


def test_a_bar_begins_anew(capsys):
    """As where stores are listed for each of several styles."""
    bar = ProgressBar()
    bar.start(2, "one")
    bar.close()
    bar.count(5, "listing")
    assert "listing: : 5photo" in capsys.readouterr().err
    bar.close()

"""The `stylize` command itself: help, version, completion, what it imports."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from commands import stylize


def test_help_has_commands_and_an_example():
    result = stylize("--help")
    assert result.returncode == 0
    for word in (
        "apply",
        "train",
        "audit",
        "job",
        "styles",
        "verify",
        "export",
        "import",
        "info",
        "stylize apply woodblock",
    ):
        assert word in result.stdout


@pytest.mark.parametrize(
    "command",
    [
        "apply",
        "train",
        "audit",
        "job new",
        "job check",
        "job run",
        "styles",
        "verify",
        "export",
        "import",
        "info",
    ],
)
def test_every_command_has_help(command):
    result = stylize(*command.split(), "--help")
    assert result.returncode == 0
    assert "Example" in result.stdout


@pytest.mark.parametrize(
    "arguments", [["--help"], ["apply", "--help"], ["job", "run", "--help"], ["styles"]]
)
def test_torch_is_not_imported_for(arguments):
    code = (
        "import sys; from stylize.cli.main import app; "
        f"app({arguments!r}, standalone_mode=False); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


def test_version():
    from stylize import __version__

    assert stylize("--version").stdout.strip() == f"stylize {__version__}"


def test_usage_errors_end_with_2(style_file, photos):
    assert stylize("apply", style_file, photos).returncode == 2
    assert stylize("apply").returncode == 2
    assert stylize("paint").returncode == 2


def test_the_shell_completes_names_of_styles(tmp_path):
    words = {"COMP_WORDS": "stylize apply woo", "COMP_CWORD": "2"}
    result = subprocess.run(
        [Path(sys.executable).with_name("stylize")],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
        env={**os.environ, **words, "_STYLIZE_COMPLETE": "complete_bash"},
    )
    assert result.stdout.split() == ["woodblock"]


def test_only_light_libraries_are_loaded_for_help():
    code = "import sys, stylize.cli.main; print(*sorted({m.split('.')[0] for m in sys.modules}))"
    command = [sys.executable, "-c", code]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "torchvision", "numpy", "PIL", "matplotlib"} & set(loaded)

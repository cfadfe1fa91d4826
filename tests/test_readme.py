"""The README's commands, options and files exist as it says."""

import re
import shlex
import subprocess
import sys

import pytest
from conftest import ROOT, draw_picture

README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, flags=re.S)
COMMANDS = [
    line.split("  #")[0].strip()
    for language, block in BLOCKS
    if language == "sh"
    for line in block.replace("\\\n", " ").splitlines()
    if line and not line.startswith("#")
]


def test_the_two_commands_come_first():
    assert COMMANDS[:2] == ["make demo", "make test"]


@pytest.mark.parametrize("command", sorted({c for c in COMMANDS if c.startswith("make ")}))
def test_make_targets_exist(command):
    makefile = (ROOT / "Makefile").read_text()
    for target in shlex.split(command, comments=True)[1:]:
        assert re.search(rf"^{target}:", makefile, flags=re.M)


@pytest.mark.parametrize("command", sorted({c for c in COMMANDS if c.startswith("stylize ")}))
def test_options_exist(command):
    _, name, *words = shlex.split(command, comments=True)
    text = subprocess.run(
        [sys.executable, "-m", "stylize", name, "--help"],
        capture_output=True,
        text=True,
        check=True,
        env={"COLUMNS": "200", "PATH": ""},
    ).stdout
    for word in words:
        if word.startswith("-"):
            assert word in text


@pytest.mark.parametrize("command", sorted({c for c in COMMANDS if c.startswith("python ")}))
def test_scripts_exist(command):
    assert (ROOT / shlex.split(command)[1]).is_file()


def test_python_example_runs(tmp_path, monkeypatch):
    (code,) = [block for language, block in BLOCKS if language == "python"]
    monkeypatch.chdir(tmp_path)
    draw_picture(0).save("photo.jpg")
    exec(code, {})  # noqa: S102
    assert (tmp_path / "painted.jpg").is_file()


def test_the_example_of_the_layer_runs():
    text = (ROOT / "docs" / "instance-norm.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, flags=re.S)
    exec(code, {})  # noqa: S102


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        if not target.startswith("http"):
            assert (ROOT / target).exists(), target


def test_the_tree_names_every_module():
    tree = README[README.index("## Where things are") :]
    for path in (ROOT / "stylize").rglob("[!_]*.py"):
        assert path.name in tree, path.name

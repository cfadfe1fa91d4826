"""`stylize info` as a person pastes it into a report."""

import os
import re
import subprocess
import tomllib
from importlib.metadata import version

import torch
from commands import STYLIZE, stylize
from conftest import ROOT

from stylize import __version__


def rows(text):
    """Name -> text of each line."""
    return dict(re.split(r" {2,}", line, maxsplit=1) for line in text.splitlines())


def test_it_says_what_is_here(tmp_path, style_file):
    (tmp_path / "styles").mkdir()
    style_file.rename(tmp_path / "styles" / "mine.safetensors")
    result = stylize("info", cwd=tmp_path)
    assert result.returncode == 0
    found = rows(result.stdout)
    assert found["stylize"] == __version__
    assert found["torch"].startswith(torch.__version__)
    assert found["numpy"] == version("numpy")
    assert f"{torch.get_num_threads()} thread" in found["device cpu"]
    assert "bf16 units" in found["device cpu"]
    assert "GB free of" in found["memory"]
    assert found["shipped styles"].startswith("12, in ")
    assert found["own styles"] == "1 in styles/: mine"


def test_every_optional_part_is_there_or_has_a_command(tmp_path):
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = set(extras["optional-dependencies"]) - {"dev", "test"}
    found = rows(stylize("info", cwd=tmp_path).stdout)
    assert {key for key in found if key.startswith("part ")} == {f"part [{n}]" for n in names}
    assert found["part [plot]"] == f"matplotlib {version('matplotlib')}"


def test_a_part_that_is_missing_names_its_command(tmp_path):
    """Seen from an installation whose metadata asks for what nobody has."""
    folder = tmp_path / "stylize-0.1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(
        "Metadata-Version: 2.4\nName: stylize\nVersion: 0.1.0\nProvides-Extra: magic\n"
        'Requires-Dist: no-such-thing>=1; extra == "magic"\n'
    )
    path = os.pathsep.join((str(tmp_path), str(ROOT)))
    result = subprocess.run(
        [*STYLIZE, "info"],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path, "NO_COLOR": "1"},
    )
    assert rows(result.stdout)["part [magic]"] == 'to add it: pip install "stylize[magic]"'


def test_a_wrong_choice_is_told_and_hides_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("STYLIZE_NORM", "cuda")
    result = stylize("info", cwd=tmp_path)
    assert result.returncode == 0
    assert "instance norm backend is 'cuda'" in rows(result.stdout)["auto chooses"]
    assert "own styles" in result.stdout

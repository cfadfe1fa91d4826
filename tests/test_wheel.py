"""The wheel holds everything that an installed stylize needs, and stays small."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from conftest import ROOT

MAX_BYTES = 90e6


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    # A copy: building leaves files behind.
    for name in ("stylize", "models", "weights"):
        shutil.copytree(ROOT / name, source / name)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "-q", "-w", folder, source], check=True)
    (built,) = folder.glob("*.whl")
    return built


def test_contents(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    for path in (ROOT / "stylize").rglob("*.py"):
        assert path.relative_to(ROOT).as_posix() in names
    for folder in ("models", "weights"):
        for path in (ROOT / folder).iterdir():
            assert f"stylize/{folder}/{path.name}" in names
    page = {f"stylize/consistency/report.{kind}" for kind in ("html.jinja", "css", "js")}
    assert {"stylize/py.typed", *page} <= names
    assert "stylize/page/page.html.jinja" in names
    for path in (ROOT / "stylize" / "page" / "static").iterdir():
        assert f"stylize/page/static/{path.name}" in names
    assert not [name for name in names if name.startswith(("tests/", "bench/", "samples/"))]


def test_size(wheel):
    assert wheel.stat().st_size < MAX_BYTES


def test_an_installed_wheel_finds_its_styles(wheel, tmp_path):
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")  # what pip does with pure wheels
    code = (
        "import sys; from stylize.assets import find_style, shipped; "
        "print(find_style('woodblock')); print(shipped('weights'))"
    )
    environment = {"PYTHONPATH": str(tmp_path / "site"), "PATH": ""}
    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env=environment,
    )
    style, weights = result.stdout.split()
    assert Path(style) == tmp_path / "site" / "stylize" / "models" / "woodblock.safetensors"
    assert Path(weights) == tmp_path / "site" / "stylize" / "weights"

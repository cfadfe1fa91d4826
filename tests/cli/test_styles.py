"""`stylize styles` and `stylize verify` as a person runs them."""

import json
from dataclasses import replace

import torch
from commands import fails, stylize
from conftest import draw_picture
from PIL import Image

from stylize.network.style_file import load_network, replace_header
from stylize.network.style_header import read_header
from stylize.training.verify import preview


def test_styles_lists_shipped_and_local(tmp_path, style_file):
    (tmp_path / "styles").mkdir()
    (tmp_path / "styles" / "own.safetensors").write_bytes(style_file.read_bytes())
    (tmp_path / "styles" / "bad.safetensors").write_bytes(b"")
    result = stylize("styles", cwd=tmp_path)
    assert result.returncode == 0
    for word in ("stained-glass", "Katsushika", "public domain", "MB", "A Picture", "shipped"):
        assert word in result.stdout
    assert "unreadable" in result.stdout
    names = stylize("styles", "--names", cwd=tmp_path).stdout.split()
    assert {"woodblock", "own", "bad"} <= set(names)


def test_a_style_shows_its_card(style_file):
    result = stylize("styles", style_file)
    assert result.returncode == 0
    for word in ("A Picture", "A. Painter", "1900", "public domain", "working scale", "Apache-2.0"):
        assert word in result.stdout
    assert "the defaults" in stylize("styles", "scream").stdout
    assert "--even-weight 1.5" in stylize("styles", "woodblock").stdout
    header = read_header(style_file)
    changed = replace(header.training, style_weight=2.0, even_weight=0.4)
    replace_header(style_file, replace(header, training=changed))
    assert "--style-weight 2 --even-weight 0.4" in stylize("styles", style_file).stdout
    fails(stylize("styles", "woodbloc"), 2, "did you mean woodblock?")


def test_a_mix_shows_the_card_of_its_parts():
    result = stylize("styles", "woodblock=3,ink=1")
    assert result.returncode == 0, result.stderr
    for text in ("woodblock-0.75-ink-0.25", "0.75 of woodblock, Apache-2.0", "Katsushika Hokusai"):
        assert text in result.stdout
    fails(stylize("styles", "ink,woodblock=1"), 2, "no style named 'ink,woodblock'")
    fails(stylize("export", "woodblock=3,ink=1"), 2, "mixes are for `stylize apply`")


def test_a_sheet_of_all_styles(tmp_path):
    draw_picture(0, 120, 80).save(tmp_path / "photo.jpg")
    result = stylize("styles", "--sheet", "photo.jpg", cwd=tmp_path)
    assert result.returncode == 0
    assert "sheet.png" in result.stdout
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width > 240
    again = stylize("styles", "woodblock", "--sheet", "photo.jpg", cwd=tmp_path)
    fails(again, 2, "sheet.png is there already")
    other = ["--output", "other.png"]
    fails(stylize("styles", "--sheet", "none.jpg", *other, cwd=tmp_path), 2, "none.jpg")
    (tmp_path / "styles").mkdir()
    (tmp_path / "styles" / "bad.safetensors").write_bytes(b"")
    result = stylize("styles", "--sheet", "photo.jpg", *other, cwd=tmp_path)
    assert result.returncode == 1
    assert "bad.safetensors" in result.stdout + result.stderr


def test_verify_tells_what_has_changed(tmp_path, style_file):
    (tmp_path / "styles").mkdir()
    own = tmp_path / "styles" / "own.safetensors"
    own.write_bytes(style_file.read_bytes())
    without = stylize("verify", "own", cwd=tmp_path)
    assert without.returncode == 1
    assert "no preview" in without.stdout
    network, header = load_network(own)
    painted = preview(network.state_dict(), header, torch.device("cpu"))
    replace_header(own, replace(header, preview=painted))
    result = stylize("verify", "own", "--precision", "fp32", cwd=tmp_path)
    assert result.returncode == 0
    assert "unchanged" in result.stdout
    lines = stylize("verify", "own", "--json", cwd=tmp_path).stdout.splitlines()
    assert json.loads(lines[-1])["same"]

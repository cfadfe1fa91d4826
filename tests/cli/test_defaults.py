"""Settings of one's own, in a file, as defaults of the command line."""

import json
import os

import pytest
from commands import fails, stylize
from conftest import draw_picture
from PIL import Image

from stylize.cli import defaults
from stylize.cli.defaults import find_defaults

APPLY = """
[apply]
size = 40
format = "webp"
strip-gps = true
even-light = false
output = "painted"
precision = "fp32"
"""


@pytest.fixture
def shop(tmp_path, style_file, monkeypatch):
    """A folder with a style, a photo, and settings; the work is done in a subfolder of it."""
    monkeypatch.chdir(tmp_path)
    style_file.rename(tmp_path / "mine.safetensors")
    (tmp_path / "in").mkdir()
    draw_picture(1, 80, 60).save(tmp_path / "in" / "a.png")
    (tmp_path / "sub").mkdir()
    return tmp_path


def test_the_file_above_gives_defaults_and_the_command_line_wins(shop):
    (shop / "stylize.toml").write_text(APPLY)
    words = ("apply", "../mine.safetensors", "../in", "-v")
    result = stylize(*words, cwd=shop / "sub")
    assert result.returncode == 0, result.stderr
    assert f"settings from {shop / 'stylize.toml'}" in result.stdout
    with Image.open(shop / "painted" / "a.webp") as picture:  # relative to the file
        assert picture.size == (40, 30)
    record = json.loads((shop / "painted" / ".stylize" / "manifest.jsonl").read_text())
    assert record["options"]["strip_gps"]
    assert not record["options"]["look"]["even_light"]
    result = stylize(*words, "--size", "20", "--output", "other", cwd=shop / "sub")
    assert result.returncode == 0
    with Image.open(shop / "sub" / "other" / "a.webp") as picture:
        assert picture.size == (20, 15)


def test_it_can_be_left_out_or_named(shop):
    (shop / "stylize.toml").write_text(APPLY)
    (shop / "night.toml").write_text('[apply]\nname = "{stem}-night{suffix}"\noutput = "night"\n')
    words = ("apply", "mine.safetensors", "in", "--dry-run")
    fails(stylize(*words, "--settings", "gone.toml", cwd=shop), 2, "gone.toml: No such file")
    assert (
        "in/a.png -> out/a.png"
        in stylize(*words, "--settings", "none", "--output", "out", cwd=shop).stdout
    )
    assert "night/a-night.png" in stylize(*words, "--settings", "night.toml", cwd=shop).stdout


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[apply]\nsizes = 3", ("[apply] has no setting 'sizes'", "did you mean size?")),
        ("[apply]\nstrip_gps = true", ("'strip_gps'", "did you mean strip-gps")),
        ("[aply]\nsize = 3", ("no table [aply]", "did you mean apply?")),
        ("[apply]\noverwrite = true", ("no setting 'overwrite'",)),
        ("[apply]\nwatch = true", ("no setting 'watch'",)),
        ("[apply]\nstyle = 'scream'", ("no setting 'style'",)),
        ("[apply]\nstrip-gps = 1", ("strip-gps is 1", "true or false")),
        ("apply = 3", ("apply is 3", "it must be a table")),
        ("[apply]\nsize = = 3", ("stylize.toml:2: not TOML",)),
    ],
)
def test_what_is_wrong_in_it_is_named(shop, text, words):
    (shop / "stylize.toml").write_text(text)
    result = stylize("apply", "mine.safetensors", "in", "--output", "out", "--dry-run", cwd=shop)
    fails(result, 2, "stylize.toml", *words)


def test_help_works_whatever_it_says(shop):
    (shop / "stylize.toml").write_text("[aply")
    assert stylize("apply", "--help", cwd=shop).returncode == 0


def test_training_has_defaults_too_and_a_recipe_wins(shop):
    (shop / "stylize.toml").write_text('[train]\ncontent = "in"\nsteps = 0\nlr = -1.0\n')
    picture = shop / "painting.png"
    draw_picture(2).save(picture)
    words = ("train", str(picture), "--name", "x")
    fails(stylize(*words, cwd=shop / "sub"), 2, "lr is -1.0")
    (shop / "recipe.toml").write_text("lr = -2.0\n")
    recipe = ("--recipe", str(shop / "recipe.toml"))
    fails(stylize(*words, *recipe, cwd=shop), 2, "lr is -2.0")
    fails(stylize(*words, *recipe, "--lr", "-3", cwd=shop), 2, "lr is -3.0")


def test_the_nearest_file_counts(tmp_path):
    project = tmp_path / "pyproject.toml"
    project.write_text("[tool.ruff]\nline-length = 100\n")
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    assert find_defaults(folder) is None
    project.write_text("[tool.stylize.apply]\nsize = 100\n")
    assert find_defaults(folder) == project
    (tmp_path / "stylize.toml").touch()
    assert find_defaults(folder) == tmp_path / "stylize.toml"
    (folder / "pyproject.toml").write_text("not TOML")
    assert find_defaults(folder) == tmp_path / "stylize.toml"
    (tmp_path / "a" / "stylize.toml").touch()
    assert find_defaults(folder) == tmp_path / "a" / "stylize.toml"


def test_settings_of_a_project_are_used(shop):
    (shop / "pyproject.toml").write_text('[tool.stylize.apply]\noutput = "out"\nformat = "jpg"\n')
    result = stylize("apply", "mine.safetensors", "in", "--dry-run", cwd=shop)
    assert "out/a.jpg" in result.stdout


@pytest.mark.skipif(os.getuid() != 0, reason="only root may give a file away")
def test_a_file_of_another_user_is_not_used(shop):
    path = shop / "stylize.toml"
    path.write_text(APPLY)
    os.chown(path, 12345, 12345)
    result = stylize("apply", "mine.safetensors", "in", "--output", "out", "--dry-run", cwd=shop)
    assert result.returncode == 0
    assert "belongs to another user and is not used" in result.stderr
    assert "out/a.png" in result.stdout


def test_every_path_is_a_parameter():
    """PATHS are names of parameters, which the commands may rename."""
    from stylize.cli import apply, train

    known = {name for command in (apply.apply, train.train) for name in command.__annotations__}
    assert set(defaults.PATHS) <= known

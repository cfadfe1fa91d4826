from pathlib import Path

import pytest

from stylize.errors import UsageError
from stylize.training.recipe import read_recipe, write_recipe

KNOWN = ("pictures", "steps", "lr", "style-weight", "only-norm", "content")


def test_what_is_written_can_be_read(tmp_path):
    settings = {
        "pictures": [Path("/a b/c.jpg"), Path("/d.jpg")],
        "steps": 20,
        "lr": 1e-3,
        "only-norm": True,
    }
    path = tmp_path / "recipe.toml"
    path.write_text(write_recipe({**settings, "content": None}))
    expected = settings | {"pictures": ["/a b/c.jpg", "/d.jpg"]}
    assert read_recipe(path, KNOWN) == expected


def test_paths_are_made_absolute():
    assert f'content = "{Path.cwd() / "photos"}"' in write_recipe({"content": Path("photos")})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("stpes = 3", "no setting 'stpes'"),
        ("steps = ", "not TOML"),
        ("a" * 10, "not TOML"),
        ("\xff\xfe", "not TOML"),
        ("[steps]\nsteps = 3", "steps is a table"),
        ("steps = " + "9" * 5000, "not TOML"),
        ("#" * 2_000_000, "too large"),
    ],
)
def test_a_wrong_recipe_is_named(tmp_path, text, words):
    path = tmp_path / "mine.toml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(UsageError, match=words) as caught:
        read_recipe(path, KNOWN)
    assert "mine.toml" in str(caught.value)


def test_the_nearest_setting_is_offered(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("style_weight = 3")
    with pytest.raises(UsageError) as caught:
        read_recipe(path, KNOWN)
    assert caught.value.hint == "did you mean style-weight?"


def test_no_file(tmp_path):
    with pytest.raises(UsageError, match="No such file"):
        read_recipe(tmp_path / "gone.toml", KNOWN)

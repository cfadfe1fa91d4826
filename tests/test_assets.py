import pytest

from stylize.assets import check_name, find_style, shipped, split_styles, style_files
from stylize.errors import StyleFileError, UsageError


def test_shipped_style_is_found_by_name():
    assert find_style("woodblock") == shipped("models") / "woodblock.safetensors"


def test_a_near_miss_gets_a_suggestion():
    with pytest.raises(StyleFileError) as caught:
        find_style("wodblock")
    assert "woodblock" in caught.value.hint


def test_a_far_miss_gets_the_list():
    with pytest.raises(StyleFileError) as caught:
        find_style("zzz")
    assert "stylize styles" in caught.value.hint


def test_a_path_is_taken_as_it_is(style_file):
    assert find_style(str(style_file)) == style_file


@pytest.mark.parametrize("style", ["no/such.safetensors", "such.safetensors", "./woodblock"])
def test_a_missing_path_is_an_error(style):
    with pytest.raises(StyleFileError, match="no style file"):
        find_style(style)


def test_commas_part_styles_but_not_the_name_of_a_file(style_file):
    assert split_styles("ink,woodblock") == ["ink", "woodblock"]
    odd = style_file.rename(style_file.with_name("red, blue.safetensors"))
    assert split_styles(str(odd)) == [str(odd)]


def test_a_mix_is_one_style(style_file):
    assert split_styles("ink=0.5,woodblock=0.5") == ["ink=0.5,woodblock=0.5"]
    odd = style_file.rename(style_file.with_name("a=1,b.safetensors"))
    assert split_styles(str(odd)) == [str(odd)]
    with pytest.raises(StyleFileError) as caught:
        find_style("ink=0.5,woodblock=0.5")
    assert "stylize apply" in caught.value.hint


def test_a_local_style_wins_over_a_shipped_one(tmp_path, monkeypatch, style_file):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "styles").mkdir()
    local = tmp_path / "styles" / "woodblock.safetensors"
    local.write_bytes(style_file.read_bytes())
    assert style_files()["woodblock"].resolve() == local


@pytest.mark.parametrize("name", ["a", "woodblock", "my_style.2"])
def test_good_names(name):
    assert check_name(name) == name


@pytest.mark.parametrize("name", ["", "../up", "a/b", "-x", ".hidden", "Ä", "A", "x" * 65, "a\n"])
def test_bad_names(name):
    with pytest.raises(UsageError):
        check_name(name)

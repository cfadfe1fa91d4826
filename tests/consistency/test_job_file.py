import re
import tomllib

import pytest
from conftest import write_relatives

from stylize.assets import style_files
from stylize.consistency.job_file import EXAMPLE, read_brand, write_example
from stylize.errors import UsageError

SMALL = 'inputs = ["photos"]\noutput = "out"\nstyles = ["woodblock"]\n[[variant]]\nname = "web"\n'


def brand_of(tmp_path, text):
    path = tmp_path / "brand.toml"
    path.write_text(text)
    return read_brand(path)


def error_of(tmp_path, text) -> UsageError:
    with pytest.raises(UsageError) as caught:
        brand_of(tmp_path, text)
    return caught.value


def test_the_example_is_a_job(tmp_path):
    write_example(tmp_path / "brand.toml")
    brand = read_brand(tmp_path / "brand.toml")
    assert brand.inputs == (tmp_path / "photos",)
    assert brand.styles == {"woodblock": "woodblock"}
    assert [variant.name for variant in brand.variants] == ["web", "thumb"]
    assert brand.variants[0].config.size == 2048
    assert brand.folder("woodblock", "web") == tmp_path / "painted" / "woodblock" / "web"
    assert brand.limits is not None
    assert brand.report


def test_every_setting_of_the_example_is_one(tmp_path):
    """Also what is commented out there."""
    text = re.sub(r"^# (?=\[|\w+ = )", "", EXAMPLE, flags=re.MULTILINE)
    brand = brand_of(tmp_path, text)
    assert [variant.name for variant in brand.variants] == ["web", "thumb", "cut-out"]
    assert brand.variants[2].config.look.background == "transparent"
    assert brand.limits.max_outliers == 0
    assert "strip_gps" in tomllib.loads(text)["variant"][0]


def test_no_file_is_written_over(tmp_path):
    (tmp_path / "brand.toml").write_text("mine")
    with pytest.raises(UsageError, match="exists"):
        write_example(tmp_path / "brand.toml")
    assert (tmp_path / "brand.toml").read_text() == "mine"


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        (SMALL + "qualty = 3\n", 6, "no setting 'qualty'"),
        (SMALL + "size = 0\n", 6, "size is 0"),
        (SMALL.replace("inputs = [", 'inputs = ["s3://bucket/in", '), 1, "in an object store"),
        (SMALL + 'size = "large"\n', 6, "size"),
        (SMALL + "strength = 2\n", 6, "strength is 2"),
        (SMALL + 'file_name = "x"\n', 6, "name is 'x'"),
        (SMALL + '[[variant]]\nname = "web"\n', 7, "'web'"),
        (SMALL + '[[variant]]\nname = "Report"\n', 7, "'Report'"),
        (SMALL + '[[variant]]\nname = "audit.json"\n', 7, "'audit.json'"),
        (SMALL + '[[variant]]\nname = "WEB"\n', 7, "'WEB'"),
        ('"a(b" = 1\n' + SMALL, 1, "no setting 'a(b'"),
        (SMALL + 'format = "jpg"\nbackground = "transparent"\n', 4, "no transparency"),
        (SMALL + '[[variant]]\nname = "../up"\n', 7, "up"),
        (SMALL + "[[variant]]\nsize = 3\n", 6, "name is missing"),
        (SMALL + "[audit]\n\nmax_spread = -1\n", 8, "max_spread is -1"),
        (SMALL + "[audit]\nreport = 3\n", 7, "report is 3"),
        (SMALL + "[look]\nbackground = 'white'\n", 7, "background is 'white'"),
        (SMALL.replace('"out"', "out"), 2, "not TOML"),
        (SMALL.replace('["photos"]', '"photos"'), 1, "inputs is 'photos'"),
        (SMALL.replace('"woodblock"', '"a", "x/a.safetensors"'), 3, "one name"),
        ("look = {strength = 7}\n" + SMALL, 1, "strength is 7"),
        ('variant = 3\ninputs = ["a"]\noutput = "b"\nstyles = ["c"]\n', 1, "variant"),
    ],
)
def test_errors_name_file_line_and_what_to_do(tmp_path, text, line, message):
    error = error_of(tmp_path, text)
    assert str(error).startswith(f"{tmp_path / 'brand.toml'}:{line}: ")
    assert message in str(error)
    assert error.hint


@pytest.mark.parametrize("key", ["inputs", "output", "styles"])
def test_what_is_missing_is_said_with_an_example(tmp_path, key):
    lines = [line for line in SMALL.splitlines() if not line.startswith(key)]
    error = error_of(tmp_path, "\n".join(lines))
    assert f"{key} is missing" in str(error)
    assert f"{key} = " in error.hint


def test_a_near_name_is_offered(tmp_path):
    assert "quality" in error_of(tmp_path, SMALL + "qualty = 3\n").hint


def test_a_variant_changes_the_look_of_all(tmp_path):
    text = SMALL + 'strength = 0.5\n[[variant]]\nname = "b"\n[look]\nstrength = 0.8\nstroke = 1\n'
    first, second = brand_of(tmp_path, text).variants
    assert (first.config.look.strength, first.config.look.stroke) == (0.5, 1)
    assert second.config.look.strength == 0.8


def test_masks_keep_the_background(tmp_path):
    (variant,) = brand_of(tmp_path, 'masks = "m"\n' + SMALL).variants
    assert variant.config.masks == str(tmp_path / "m")
    assert variant.config.look.background == "keep"


def test_a_variant_may_leave_the_masks_aside(tmp_path):
    text = 'masks = "m"\n' + SMALL + 'background = "stylize"\n'
    assert brand_of(tmp_path, text).variants[0].config.look.background == "stylize"


def test_a_byte_order_mark_is_no_part_of_the_file(tmp_path):
    path = tmp_path / "brand.toml"
    path.write_bytes(b"\xef\xbb\xbf" + SMALL.encode())
    assert read_brand(path).variants[0].name == "web"


def test_styles_trained_beside_the_job_are_found(tmp_path):
    (tmp_path / "styles").mkdir()
    (tmp_path / "styles" / "woodblock.safetensors").touch()
    path = str(tmp_path / "styles" / "woodblock.safetensors")
    assert brand_of(tmp_path, SMALL).styles == {"woodblock": path}


def test_a_mix_may_have_files_beside_the_job(tmp_path):
    write_relatives(tmp_path, "mine")
    text = SMALL.replace('"woodblock"', '"woodblock=3,mine.safetensors=1"')
    mix = f"{style_files()['woodblock']}=3.0,{tmp_path / 'mine.safetensors'}=1.0"
    assert brand_of(tmp_path, text).styles == {"woodblock-0.75-mine-0.25": mix}
    error = error_of(tmp_path, SMALL.replace('"woodblock"', '"woodblock=3,ink"'))
    assert "brand.toml:3: a style of the mix woodblock=3,ink has no weight" in str(error)


def test_styles_may_be_files_beside_the_job(tmp_path):
    text = SMALL.replace('"woodblock"', '"styles/mine.safetensors"')
    path = str(tmp_path / "styles" / "mine.safetensors")
    assert brand_of(tmp_path, text).styles == {"mine": path}


@pytest.mark.parametrize(
    "style",
    [
        *("..", ".", "...safetensors", "styles/...safetensors", "styles/..", "A.safetensors"),
        *("a b.safetensors", ".stylize.safetensors", "a\\u001b[2J.safetensors"),
    ],
)
def test_a_style_whose_name_is_no_name_makes_no_folder(tmp_path, style):
    (tmp_path / "styles").mkdir()
    (tmp_path / "styles" / "...safetensors").touch()
    error = error_of(tmp_path, SMALL.replace('"woodblock"', f'"{style}"'))
    assert str(error).startswith(f"{tmp_path / 'brand.toml'}:3: ")
    assert "cannot name a style" in str(error)


@pytest.mark.parametrize("content", [b"\xff\xfe", b"[" * 100_000, b"a = 1\n" * 500_000])
def test_no_content_breaks_it(tmp_path, content):
    path = tmp_path / "brand.toml"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"brand\.toml"):
        read_brand(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UsageError, match="No such file"):
        read_brand(tmp_path / "none.toml")

"""The options of a query are those of the command."""

import pytest
from commands import stylize

from stylize.config import ApplyConfig, Look
from stylize.errors import UsageError
from stylize.page.options import BACKGROUND, OPTIONS, read_options


def test_read_options():
    query = {"strength": "0.5", "preserve-color": "true", "even-light": "false", "size": "64"}
    query |= {"background": "keep", "format": "png", "quality": "80"}
    look = Look(strength=0.5, preserve_color=True, even_light=False, background="keep")
    expected = ApplyConfig(look=look, size=64, format="png", quality=80, device="cpu")
    assert read_options(query, "cpu", "auto") == expected


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("strength", "2", "from 0 to 1"),
        ("strength", "nan", "from 0 to 1"),
        ("strength", "much", "give a number"),
        ("size", "1.5", "give a number"),
        ("preserve-color", "1", "true or false"),
        ("format", "exe", "choose one of"),
        ("background", "pink", "choose one of"),
        ("strengt", "1", "did you mean strength"),
        ("masks", "/etc", "lists the options"),
        ("device", "cuda", "lists the options"),
        ("overwrite", "true", "lists the options"),
    ],
)
def test_options_that_cannot_be_used(name, value, words):
    with pytest.raises(UsageError) as found:
        read_options({name: value}, "cpu", "auto")
    assert words in found.value.hint


def test_the_command_has_each_option_under_this_name():
    text = stylize("apply", "--help").stdout
    for name in OPTIONS:
        assert name == BACKGROUND or f"--{name}" in text

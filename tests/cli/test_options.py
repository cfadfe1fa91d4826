"""Options of the commands follow from the settings."""

from dataclasses import dataclass

import pytest
import typer
from commands import stylize
from typer.testing import CliRunner

from stylize.cli.options import complete_styles, with_settings
from stylize.config import ApplyConfig, Card, Look, NetworkConfig, TrainConfig
from stylize.consistency.limits import AuditLimits
from stylize.settings import Settings, option


@dataclass(frozen=True)
class Sample(Settings):
    width: int = option(3, "How wide.", least=1, most=9)
    noisy: bool = option(False, "Add noise.")
    even: bool = option(True, "Even out.")
    limit: float | None = option(None, "At most this.", above=0)
    hidden: int = option(7, least=0)


def run(*words: str) -> tuple[int, dict]:
    app, found = typer.Typer(), {}

    @app.command()
    @with_settings(Sample)
    def command(name: str, **settings: object) -> None:
        found.update(settings, name=name)

    return CliRunner().invoke(app, words).exit_code, found


def test_a_setting_with_a_text_is_an_option_with_its_default():
    defaults = {"name": "x", "width": 3, "noisy": False, "even": True, "limit": None}
    assert run("x") == (0, defaults)
    given = {"name": "x", "width": 5, "noisy": True, "even": False, "limit": 0.5}
    assert run("x", "--width", "5", "--noisy", "--no-even", "--limit", "0.5") == (0, given)


@pytest.mark.parametrize("words", [("--hidden", "1"), ("--no-noisy",), ("--width", "wide")])
def test_what_is_not_an_option_is_refused(words):
    assert run("x", *words)[0] == 2


def test_own_picks_the_settings_of_a_class():
    assert Sample.own({"width": 4, "name": "x"}) == {"width": 4}


@pytest.mark.parametrize(
    ("command", "kinds"),
    [
        ("apply", (Look, ApplyConfig)),
        ("train", (TrainConfig, NetworkConfig, Card)),
        ("audit", (AuditLimits,)),
    ],
)
def test_every_setting_with_a_text_is_in_the_help(command, kinds):
    text = stylize(command, "--help").stdout
    for kind in kinds:
        for name, field in kind.__dataclass_fields__.items():
            if field.metadata.get("text"):
                assert f"--{name.replace('_', '-')}" in text


def test_the_shell_completes_the_last_of_several_styles():
    assert complete_styles("ink,woodb") == ["ink,woodblock"]
    assert complete_styles("woodb") == ["woodblock"]

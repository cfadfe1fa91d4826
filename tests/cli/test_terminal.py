import io

from rich.console import Console

from stylize.cli.terminal import ProgressBar, print_error


def test_an_error_is_two_plain_lines():
    console = Console(file=io.StringIO(), width=40)
    print_error("[wrong] " + "x" * 100, "do [this]", console)
    lines = console.file.getvalue().splitlines()
    assert lines == ["error: [wrong] " + "x" * 100, "hint: do [this]"]


def test_a_bar_begins_anew(capsys):
    """As where stores are listed for each of several styles."""
    bar = ProgressBar()
    bar.start(2, "one")
    bar.close()
    bar.count(5, "listing")
    assert "listing: : 5photo" in capsys.readouterr().err
    bar.close()

import io

from rich.console import Console

from stylize.cli.terminal import print_error


def test_an_error_is_two_plain_lines():
    console = Console(file=io.StringIO(), width=40)
    print_error("[wrong] " + "x" * 100, "do [this]", console)
    lines = console.file.getvalue().splitlines()
    assert lines == ["error: [wrong] " + "x" * 100, "hint: do [this]"]

"""The commands: words in, exit codes out. torch is imported inside the commands that need it.

Exit codes: 0 all done, 1 some photos failed, 2 wrong usage, 130 interrupted.
"""

import sys
import warnings
from typing import Annotated

import typer

from stylize import __version__
from stylize.cli import apply as cli_apply
from stylize.cli import audit as cli_audit
from stylize.cli import job as cli_job
from stylize.cli import styles as cli_styles
from stylize.cli import terminal
from stylize.cli import train as cli_train
from stylize.cli.common import FIRST, WRONG_USAGE, err
from stylize.errors import StylizeError

app = typer.Typer(
    name="stylize",
    help="Turn whole folders of photos into one look: learn a style once, apply it to everything.",
    epilog="Start with: stylize apply woodblock photos/ --output painted/",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(epilog=cli_apply.EPILOG)(cli_apply.apply)
app.command(epilog=cli_train.EPILOG)(cli_train.train)
app.command(epilog=cli_audit.EPILOG)(cli_audit.audit)
app.add_typer(cli_job.app)
app.command(epilog=cli_styles.EPILOG)(cli_styles.styles)
app.command(epilog=cli_styles.VERIFY_EPILOG)(cli_styles.verify)


def main() -> None:
    """Entry point: runs a command and turns errors into one line and an exit code."""
    # What Pillow says of odd metadata is for programmers; what fails is named anyway.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    try:
        app()
    except StylizeError as error:
        if FIRST:
            terminal.print_error(err, str(error), error.hint)
        sys.exit(WRONG_USAGE)
    except OSError as error:  # a path that the system refuses: too long, a loop of links ...
        terminal.print_error(err, f"{error.filename or 'system'}: {error.strerror}", "")
        sys.exit(WRONG_USAGE)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"stylize {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    pass

"""The `stylize` command: words in, exit codes out. Commands import torch when they need it.

Exit codes: 0 all done, 1 some photos failed, 2 wrong usage, 130 interrupted.
"""

import sys
import warnings
from typing import Annotated, Any, cast

import typer

from stylize import __version__
from stylize.cli import apply, audit, export, import_model, info, job, page, styles, train
from stylize.cli.options import WRONG_USAGE
from stylize.cli.terminal import FIRST, guard_streams, print_error
from stylize.errors import StylizeError

# Every error of the words on a command line; typer does not export their base.
WrongWords = cast("type[Exception]", typer.BadParameter.__base__)

app = typer.Typer(
    name="stylize",
    help="Give whole folders of photos one look: learn a style once, apply it to everything.",
    epilog="Start with: stylize apply woodblock photos/ --output painted/",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(epilog=apply.EPILOG)(apply.apply)
app.command(epilog=train.EPILOG)(train.train)
app.command(epilog=audit.EPILOG)(audit.audit)
app.add_typer(job.app)
app.command(epilog=styles.EPILOG)(styles.styles)
app.command(epilog=styles.VERIFY_EPILOG)(styles.verify)
app.command(epilog=export.EPILOG)(export.export)
app.command("import", epilog=import_model.EPILOG)(import_model.import_model)
app.command(epilog=page.EPILOG)(page.page)
app.command(epilog=info.EPILOG)(info.info)


def main() -> None:
    """Run a command; turn errors into one line and an exit code."""
    guard_streams()
    # Pillow's warnings on odd metadata are for programmers; what fails is reported anyway.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    try:
        sys.exit(app(standalone_mode=False))
    except StylizeError as error:
        if FIRST:
            print_error(str(error), error.hint)
        sys.exit(WRONG_USAGE)
    except WrongWords as error:
        _print_wrong_words(error)
        sys.exit(WRONG_USAGE)
    except OSError as error:  # a path that the system refuses: too long, a loop of links ...
        print_error(f"{error.filename or 'system'}: {error.strerror}", "")
        sys.exit(WRONG_USAGE)


def _print_wrong_words(error: Any) -> None:
    if text := error.format_message():  # empty where the help has been printed instead
        hint = f"`{error.ctx.command_path} --help` shows how it is used" if error.ctx else ""
        print_error(text[0].lower() + text[1:].removesuffix("."), hint)


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

"""`stylize page`: the local web page and its HTTP API."""

import signal
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from stylize.cli import options
from stylize.cli.terminal import out, print_line
from stylize.config import AUTO
from stylize.errors import UsageError, install

EPILOG = (
    "Examples:\n\n"
    "stylize page\n\n"
    "stylize page --output painted/ --content photos/\n\n"
    "stylize page --host 0.0.0.0 --port 8000 --no-browser --token 0123456789abcdef"
)


def page(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port (0: any).")] = 8010,
    host: Annotated[
        str, typer.Option(help="Address. Any but this machine's own needs a --token.")
    ] = "127.0.0.1",
    token: Annotated[
        str,
        typer.Option(
            envvar="STYLIZE_TOKEN",
            help="What clients must know: 16 letters and digits or more (default: random).",
        ),
    ] = "",
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FOLDER", help="Folder that the page may save into."
        ),
    ] = None,
    content: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Folder of photos to train new styles on."),
    ] = None,
    browser: Annotated[bool, typer.Option(help="Open the page in the browser.")] = True,
    device: options.Device = AUTO,
    precision: options.Precision = AUTO,
) -> None:
    """Open a page in the browser: drop photos, try styles, download the results.

    Photos stay on this machine. The same server is an HTTP API for scripts; /openapi.json
    describes it. Ctrl-C ends it, and removes what was uploaded.
    """
    from PIL import Image

    try:
        from stylize.page.server import serve
    except ModuleNotFoundError as error:
        raise UsageError(f"the page needs {error.name}", install("page")) from error
    Image.MAX_IMAGE_PIXELS = None  # in this process: the limit of `stylize apply` counts instead

    def ready(address: str) -> None:
        print_line(out, f"The page is at {address}")
        if browser:
            webbrowser.open(address)

    signals = (signal.SIGINT, signal.SIGTERM)
    with options.stop_signals("The page is closed; what was uploaded is removed.", *signals):
        serve(
            host,
            port,
            ready,
            token=token,
            output=output,
            content=content,
            device=device,
            precision=precision,
        )

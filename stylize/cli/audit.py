"""`stylize audit`: how far a set of pictures, or a style under other lights, is from one look."""

from pathlib import Path
from typing import Annotated

import typer

from stylize.cli import progress_audit
from stylize.cli.common import (
    SOME_FAILED,
    Device,
    Json,
    Precision,
    complete_style,
    interruptible,
    out,
)
from stylize.cli.terminal import print_json
from stylize.config import AuditLimits
from stylize.errors import UsageError
from stylize.events import AuditDone, LightingDone

_LIMITS = AuditLimits()

EPILOG = (
    "Examples:\n\n"
    "stylize audit painted/ --style woodblock\n\n"
    "stylize audit painted/ --max-spread 0.4 --max-outliers 0 --json\n\n"
    "stylize audit photos/ --lighting woodblock"
)


def audit(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER",
            help="Photos, or what `stylize apply` has written: then with the set before.",
        ),
    ],
    style: Annotated[
        str | None,
        typer.Option(
            help="Also say how far the photos are from this style's picture.",
            autocompletion=complete_style,
        ),
    ] = None,
    lighting: Annotated[
        str | None,
        typer.Option(
            metavar="STYLE",
            help="Stylize each photo under twelve lightings, and say how much the results differ.",
            autocompletion=complete_style,
        ),
    ] = None,
    max_spread: Annotated[
        float | None, typer.Option(help="Exit with 1 if the set's spread is larger.")
    ] = _LIMITS.max_spread,
    max_outliers: Annotated[
        int | None, typer.Option(help="Exit with 1 if there are more outliers.")
    ] = _LIMITS.max_outliers,
    device: Device = "auto",
    precision: Precision = "auto",
    json: Json = False,
) -> None:
    """Say how far a set of photos is from one look, and which of them do not belong.

    Compared are VGG-16's channel statistics, lightness and colour of product and ground, how much
    of the picture the product fills, and the scale of strokes. The spread is the mean distance from
    the set's centre: 0 for equal pictures. Exit codes: 0 within the limits, 1 not, or a photo could
    not be read.
    """
    from PIL import Image

    Image.MAX_IMAGE_PIXELS = None  # of this process: an audit has a limit of its own
    limits = AuditLimits(max_spread, max_outliers)
    if lighting is not None:
        if style is not None or max_outliers is not None:
            raise UsageError("--lighting goes with --max-spread only", "leave out the others")
        from stylize.consistency.lighting_audit import light_spread

        running = light_spread(lighting, folder, device, precision)
    else:
        from stylize.consistency.audit import audit as run

        running = run(folder, style, device, precision)
    events = print_json(running) if json else progress_audit.draw_audit(running, out)
    broken: list[str] = []
    failed = 0
    with interruptible():
        for event in events:
            if isinstance(event, AuditDone | LightingDone):
                failed = event.failed
                outliers = event.outliers if isinstance(event, AuditDone) else 0
                broken = limits.broken(event.spread, outliers)
    if not json:
        for text in broken:
            out.print(text, style="red")
    if broken or failed:
        raise typer.Exit(SOME_FAILED)

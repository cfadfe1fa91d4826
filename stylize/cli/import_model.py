"""`stylize import`: a style file from a checkpoint of PyTorch's fast_neural_style example."""

from pathlib import Path
from typing import Annotated, Any

import typer

from stylize.assets import LOCAL_STYLES
from stylize.cli import options
from stylize.cli.terminal import out, print_line
from stylize.config import Card

EPILOG = (
    "Examples:\n\n"
    "stylize import mosaic.pth --name mosaic-2017\n\n"
    "stylize import candy.pth --name candy --title 'June Tree' --author 'Natasha Wescoat'\n\n"
    "stylize apply candy photos/ --output painted/"
)


@options.with_settings(Card)
def import_model(
    model: Annotated[Path, typer.Argument(metavar="MODEL.pth", help="The checkpoint.")],
    name: Annotated[str, typer.Option(help="Name of the new style.")],
    output: Annotated[Path, typer.Option(help="Folder for styles.")] = LOCAL_STYLES,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a style of that name.")
    ] = False,
    **settings: Any,
) -> None:
    """Make a style of a checkpoint that you have: of PyTorch's fast_neural_style example.

    candy.pth, mosaic.pth, rain_princess.pth, udnie.pth and every other state dict of that network
    work. Nothing in the file is run: one that holds more than weights is refused.
    """
    from stylize.training.import_model import import_model as run

    style = run(model, name, Card(**settings), output, overwrite=overwrite)
    print_line(out, f"imported {style}")

"""`stylize train`: a style from one picture."""

import os
import shlex
import signal
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from stylize.assets import LOCAL_STYLES, SCRATCH
from stylize.cli import terminal
from stylize.cli.common import (
    FIRST,
    INTERRUPTED,
    Device,
    Json,
    Norm,
    Precision,
    complete_start,
    err,
    interruptible,
    out,
)
from stylize.config import NORM_BACKENDS, NORM_VARIABLE, NetworkConfig, TrainConfig
from stylize.errors import UsageError
from stylize.events import Event, TrainingStopped
from stylize.training import recipe as recipes

_TRAIN = TrainConfig()

EPILOG = (
    "Examples:\n\n"
    "stylize train painting.jpg --content photos/ --name mine\n\n"
    "stylize train painting.jpg --content photos/ --name mine --resume\n\n"
    "stylize train painting.jpg --content photos/ --name bold --style-weight 3 --style-size 768\n\n"
    "stylize train a.jpg b.jpg --picture-weight 2 --picture-weight 1 --content photos/ "
    "--name both\n\n"
    "stylize train --recipe styles/mine/recipe.toml --name again\n\n"
    "torchrun --nproc-per-node 4 -m stylize train painting.jpg --content photos/ --name mine "
    "--batch-size 8"
)

# What a recipe does not hold: how a training is started, not what it is.
_NOT_IN_RECIPES = ("recipe", "resume", "overwrite", "json", "log_dir")


def _read_recipe(context: typer.Context, path: Path | None) -> Path | None:
    """Let the file's settings be the defaults; what stands on the command line wins."""
    if path is not None:
        names = {word: name for name, word in _words(context).items()}
        flags = {p.name for p in context.command.params if getattr(p, "is_flag", False)}
        settings = recipes.read_recipe(path, names)
        for word, value in settings.items():
            if isinstance(value, bool) != (names[word] in flags):
                hint = "true or false" if names[word] in flags else "as on the command line"
                raise UsageError(f"{path}: {word} is {value!r}", f"give it a value {hint}")
        context.default_map = {names[word]: value for word, value in settings.items()}
    return path


def _words(context: typer.Context) -> dict[str, str]:
    """The names of the command's parameters in a recipe: those of the options, without dashes."""
    return {
        parameter.name: max(parameter.opts, key=len).lstrip("-")
        for parameter in context.command.params
        if parameter.name and parameter.name not in (*_NOT_IN_RECIPES, "help")
    }


def train(
    context: typer.Context,
    pictures: Annotated[
        list[Path],
        typer.Argument(metavar="STYLE_IMAGE", help="The picture to learn from, or several."),
    ],
    content: Annotated[
        Path, typer.Option(help="Folder of content photos: some hundred or more, of any kind.")
    ],
    name: Annotated[str, typer.Option(help="What the style shall be called.")],
    output: Annotated[Path, typer.Option(help="Folder for styles.")] = LOCAL_STYLES,
    recipe: Annotated[
        Path | None,
        typer.Option(
            callback=_read_recipe,
            is_eager=True,
            help="TOML file with any of these settings, such as the recipe.toml of a training.",
        ),
    ] = None,
    base: Annotated[
        str,
        typer.Option(
            "--from",
            help="Style to start from: base (the shipped network of many styles), another "
            "style, or scratch (auto: base, for the quarter architecture).",
            autocompletion=complete_start,
        ),
    ] = _TRAIN.base,
    only_norm: Annotated[
        bool,
        typer.Option(
            "--only-norm", help="Learn the norms only: a style of a few KB, on that base."
        ),
    ] = False,
    many: Annotated[
        bool,
        typer.Option(
            "--many-styles", help="Make a base: every picture is a style of its own in it."
        ),
    ] = False,
    picture_weight: Annotated[
        list[float] | None,
        typer.Option(help="Of several pictures: the share of each, in their order."),
    ] = None,
    steps: Annotated[
        int, typer.Option(help="Optimizer steps; 0: as many as are good for that start.")
    ] = _TRAIN.steps,
    patience: Annotated[
        int, typer.Option(help="End early after so many steps without progress; 0: never.")
    ] = _TRAIN.patience,
    batch_size: Annotated[int, typer.Option(help="Photos a step.")] = _TRAIN.batch_size,
    size: Annotated[
        int, typer.Option(help="Side of the training crops at the end, pixels.")
    ] = _TRAIN.size,
    style_size: Annotated[
        int, typer.Option(help="Short side of the style picture, pixels: larger, larger strokes.")
    ] = _TRAIN.style_size,
    content_weight: Annotated[
        float, typer.Option(help="Weight of keeping the photo's content.")
    ] = _TRAIN.content_weight,
    style_weight: Annotated[
        float, typer.Option(help="Weight of having the style.")
    ] = _TRAIN.style_weight,
    layer_weight: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LAYER=WEIGHT",
            help="Share of one style layer, relu1_2 (fine) ... relu4_3 (coarse); may be repeated.",
        ),
    ] = None,
    tone_weight: Annotated[
        float, typer.Option(help="Weight of keeping light areas lighter than dark ones.")
    ] = _TRAIN.tone_weight,
    even_weight: Annotated[
        float, typer.Option(help="Weight of one colour where the photo has one: no blotches.")
    ] = _TRAIN.even_weight,
    tv_weight: Annotated[
        float, typer.Option(help="Weight of smoothness (total variation).")
    ] = _TRAIN.tv_weight,
    lighting: Annotated[
        float,
        typer.Option(
            help="How far the light of the photos is changed in training, so that one look comes "
            "out of bright and dim ones: from 0 to 1."
        ),
    ] = _TRAIN.lighting,
    lr: Annotated[float, typer.Option(help="Learning rate.")] = _TRAIN.lr,
    seed: Annotated[int, typer.Option(help="Same seed, same style.")] = _TRAIN.seed,
    device: Device = _TRAIN.device,
    precision: Precision = _TRAIN.precision,
    norm: Norm = NORM_BACKENDS[0],
    vgg: Annotated[
        str, typer.Option(help="VGG-16 weights: shipped, or torchvision (downloads 528 MB once).")
    ] = _TRAIN.vgg,
    architecture: Annotated[
        str, typer.Option(help="quarter (fast), or johnson (the paper's network).")
    ] = NetworkConfig().architecture,
    preview_every: Annotated[
        int, typer.Option(help="Steps between preview sheets; 0 for one at the end only.")
    ] = _TRAIN.preview_every,
    checkpoint_every: Annotated[
        int, typer.Option(help="Steps between checkpoints.")
    ] = _TRAIN.checkpoint_every,
    keep: Annotated[int, typer.Option(help="Checkpoints that are kept.")] = _TRAIN.keep,
    log_dir: Annotated[
        Path | None, typer.Option(help="Folder to log into for TensorBoard.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint.")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Start anew where a style or checkpoint exists.")
    ] = False,
    title: Annotated[str, typer.Option(help="Title of the picture, for the style's card.")] = "",
    author: Annotated[str, typer.Option(help="Author of the picture.")] = "",
    year: Annotated[str, typer.Option(help="Year of the picture.")] = "",
    licence: Annotated[str, typer.Option(help="Licence of the picture.")] = "",
    json: Json = False,
) -> None:
    """Learn a style from one picture, or from several.

    Writes NAME.safetensors into the output folder and, while it runs, checkpoints, a preview
    sheet, the losses and a recipe to repeat it into its subfolder NAME. Ctrl-C saves a checkpoint;
    the same command with --resume goes on from there. No network is needed.
    """
    config = TrainConfig(
        steps=steps,
        batch_size=batch_size,
        size=size,
        style_size=style_size,
        base="" if base == SCRATCH else base,
        only_norm=only_norm,
        many=many,
        patience=patience,
        content_weight=content_weight,
        style_weight=style_weight,
        layer_weights=_layer_weights(layer_weight or []),
        tone_weight=tone_weight,
        even_weight=even_weight,
        tv_weight=tv_weight,
        lighting=lighting,
        lr=lr,
        seed=seed,
        device=device,
        precision=precision,
        vgg=vgg,
        preview_every=preview_every,
        checkpoint_every=checkpoint_every,
        keep=keep,
    )
    words = _words(context)
    settings = {word: context.params[parameter] for parameter, word in words.items()}
    if Path(base).is_file():
        settings["from"] = Path(base)
    os.environ[NORM_VARIABLE] = norm
    from stylize.training.train import Card
    from stylize.training.train import train as run

    with interruptible(), stop_signals() as stop:
        events = run(
            pictures,
            content,
            name,
            config,
            NetworkConfig(architecture=architecture),
            weights=picture_weight or [],
            card=Card(title, author, year, licence),
            output=output,
            log_dir=log_dir,
            recipe=recipes.write_recipe(settings),
            resume=resume,
            overwrite=overwrite,
            stop=stop,
        )
        if not FIRST:
            drawn: Iterable[Event] = events
        elif json:
            drawn = terminal.print_json(events)
        else:
            drawn = terminal.draw_training(events, out)
        stopped = False
        for event in drawn:
            stopped = isinstance(event, TrainingStopped)
    if stopped and "TORCHELASTIC_RUN_ID" in os.environ:
        if FIRST:
            err.print("To go on: the same command, with --resume")
        raise typer.Exit(INTERRUPTED)
    if stopped:
        arguments = [word for word in sys.argv[1:] if word not in ("--resume", "--overwrite")]
        command = shlex.join(["stylize", *arguments, "--resume"])
        err.print(f"To go on: {command}", soft_wrap=True, markup=False, highlight=False)
        raise typer.Exit(INTERRUPTED)


def _layer_weights(words: Sequence[str]) -> dict[str, float]:
    weights: dict[str, float] = {}
    for word in words:
        layer, _, number = word.partition("=")
        try:
            weights[layer] = float(number)
        except ValueError as error:
            raise UsageError(
                f"--layer-weight {word!r} is no weight of a layer", "give one such as relu1_2=0.5"
            ) from error
    return weights


@contextmanager
def stop_signals() -> Iterator[threading.Event]:
    """An event that the first Ctrl-C or SIGTERM sets; a second one interrupts at once."""
    stop = threading.Event()

    def on_signal(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        err.print("stopping after this step (once more: at once, losing it) ...")

    before = {
        number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

"""`stylize train`: a style from one picture, or from several."""

import os
import shlex
import signal
import sys
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from stylize import events
from stylize.assets import LOCAL_STYLES, SCRATCH
from stylize.cli import options, terminal
from stylize.cli.defaults import NEVER, Defaults, as_parameters, names_of
from stylize.cli.terminal import FIRST, err, print_line
from stylize.config import AUTO, NORM_VARIABLE, Card, NetworkConfig, TrainConfig
from stylize.errors import UsageError
from stylize.training.recipe import read_recipe, write_recipe

EPILOG = (
    "Examples:\n\n"
    "stylize train painting.jpg --content photos/ --name mine\n\n"
    "stylize train painting.jpg --content photos/ --name mine --resume\n\n"
    "stylize train painting.jpg --content photos/ --name bold --style-weight 3 --style-size 224\n\n"
    "stylize train a.jpg b.jpg --picture-weight 2 --picture-weight 1 --content photos/ "
    "--name both\n\n"
    "stylize train a.jpg b.jpg --many-styles --content photos/ --name shop\n\n"
    "stylize train --recipe styles/mine/recipe.toml --name again\n\n"
    "torchrun --nproc-per-node 4 -m stylize train painting.jpg --content photos/ --name mine "
    "--batch-size 8"
)
STOPPING = "stopping after this step (press again to stop at once and lose it) ..."
LINES_PER_TRAINING = 50  # where the output is not a terminal

_NOT_IN_RECIPES = (*NEVER, "log_dir")  # how a training is started, not what it is


def _use_recipe(context: typer.Context, path: Path | None) -> Path | None:
    """Make the file's settings the defaults; the command line wins over them."""
    if path is not None:
        names = names_of(context, _NOT_IN_RECIPES)
        found = as_parameters(context, path, read_recipe(path, names.values()), names)
        context.default_map = {**(context.default_map or {}), **found}
    return path


@options.with_settings(TrainConfig, NetworkConfig, Card)
def train(
    context: typer.Context,
    pictures: Annotated[
        list[Path],
        typer.Argument(metavar="STYLE_IMAGE", help="The picture to learn from, or several."),
    ],
    content: Annotated[
        Path, typer.Option(help="Folder of content photos: a few hundred or more, of any kind.")
    ],
    name: Annotated[str, typer.Option(help="Name of the new style.")],
    output: Annotated[Path, typer.Option(help="Folder for styles.")] = LOCAL_STYLES,
    recipe: Annotated[
        Path | None,
        typer.Option(
            callback=_use_recipe,
            is_eager=True,
            help="TOML file with any of these settings, such as the recipe.toml of a training.",
        ),
    ] = None,
    base: Annotated[
        str,
        typer.Option(
            "--from",
            help="What to start from: base (the shipped network of many styles), a style, or "
            "scratch. auto: base, for the default network. A set can start from a style for each "
            "picture, with commas between them.",
            autocompletion=options.complete_start,
        ),
    ] = TrainConfig.base,
    many: Annotated[
        bool,
        typer.Option(
            "--many-styles",
            help="Train a set: every picture becomes a style of its own in one file. It is also a "
            "base to start from.",
        ),
    ] = TrainConfig.many,
    picture_weight: Annotated[
        list[float] | None,
        typer.Option(
            help="Share of each of several pictures, in their order. In a set, it multiplies the "
            "style weight of that picture."
        ),
    ] = None,
    layer_weight: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LAYER=WEIGHT",
            help="Weight of one style layer, relu1_2 (fine) to relu4_3 (coarse). Repeatable.",
        ),
    ] = None,
    defaults: Defaults = None,
    norm: options.Norm = AUTO,
    log_dir: Annotated[Path | None, typer.Option(help="Folder for TensorBoard logs.")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue from the last checkpoint.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Start over where a style or checkpoint exists.")
    ] = False,
    json: options.Json = False,
    **settings: Any,
) -> None:
    """Learn a style from one picture, or from several.

    Writes NAME.safetensors into the output folder. While it runs, it keeps checkpoints, a preview
    sheet, the losses, and a recipe that repeats it in the subfolder NAME. Ctrl-C saves a
    checkpoint; the same command with --resume continues from there. Needs no internet connection.
    """
    config = TrainConfig(
        base="" if base == SCRATCH else base,
        many=many,
        layer_weights=_parse_layer_weights(layer_weight or []),
        **TrainConfig.own(settings),
    )
    names = names_of(context, _NOT_IN_RECIPES)
    used = {word: context.params[name] for name, word in names.items()}
    if Path(base).is_file():
        used["from"] = Path(base)
    os.environ[NORM_VARIABLE] = norm
    from stylize.training.train import train as run

    with options.stop_signals(STOPPING, signal.SIGINT, signal.SIGTERM) as stop:
        running = run(
            pictures,
            content,
            name,
            config,
            NetworkConfig(**NetworkConfig.own(settings)),
            weights=picture_weight or [],
            card=Card(**Card.own(settings)),
            output=output,
            log_dir=log_dir,
            recipe=write_recipe(used),
            read=[path for path in (recipe, defaults) if path is not None],
            resume=resume,
            overwrite=overwrite,
            stop=stop,
        )
        if not FIRST:
            printed: Iterable[events.Event] = running
        elif json:
            printed = terminal.print_json(running)
        else:
            if defaults is not None:
                print_line(terminal.out, f"settings from {defaults}", "dim")
            printed = print_progress(running, terminal.out)
        stopped = False
        for event in printed:
            stopped = isinstance(event, events.TrainingStopped)
    if stopped:
        _print_how_to_continue()
        raise typer.Exit(options.INTERRUPTED)


def _parse_layer_weights(words: Sequence[str]) -> dict[str, float]:
    weights: dict[str, float] = {}
    for word in words:
        layer, _, number = word.partition("=")
        try:
            weights[layer] = float(number)
        except ValueError as error:
            message = f"--layer-weight {word!r} is no weight of a layer"
            raise UsageError(message, "give one such as relu1_2=0.5") from error
    return weights


def _print_how_to_continue() -> None:
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        arguments = [word for word in sys.argv[1:] if word not in ("--resume", "--overwrite")]
        print_line(err, f"To continue: {shlex.join(['stylize', *arguments, '--resume'])}")
    elif FIRST:
        print_line(err, "To continue: the same command, with --resume")


def print_progress(stream: Iterable[events.Event], console: Console) -> Iterator[events.Event]:
    """A live panel on a terminal, a line now and then elsewhere; passes the events on."""
    skipped = 0
    title = ""
    with Live(Text(""), console=console, auto_refresh=False, transient=False) as live:
        if not console.is_terminal:
            live.stop()
        for event in stream:
            match event:
                case events.Backend():
                    print_line(live.console, terminal.backend_line(event), "dim")
                case events.PhotoSkipped():
                    skipped += 1
                    line = f"skipped {event.path}: {event.reason}"
                    print_line(live.console, line, "yellow")
                case events.TrainingStarted():
                    title = f"training {event.name} on {terminal.count(event.photos, 'photo')}"
                    title += f" ({skipped} skipped)" if skipped else ""
                    first = f", from step {event.first_step}" if event.first_step else ""
                    parameters = f"{event.parameters / 1e6:.2f} M parameters"
                    print_line(live.console, f"{title}, {parameters}{first}")
                case events.StepDone():
                    live.update(_panel(event, title))
                    every = max(1, event.steps // LINES_PER_TRAINING)
                    if not console.is_terminal and event.step % every == 0:
                        print_line(console, _step(event))
                case events.WentBack():
                    line = f"{event.reason}: back to step {event.step}, "
                    line += f"with a learning rate of {event.lr:.2g}"
                    print_line(live.console, line, "red")
                case events.Note():
                    print_line(live.console, event.text, "yellow")
                case events.FileWritten(kind="preview" | "summary"):
                    print_line(live.console, f"{event.kind}: {event.path}", "dim")
                case events.TrainingStopped():
                    line = f"stopped after step {event.step}; saved {event.folder}"
                    print_line(live.console, line)
                case events.TrainingDone():
                    line = f"trained {event.steps} steps in {_clock(event.seconds)}: "
                    print_line(live.console, line + str(event.style))
            yield event


def _step(event: events.StepDone) -> str:
    losses = " ".join(f"{name.replace(' ', ':')}={v:.4f}" for name, v in event.losses.items())
    return (
        f"step {event.step}/{event.steps} total={event.total:.4f} {losses} "
        f"{event.photos_per_second:.2f} photos/s, {_clock(event.seconds_left)} left, "
        f"peak {event.peak_memory / 2**30:.2f} GiB"
    )


def _panel(event: events.StepDone, title: str) -> Panel:
    losses = Table.grid(padding=(0, 2))
    for name, value in event.losses.items():
        losses.add_row(name, f"{value:.4f}")
    losses.add_row("[bold]total, weighted[/bold]", f"[bold]{event.total:.4f}[/bold]")
    state = Table.grid(padding=(0, 2))
    state.add_row("step", f"{event.step} of {event.steps}")
    state.add_row("speed", f"{event.photos_per_second:.2f} photos/s")
    state.add_row("time left", _clock(event.seconds_left))
    state.add_row("peak memory", f"{event.peak_memory / 2**30:.2f} GiB")
    return Panel(Group(losses, Text(""), state), title=title, expand=False)


def _clock(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))

"""The commands: words in, exit codes out. torch is imported inside the commands that need it.

Exit codes: 0 all done, 1 some photos failed, 2 wrong usage, 130 interrupted.
"""

import os
import shlex
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer
from rich.console import Console

from stylize import progress
from stylize._version import __version__
from stylize.assets import LOCAL_STYLES, shipped, style_files
from stylize.config import (
    NORM_BACKENDS,
    NORM_VARIABLE,
    ApplyConfig,
    NetworkConfig,
    TrainConfig,
)
from stylize.errors import StyleFileError, StylizeError
from stylize.events import ApplyDone, TrainingStopped

SOME_FAILED = 1
WRONG_USAGE = 2
INTERRUPTED = 130

app = typer.Typer(
    name="stylize",
    help="Turn whole folders of photos into one look: learn a style once, apply it to everything.",
    epilog="Start with: stylize apply great-wave photos/ --output painted/",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
out = Console()
err = Console(stderr=True)

_TRAIN = TrainConfig()
_APPLY = ApplyConfig()

Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
Precision = Annotated[str, typer.Option(help="auto, fp32 or bf16 (auto: bf16 where it is fast).")]
Norm = Annotated[
    str,
    typer.Option(
        envvar=NORM_VARIABLE,
        help="Instance norm by: auto, torch, or triton (kernels for a GPU).",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print events as JSON, one a line.")]


def main() -> None:
    """Entry point: runs a command and turns errors into one line and an exit code."""
    # What Pillow says of odd metadata is for programmers; what fails is named anyway.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    try:
        app()
    except StylizeError as error:
        progress.print_error(err, str(error), error.hint)
        sys.exit(WRONG_USAGE)
    except OSError as error:  # a path that the system refuses: too long, a loop of links ...
        progress.print_error(err, f"{error.filename or 'system'}: {error.strerror}", "")
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


@app.command(
    epilog="Examples:\n\n"
    "stylize apply great-wave photo.jpg --output painted/\n\n"
    "stylize apply great-wave photos/ more/ --output painted/ --size 2048\n\n"
    "stylize apply ./styles/mine.safetensors photos/ --output painted/ --overwrite"
)
def apply(
    style: Annotated[
        str, typer.Argument(metavar="STYLE", help="A style's name (see `stylize styles`) or file.")
    ],
    inputs: Annotated[
        list[Path], typer.Argument(metavar="INPUT...", help="Photos, and folders of photos.")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for the results; mirrors the inputs.")
    ],
    size: Annotated[
        int | None, typer.Option(help="Longest side in pixels; larger photos are scaled down.")
    ] = _APPLY.size,
    batch_size: Annotated[
        int, typer.Option(help="Photos of one size that go through the network at once.")
    ] = _APPLY.batch_size,
    device: Device = _APPLY.device,
    precision: Precision = _APPLY.precision,
    norm: Norm = NORM_BACKENDS[0],
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace outputs that exist.")
    ] = False,
    json: Json = False,
) -> None:
    """Stylize photos and folders of photos.

    Subfolders are mirrored below the output folder and photos keep their format. A photo that
    cannot be read is named at the end and never stops the others (exit code 1).
    """
    config = ApplyConfig(size, batch_size, device, precision, overwrite)
    os.environ[NORM_VARIABLE] = norm
    from stylize.apply import apply as run

    events = run(style, inputs, output, config)
    failed = 0
    with _interruptible():
        for event in progress.print_json(events) if json else progress.draw_apply(events, out):
            if isinstance(event, ApplyDone):
                failed = event.failed
    if failed:
        raise typer.Exit(SOME_FAILED)


@app.command(
    epilog="Examples:\n\n"
    "stylize train painting.jpg --content photos/ --name mine\n\n"
    "stylize train painting.jpg --content photos/ --name mine --resume\n\n"
    "stylize train painting.jpg --content photos/ --name bold --style-weight 3 --style-size 768"
)
def train(
    picture: Annotated[
        Path, typer.Argument(metavar="STYLE_IMAGE", help="The picture to learn from.")
    ],
    content: Annotated[
        Path, typer.Option(help="Folder of content photos: some hundred or more, of any kind.")
    ],
    name: Annotated[str, typer.Option(help="What the style shall be called.")],
    output: Annotated[Path, typer.Option(help="Folder for styles.")] = LOCAL_STYLES,
    steps: Annotated[int, typer.Option(help="Optimizer steps.")] = _TRAIN.steps,
    batch_size: Annotated[int, typer.Option(help="Photos a step.")] = _TRAIN.batch_size,
    size: Annotated[int, typer.Option(help="Side of the training crops, pixels.")] = _TRAIN.size,
    style_size: Annotated[
        int, typer.Option(help="Short side of the style picture, pixels: larger, larger strokes.")
    ] = _TRAIN.style_size,
    content_weight: Annotated[
        float, typer.Option(help="Weight of keeping the photo's content.")
    ] = _TRAIN.content_weight,
    style_weight: Annotated[
        float, typer.Option(help="Weight of having the style.")
    ] = _TRAIN.style_weight,
    tone_weight: Annotated[
        float, typer.Option(help="Weight of keeping light areas lighter than dark ones.")
    ] = _TRAIN.tone_weight,
    tv_weight: Annotated[
        float, typer.Option(help="Weight of smoothness (total variation).")
    ] = _TRAIN.tv_weight,
    lr: Annotated[float, typer.Option(help="Learning rate of Adam.")] = _TRAIN.lr,
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
    """Learn a style from one picture.

    Writes NAME.safetensors into the output folder and, while it runs, a checkpoint, a preview
    sheet and the losses into its subfolder NAME. Ctrl-C saves a checkpoint; the same command with
    --resume goes on from there. No network is needed.
    """
    config = TrainConfig(
        steps=steps,
        batch_size=batch_size,
        size=size,
        style_size=style_size,
        content_weight=content_weight,
        style_weight=style_weight,
        tone_weight=tone_weight,
        tv_weight=tv_weight,
        lr=lr,
        seed=seed,
        device=device,
        precision=precision,
        vgg=vgg,
        preview_every=preview_every,
        checkpoint_every=checkpoint_every,
    )
    network = NetworkConfig(architecture=architecture)
    os.environ[NORM_VARIABLE] = norm
    from stylize.train import train as run

    with _interruptible(), _stop_signals() as stop:
        events = run(
            picture,
            content,
            name,
            config,
            network,
            title=title,
            author=author,
            year=year,
            licence=licence,
            output=output,
            resume=resume,
            overwrite=overwrite,
            stop=stop,
        )
        stopped = False
        for event in progress.print_json(events) if json else progress.draw_training(events, out):
            stopped = isinstance(event, TrainingStopped)
    if stopped:
        arguments = [word for word in sys.argv[1:] if word not in ("--resume", "--overwrite")]
        command = shlex.join(["stylize", *arguments, "--resume"])
        err.print(f"To go on: {command}", soft_wrap=True, markup=False, highlight=False)
        raise typer.Exit(INTERRUPTED)


@app.command()
def styles(
    names: Annotated[bool, typer.Option("--names", help="Print names only, one a line.")] = False,
) -> None:
    """List the styles there are: shipped ones, and your own in ./styles."""
    from stylize.header import read_header

    files = style_files()
    if names:
        for name in files:
            print(name)
        return
    rows = []
    for name, path in files.items():
        place = "shipped" if path.parent == shipped("models") else progress.shown(path)
        try:
            picture = read_header(path).picture
            size = f"{path.stat().st_size / 1e6:.1f} MB"
        except StyleFileError as error:
            rows.append((name, f"unreadable: {error}", "", "", "", place))
        else:
            rows.append((name, picture.title, picture.author, picture.licence, size, place))
    progress.print_styles(out, rows)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Ends the command with its own exit code on Ctrl-C."""
    try:
        yield
    except KeyboardInterrupt:
        progress.print_error(err, "interrupted", "every file that was written is whole")
        raise typer.Exit(INTERRUPTED) from None


@contextmanager
def _stop_signals() -> Iterator[threading.Event]:
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

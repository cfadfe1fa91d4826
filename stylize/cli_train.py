"""`stylize train`: a style from one picture."""

import os
import shlex
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from stylize import progress
from stylize.assets import LOCAL_STYLES
from stylize.cli_common import INTERRUPTED, Device, Json, Norm, Precision, err, interruptible, out
from stylize.config import NORM_BACKENDS, NORM_VARIABLE, NetworkConfig, TrainConfig
from stylize.events import TrainingStopped

_TRAIN = TrainConfig()

EPILOG = (
    "Examples:\n\n"
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

    with interruptible(), stop_signals() as stop:
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

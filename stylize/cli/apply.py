"""`stylize apply`: photos and folders of photos in one style."""

import os
import sys
from collections import deque
from pathlib import Path
from typing import Annotated

import typer

from stylize.cli import terminal
from stylize.cli.common import (
    SOME_FAILED,
    Device,
    Json,
    Norm,
    Precision,
    complete_style,
    err,
    interruptible,
    out,
)
from stylize.config import (
    NORM_BACKENDS,
    NORM_VARIABLE,
    OUTPUT_FORMATS,
    ApplyConfig,
    Look,
    parse_size,
)
from stylize.errors import UsageError
from stylize.events import ApplyDone, Planned

_APPLY = ApplyConfig()

NATIVE, AUTO = "native", "auto"  # --stroke, --max-memory: no number

# Headings in `stylize apply --help`.
RUN, LOOK, FILES, MACHINE = "The run", "The look", "The files", "The machine"

EPILOG = (
    "Examples:\n\n"
    "stylize apply woodblock photo.jpg --output painted/\n\n"
    "stylize apply woodblock photos/ --output painted/ --dry-run\n\n"
    "stylize apply woodblock photos/ --output web/ --size 2048 --format webp --strip-gps\n\n"
    "stylize apply woodblock photos/ --output painted/ --keep-background --strength 0.7\n\n"
    "stylize apply woodblock poster.tif --output painted/ --max-memory 4GB --stroke 0.5 -v\n\n"
    "find photos -name '*.jpg' -print0 | stylize apply woodblock - --output painted/"
)


def apply(
    style: Annotated[
        str,
        typer.Argument(
            metavar="STYLE",
            help="A style's name (see `stylize styles`) or file.",
            autocompletion=complete_style,
        ),
    ],
    inputs: Annotated[
        list[Path],
        typer.Argument(
            metavar="INPUT...", help="Photos and folders of photos; - reads paths from stdin."
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for the results; mirrors the inputs.")
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be done.", rich_help_panel=RUN)
    ] = False,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite",
            help="Do everything anew, and replace files that stylize did not write.",
            rich_help_panel=RUN,
        ),
    ] = _APPLY.overwrite,
    fail_fast: Annotated[
        bool, typer.Option("--fail-fast", help="Stop at the first failure.", rich_help_panel=RUN)
    ] = _APPLY.fail_fast,
    strength: Annotated[
        float, typer.Option(help="From 0, the photo, to 1, the full style.", rich_help_panel=LOOK)
    ] = _APPLY.look.strength,
    preserve_color: Annotated[
        bool,
        typer.Option("--preserve-color", help="Keep the photo's colours.", rich_help_panel=LOOK),
    ] = _APPLY.look.preserve_color,
    keep_background: Annotated[
        bool,
        typer.Option(
            "--keep-background",
            help="Stylize the product only: what is opaque, or not flat background.",
            rich_help_panel=LOOK,
        ),
    ] = False,
    cut_out: Annotated[
        bool,
        typer.Option(
            "--cut-out",
            help="Stylize the product only, and make the rest transparent (PNG, WebP, AVIF, TIFF).",
            rich_help_panel=LOOK,
        ),
    ] = False,
    even_light: Annotated[
        bool,
        typer.Option(
            help="Take out light that falls off to one side or to the corners.",
            rich_help_panel=LOOK,
        ),
    ] = _APPLY.look.even_light,
    stroke: Annotated[
        str,
        typer.Option(
            help="Size of the strokes in relation to the picture, 1 as in training (0.1 to 4); or "
            "native: the same number of pixels in all photos.",
            rich_help_panel=LOOK,
        ),
    ] = NATIVE,
    masks: Annotated[
        str | None,
        typer.Option(
            metavar="DIR",
            help="Folder that mirrors the inputs, with masks (white: product), as rembg makes "
            "them; implies --keep-background, unless --cut-out.",
            rich_help_panel=LOOK,
        ),
    ] = _APPLY.masks,
    anchor: Annotated[
        str | None,
        typer.Option(
            metavar="REF|auto",
            help="Hold the statistics of all photos near those of this one, or of the set.",
            rich_help_panel=LOOK,
        ),
    ] = _APPLY.anchor,
    anchor_weight: Annotated[
        float, typer.Option(help="How near: from 0 to 1.", rich_help_panel=LOOK)
    ] = _APPLY.anchor_weight,
    anchor_floor: Annotated[
        float,
        typer.Option(
            help="No variance falls below so much of the anchor's: from 0 to 1.",
            rich_help_panel=LOOK,
        ),
    ] = _APPLY.anchor_floor,
    size: Annotated[
        int | None,
        typer.Option(
            help="Longest side in pixels; larger photos are scaled down.", rich_help_panel=FILES
        ),
    ] = _APPLY.size,
    format: Annotated[  # noqa: A002 the option's name
        str, typer.Option(help=f"{', '.join(OUTPUT_FORMATS)}.", rich_help_panel=FILES)
    ] = _APPLY.format,
    quality: Annotated[
        int | None,
        typer.Option(
            help="1 to 100, of JPEG (default 95), WebP (95) and AVIF (90).", rich_help_panel=FILES
        ),
    ] = _APPLY.quality,
    name: Annotated[
        str,
        typer.Option(
            help="Pattern of file names, such as {stem}-{style}{suffix}.", rich_help_panel=FILES
        ),
    ] = _APPLY.name,
    strip: Annotated[
        bool,
        typer.Option(
            "--strip", help="Leave out all metadata (EXIF, XMP, IPTC).", rich_help_panel=FILES
        ),
    ] = _APPLY.strip,
    strip_gps: Annotated[
        bool,
        typer.Option("--strip-gps", help="Leave out GPS coordinates.", rich_help_panel=FILES),
    ] = _APPLY.strip_gps,
    max_megapixels: Annotated[
        float,
        typer.Option(
            help="Refuse larger pictures; all frames of an animation count.", rich_help_panel=FILES
        ),
    ] = _APPLY.max_megapixels,
    batch_size: Annotated[
        int,
        typer.Option(
            help="Photos of one size that go through the network at once.",
            rich_help_panel=MACHINE,
        ),
    ] = _APPLY.batch_size,
    max_memory: Annotated[
        str,
        typer.Option(
            help="Such as 700MB or 4GB, for the device and for the host; photos that need more go "
            "through in strips, with the same result. auto: half of what is free.",
            rich_help_panel=MACHINE,
        ),
    ] = AUTO,
    statistics: Annotated[
        str,
        typer.Option(
            help="exact, or thumbnail: an approximation for huge photos, which keeps next to "
            "nothing in memory.",
            rich_help_panel=MACHINE,
        ),
    ] = _APPLY.look.statistics,
    device: Device = _APPLY.device,
    precision: Precision = _APPLY.precision,
    norm: Norm = NORM_BACKENDS[0],
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say failures only.")] = False,
    verbose: Annotated[
        bool,
        typer.Option("--verbose", "-v", help="Say how each photo goes through, and its memory."),
    ] = False,
    json: Json = False,
) -> None:
    """Stylize photos and folders of photos.

    Subfolders are mirrored below the output folder and photos keep their format. A photo that
    cannot be stylized is named at the end and never stops the others (exit code 1). Run again,
    it does what is new or has changed, and leaves alone what is up to date.
    """
    config = ApplyConfig(
        size=size,
        batch_size=batch_size,
        device=device,
        precision=precision,
        overwrite=overwrite,
        fail_fast=fail_fast,
        look=Look(
            strength,
            preserve_color,
            _background(keep=keep_background, cut_out=cut_out, masks=masks is not None),
            even_light,
            _stroke(stroke),
            statistics,
        ),
        masks=masks,
        anchor=anchor,
        anchor_weight=anchor_weight,
        anchor_floor=anchor_floor,
        format=format,
        quality=quality,
        name=name,
        strip=strip,
        strip_gps=strip_gps,
        max_megapixels=max_megapixels,
        max_memory=None if max_memory == AUTO else parse_size(max_memory),
    )
    listed = _read_list() if Path("-") in inputs else []
    inputs = [path for path in inputs if path != Path("-")]
    if dry_run:
        from stylize.batch.tasks import look_over

        plan, tasks = look_over(style, inputs, output, config, listed)
        planned = [Planned(t.job.source, t.job.target, t.state) for t in tasks]
        if json:
            deque(terminal.print_json(planned), maxlen=0)
        else:
            terminal.print_plan(out, planned, plan.ignored)
        return
    os.environ[NORM_VARIABLE] = norm
    # Large pages for tensors: photos of ever other sizes tear fewer holes into the heap.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    from PIL import Image

    from stylize.batch.apply import apply as run

    Image.MAX_IMAGE_PIXELS = None  # of this process: --max-megapixels is the limit, lower or higher

    running = run(style, inputs, output, config, listed)
    if json:
        events = terminal.print_json(running)
    elif quiet:
        events = terminal.draw_failures(running, err)
    else:
        events = terminal.draw_apply(running, out, verbose=verbose)
    complete = True
    with interruptible():
        for event in events:
            if isinstance(event, ApplyDone):
                complete = not event.failed and not event.left
    if not complete:
        raise typer.Exit(SOME_FAILED)


def _background(*, keep: bool, cut_out: bool, masks: bool) -> str:
    if keep and cut_out:
        raise UsageError("--keep-background and --cut-out exclude each other", "give one of them")
    return "transparent" if cut_out else "keep" if keep or masks else "stylize"


def _stroke(text: str) -> float | None:
    try:
        return None if text == NATIVE else float(text)
    except ValueError:
        raise UsageError(f"--stroke is {text!r}", "give a number, or native") from None


def _read_list() -> list[Path]:
    """The paths on stdin: one a line, or with NUL behind each, as `find -print0` writes them."""
    text = sys.stdin.buffer.read()
    names = text.split(b"\0") if b"\0" in text else text.splitlines()
    return [Path(os.fsdecode(name)) for name in names if name]

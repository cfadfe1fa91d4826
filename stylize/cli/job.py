"""`stylize job`: a brand's job from one file."""

from pathlib import Path
from typing import Annotated

import typer

from stylize.cli import progress_job
from stylize.cli.common import SOME_FAILED, Json, interruptible, out
from stylize.cli.terminal import print_json
from stylize.consistency.job_file import read_brand, write_example
from stylize.events import JobDone

app = typer.Typer(
    name="job",
    help="A brand's job: inputs, styles, sizes and limits from one file, every night.",
    epilog="Start with: stylize job new brand.toml",
    no_args_is_help=True,
)

_File = Annotated[Path, typer.Argument(metavar="FILE", help="A job file (TOML).")]


@app.command(epilog="Example:\n\nstylize job new brand.toml")
def new(file: _File) -> None:
    """Write a commented job file to start from."""
    write_example(file)
    progress_job.print_next_steps(out, file)


@app.command(epilog="Example:\n\nstylize job check brand.toml")
def check(file: _File, json: Json = False) -> None:
    """Check a job file, and say what a run would do; changes nothing."""
    from stylize.consistency.job import check_job

    plan = check_job(read_brand(file))
    if json:
        for _ in print_json(plan):
            pass
    else:
        progress_job.print_plan(out, plan)


@app.command(epilog="Examples:\n\nstylize job run brand.toml\n\nstylize job run brand.toml --json")
def run(file: _File, json: Json = False) -> None:
    """Do what is new or has changed, audit the result, and write the report.

    Exit codes: 0 all is done and within the limits, 1 not, 2 the job cannot be run as it is.
    """
    from PIL import Image

    from stylize.consistency.job import run_job

    Image.MAX_IMAGE_PIXELS = None  # of this process: max_megapixels is the limit
    running = run_job(read_brand(file))
    complete = True
    with interruptible():
        for event in print_json(running) if json else progress_job.draw_job(running, out):
            if isinstance(event, JobDone):
                complete = event.complete
    if not complete:
        raise typer.Exit(SOME_FAILED)

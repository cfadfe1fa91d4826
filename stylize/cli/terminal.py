"""Events -> terminal. Draws what the verbs report; computes nothing and never imports torch."""

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Never

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text
from tqdm import tqdm

from stylize.events import (
    ApplyDone,
    ApplyStarted,
    Backend,
    Event,
    FileWritten,
    Note,
    PhotoBegun,
    PhotoDone,
    PhotoFailed,
    PhotoSkipped,
    Planned,
    StepDone,
    TrainingDone,
    TrainingStarted,
    TrainingStopped,
    WentBack,
)

LINES_PER_TRAINING = 50  # where the output is not a terminal


def print_json(events: Iterable[Event]) -> Iterator[Event]:
    """Print each event as one line of JSON, and pass it on."""
    for event in events:
        line = {"event": type(event).__name__, **asdict(event)}
        print(json.dumps(line, default=str), flush=True)
        yield event


def draw_apply(
    events: Iterable[Event], console: Console, *, verbose: bool = False
) -> Iterator[Event]:
    """A progress bar while photos are stylized, then a table; passes the events on.

    `verbose` says of each photo how it goes through the network.
    """
    bar: tqdm[Never] | None = None
    failures: list[PhotoFailed] = []
    warned: list[PhotoDone] = []
    megapixels = 0.0
    try:
        for event in events:
            match event:
                case Backend():
                    console.print(backend_line(event), style="dim")
                case ApplyStarted():
                    bar = tqdm(total=event.photos, unit="photo", desc=event.style, leave=False)
                    ignored = event.ignored
                case PhotoBegun() if bar is not None and verbose:
                    bar.write(_begun(event), file=console.file)
                case PhotoDone() if bar is not None:
                    megapixels += event.width * event.height * event.frames / 1e6
                    rate = megapixels / max(bar.format_dict["elapsed"], 1e-9)
                    bar.set_postfix_str(f"{rate:.2f} megapixels/s", refresh=False)
                    bar.update()
                    if event.warnings:
                        warned.append(event)
                case PhotoFailed() if bar is not None:
                    failures.append(event)
                    bar.update()
                case ApplyDone():
                    if bar is not None:
                        bar.close()
                    _print_summary(console, event, ignored, failures, warned)
            yield event
    finally:
        if bar is not None:
            bar.close()


def draw_failures(events: Iterable[Event], console: Console) -> Iterator[Event]:
    """A line for each failure and for a run that stopped, nothing else; passes the events on."""
    for event in events:
        if isinstance(event, PhotoFailed):
            line = f"{shown(event.source)}: {shown(event.reason)}"
            console.print(Text(line), soft_wrap=True)
        elif isinstance(event, ApplyDone) and event.stopped:
            console.print(Text(_stopped(event)), soft_wrap=True)
        yield event


def _print_summary(
    console: Console,
    done: ApplyDone,
    ignored: int,
    failures: Sequence[PhotoFailed],
    warned: Sequence[PhotoDone],
) -> None:
    if warned:
        print_reasons(console, "Done, but", ((p.source, "; ".join(p.warnings)) for p in warned))
    if failures:
        print_reasons(console, "Failed", ((p.source, p.reason) for p in failures))
    table = Table(show_header=False)
    table.add_row("stylized", f"{count(done.done, 'photo')}, {done.megapixels:.1f} megapixels")
    if done.current:
        table.add_row("up to date", count(done.current, "photo"))
    if done.failed:
        table.add_row("failed", f"[red]{count(done.failed, 'photo')}[/red]")
    if done.failures:
        table.add_row("", Text(shown(done.failures), overflow="fold"))
    if done.stopped:
        table.add_row("stopped", f"[red]{_stopped(done)}[/red]")
    if ignored:
        table.add_row("ignored", f"{count(ignored, 'other file')}")
    if done.done and done.seconds:
        speed = f"{done.done / done.seconds:.2f} photos/s, "
        speed += f"{done.megapixels / done.seconds:.2f} megapixels/s"
        table.add_row("time", f"{done.seconds:.1f} s, {speed}")
    table.add_row("output", Text(shown(done.output), overflow="fold"))
    console.print(table)


def print_reasons(console: Console, title: str, rows: Iterable[tuple[Path, str]]) -> None:
    """A table of photos, and what is to be said of each."""
    table = Table("photo", "why", title=title, title_justify="left")
    for path, reason in rows:
        table.add_row(Text(shown(path), overflow="fold"), Text(shown(reason)))
    console.print(table)


def _begun(event: PhotoBegun) -> str:
    megapixels = event.width * event.height / 1e6
    what = f"{megapixels:.1f} megapixels {event.way}, up to {event.memory / 1e9:.1f} GB in all"
    return f"{shown(event.source)}: {what}"


def _stopped(done: ApplyDone) -> str:
    return f"{done.stopped}: {count(done.left, 'photo')} not begun"


def print_plan(console: Console, plan: Sequence[Planned], ignored: int) -> None:
    """Every photo with its output and how that stands, then how many there are of each kind."""
    width = max((len(event.state) for event in plan), default=0)
    for event in plan:
        line = f"{event.state:>{width}}  "
        line += f"{shown(event.source)} -> {shown(event.target)}"
        console.print(Text(line), soft_wrap=True)
    counts = Counter(event.state for event in plan)
    parts = [f"{count} {state}" for state, count in sorted(counts.items())]
    parts += [count(ignored, "other file") + " ignored"] if ignored else []
    console.print(Text(f"{count(len(plan), 'photo')}: {', '.join(parts)}"), soft_wrap=True)


def draw_training(events: Iterable[Event], console: Console) -> Iterator[Event]:
    """A live panel on a terminal, now and then a line elsewhere; passes the events on."""
    skipped = 0
    title = ""
    with _panel(console) as live:
        for event in events:
            match event:
                case Backend():
                    live.console.print(backend_line(event), style="dim")
                case PhotoSkipped():
                    skipped += 1
                    line = f"skipped {shown(event.path)}: {event.reason}"
                    live.console.print(Text(line, style="yellow"), soft_wrap=True)
                case TrainingStarted():
                    title = f"training {event.name} on {count(event.photos, 'photo')}"
                    if skipped:
                        title += f" ({skipped} skipped)"
                    first = f", from step {event.first_step}" if event.first_step else ""
                    line = f"{title}, {event.parameters / 1e6:.2f} M parameters{first}"
                    live.console.print(Text(line))
                case StepDone():
                    live.update(_training_panel(event, title))
                    every = max(1, event.steps // LINES_PER_TRAINING)
                    if not console.is_terminal and event.step % every == 0:
                        console.print(Text(_training_line(event)), soft_wrap=True)
                case WentBack():
                    line = f"{event.reason}: back to step {event.step}, "
                    line += f"with a learning rate of {event.lr:.2g}"
                    live.console.print(Text(line, style="red"), soft_wrap=True)
                case Note():
                    live.console.print(Text(event.text, style="yellow"), soft_wrap=True)
                case FileWritten(kind="preview" | "summary"):
                    line = f"{event.kind}: {shown(event.path)}"
                    live.console.print(Text(line, style="dim"), soft_wrap=True)
                case TrainingStopped():
                    line = f"stopped after step {event.step}; saved {shown(event.folder)}"
                    live.console.print(Text(line), soft_wrap=True)
                case TrainingDone():
                    took = _clock(event.seconds)
                    line = f"trained {event.steps} steps in {took}: {shown(event.style)}"
                    live.console.print(Text(line), soft_wrap=True)
            yield event


@contextmanager
def _panel(console: Console) -> Iterator[Live]:
    with Live(Text(""), console=console, auto_refresh=False, transient=False) as live:
        if not console.is_terminal:
            live.stop()
        yield live


def _training_panel(event: StepDone, title: str) -> Panel:
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


def _training_line(event: StepDone) -> str:
    losses = " ".join(f"{name.replace(' ', ':')}={v:.4f}" for name, v in event.losses.items())
    return (
        f"step {event.step}/{event.steps} total={event.total:.4f} {losses} "
        f"{event.photos_per_second:.2f} photos/s, {_clock(event.seconds_left)} left, "
        f"peak {event.peak_memory / 2**30:.2f} GiB"
    )


def backend_line(event: Backend) -> str:
    where = f"device {event.device} ({event.detail})"
    return f"{where}, precision {event.precision}, instance norm by {event.norm}"


def count(number: int, thing: str) -> str:
    """Such as 1 photo, 2 photos."""
    return f"{number} {thing}" + ("" if number == 1 else "s")


def _clock(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))


def print_error(console: Console, message: str, hint: str) -> None:
    """One line for what is wrong, and one for what to do about it."""
    console.print(Text.assemble(("error: ", "bold red"), shown(message)), soft_wrap=True)
    if hint:
        console.print(Text.assemble(("hint: ", "cyan"), hint), soft_wrap=True)


def shown(path: Path | str) -> str:
    """A path, or text that holds one, as any terminal can take it, whatever bytes names have."""
    return os.fsencode(path).decode(errors="replace")

"""What `stylize apply` prints: a plan, progress, failures, and a summary at the end."""

from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Sequence

from rich.console import Console
from rich.table import Table

from stylize import events
from stylize.cli import terminal
from stylize.cli.terminal import ProgressBar, count, print_line, shown
from stylize.files import Location

STATE_WIDTH = len("out of date")  # unlike foreign ones, which are few

Reasons = dict[tuple[Location, str], list[str]]  # photo and reason -> the styles


def print_streamed(planned: Generator[events.Event, None, int], console: Console) -> None:
    """As `print_plan`, of any number of photos."""
    counts: Counter[str] = Counter()
    try:
        while True:
            event = next(planned)
            if isinstance(event, events.Planned):
                counts[event.state] += 1
                print_line(console, _planned(event, STATE_WIDTH))
    except StopIteration as end:
        print_line(console, _counted(counts, end.value))


def print_plan(plan: Sequence[events.Planned], ignored: int, console: Console) -> None:
    """Every photo with its output and the state of that, then the number of each state."""
    width = max((len(event.state) for event in plan), default=0)
    for event in plan:
        print_line(console, _planned(event, width))
    print_line(console, _counted(Counter(event.state for event in plan), ignored))


def _planned(event: events.Planned, width: int) -> str:
    return f"{event.state:>{width}}  {shown(event.source)} -> {shown(event.target)}"


def _counted(counts: Counter[str], ignored: int) -> str:
    parts = [f"{number} {state}" for state, number in sorted(counts.items())]
    parts += [count(ignored, "other file") + " ignored"] if ignored else []
    return f"{count(counts.total(), 'photo')}: {', '.join(parts)}"


def print_failures(stream: Iterable[events.Event], console: Console) -> Iterator[events.Event]:
    """A line for each failure and for a run that stopped early; passes the events on."""
    for event in stream:
        match event:
            case events.PhotoFailed():
                print_line(console, f"{shown(event.source)}: {shown(event.reason)}")
            case events.ApplyDone() if event.stopped:
                print_line(console, _stopped(event))
            case events.Note():
                print_line(console, shown(event.text))
        yield event


def print_progress(
    stream: Iterable[events.Event], console: Console, *, verbose: bool = False
) -> Iterator[events.Event]:
    """A progress bar for each style, then a table; passes the events on.

    `verbose` prints how each photo is computed.
    """
    outcome, backend, megapixels = _Outcome(), None, 0.0
    with ProgressBar() as bar:
        for event in stream:
            outcome.add(event)
            match event:
                case events.Backend() if event != backend:
                    backend = event
                    print_line(console, terminal.backend_line(event), "dim")
                case events.PhotosListed():
                    bar.count(event.photos, "listing")
                case events.PhotosCompared():
                    bar.count(event.photos, "comparing")
                case events.ApplyStarted():
                    bar.start(event.photos, event.style)
                    megapixels = 0.0
                case events.PhotoBegun() if verbose:
                    print_line(console, _how(event))
                case events.FramePainted():
                    bar.show(f"{shown(event.source.name)}: frame {event.frames} of {event.count}")
                    bar.update(0)
                case events.PhotoDone():
                    megapixels += event.width * event.height * event.frames / 1e6
                    bar.show(f"{megapixels / max(bar.seconds, 1e-9):.2f} megapixels/s")
                    bar.update()
                case events.PhotoFailed():
                    bar.update()
                case events.ApplyDone():
                    bar.close()
            yield event
    outcome.show(console)


def print_watch(
    stream: Iterable[events.Event], console: Console, *, verbose: bool = False
) -> Iterator[events.Event]:
    """A line for each photo as soon as it is done or has failed; passes the events on.

    `verbose` prints how each photo is computed.
    """
    print_line(console, "photos are done as they come; Ctrl-C ends it", "dim")
    backend = None
    with ProgressBar() as bar:
        for event in stream:
            match event:
                case events.Backend() if event != backend:
                    backend = event
                    print_line(console, terminal.backend_line(event), "dim")
                case events.ApplyStarted():
                    if event.current:
                        print_line(
                            console, f"{event.style}: {count(event.current, 'photo')} up to date"
                        )
                    bar.start(event.photos, event.style)
                case events.PhotoBegun() if verbose:
                    print_line(console, _how(event))
                case events.PhotoDone():
                    warned = f" ({'; '.join(event.warnings)})" if event.warnings else ""
                    print_line(console, f"{shown(event.source)} -> {shown(event.target)}{warned}")
                    bar.update()
                case events.PhotoFailed():
                    print_line(console, f"{shown(event.source)}: {shown(event.reason)}", "red")
                    bar.update()
                case events.ApplyDone():
                    bar.close()
                    if event.stopped:
                        print_line(console, _stopped(event), "red")
                case events.Note():
                    print_line(console, shown(event.text), "red")
            yield event


class _Outcome:
    """What there is to say at the end, of one style or of several."""

    def __init__(self) -> None:
        self._style = ""
        self._ignored = 0
        self._failed: Reasons = {}
        self._warned: Reasons = {}
        self._runs: list[tuple[str, events.ApplyDone]] = []
        self._notes: list[str] = []

    def add(self, event: events.Event) -> None:
        match event:
            case events.ApplyStarted():
                self._style, self._ignored = event.style, event.ignored
            case events.PhotoDone() if event.warnings:
                reason = "; ".join(event.warnings)
                self._warned.setdefault((event.source, reason), []).append(self._style)
            case events.PhotoFailed():
                self._failed.setdefault((event.source, event.reason), []).append(self._style)
            case events.ApplyDone():
                self._runs.append((self._style, event))
            case events.Note():
                self._notes.append(event.text)

    def show(self, console: Console) -> None:
        several = len(self._runs) > 1
        failed, warned = (_rows(each, several=several) for each in (self._failed, self._warned))
        print_outcome(console, failed, warned)
        if several:
            console.print(_table(self._runs))
            print_line(console, _total([run for _, run in self._runs], self._ignored))
        else:
            for _, run in self._runs:
                console.print(_summary(run, self._ignored))
        for text in self._notes:
            print_line(console, shown(text), "red")


def print_outcome(
    console: Console,
    failed: Iterable[tuple[Location, str]],
    warned: Iterable[tuple[Location, str]],
) -> None:
    """Tables of the photos that came with warnings, and of those that failed."""
    terminal.print_reasons(console, "Done, with warnings", warned)
    terminal.print_reasons(console, "Failed", failed)


def _rows(reasons: Reasons, *, several: bool) -> Iterator[tuple[Location, str]]:
    """Each photo once, with the styles that it concerns if there are `several`."""
    for (photo, reason), styles in reasons.items():
        yield photo, f"{reason} ({', '.join(styles)})" if several else reason


def _summary(done: events.ApplyDone, ignored: int) -> Table:
    table = Table(show_header=False)
    table.add_row("stylized", f"{count(done.done, 'photo')}, {done.megapixels:.1f} megapixels")
    if done.current:
        table.add_row("up to date", count(done.current, "photo"))
    if done.failed:
        table.add_row("failed", f"[red]{count(done.failed, 'photo')}[/red]")
    if done.failures:
        table.add_row("", terminal.path_cell(done.failures))
    if done.stopped:
        table.add_row("stopped", f"[red]{_stopped(done)}[/red]")
    if ignored:
        table.add_row("ignored", f"{count(ignored, 'other file')}")
    if done.done and done.seconds:
        table.add_row("time", _time(done.done, done.megapixels, done.seconds))
    table.add_row("output", terminal.path_cell(done.output))
    return table


def _table(runs: Iterable[tuple[str, events.ApplyDone]]) -> Table:
    """A row for each style."""
    table = Table("style", "stylized", "up to date", "failed", "not begun", "output")
    for style, run in runs:
        numbers = (run.done, run.current, run.failed, run.left)
        cells = (str(number) if number else "" for number in numbers)
        table.add_row(terminal.path_cell(style), *cells, terminal.path_cell(run.output))
        if run.stopped:
            table.add_row("", f"[red]{run.stopped}[/red]")
    return table


def _total(runs: Sequence[events.ApplyDone], ignored: int) -> str:
    done = sum(run.done for run in runs)
    text = f"{count(done, 'picture')} made"
    if ignored:
        text += f", {count(ignored, 'other file')} ignored"
    seconds = sum(run.seconds for run in runs)
    if done and seconds:
        text += f", in {_time(done, sum(run.megapixels for run in runs), seconds)}"
    return text


def _time(photos: int, megapixels: float, seconds: float) -> str:
    speed = f"{photos / seconds:.2f} photos/s, {megapixels / seconds:.2f} megapixels/s"
    return f"{seconds:.1f} s, {speed}"


def _how(event: events.PhotoBegun) -> str:
    megapixels = event.width * event.height / 1e6
    memory = f"up to {event.memory / 1e9:.1f} GB in all"
    return f"{shown(event.source)}: {megapixels:.1f} megapixels {event.way}, {memory}"


def _stopped(done: events.ApplyDone) -> str:
    return f"{done.stopped}: {count(done.left, 'photo')} not begun"

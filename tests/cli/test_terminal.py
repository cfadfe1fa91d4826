import io
import os
from pathlib import Path

from rich.console import Console

from stylize.cli.terminal import draw_apply, draw_failures, draw_training, print_error, print_plan
from stylize.events import (
    ApplyDone,
    ApplyStarted,
    Backend,
    FileWritten,
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

PATH = Path("some") / "[odd] name.jpg"
APPLY = [
    Backend("cpu", "bf16", "2 threads", "torch"),
    ApplyStarted("wave", 2, 4, 3),
    PhotoBegun(PATH, 10_000, 8000, "in strips", 3_400_000_000),
    PhotoDone(PATH, PATH, 100, 50, 1, 0.1, ("no [mask]",)),
    PhotoFailed(PATH, "damaged [picture]"),
    ApplyDone(1, 1, 4, 7, 0.005, 2.0, Path("out"), Path("failures.csv"), "the disk is full"),
]
STEP = StepDone(50, 100, {"content": 0.5, "style relu1_2": 0.25}, 0.75, 3.0, 61.0, 2**30)
TRAINING = [
    Backend("cpu", "bf16", "2 threads", "torch"),
    PhotoSkipped(PATH, "not a picture"),
    TrainingStarted("wave", 10, 0, 100, 1_500_000),
    STEP,
    WentBack(51, 40, 1e-3, "the loss is [nan] at step 51"),
    FileWritten("preview", Path("preview.jpg")),
    FileWritten("checkpoint", Path("c.safetensors")),
    TrainingStopped(50, Path("c.safetensors")),
    TrainingDone(Path("wave.safetensors"), 100, 3700.0),
]


def drawn(draw, events, terminal: bool) -> str:
    console = Console(file=io.StringIO(), force_terminal=terminal, width=100)
    assert list(draw(events, console)) == events
    return console.file.getvalue()


def test_apply_names_failures_and_counts():
    for terminal in (False, True):
        text = drawn(draw_apply, APPLY, terminal)
        assert "some/[odd] name.jpg" in text
        assert "damaged [picture]" in text
        assert "1 photo, 0.0 megapixels" in text
        assert "3 other files" in text
        assert "4 photos" in text
        assert "no [mask]" in text
        assert "the disk is full: 7 photos not begun" in text
        assert "failures.csv" in text
        assert "0.50 photos/s" in text


def test_verbose_says_how_photos_go_through():
    def verbose(events, console):
        return draw_apply(events, console, verbose=True)

    line = "some/[odd] name.jpg: 80.0 megapixels in strips, up to 3.4 GB in all"
    assert line in drawn(verbose, APPLY, terminal=False).splitlines()
    assert "80.0 megapixels" not in drawn(draw_apply, APPLY, terminal=False)


def test_quiet_says_what_failed_and_nothing_else():
    text = drawn(draw_failures, APPLY, terminal=False)
    assert text.splitlines() == [
        "some/[odd] name.jpg: damaged [picture]",
        "the disk is full: 7 photos not begun",
    ]


def test_a_plan_is_a_line_a_photo_and_a_sum():
    console = Console(file=io.StringIO(), width=40)
    plan = [Planned(PATH, PATH, "new"), Planned(PATH, PATH, "up to date")]
    print_plan(console, plan, 1)
    assert console.file.getvalue().splitlines() == [
        "       new  some/[odd] name.jpg -> some/[odd] name.jpg",
        "up to date  some/[odd] name.jpg -> some/[odd] name.jpg",
        "2 photos: 1 new, 1 up to date, 1 other file ignored",
    ]


def test_training_on_a_terminal_is_a_panel():
    text = drawn(draw_training, TRAINING, terminal=True)
    for part in ("50 of 100", "style relu1_2", "0.2500", "3.00 photos/s", "0:01:01", "1.00 GiB"):
        assert part in text


def test_training_elsewhere_is_lines():
    text = drawn(draw_training, TRAINING, terminal=False)
    for part in (
        "skipped some/[odd] name.jpg: not a picture",
        "step 50/100",
        "the loss is [nan] at step 51: back to step 40, with a learning rate of 0.001",
        "content=0.5000",
        "trained 100 steps in 1:01:40: wave.safetensors",
    ):
        assert part in text
    assert "\x1b" not in text


def test_names_of_any_bytes_are_shown():
    odd = Path(os.fsdecode(b"caf\xe9.jpg"))
    text = drawn(draw_apply, [*APPLY[:4], PhotoFailed(odd, "damaged"), APPLY[-1]], terminal=False)
    text.encode()  # as the terminal will
    assert "caf\ufffd.jpg" in text


def test_an_error_is_two_plain_lines():
    console = Console(file=io.StringIO(), width=40)
    print_error(console, "[wrong] " + "x" * 100, "do [this]")
    lines = console.file.getvalue().splitlines()
    assert lines == ["error: [wrong] " + "x" * 100, "hint: do [this]"]

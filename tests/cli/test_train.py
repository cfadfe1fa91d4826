"""`stylize train` as a person runs it, and what it prints."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from commands import PATH, STYLIZE, fails, printed, stylize
from conftest import draw_picture
from safetensors.torch import load_file

from stylize.cli.train import print_progress
from stylize.events import (
    Backend,
    FileWritten,
    PhotoSkipped,
    StepDone,
    TrainingDone,
    TrainingStarted,
    TrainingStopped,
    WentBack,
)
from stylize.network.style_header import read_header

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


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--steps", "-1"], ["steps is -1"]),
        (["--name", "../up"], ["cannot name a style"]),
        (["--content", "gone"], ["no folder gone"]),
        (["--precision", "fp8"], ["precision is 'fp8'"]),
        (["--resume"], ["no checkpoint"]),
        (["--from", "wodblock"], ["no style named", "did you mean woodblock?"]),
        (["--from", "scratch", "--only-norm"], ["random weights", "give --from"]),
        (["--layer-weight", "relu1_2"], ["no weight of a layer", "relu1_2=0.5"]),
        (["--layer-weight", "relu5_1=2"], ["relu5_1", "choose one of relu1_2"]),
        (["--picture-weight", "2", "--picture-weight", "3"], ["2 weights for 1 pictures"]),
        (["--recipe", "gone.toml"], ["gone.toml: No such file"]),
    ],
)
def test_train_refuses(arguments, words, style_picture, photos, tmp_path):
    options = ["--content", photos, "--name", "mine", *arguments]
    fails(stylize("train", style_picture, *options, cwd=tmp_path), 2, *words)
    assert not (tmp_path / "styles").exists()


def test_train_refuses_a_picture_that_is_none(photos, tmp_path):
    bad = tmp_path / "bad.jpg"
    bad.write_text("text")
    result = stylize("train", bad, "--content", photos, "--name", "mine", cwd=tmp_path)
    fails(result, 2, "bad.jpg: not a picture")


def test_a_recipe_repeats_a_training(style_picture, photos, tmp_path):
    options = ["--content", photos.relative_to(tmp_path), "--name", "mine", "--steps", "2"]
    options += ["--size", "32", "--style-size", "48", "--from", "scratch", "--tv-weight", "0.5"]
    options += ["--layer-weight", "relu1_2=0.5", "--layer-weight", "relu4_3=2", "--title", "T"]
    first = stylize("train", style_picture, *options, cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    recipe = tmp_path / "styles" / "mine" / "recipe.toml"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    # What stands on the command line wins.
    command = ["train", "--recipe", recipe, "--name", "again", "--output", elsewhere]
    again = stylize(*command, cwd=elsewhere)
    assert again.returncode == 0, again.stderr
    styles = [tmp_path / "styles" / "mine.safetensors", elsewhere / "again.safetensors"]
    one, two = (load_file(path) for path in styles)
    assert all(torch.equal(one[key], two[key]) for key in one)
    headers = [read_header(path) for path in styles]
    assert headers[0].training == headers[1].training
    assert headers[0].training.layer_weights == {"relu1_2": 0.5, "relu4_3": 2}
    assert headers[1].pictures[0].title == "T"

    text = recipe.read_text()
    recipe.write_text(text.replace("steps = 2", "steps = true"))
    fails(stylize(*command), 2, "recipe.toml: steps is True")
    recipe.write_text(text + "stpes = 3\n")
    fails(stylize(*command), 2, "recipe.toml: there is no setting 'stpes'", "did you mean steps?")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_train_stops_and_goes_on(number, style_picture, photos, tmp_path):
    draw_picture(9, 80, 80).save(photos / "photo 9.png")
    options = ["--content", photos, "--name", "mine", "--steps", "60", "--size", "32"]
    options += ["--style-size", "48", "--batch-size", "1", "--device", "cpu", "--json"]
    command = [*STYLIZE, "train", str(style_picture), *map(str, options)]
    # What a shell starts in the background ignores the signal, and so would all that it starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    running = subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    for line in running.stdout:
        if '"StepDone"' in line:
            break
    running.send_signal(number)
    rest, said = running.communicate(timeout=120)
    assert running.returncode == 130
    assert '"TrainingStopped"' in rest
    assert "--resume" in said
    assert (tmp_path / "styles" / "mine" / "recipe.toml").is_file()

    # The very command that was said, as a shell would take it.
    words = said.split("To continue: stylize ")[1].strip()
    again = subprocess.run(
        f"exec {sys.executable} -m stylize {words}",
        shell=True,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "styles" / "mine.safetensors").is_file()


@pytest.mark.skipif(sys.platform != "linux", reason="needs file names of any bytes")
def test_a_training_on_names_that_are_not_utf8(photos, tmp_path):
    odd = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.png")
    draw_picture(7).save(odd, "PNG")
    options = ["--content", photos, "--name", "mine", "--steps", "1", "--size", "32"]
    options += ["--style-size", "48", "--from", "scratch"]
    command = [*map(os.fsencode, STYLIZE), b"train", os.fsencode(odd)]
    command += [os.fsencode(str(word)) for word in options]
    result = subprocess.run(command, capture_output=True, cwd=tmp_path, check=False)
    assert result.returncode == 0, result.stderr
    assert b"recipe not written" in result.stdout
    assert (tmp_path / "styles" / "mine.safetensors").is_file()


def test_training_on_a_terminal_is_a_panel():
    text = printed(print_progress, TRAINING, terminal=True)
    for part in ("50 of 100", "style relu1_2", "0.2500", "3.00 photos/s", "0:01:01", "1.00 GiB"):
        assert part in text


def test_training_elsewhere_is_lines():
    text = printed(print_progress, TRAINING, terminal=False)
    for part in (
        "skipped some/[odd] name.jpg: not a picture",
        "step 50/100",
        "the loss is [nan] at step 51: back to step 40, with a learning rate of 0.001",
        "content=0.5000",
        "trained 100 steps in 1:01:40: wave.safetensors",
    ):
        assert part in text
    assert "\x1b" not in text

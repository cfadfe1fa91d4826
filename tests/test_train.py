"""Trainings on tiny data, real in every part: VGG-16, optimizer, files."""

import csv
import os
import sys
import threading
from dataclasses import replace
from statistics import mean

import pytest
import torch
from conftest import TINY, draw_picture
from PIL import Image
from safetensors.torch import load_file

from stylize.config import TrainConfig
from stylize.errors import ImageError, TrainingError, UsageError
from stylize.events import PhotoSkipped, StepDone, TrainingDone, TrainingStarted, TrainingStopped
from stylize.header import read_header
from stylize.images import read_photo
from stylize.train import train

CONFIG = TrainConfig(
    steps=4,
    batch_size=2,
    size=32,
    style_size=48,
    device="cpu",
    precision="fp32",
    preview_every=0,
    checkpoint_every=100,
)


def run(picture, photos, output, config=CONFIG, **options):
    return list(train(picture, photos, "mine", config, TINY, output=output, **options))


def test_thirty_steps_halve_the_loss(style_picture, photos, tmp_path):
    config = replace(CONFIG, steps=30, size=64, style_size=64, content_weight=0.1, lr=1e-2)
    events = list(train(style_picture, photos, "mine", config, output=tmp_path / "styles"))
    totals = [event.total for event in events if isinstance(event, StepDone)]
    assert len(totals) == 30
    # Batches of two photos differ; a few steps together tell more than one.
    assert mean(totals[-5:]) < mean(totals[:3]) / 2


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_resumed_equals_uninterrupted(style_picture, photos, tmp_path, precision):
    config = replace(CONFIG, precision=precision, steps=6)
    run(style_picture, photos, tmp_path / "whole", config)
    stop = threading.Event()
    parts = []
    for event in train(
        style_picture, photos, "mine", config, TINY, output=tmp_path / "parts", stop=stop
    ):
        parts.append(event)
        if isinstance(event, StepDone) and event.step == 3:
            stop.set()
    assert isinstance(parts[-1], TrainingStopped)
    assert not (tmp_path / "parts" / "mine.safetensors").exists()
    resumed = run(style_picture, photos, tmp_path / "parts", config, resume=True)
    assert next(e for e in resumed if isinstance(e, TrainingStarted)).first_step == 3
    whole, again = (tmp_path / folder / "mine.safetensors" for folder in ("whole", "parts"))
    one, two = load_file(whole), load_file(again)
    assert all(torch.equal(one[key], two[key]) for key in one)
    assert whole.read_bytes() == again.read_bytes()


def test_same_seed_same_style_other_seed_another(style_picture, photos, tmp_path):
    for folder, seed in (("a", 0), ("b", 0), ("c", 1)):
        run(style_picture, photos, tmp_path / folder, replace(CONFIG, seed=seed))
    a, b, c = ((tmp_path / f / "mine.safetensors").read_bytes() for f in "abc")
    assert a == b
    assert a != c


def test_everything_is_written(style_picture, photos, tmp_path):
    config = replace(CONFIG, preview_every=2, checkpoint_every=2)
    events = run(
        style_picture, photos, tmp_path, config, title="T", author="A", year="1900", licence="PD"
    )
    assert isinstance(events[-1], TrainingDone)
    header = read_header(tmp_path / "mine.safetensors")
    assert (header.name, header.picture.title, header.picture.author) == ("mine", "T", "A")
    assert header.training == config
    assert [step for step, _ in header.losses] == [1, 2, 3, 4]
    folder = tmp_path / "mine"
    with (folder / "losses.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["1", "2", "3", "4"]
    assert list(rows[0])[1] == "content"
    with Image.open(folder / "losses.png") as plot:
        assert plot.width > 500
    sheet = read_photo(folder / "preview.jpg").rgb
    assert sheet.size == (5 * 384, 2 * 384)
    assert (folder / "checkpoint.safetensors").is_file()


def test_johnson_trains_too(style_picture, photos, tmp_path):
    from stylize.config import NetworkConfig

    johnson = NetworkConfig(architecture="johnson")
    config = replace(CONFIG, steps=2)
    events = list(train(style_picture, photos, "j", config, johnson, output=tmp_path))
    assert isinstance(events[-1], TrainingDone)
    assert "res1.conv1.conv2d.weight" in load_file(tmp_path / "j.safetensors")


def test_unusable_photos_are_named_once(style_picture, photos, tmp_path):
    (photos / "text.jpg").write_text("no picture")
    (photos / "notes.txt").touch()
    Image.new("RGB", (20, 20)).save(photos / "small.png")
    whole = (photos / "more" / "photo5.jpg").read_bytes()
    (photos / "cut.jpg").write_bytes(whole[: len(whole) // 2])  # its header is sound
    config = replace(CONFIG, steps=10)
    events = run(style_picture, photos, tmp_path / "styles", config)
    skipped = [event.path.name for event in events if isinstance(event, PhotoSkipped)]
    assert sorted(skipped) == ["cut.jpg", "small.png", "text.jpg"]


def test_its_own_previews_are_no_content(style_picture, tmp_path, photos):
    """`--content .` with the default output folder inside of it; resuming finds the same photos."""
    config = replace(CONFIG, steps=6, preview_every=1)
    stop = threading.Event()
    stop.set()
    output = photos / "styles"
    events = run(style_picture, photos, output, config, stop=stop)
    assert isinstance(events[-1], TrainingStopped)
    assert (output / "mine" / "preview.jpg").is_file()
    resumed = run(style_picture, photos, output, config, resume=True)
    assert next(e for e in resumed if isinstance(e, TrainingStarted)).photos == 6


def test_a_place_that_cannot_be_written_is_known_at_once(style_picture, photos, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot make the folder"):
        next(train(style_picture, photos, "mine", CONFIG, TINY, output=tmp_path / "file" / "x"))


@pytest.mark.skipif(sys.platform != "linux", reason="needs file names of any bytes")
def test_names_that_are_not_utf8(style_picture, photos, tmp_path):
    odd = os.fsdecode(os.fsencode(photos) + b"/caf\xe9.png")
    draw_picture(7).save(odd, "PNG")
    assert isinstance(run(style_picture, photos, tmp_path / "styles")[-1], TrainingDone)


def test_no_usable_photo(style_picture, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").touch()
    with pytest.raises(TrainingError, match="no usable photos"):
        run(style_picture, tmp_path / "photos", tmp_path)


def test_missing_inputs(style_picture, photos, tmp_path):
    with pytest.raises(UsageError, match="no folder"):
        run(style_picture, tmp_path / "gone", tmp_path)
    with pytest.raises(ImageError, match="No such file"):
        run(tmp_path / "gone.jpg", photos, tmp_path)
    with pytest.raises(UsageError, match="no checkpoint"):
        run(style_picture, photos, tmp_path / "styles", resume=True)


def test_nothing_is_lost_without_being_asked_for(style_picture, photos, tmp_path):
    run(style_picture, photos, tmp_path)
    with pytest.raises(UsageError, match="exists already") as caught:
        run(style_picture, photos, tmp_path)
    assert "--overwrite" in caught.value.hint
    assert isinstance(run(style_picture, photos, tmp_path, overwrite=True)[-1], TrainingDone)


@pytest.mark.parametrize("change", ["lr", "picture", "photos"])
def test_another_run_is_not_resumed(style_picture, photos, tmp_path, change):
    output = tmp_path / "styles"
    run(style_picture, photos, output)
    config = CONFIG
    if change == "lr":
        config = replace(CONFIG, lr=1e-4)
    elif change == "picture":
        Image.new("RGB", (64, 64), "red").save(style_picture)
    else:
        (photos / "photo0.png").unlink()
    with pytest.raises(UsageError, match=r"checkpoint\.safetensors"):
        run(style_picture, photos, output, config, resume=True)


def test_a_loss_that_is_no_number_stops_the_training(style_picture, photos, tmp_path):
    config = replace(CONFIG, steps=20, lr=1e11)
    with pytest.raises(TrainingError, match="the loss is"):
        run(style_picture, photos, tmp_path, config)
    assert not (tmp_path / "mine.safetensors").exists()

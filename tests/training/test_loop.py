"""What a training does in trouble: numbers that are none, explosions, full disks, a plateau."""

import errno
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import TINY
from PIL import Image
from trainings import CONFIG, run

from stylize.events import FileWritten, Note, StepDone, TrainingDone, TrainingStarted, WentBack
from stylize.files import write_file
from stylize.network.style_header import read_header
from stylize.objective.losses import weighted_sum
from stylize.training import trainer
from stylize.training.run_folder import RunFolder
from stylize.training.train import train


def spoil(monkeypatch, call, factor):
    """Multiply the total of that call, and its gradient."""
    calls = 0

    def sum_of(losses, config):
        nonlocal calls
        calls += 1
        if calls == call:
            losses = {name: loss * factor for name, loss in losses.items()}
        return weighted_sum(losses, config)

    monkeypatch.setattr(trainer, "weighted_sum", sum_of)


def steps_of(events):
    return [event.step for event in events if isinstance(event, StepDone)]


def test_a_gradient_that_is_no_number_goes_back_to_the_last_checkpoint(
    style_picture, photos, tmp_path, monkeypatch
):
    spoil(monkeypatch, 6, float("nan"))
    config = replace(CONFIG, steps=8, checkpoint_every=3)
    events = run(style_picture, photos, tmp_path, config)
    back = [event for event in events if isinstance(event, WentBack)]
    assert [(event.failed, event.step) for event in back] == [(6, 3)]
    assert back[0].lr == config.lr / 2
    assert "nan" in back[0].reason
    assert steps_of(events) == [1, 2, 3, 4, 5, 4, 5, 6, 7, 8]
    assert isinstance(events[-1], TrainingDone)
    rate = RunFolder(tmp_path, "mine").load()[0][0].caution
    assert rate == 0.5


def test_a_lower_rate_is_kept_when_resumed(style_picture, photos, tmp_path, monkeypatch):
    """Killed after it went back, the resumed training ends with the bits of one that was not."""
    config = replace(CONFIG, steps=8, checkpoint_every=3)
    spoil(monkeypatch, 5, float("nan"))
    run(style_picture, photos, tmp_path / "whole", config)
    spoil(monkeypatch, 5, float("nan"))
    for event in train(style_picture, photos, "mine", config, TINY, output=tmp_path / "cut"):
        if isinstance(event, StepDone) and event.step == 7:
            break
    monkeypatch.setattr(trainer, "weighted_sum", weighted_sum)
    run(style_picture, photos, tmp_path / "cut", config, resume=True)
    whole, cut = (tmp_path / name / "mine.safetensors" for name in ("whole", "cut"))
    assert whole.read_bytes() == cut.read_bytes()


def test_a_checkpoint_whose_next_step_fails_is_not_gone_back_to(
    style_picture, photos, tmp_path, monkeypatch
):
    """Its weights may be the cause, and every try would fail in the same way."""
    failed = 0

    def sum_of(losses, config):
        nonlocal failed
        total = weighted_sum(losses, config)
        if failed < 2 and len(seen) == 4:
            failed += 1
            total = total * float("nan")
        return total

    monkeypatch.setattr(trainer, "weighted_sum", sum_of)
    config = replace(CONFIG, steps=6, checkpoint_every=2, keep=3)
    seen, back = [], []
    for event in train(style_picture, photos, "mine", config, TINY, output=tmp_path):
        if isinstance(event, StepDone):
            seen.append(event.step)
        if isinstance(event, WentBack):
            back.append((event.failed, event.step))
            assert list(RunFolder(tmp_path, "mine").checkpoints()) == [2]
    assert back == [(5, 2), (3, 2)]


def test_an_exploding_loss_goes_back(style_picture, photos, tmp_path, monkeypatch):
    monkeypatch.setattr(trainer, "RECENT", 5)
    monkeypatch.setattr(trainer, "EXPLODED", 1e-3)  # whatever comes is too much
    config, events = replace(CONFIG, steps=9), []
    with pytest.raises(trainer.TrainingError, match=r"the loss went from .* at step 6"):
        events.extend(train(style_picture, photos, "x", config, TINY, output=tmp_path))
    assert steps_of(events)[:5] == [1, 2, 3, 4, 5]
    assert all(event.failed == 6 for event in events if isinstance(event, WentBack))


def test_one_exploding_loss_is_got_over(style_picture, photos, tmp_path, monkeypatch):
    monkeypatch.setattr(trainer, "RECENT", 5)
    objective, calls = trainer.Objective.__call__, 0

    def explode_once(self, *arguments):
        nonlocal calls
        calls += 1
        losses = objective(self, *arguments)
        return {name: loss * (100 if calls == 8 else 1) for name, loss in losses.items()}

    monkeypatch.setattr(trainer.Objective, "__call__", explode_once)
    config = replace(CONFIG, steps=9, checkpoint_every=3)
    events = run(style_picture, photos, tmp_path, config)
    back = [event for event in events if isinstance(event, WentBack)]
    assert [(event.failed, event.step) for event in back] == [(8, 6)]
    assert back[0].reason.startswith("the loss went from")
    assert steps_of(events) == [1, 2, 3, 4, 5, 6, 7, 7, 8, 9]
    assert isinstance(events[-1], TrainingDone)


def test_a_plateau_lets_the_second_half_begin(style_picture, tmp_path):
    """White photos, nothing to learn at no rate: no progress."""
    folder = tmp_path / "white"
    folder.mkdir()
    Image.new("RGB", (64, 64), "white").save(folder / "a.png")
    config = replace(CONFIG, steps=100, patience=4, lr=1e-12)
    events = run(style_picture, folder, tmp_path / "styles", config)
    done = [event for event in events if isinstance(event, StepDone)]
    end = done[-1].step
    assert end == done[-1].steps < 100
    said = [event.text for event in events if isinstance(event, Note)]
    assert f"no more progress at step {end // 2}: ending at step {end}" in said


def test_a_plateau_is_remembered_when_resumed(style_picture, tmp_path):
    folder = tmp_path / "white"
    folder.mkdir()
    Image.new("RGB", (64, 64), "white").save(folder / "a.png")
    config = replace(CONFIG, steps=100, patience=4, lr=1e-12, checkpoint_every=2)
    end = run(style_picture, folder, tmp_path / "whole", config)[-1].steps
    assert end < 100
    for event in train(style_picture, folder, "mine", config, TINY, output=tmp_path / "cut"):
        if isinstance(event, StepDone) and event.step == end // 2 + 3:
            break
    events = run(style_picture, folder, tmp_path / "cut", config, resume=True)
    assert next(event for event in events if isinstance(event, TrainingStarted)).steps == end
    whole, cut = (tmp_path / name / "mine.safetensors" for name in ("whole", "cut"))
    assert whole.read_bytes() == cut.read_bytes()


def test_a_full_disk_ends_nothing_and_damages_nothing(style_picture, photos, tmp_path, small_disk):
    output, ballast = small_disk / "out", small_disk / "ballast"
    ballast.write_bytes(b"0" * 100)
    count = 0

    def fill():
        free = os.statvfs(small_disk)
        ballast.write_bytes(b"0" * (free.f_bavail * free.f_frsize - 8192))

    config = replace(CONFIG, steps=8, checkpoint_every=2, keep=5, preview_every=0)
    folder = RunFolder(output, "mine")
    seen = []
    for event in train(style_picture, photos, "mine", config, TINY, output=output):
        seen.append(event)
        if isinstance(event, FileWritten) and event.kind == "checkpoint" and not count:
            count += 1
            fill()
        if isinstance(event, StepDone) and event.step == 7:
            states, damaged = folder.load()
            assert ([state.step for state in states], damaged) == ([2], [])
            ballast.unlink()
    said = [event.text for event in seen if isinstance(event, Note)]
    assert any("No space left" in text and "goes on" in text for text in said)
    assert isinstance(seen[-1], TrainingDone)
    assert folder.load()[0][0].step == 8


def test_a_quota_ends_nothing_and_damages_nothing(style_picture, photos, tmp_path, monkeypatch):
    """A stand-in for a full disk, where none can be mounted."""
    full = False

    def write(path: Path, content: bytes, scratch: Path | None = None) -> None:
        if full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write_file(path, content, scratch)

    for module in ("network.style_file", "photos.encoder", "training.loop"):
        monkeypatch.setattr(f"stylize.{module}.write_file", write)
    config = replace(CONFIG, steps=8, checkpoint_every=2, keep=5, preview_every=2)
    folder = RunFolder(tmp_path, "mine")
    seen = []
    for event in train(style_picture, photos, "mine", config, TINY, output=tmp_path):
        seen.append(event)
        if isinstance(event, StepDone) and event.step in (3, 7):
            full = event.step == 3
            assert folder.load()[0][0].step == 2
    said = [event.text for event in seen if isinstance(event, Note)]
    for words in ("checkpoint", "preview not written", "losses not written"):
        assert any(words in text and "No space left" in text for text in said)
    assert isinstance(seen[-1], TrainingDone)
    assert folder.load()[0][0].step == 8


def test_without_the_shipped_photo_there_still_is_a_style(
    style_picture, photos, tmp_path, monkeypatch
):
    monkeypatch.setattr("stylize.training.verify.PHOTO", "gone.png")
    events = run(style_picture, photos, tmp_path, replace(CONFIG, steps=2))
    assert any(isinstance(event, Note) and "gone.png" in event.text for event in events)
    assert isinstance(events[-1], TrainingDone)
    assert read_header(events[-1].style).preview == ""


def test_tensorboard_shows_losses_and_previews(style_picture, photos, tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    config = replace(CONFIG, steps=4, preview_every=2)
    events = run(style_picture, photos, tmp_path, config, log_dir=tmp_path / "log")
    totals = [event.total for event in events if isinstance(event, StepDone)]
    shown = EventAccumulator(str(tmp_path / "log")).Reload()
    scalars = shown.Scalars("loss/total")
    assert [entry.step for entry in scalars] == [1, 2, 3, 4]
    assert np.allclose([entry.value for entry in scalars], totals)
    assert [entry.step for entry in shown.Images("preview")] == [2, 4]

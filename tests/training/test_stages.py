"""A draft, its reviser and its finisher, trained one after the other."""

import threading
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from conftest import TINY_DRAFT, draw_picture
from PIL import Image
from safetensors.torch import load_file
from trainings import CONFIG

from stylize.config import Look, TrainConfig
from stylize.errors import UsageError
from stylize.events import StepDone, TrainingDone
from stylize.network.device import choose
from stylize.network.memory import Need, Way
from stylize.network.style_file import load_network
from stylize.network.style_header import StyleHeader, StylePicture, read_header
from stylize.photos.photo import Photo
from stylize.style import load_style
from stylize.training.schedule import resolved
from stylize.training.train import train
from stylize.training.trainer import Trainer

DRAFTING = replace(CONFIG, steps=5, size=64, style_size=32)


@pytest.fixture
def content(tmp_path):
    folder = tmp_path / "content"
    folder.mkdir()
    for index in range(5):
        draw_picture(index, 112, 100).save(folder / f"{index}.png")
    return folder


def learn(picture, content, output, config=DRAFTING, **options):
    return train(picture, content, "mine", config, TINY_DRAFT, output=output, **options)


def trainer_of(**settings) -> Trainer:
    config = replace(DRAFTING, **settings)
    header = StyleHeader("x", TINY_DRAFT, config, [StylePicture("", "", "", "", "")])
    return Trainer(header, [draw_picture(0, 96, 80)], choose("cpu", "fp32"))


def copy(network) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def test_each_part_is_learned_in_turn_and_then_kept():
    trainer = trainer_of()
    copies = [copy(trainer.network)]
    for step in range(5):
        size, count = trainer.schedule.crop_size(step, 5), trainer.schedule.photos(step)
        row, _ = trainer.train_step(torch.rand(count, 3, size, size))
        assert (row["keep"] > 0) == (step >= 2)
        if step in (1, 3, 4):
            copies.append(copy(trainer.network))
        if step in (1, 3):
            # What the next stage sees is the average, which is what will be saved.
            averages = trainer.average.state_dict()
            assert all(torch.equal(copies[-1][k], v) for k, v in averages.items())
    for stage, part in enumerate(("draft", "reviser", "finisher")):
        for name in (name for name in copies[0] if name.startswith(f"{part}.")):
            values = [weights[name] for weights in copies]
            kept = [torch.equal(*pair) for pair in pairwise(values)]
            # The shift of a norm before a norm has no gradient.
            assert kept[stage] in {False, name.endswith("norm.bias")}
            assert all(kept[:stage] + kept[stage + 1 :])
    saved = trainer.weights()
    trained_before = [name for name in saved if not name.startswith("finisher.")]
    assert all(torch.equal(saved[name], copies[-1][name]) for name in trained_before)


@pytest.mark.parametrize("last", [1, 2, 3, 4])
def test_resumed_equals_uninterrupted(style_picture, content, tmp_path, last):
    """Before, at, and after the steps at which the stage changes."""
    list(learn(style_picture, content, tmp_path / "whole"))
    stop = threading.Event()
    for event in learn(style_picture, content, tmp_path / "parts", stop=stop):
        if isinstance(event, StepDone) and event.step == last:
            stop.set()
    events = list(learn(style_picture, content, tmp_path / "parts", resume=True))
    assert isinstance(events[-1], TrainingDone)
    whole, parts = (tmp_path / name / "mine.safetensors" for name in ("whole", "parts"))
    assert whole.read_bytes() == parts.read_bytes()


def test_a_trained_draft_has_the_size_it_was_trained_at(style_picture, content, tmp_path):
    list(learn(style_picture, content, tmp_path, replace(DRAFTING, size=96, steps=3)))
    style = load_style(str(tmp_path / "mine.safetensors"), "cpu", "fp32")
    assert style.header.network.draft_size == 48
    sizes = []
    style._network.draft.register_forward_hook(lambda _, inputs, __: sizes.append(inputs[0].shape))
    assert style.stylize(Image.new("RGB", (400, 200))).size == (400, 200)
    assert sizes == [(1, 3, 48, 96)]


def test_a_base_of_many_styles_and_a_style_of_its_norms(
    style_picture, content, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    other = tmp_path / "other.png"
    draw_picture(7, 80, 80).save(other)
    config = replace(DRAFTING, many=True, steps=10)
    paths = [style_picture, other]
    list(train(paths, content, "shared", config, TINY_DRAFT, output=tmp_path / "styles"))
    config = replace(DRAFTING, base="shared", only_norm=True, size=96)
    events = list(learn(style_picture, content, tmp_path / "styles", config))
    assert isinstance(events[-1], TrainingDone)
    mine = tmp_path / "styles" / "mine.safetensors"
    names = load_file(mine)
    assert any(name.startswith("draft.") for name in names)
    assert any(name.startswith("reviser.") for name in names)
    assert any(name.startswith("finisher.") for name in names)
    assert all("norm" in name for name in names)
    assert read_header(mine).training.only_norm


def test_settings_that_do_not_suit_stages():
    compute = choose("cpu", "fp32")
    config = resolved(TrainConfig(base=""), "draft-revise", compute)
    assert (config.size, config.style_size) == (320, 160)
    for settings in ({"size": 100}, {"patience": 10}):
        with pytest.raises(UsageError):
            resolved(TrainConfig(base="", **settings), "draft-revise", compute)


def test_the_file_gives_back_the_network(style_picture, content, tmp_path):
    list(learn(style_picture, content, tmp_path))
    network, header = load_network(tmp_path / "mine.safetensors")
    assert header.network == replace(TINY_DRAFT, draft_size=32)
    assert not network.training


def test_a_style_refines_its_drafts(style_picture, content, tmp_path, monkeypatch):
    list(learn(style_picture, content, tmp_path))
    path = tmp_path / "mine.safetensors"
    style = load_style(str(path), "cpu", "fp32")
    picture = draw_picture(1, 150, 130)
    plain, refined = (style.stylize(picture, Look(refine=steps)) for steps in (0, 5))
    assert np.abs(np.asarray(plain, int) - np.asarray(refined, int)).mean() > 1
    again = style.stylize_photos([Photo(picture)], Look(refine=5), Need(Way.STRIPS, 0, 0))[0]
    assert np.abs(np.asarray(refined, int) - np.asarray(again, int)).max() <= 1
    assert {name for name in load_file(path) if name.startswith("target.")}


def test_a_style_without_targets_cannot_be_refined(style_file):
    with pytest.raises(UsageError, match="cannot be refined"):
        load_style(str(style_file), "cpu").stylize(draw_picture(0), Look(refine=1))

"""Trainings on tiny data, real in every part: VGG-16, optimizer, files."""

import csv
import hashlib
import os
import sys
import threading
from dataclasses import replace
from statistics import mean

import pytest
import torch
from conftest import TINY, draw_picture, write_relatives
from PIL import Image
from safetensors.torch import load_file
from trainings import CONFIG, run

from stylize.assets import LOCAL_STYLES
from stylize.config import Card, NetworkConfig
from stylize.errors import ImageError, StyleFileError, TrainingError, UsageError
from stylize.events import (
    PhotoSkipped,
    StepDone,
    TrainingDone,
    TrainingStarted,
    TrainingStopped,
    WentBack,
)
from stylize.files import digest
from stylize.network.conditional_norm import norm_names
from stylize.network.style_file import load_network, save_style
from stylize.network.style_header import read_header
from stylize.photos.decoder import read_photo
from stylize.training.train import train


def test_thirty_steps_halve_the_loss(style_picture, photos, tmp_path):
    config = replace(CONFIG, steps=30, size=64, style_size=64, content_weight=0.1)
    network = NetworkConfig("quarter")  # one objective from the first step to the last
    events = list(train(style_picture, photos, "mine", config, network, output=tmp_path / "styles"))
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
    events = run(style_picture, photos, tmp_path, config, card=Card("T", "A", "1900", "PD"))
    assert isinstance(events[-1], TrainingDone)
    header = read_header(tmp_path / "mine.safetensors")
    assert (header.name, header.pictures[0].title, header.pictures[0].author) == ("mine", "T", "A")
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
    assert min(read_photo(folder / "summary.png").rgb.size) > 2 * 384
    assert (folder / "checkpoint-00000004.safetensors").is_file()


def test_johnson_trains_too(style_picture, photos, tmp_path):
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


def test_a_tenth_of_the_photos_broken(style_picture, tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for index in range(30):
        draw_picture(index, 72, 64).save(folder / f"{index}.jpg")
    whole = (folder / "0.jpg").read_bytes()
    broken = {"3.jpg": b"", "14.jpg": whole[:200], "25.jpg": whole[:-400]}
    for name, content in broken.items():
        (folder / name).write_bytes(content)
    events = run(style_picture, folder, tmp_path / "styles", replace(CONFIG, steps=20))
    assert isinstance(events[-1], TrainingDone)
    skipped = [event.path.name for event in events if isinstance(event, PhotoSkipped)]
    assert sorted(skipped) == sorted(broken)


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
    with pytest.raises(UsageError, match="styles/mine"):
        run(style_picture, photos, output, config, resume=True)


def test_a_loss_that_is_no_number_at_any_rate_ends_the_training(style_picture, photos, tmp_path):
    config = replace(CONFIG, steps=20, lr=1e11)
    events = []
    with pytest.raises(TrainingError, match="the loss is"):
        events.extend(train(style_picture, photos, "mine", config, TINY, output=tmp_path))
    rates = [event.lr for event in events if isinstance(event, WentBack)]
    assert rates == [1e11 / 2**n for n in range(1, 7)]
    assert not (tmp_path / "mine.safetensors").exists()


@pytest.fixture
def base(style_picture, photos, tmp_path):
    """The name and file of a style to start from, in the folder of local styles."""
    folder = tmp_path / "local" / LOCAL_STYLES
    config = replace(CONFIG, steps=6, seed=7)
    list(train(style_picture, photos, "start", config, TINY, output=folder))
    return folder / "start.safetensors"


def test_it_starts_from_another_style(base, photos, tmp_path):
    painting = tmp_path / "other.png"
    draw_picture(3, 90, 70).save(painting)
    config = replace(CONFIG, steps=1, lr=1e-9, base=str(base))
    run(painting, photos, tmp_path, config)
    start, style = load_file(base), load_file(tmp_path / "mine.safetensors")
    assert all(torch.allclose(start[key], style[key], atol=1e-6) for key in start)
    header = read_header(tmp_path / "mine.safetensors")
    assert header.base_sha256 == hashlib.sha256(base.read_bytes()).hexdigest()


def test_a_base_of_another_shape_is_refused(base, photos, style_picture, tmp_path):
    config = replace(CONFIG, base=str(base))
    with pytest.raises(UsageError, match="another shape"):
        next(train(style_picture, photos, "x", config, NetworkConfig(), output=tmp_path))


def test_norms_alone_are_a_few_kilobytes_on_their_base(base, photos, tmp_path, monkeypatch):
    monkeypatch.chdir(base.parent.parent)
    painting = tmp_path / "other.png"
    draw_picture(3, 90, 70).save(painting)
    config = replace(CONFIG, base="start", only_norm=True)
    run(painting, photos, tmp_path, config)
    path = tmp_path / "mine.safetensors"
    names = set(load_file(path))
    assert names
    assert all("norm" in name for name in names)
    network, _ = load_network(path)
    start, own, whole = load_file(base), load_file(path), network.state_dict()
    for key in start:
        assert torch.equal(whole[key], own.get(key, start[key]))
    assert any(not torch.equal(own[key], start[key]) for key in own)

    save_style(base, {key: value + 1 for key, value in start.items()}, read_header(base))
    with pytest.raises(
        StyleFileError, match=r"mine\.safetensors: needs the base 'start' as it was"
    ):
        load_network(path)
    base.unlink()
    with pytest.raises(StyleFileError, match=r"mine\.safetensors: needs the base"):
        load_network(path)


def test_norms_need_a_base_by_name(base, photos, style_picture, tmp_path):
    """The style would look for that file wherever it is used."""
    config = replace(CONFIG, base=str(base), only_norm=True)
    with pytest.raises(StyleFileError, match="no style named"):
        run(style_picture, photos, tmp_path, config)
    config = replace(CONFIG, base="start", only_norm=True)
    with pytest.raises(UsageError, match="cannot have the name of its base"):
        list(train(style_picture, photos, "start", config, TINY, output=tmp_path))
    with pytest.raises(UsageError, match="random weights"):
        replace(CONFIG, base="", only_norm=True)


def test_several_pictures_are_one_style(style_picture, photos, tmp_path):
    other = tmp_path / "other.png"
    draw_picture(3, 90, 70).save(other)
    run([style_picture, other], photos, tmp_path, weights=[3, 1])
    pictures = read_header(tmp_path / "mine.safetensors").pictures
    assert [picture.weight for picture in pictures] == [3, 1]
    assert [picture.title for picture in pictures] == ["painting", "other"]
    with pytest.raises(UsageError, match="1 weights for 2"):
        run([style_picture, other], photos, tmp_path / "x", weights=[3])
    with pytest.raises(UsageError, match="weight of a picture is 0"):
        run([style_picture, other], photos, tmp_path / "x", weights=[1, 0])


def test_a_base_of_many_styles_is_a_network_to_start_from(style_picture, photos, tmp_path):
    other = tmp_path / "other.png"
    draw_picture(3, 90, 70).save(other)
    run([style_picture, other], photos, tmp_path, replace(CONFIG, many=True))
    network, header = load_network(tmp_path / "mine.safetensors")
    assert header.training.many
    assert len(header.pictures) == 2
    assert header.members == ["painting", "other"]
    assert all(style.target and style.preview for style in header.styles)
    assert header.styles[0].preview != header.styles[1].preview
    assert network(torch.rand(1, 3, 20, 30)).shape == (1, 3, 20, 30)
    config = replace(CONFIG, base=str(tmp_path / "mine.safetensors"))
    list(train(other, photos, "next", config, TINY, output=tmp_path))


def test_a_set_starts_from_styles_or_from_a_set(style_picture, photos, tmp_path):
    """Without training, norms are those of the starts and kernels their mean."""
    other = tmp_path / "other.png"
    draw_picture(3, 90, 70).save(other)
    pictures = [style_picture, other]
    starts = write_relatives(tmp_path, "one", "two")
    config = replace(CONFIG, many=True, base=",".join(map(str, starts)), lr=1e-9)
    list(train(pictures, photos, "shop", config, TINY, output=tmp_path))
    path = tmp_path / "shop.safetensors"
    header = read_header(path)
    assert header.members == ["one", "two"]
    assert header.training.base == "one,two"
    weights = [load_network(start)[0].state_dict() for start in starts]
    norms = norm_names(load_network(path)[0])
    for number, name in enumerate(header.members):
        for key, value in load_network(path, name)[0].state_dict().items():
            mean = (weights[0][key] + weights[1][key]) / 2
            expected = weights[number][key] if key in norms else mean
            assert torch.allclose(value, expected, rtol=2e-3, atol=1e-4)
    config = replace(config, base=str(path))
    list(train(pictures, photos, "again", config, TINY, output=tmp_path))
    again = tmp_path / "again.safetensors"
    assert read_header(again).members == ["one", "two"]
    for name in ("one", "two"):
        before, after = (load_network(each, name)[0].state_dict() for each in (path, again))
        assert all(torch.allclose(before[k], after[k], rtol=2e-3, atol=1e-4) for k in before)


def test_pictures_keep_the_card_that_the_start_has(base, photos, style_picture, tmp_path):
    header = read_header(base)
    known = replace(header.pictures[0], sha256=digest(style_picture), author="Somebody")
    save_style(base, load_file(base), replace(header, pictures=[known]))
    config = replace(CONFIG, base=str(base))
    run(style_picture, photos, tmp_path, config, card=Card(year="1900"))
    (picture,) = read_header(tmp_path / "mine.safetensors").pictures
    assert (picture.title, picture.author, picture.year) == (known.title, "Somebody", "1900")


def test_sets_that_cannot_be_named_or_started(style_picture, photos, tmp_path):
    twin = tmp_path / "x" / style_picture.name
    twin.parent.mkdir()
    draw_picture(3, 90, 70).save(twin)
    with pytest.raises(UsageError, match="two styles of the set are called painting"):
        run([style_picture, twin], photos, tmp_path, replace(CONFIG, many=True))
    starts = ",".join(map(str, write_relatives(tmp_path, "one", "two", "three")))
    with pytest.raises(UsageError, match="3 starts for 2 pictures"):
        run([style_picture, twin], photos, tmp_path, replace(CONFIG, many=True, base=starts))


def test_what_it_reads_it_never_writes(style_picture, photos, tmp_path):
    run(style_picture, photos, tmp_path)
    folder, style = tmp_path / "mine", tmp_path / "mine.safetensors"
    before = {path: path.read_bytes() for path in (style, *folder.iterdir())}
    steps = {"overwrite": True, "config": CONFIG}
    with pytest.raises(UsageError, match="read and would be overwritten"):
        run(folder / "preview.jpg", photos, tmp_path, **steps)
    with pytest.raises(UsageError, match="read and would be overwritten"):
        run(style_picture, photos, tmp_path, replace(CONFIG, base=str(style)), overwrite=True)
    with pytest.raises(UsageError, match="read and would be overwritten"):
        run(style_picture, folder, tmp_path, **steps)
    assert before == {path: path.read_bytes() for path in (style, *folder.iterdir())}


def test_a_recipe_may_be_written_again_but_not_be_lost(style_picture, photos, tmp_path):
    run(style_picture, photos, tmp_path, recipe="steps = 4\n")
    recipe = tmp_path / "mine" / "recipe.toml"
    again = {"overwrite": True, "read": [recipe]}
    run(style_picture, photos, tmp_path, recipe="steps = 4\n", **again)
    recipe.write_text("steps = 4  # a note\n")
    with pytest.raises(UsageError, match="read and would be overwritten"):
        run(style_picture, photos, tmp_path, recipe="steps = 4\n", **again)
    assert "a note" in recipe.read_text()

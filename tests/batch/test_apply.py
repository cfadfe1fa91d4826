import errno
import json
import math
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import draw_picture, needs_permissions
from PIL import Image, ImageDraw

from stylize import load_style
from stylize.batch.apply import apply, apply_styles
from stylize.batch.writer import FOREIGN
from stylize.config import ApplyConfig, Look
from stylize.errors import UsageError
from stylize.events import (
    ApplyDone,
    ApplyStarted,
    Backend,
    Note,
    PhotoBegun,
    PhotoCurrent,
    PhotoDone,
    PhotoFailed,
)
from stylize.files import digest, write_file
from stylize.network.architectures import build_network
from stylize.network.memory import Budget, Way
from stylize.network.style_file import load_network, save_style
from stylize.photos.decoder import read_photo, read_picture
from stylize.style import Style

CPU = ApplyConfig(device="cpu", precision="fp32")


def outputs(folder):
    """All files in a folder but those that stylize keeps for itself, by their bytes."""
    return {
        path: path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".stylize" not in path.parts
    }


def failures(events):
    return {e.source.name: e.reason for e in events if isinstance(e, PhotoFailed)}


def run(style, inputs, output, config=CPU):
    return list(apply(str(style), inputs, output, config))


def test_a_folder_is_mirrored_and_each_photo_is_its_own_single(style_file, photos, tmp_path):
    out = tmp_path / "out"
    config = ApplyConfig(device="cpu", precision="fp32", batch_size=3)
    events = run(style_file, [photos], out, config)
    assert isinstance(events[0], Backend)
    assert events[1] == ApplyStarted("tiny", 6, 0, 0)
    assert isinstance(events[-1], ApplyDone)
    assert (events[-1].done, events[-1].failed) == (6, 0)
    sources = sorted(path.relative_to(photos) for path in photos.rglob("*") if path.is_file())
    targets = sorted(path.relative_to(out) for path in outputs(out))
    assert targets == sources
    style = load_style(str(style_file), "cpu", "fp32")
    for name in sources:
        if name.suffix == ".png":
            alone = np.asarray(style.stylize(read_photo(photos / name).rgb), int)
            written = np.asarray(read_photo(out / name).rgb, int)
            assert np.abs(alone - written).max() <= 1


@pytest.mark.parametrize(
    ("batch_size", "batches"), [(1, [1] * 6), (2, [2, 1, 1, 2]), (4, [3, 1, 2]), (7, [3, 1, 2])]
)
def test_photos_of_one_size_share_batches(style_file, tmp_path, monkeypatch, batch_size, batches):
    folder = tmp_path / "in"
    folder.mkdir()
    for index, width in enumerate((40, 40, 40, 48, 40, 40)):
        draw_picture(index, width, 40).save(folder / f"{index}.png")
    config = ApplyConfig(device="cpu", precision="fp32", batch_size=batch_size)
    sizes = []
    stylize_photos = Style.stylize_photos

    def counted(style, photos, *look):
        sizes.append(len(photos))
        return stylize_photos(style, photos, *look)

    monkeypatch.setattr(Style, "stylize_photos", counted)
    events = run(style_file, [folder], tmp_path / "out", config)
    assert sizes == batches
    done = [event for event in events if isinstance(event, PhotoDone)]
    assert [event.source.name for event in done] == [f"{index}.png" for index in range(6)]
    assert [event.width for event in done] == [40, 40, 40, 48, 40, 40]
    style = load_style(str(style_file), "cpu", "fp32")
    for event in done:
        alone = np.asarray(style.stylize(read_photo(event.source).rgb), int)
        assert np.abs(alone - np.asarray(read_photo(event.target).rgb, int)).max() <= 1


def test_bad_photos_are_named_and_stop_nothing(style_file, photos, tmp_path):
    (photos / "text.jpg").write_text("not a picture")
    (photos / "empty.png").touch()
    whole = (photos / "more" / "photo5.jpg").read_bytes()
    (photos / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    events = run(style_file, [photos], tmp_path / "out")
    failed = failures(events)
    assert failed["text.jpg"] == "not a picture"
    assert failed["empty.png"] == "empty file"
    assert failed["cut.jpg"].startswith("damaged picture")
    assert len(failed) == 3
    assert (events[-1].done, events[-1].failed) == (6, 3)
    assert {path.name for path in outputs(tmp_path / "out")} == {
        *(f"photo{i}.png" for i in range(5)),
        "photo5.jpg",
    }


def test_size_is_the_longest_side(style_file, tmp_path):
    draw_picture(0, 80, 60).save(tmp_path / "a.png")
    config = ApplyConfig(size=40, device="cpu")
    run(style_file, [tmp_path / "a.png"], tmp_path / "out", config)
    assert read_photo(tmp_path / "out" / "a.png").size == (40, 30)


def test_a_gif_keeps_its_transparency(style_file, tmp_path):
    picture = draw_picture(0).convert("P", palette=1, colors=200)
    picture.save(tmp_path / "a.gif", transparency=picture.getpixel((0, 0)))
    run(style_file, [tmp_path / "a.gif"], tmp_path / "out")
    before, after = read_photo(tmp_path / "a.gif"), read_photo(tmp_path / "out" / "a.gif")
    assert before.alpha is not None
    assert np.array_equal(before.alpha, after.alpha)


def test_transparency_that_a_format_cannot_hold_is_not_dropped(style_file, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    picture = draw_picture(0).convert("RGBA")
    picture.save(folder / "opaque.jpg", "PNG")  # the suffix lies, as it often does on the web
    picture.putpixel((3, 3), (0, 0, 0, 0))
    picture.save(folder / "holed.jpg", "PNG")
    events = run(style_file, [folder], tmp_path / "out")
    (failed,) = [event for event in events if isinstance(event, PhotoFailed)]
    assert failed.source.name == "holed.jpg"
    assert "transparency" in failed.reason
    assert [path.name for path in outputs(tmp_path / "out")] == ["opaque.jpg"]


def test_without_memory_batches_shrink_and_then_a_photo_fails_alone(
    style_file, tmp_path, monkeypatch
):
    folder = tmp_path / "in"
    folder.mkdir()
    for index in range(5):
        draw_picture(index, 40, 40).save(folder / f"{index}.png")
    stylize_photos = Style.stylize_photos
    tried = []
    hopeless = np.asarray(draw_picture(3, 40, 40))

    def cramped(style, batch, look, need, folder):
        """As on a machine where two photos fit at once, and one of them not at all."""
        tried.append((len(batch), need.way))
        if len(batch) > 2 or any(np.array_equal(photo.rgb, hopeless) for photo in batch):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB")
        return stylize_photos(style, batch, look, need, folder)

    monkeypatch.setattr(Style, "stylize_photos", cramped)
    config = ApplyConfig(device="cpu", precision="fp32", batch_size=4)
    events = run(style_file, [folder], tmp_path / "out", config)
    # 0 to 3, 0 and 1, 2 and 3, 2, 3, and somewhere among them 4; at last 3 in other ways.
    assert sorted(count for count, way in tried if way is Way.ONE_PASS) == [1, 1, 1, 2, 2, 4]
    assert [way for _, way in tried if way is not Way.ONE_PASS] == [Way.STRIPS, Way.FROM_DISK]
    assert failures(events) == {"3.png": "not enough memory for 40 x 40 pixels; try --size"}
    assert len(outputs(tmp_path / "out")) == 4


def leave_room(monkeypatch, size: float) -> None:
    """As if the machine had so many bytes for photos: what --max-memory leaves for them depends on
    what this process happens to hold by now."""
    budget = Budget(math.inf, size, 1e9)
    monkeypatch.setattr("stylize.batch.pipeline.make_budget", lambda most, device: budget)


@pytest.fixture
def two_threads():
    """As on a machine with two cores: two photos at a time."""
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("two_threads")
def test_with_little_memory_photos_go_through_in_strips(style_file, tmp_path, monkeypatch):
    """And come out the same; those that need more than there is fail by name."""
    folder = tmp_path / "in"
    folder.mkdir()
    for index, side in enumerate((64, 700, 64, 1800, 700, 64)):
        draw_picture(index, side, side).save(folder / f"{index}.png")
    run(style_file, [folder], tmp_path / "out")
    style = load_style(str(style_file), "cpu", "fp32")
    strips = style.ways((700, 700))[1]
    assert style.ways((1800, 1800))[-1].host > 1.5 * strips.host
    for batch_size in (1, 2):
        leave_room(monkeypatch, 1.3 * strips.host)
        config = replace(CPU, batch_size=batch_size)
        events = run(style_file, [folder], tmp_path / f"out{batch_size}", config)
        begun = {e.source.name: e for e in events if isinstance(e, PhotoBegun)}
        assert begun["1.png"].way == Way.STRIPS
        assert begun["1.png"].memory == 1e9 + strips.host
        assert (begun["1.png"].width, begun["1.png"].height) == (700, 700)
        assert begun["0.png"].way == Way.ONE_PASS
        assert begun.keys() == {"0.png", "1.png", "2.png", "4.png", "5.png"}
        assert set(failures(events)) == {"3.png"}
        assert "of memory at least" in failures(events)["3.png"]
        assert events[-1].done == 5
        for name in begun:
            one, two = (
                np.asarray(read_photo(tmp_path / out / name).rgb, int)
                for out in ("out", f"out{batch_size}")
            )
            assert np.abs(one - two).max() <= 1


def test_no_room_is_lost(style_file, tmp_path, monkeypatch):
    """Where only one photo fits at a time, each must give back all that it had: also if it fails,
    whenever that is."""
    folder = tmp_path / "in"
    folder.mkdir()
    for index in range(6):
        draw_picture(index, 300, 200).save(folder / f"{index}.png")
    (folder / "3.png").write_bytes((folder / "3.png").read_bytes()[:-3000])  # not all of it
    (folder / "6.png").write_text("no picture")
    frames = [draw_picture(index, 120, 90) for index in range(5)]
    frames[0].save(folder / "7.gif", save_all=True, append_images=frames[1:])
    frames[0].save(folder / "8.tif", save_all=True, append_images=[draw_picture(9, 200, 300)])
    holed = draw_picture(1, 300, 200)
    holed.putalpha(0)
    holed.save(folder / "9.webp", lossless=True)
    style = load_style(str(style_file), "cpu", "fp32")
    need = style.ways((300, 200))[0].host
    for batch_size in (1, 4):
        leave_room(monkeypatch, 1.2 * need)
        config = replace(CPU, batch_size=batch_size, format="jpg")
        events = run(style_file, [folder], tmp_path / str(batch_size), config)
        assert set(failures(events)) == {"3.png", "6.png", "7.gif", "8.tif", "9.webp"}
        assert events[-1].done == 5


def test_an_approximation_is_called_one(style_file, tmp_path):
    draw_picture(0, 2100, 80).save(tmp_path / "long.png")
    draw_picture(0, 64, 64).save(tmp_path / "small.png")
    config = replace(CPU, look=Look(statistics="thumbnail"))
    events = run(
        style_file, [tmp_path / "long.png", tmp_path / "small.png"], tmp_path / "o", config
    )
    done = {e.source.name: e for e in events if isinstance(e, PhotoDone)}
    assert "approximate" in done["long.png"].warnings[0]
    assert done["small.png"].warnings == ()


def test_a_photo_too_large_takes_none_with_it(style_file, tmp_path, monkeypatch):
    """Three in a batch: only singles fit, and the second not even alone."""
    folder = tmp_path / "in"
    folder.mkdir()
    for index in range(3):
        draw_picture(index, 40, 40).save(folder / f"{index}.png")
    stylize_photos = Style.stylize_photos
    hopeless = np.asarray(draw_picture(1, 40, 40))

    def cramped(style, batch, look, need, folder):
        if len(batch) > 1 or np.array_equal(batch[0].rgb, hopeless):
            raise MemoryError
        return stylize_photos(style, batch, look, need, folder)

    monkeypatch.setattr(Style, "stylize_photos", cramped)
    config = ApplyConfig(device="cpu", precision="fp32", batch_size=3)
    events = run(style_file, [folder], tmp_path / "out", config)
    assert set(failures(events)) == {"1.png"}
    assert {path.name for path in outputs(tmp_path / "out")} == {"0.png", "2.png"}
    assert events[-1].left == 0


def test_pages_of_other_proportions_than_their_mask_fail_alone(style_file, photos, tmp_path):
    pages = [draw_picture(0, 64, 48), draw_picture(1, 40, 60)]
    pages[0].save(photos / "pages.tif", save_all=True, append_images=pages[1:])
    (tmp_path / "masks").mkdir()
    Image.new("L", (64, 48), 255).save(tmp_path / "masks" / "pages.png")
    config = ApplyConfig(look=Look(background="keep"), masks=str(tmp_path / "masks"))
    events = run(style_file, [photos], tmp_path / "out", config)
    assert set(failures(events)) == {"pages.tif"}
    assert events[-1].done == 6


def test_a_file_that_comes_while_it_runs_is_left_alone(style_file, photos, tmp_path):
    for event in apply(str(style_file), [photos], tmp_path / "out", CPU):
        if isinstance(event, ApplyStarted):
            write_file(tmp_path / "out" / "photo4.png", b"mine")
        if isinstance(event, PhotoFailed):
            assert "--overwrite" in event.reason
    assert event.failed == 1
    assert (tmp_path / "out" / "photo4.png").read_bytes() == b"mine"


def test_a_pipe_in_a_list_or_in_the_way_is_not_waited_for(
    style_file, photos, tmp_path, monkeypatch
):
    monkeypatch.chdir(photos)
    os.mkfifo("pipe.jpg")
    (tmp_path / "out").mkdir()
    os.mkfifo(tmp_path / "out" / "photo1.png")
    listed = [Path("pipe.jpg"), Path("photo0.png"), Path("photo1.png")]
    events = list(apply(str(style_file), [], tmp_path / "out", CPU, listed))
    assert set(failures(events)) == {"pipe.jpg", "photo1.png"}
    assert events[-1].done == 1


def test_another_failure_of_the_network_names_the_photo(style_file, photos, tmp_path, monkeypatch):
    def broken(style, batch, look, need, folder):
        raise RuntimeError("the kernel failed\nat line 5")

    monkeypatch.setattr(Style, "stylize_photos", broken)
    events = run(style_file, [photos], tmp_path / "out")
    assert set(failures(events).values()) == {"the kernel failed"}
    assert events[-1].failed == 6


def test_nothing_is_written_when_the_style_is_wrong(photos, tmp_path):
    with pytest.raises(UsageError):
        run("no-such-style", [photos], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_sources_are_left_as_they_were(style_file, photos, tmp_path):
    before = {path: path.read_bytes() for path in photos.rglob("*") if path.is_file()}
    run(style_file, [photos], tmp_path / "out")
    assert before == {path: path.read_bytes() for path in photos.rglob("*") if path.is_file()}


def test_an_output_folder_that_cannot_be_made(style_file, photos, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot make the folder"):
        run(style_file, [photos], tmp_path / "file" / "out")


@needs_permissions
def test_an_output_folder_without_permission(style_file, photos, tmp_path):
    out = tmp_path / "out"
    out.mkdir(mode=0o500)
    with pytest.raises(UsageError, match="cannot write into"):
        run(style_file, [photos], out)


def test_a_second_run_does_what_changed(style_file, photos, tmp_path):
    out = tmp_path / "out"
    run(style_file, [photos], out)
    first = outputs(out)
    modified = {path: path.stat().st_mtime_ns for path in first}
    assert run(style_file, [photos], out)[-1].current == 6
    assert {path: path.stat().st_mtime_ns for path in first} == modified

    draw_picture(50).save(photos / "photo1.png")
    (out / "photo2.png").unlink()
    draw_picture(51).save(photos / "photo9.png")
    events = run(style_file, [photos], out)
    done = {event.source.name for event in events if isinstance(event, PhotoDone)}
    assert done == {"photo1.png", "photo2.png", "photo9.png"}
    current = [event.source.name for event in events if isinstance(event, PhotoCurrent)]
    assert len(current) == events[-1].current == events[1].current == 4
    second = outputs(out)
    assert second[out / "photo2.png"] == first[out / "photo2.png"]
    assert second[out / "photo1.png"] != first[out / "photo1.png"]

    smaller = ApplyConfig(device="cpu", precision="fp32", size=32)
    assert run(style_file, [photos], out, smaller)[-1].done == 7
    assert run(style_file, [photos], out, smaller)[-1].current == 7


def test_a_style_trained_anew_makes_everything_stale(style_file, photos, tmp_path):
    run(style_file, [photos], tmp_path / "out")
    with style_file.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\0")
    assert run(style_file, [photos], tmp_path / "out")[-1].done == 6


def test_files_of_others_are_left_alone(style_file, photos, tmp_path):
    out = tmp_path / "out"
    run(style_file, [photos], out)
    draw_picture(60).save(out / "photo1.png")  # retouched by hand
    mine = (out / "photo1.png").read_bytes()
    (photos / "new.png").write_bytes((photos / "photo0.png").read_bytes())
    (out / "new.png").write_bytes(b"mine")
    for config in (CPU, ApplyConfig(device="cpu", precision="fp32", size=32)):
        events = run(style_file, [photos], out, config)
        assert set(failures(events)) == {"photo1.png", "new.png"}
        assert "--overwrite" in failures(events)["new.png"]
        assert (out / "photo1.png").read_bytes() == mine
        assert (out / "new.png").read_bytes() == b"mine"
    overwriting = ApplyConfig(device="cpu", precision="fp32", overwrite=True)
    assert run(style_file, [photos], out, overwriting)[-1].done == 7
    assert run(style_file, [photos], out)[-1].current == 7


def test_failures_are_in_a_file_until_there_are_none(style_file, photos, tmp_path):
    (photos / "bad.png").write_text("text")
    path = run(style_file, [photos], tmp_path / "out")[-1].failures
    assert path.read_text().splitlines() == ["photo,reason", f"{photos / 'bad.png'},not a picture"]
    (photos / "bad.png").unlink()
    assert run(style_file, [photos], tmp_path / "out")[-1].failures is None
    assert not path.exists()


def test_fail_fast_stops_and_the_next_run_goes_on(style_file, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for index in range(20):
        draw_picture(index, 40, 40).save(folder / f"{index:02}.png")
    (folder / "05.png").write_text("text")
    config = ApplyConfig(device="cpu", precision="fp32", fail_fast=True)
    events = run(style_file, [folder], tmp_path / "out", config)
    end = events[-1]
    assert (end.failed, end.stopped) == (1, "a photo failed")
    assert end.done + end.failed + end.left == 20
    assert end.left > 0
    assert len(outputs(tmp_path / "out")) == end.done
    (folder / "05.png").unlink()
    assert run(style_file, [folder], tmp_path / "out", config)[-1].current == end.done


def test_one_run_at_a_time(style_file, photos, tmp_path):
    running = apply(str(style_file), [photos], tmp_path / "out", CPU)
    next(event for event in running if isinstance(event, PhotoDone))
    with pytest.raises(UsageError, match="another run of stylize"):
        run(style_file, [photos], tmp_path / "out")
    assert list(running)[-1].done == 6
    assert run(style_file, [photos], tmp_path / "out")[-1].current == 6


def test_a_run_that_is_given_up_leaves_whole_files_and_no_others(style_file, photos, tmp_path):
    running = apply(str(style_file), [photos], tmp_path / "out", CPU)
    next(event for event in running if isinstance(event, PhotoDone))
    running.close()
    for path in outputs(tmp_path / "out"):
        assert read_photo(path).size == read_photo(photos / path.relative_to(tmp_path / "out")).size
    assert run(style_file, [photos], tmp_path / "out")[-1].failed == 0


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP"])
def test_each_frame_of_an_animation_comes_out_as_it_would_alone(style_file, tmp_path, kind):
    frames = [draw_picture(index, 40, 30) for index in range(5)]
    options = {"lossless": True} if kind == "WEBP" else {}
    source = tmp_path / f"a.{kind.lower()}"
    frames[0].save(
        source, save_all=True, append_images=frames[1:], duration=[50, 60, 70, 80, 90], **options
    )
    config = ApplyConfig(device="cpu", precision="fp32", batch_size=2)
    (done,) = [
        e for e in run(style_file, [source], tmp_path / "out", config) if isinstance(e, PhotoDone)
    ]
    assert done.frames == 5
    style = load_style(str(style_file), "cpu", "fp32")
    with source.open("rb") as file:
        before = read_picture(source, file, 1e9)
    with done.target.open("rb") as file:
        after = read_picture(done.target, file, 1e9)
    assert after.durations == before.durations == (50, 60, 70, 80, 90)
    for one, other in zip(before.frames, after.frames, strict=True):
        alone = np.asarray(style.stylize(one.rgb), float)
        assert np.abs(alone - np.asarray(other.rgb, float)).mean() < (1 if kind == "PNG" else 9)


@pytest.mark.parametrize("kind", ["jpg", "png", "webp", "avif", "tiff"])
def test_metadata_and_format_go_through(style_file, tmp_path, kind):
    exif = Image.Exif()
    exif[0x0112], exif[0x010F], exif[0x8825] = 6, "Maker", {1: "N", 2: (48.0, 10.0, 1.5)}
    draw_picture(0, 64, 40).save(tmp_path / "a.jpg", exif=exif)
    for strip, gps, maker in ((False, False, "Maker"), (False, True, "Maker"), (True, False, None)):
        config = ApplyConfig(device="cpu", format=kind, strip=strip, strip_gps=gps, size=32)
        out = tmp_path / f"{strip}{gps}"
        (done,) = [
            e
            for e in run(style_file, [tmp_path / "a.jpg"], out, config)
            if isinstance(e, PhotoDone)
        ]
        assert done.target.suffix == f".{kind}"
        with Image.open(done.target) as image:
            image.load()
            assert image.size == (20, 32)
            found = image.getexif()
            assert found.get(0x0112, 1) == 1
            assert found.get(0x010F) == maker
            assert bool(found.get_ifd(0x8825)) == (not strip and not gps)


def on_white(seed):
    """A round product on plain white, and where it is."""
    hole = Image.new("L", (96, 96))
    ImageDraw.Draw(hole).ellipse((25, 25, 70, 70), fill=255)
    picture = Image.new("RGB", (96, 96), "white")
    picture.paste(draw_picture(seed, 96, 96), mask=hole)
    return picture, np.asarray(hole) > 0


@pytest.mark.parametrize("found_by", ["ground", "alpha", "file"])
def test_a_background_is_kept_byte_by_byte(style_file, tmp_path, found_by):
    picture, product = on_white(1)
    source = tmp_path / "in" / "sub" / "a.png"
    source.parent.mkdir(parents=True)
    masks = None
    if found_by == "alpha":
        picture.putalpha(Image.fromarray(np.uint8(product) * 255))
    if found_by == "file":
        picture = draw_picture(1, 96, 96)
        masks = str(tmp_path / "masks")
        (tmp_path / "masks" / "sub").mkdir(parents=True)
        Image.fromarray(np.uint8(product) * 255).save(tmp_path / "masks" / "sub" / "a.png")
    picture.save(source)
    config = ApplyConfig(device="cpu", look=Look(background="keep"), masks=masks)
    events = run(style_file, [tmp_path / "in"], tmp_path / "out", config)
    (done,) = [event for event in events if isinstance(event, PhotoDone)]
    assert not done.warnings
    before, after = np.asarray(picture), np.asarray(Image.open(done.target))
    assert np.array_equal(before[~product], after[~product])
    assert (before[product][:, :3] != after[product][:, :3]).any(axis=1).mean() > 0.9
    assert np.array_equal(before[..., 3:], after[..., 3:])
    if found_by == "file":
        Image.new("L", (96, 96), 255).save(tmp_path / "masks" / "sub" / "a.png")
        assert run(style_file, [tmp_path / "in"], tmp_path / "out", config)[-1].done == 1


def test_a_photo_without_plain_background_is_stylized_and_it_is_said(style_file, tmp_path):
    draw_picture(1, 96, 96).save(tmp_path / "a.png")
    config = ApplyConfig(device="cpu", look=Look(background="keep"))
    events = run(style_file, [tmp_path / "a.png"], tmp_path / "out", config)
    (done,) = [event for event in events if isinstance(event, PhotoDone)]
    assert done.warnings == (
        "no mask, no transparency and no flat background: stylized as a whole",
    )
    line = json.loads((tmp_path / "out" / ".stylize" / "manifest.jsonl").read_text())
    assert line["warnings"] == list(done.warnings)


def test_a_mask_that_does_not_fit_fails_its_photo(style_file, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "masks").mkdir()
    draw_picture(1).save(tmp_path / "in" / "a.png")
    Image.new("L", (64, 20)).save(tmp_path / "masks" / "a.png")
    config = ApplyConfig(look=Look(background="keep"), masks=str(tmp_path / "masks"))
    events = run(style_file, [tmp_path / "in"], tmp_path / "out", config)
    assert "its mask" in failures(events)["a.png"]


def test_the_manifest_tells_what_was_done(style_file, photos, tmp_path):
    run(style_file, [photos], tmp_path / "out")
    lines = (tmp_path / "out" / ".stylize" / "manifest.jsonl").read_text().splitlines()
    records = {line["target"]: line for line in map(json.loads, lines)}
    assert len(records) == len(lines) == 6
    for target, record in records.items():
        assert record["source"] == str(photos / target)
        assert record["size"] == (photos / target).stat().st_size
        assert record["sha256"] == digest(photos / target)
        assert record["output"] == digest(tmp_path / "out" / target)
        assert record["style"] == digest(style_file)
        assert record["options"] == CPU.recipe()
        assert record["seconds"] >= 0


def check_stop_at_a_full_disk(style_file, tmp_path, out):
    folder = tmp_path / "in"
    folder.mkdir()
    for index in range(40):
        noise = np.random.default_rng(index).integers(0, 256, (300, 300, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / f"{index:02}.png")  # some 120 KB stylized
    events = run(style_file, [folder], out)
    end = events[-1]
    assert end.stopped == "the disk is full"
    assert 0 < end.done < 40
    assert end.left > 0
    assert "No space left" in next(iter(failures(events).values()))
    written = outputs(out)
    assert len(written) == end.done
    for path in written:
        assert read_photo(path).size == (300, 300)
    return folder


def test_a_full_disk_stops_the_run_and_damages_nothing(style_file, tmp_path, small_disk):
    folder = check_stop_at_a_full_disk(style_file, tmp_path, small_disk / "out")
    for path in sorted(folder.iterdir())[3:]:
        path.unlink()
    after = run(style_file, [folder], small_disk / "out")[-1]
    assert (after.current, after.failed, after.stopped) == (3, 0, "")


def test_a_quota_is_a_full_disk(style_file, tmp_path, monkeypatch):
    """A stand-in for a real one, where none can be mounted."""
    left = 10

    def write(path, content, scratch):
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write_file(path, content, scratch)

    monkeypatch.setattr("stylize.batch.manifest.write_file", write)
    check_stop_at_a_full_disk(style_file, tmp_path, tmp_path / "out")


def test_a_place_that_cannot_be_written_fails_alone(style_file, photos, tmp_path):
    """Here is a file where a folder should be, which stops root, too."""
    out = tmp_path / "out"
    out.mkdir()
    (out / "more").touch()
    events = run(style_file, [photos], out)
    assert failures(events) == {"photo5.jpg": "cannot be written (File exists)"}
    assert events[-1].done == 5


@needs_permissions
def test_a_folder_without_permission_fails_its_photos(style_file, photos, tmp_path):
    out = tmp_path / "out"
    (out / "more").mkdir(parents=True, mode=0o500)
    events = run(style_file, [photos], out)
    assert failures(events) == {"photo5.jpg": "cannot be written (Permission denied)"}


@needs_permissions
def test_a_folder_that_is_shut_is_a_failure_and_all_there_is(style_file, tmp_path):
    (tmp_path / "in" / "shut").mkdir(parents=True)
    (tmp_path / "in" / "shut").chmod(0)
    events = run(style_file, [tmp_path / "in"], tmp_path / "out")
    assert failures(events) == {"shut": "Permission denied"}
    assert (events[-1].done, events[-1].left) == (0, 0)


def test_a_list_goes_on_when_a_file_of_it_is_gone(style_file, photos, tmp_path, monkeypatch):
    monkeypatch.chdir(photos)
    listed = [Path("photo0.png"), Path("gone.png"), Path("more")]
    events = list(apply(str(style_file), [], tmp_path / "out", CPU, listed))
    assert failures(events) == {"gone.png": "No such file or directory"}
    names = [path.relative_to(tmp_path / "out") for path in outputs(tmp_path / "out")]
    assert names == [Path("more/photo5.jpg"), Path("photo0.png")]


def test_a_style_that_cannot_refine_says_so_before_it_writes_anything(style_file, photos, tmp_path):
    config = replace(CPU, look=Look(refine=3))
    with pytest.raises(UsageError, match="cannot be refined"):
        run(style_file, [photos], tmp_path / "out", config)
    assert not (tmp_path / "out").exists()


def test_one_photo_into_the_file_that_is_named(style_file, photos, tmp_path):
    """Its picture is that of a folder; no record is left beside it, and what is there stays."""
    photo, output = photos / "photo1.png", tmp_path / "new" / "result.webp"
    run(style_file, [photo], tmp_path / "out", replace(CPU, format="webp"))
    events = run(style_file, [photo], output)
    assert output.read_bytes() == (tmp_path / "out" / "photo1.webp").read_bytes()
    assert [*output.parent.iterdir()] == [output]
    assert (events[-1].done, events[-1].output, events[-1].failures) == (1, output, None)
    output.write_text("another picture")
    with pytest.raises(UsageError, match=r"result\.webp exists"):
        run(style_file, [photo], output)
    assert output.read_text() == "another picture"
    assert run(style_file, [photo], output, replace(CPU, overwrite=True))[-1].done == 1
    assert output.read_bytes() == (tmp_path / "out" / "photo1.webp").read_bytes()


def test_a_file_that_appears_meanwhile_stays(style_file, photos, tmp_path):
    output = tmp_path / "result.png"
    running = apply(str(style_file), [photos / "photo1.png"], output, CPU)
    next(running)
    output.write_text("another picture")
    assert failures(running) == {"photo1.png": FOREIGN}
    assert output.read_text() == "another picture"


@pytest.fixture
def other_style(style_file, tmp_path):
    """Another small style, of other weights."""
    path = tmp_path / "other.safetensors"
    torch.manual_seed(1)
    _, header = load_network(style_file)
    save_style(path, build_network(header.network).state_dict(), replace(header, name="other"))
    return path


def test_each_of_several_styles_is_a_run_of_its_own(style_file, other_style, photos, tmp_path):
    (photos / "bad.jpg").write_text("not a picture")
    styles = [str(style_file), str(other_style)]
    events = [*apply_styles(styles, [photos], tmp_path / "out", CPU)]
    assert [e.style for e in events if isinstance(e, ApplyStarted)] == ["tiny", "other"]
    done = [event for event in events if isinstance(event, ApplyDone)]
    assert [(each.done, each.failed) for each in done] == [(6, 1), (6, 1)]
    for style, name in zip(styles, ("tiny", "other"), strict=True):
        run(style, [photos], tmp_path / name)
        made, alone = outputs(tmp_path / "out" / name), outputs(tmp_path / name)
        assert [*made.values()] == [*alone.values()]
        assert run(style, [photos], tmp_path / "out" / name)[-1].current == 6
        (tmp_path / "out" / name / "photo1.png").unlink()
    again = [*apply_styles(styles, [photos], tmp_path / "out", CPU)]
    assert [e.source.name for e in again if isinstance(e, PhotoDone)] == ["photo1.png"] * 2


def test_no_style_begins_once_one_has_stopped(style_file, other_style, photos, tmp_path):
    (photos / "a.jpg").write_text("not a picture")
    config = replace(CPU, fail_fast=True)
    events = [*apply_styles([str(style_file), str(other_style)], [photos], tmp_path, config)]
    assert events[-1] == Note("not begun: other")
    assert not (tmp_path / "other").exists()


def test_several_styles_are_checked_before_anything_is_written(style_file, photos, tmp_path):
    config = replace(CPU, look=Look(stroke=2))  # which only styles that draft can have
    with pytest.raises(UsageError, match="strokes of one size"):
        list(apply_styles(["ink", str(style_file)], [photos], tmp_path / "out", config))
    assert not (tmp_path / "out").exists()

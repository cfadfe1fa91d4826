import os

import numpy as np
import pytest
from conftest import draw_picture

from stylize import load_style
from stylize.apply import apply
from stylize.config import ApplyConfig
from stylize.errors import UsageError
from stylize.events import ApplyDone, ApplyStarted, Backend, PhotoDone, PhotoFailed
from stylize.images import read_photo
from stylize.style import Style

CPU = ApplyConfig(device="cpu", precision="fp32")


def run(style, inputs, output, config=CPU):
    return list(apply(str(style), inputs, output, config))


def test_a_folder_is_mirrored_and_each_photo_is_its_own_single(style_file, photos, tmp_path):
    out = tmp_path / "out"
    config = ApplyConfig(device="cpu", precision="fp32", batch_size=3)
    events = run(style_file, [photos], out, config)
    assert isinstance(events[0], Backend)
    assert events[1] == ApplyStarted("tiny", 6, 0)
    assert isinstance(events[-1], ApplyDone)
    assert (events[-1].done, events[-1].failed) == (6, 0)
    sources = sorted(path.relative_to(photos) for path in photos.rglob("*") if path.is_file())
    targets = sorted(path.relative_to(out) for path in out.rglob("*") if path.is_file())
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
    failed = {e.source.name: e.reason for e in events if isinstance(e, PhotoFailed)}
    assert failed["text.jpg"] == "not a picture"
    assert failed["empty.png"] == "empty file"
    assert failed["cut.jpg"].startswith("damaged picture")
    assert len(failed) == 3
    assert (events[-1].done, events[-1].failed) == (6, 3)
    written = {path.name for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert written == {*(f"photo{i}.png" for i in range(5)), "photo5.jpg"}


def test_size_is_the_longest_side(style_file, tmp_path):
    draw_picture(0, 80, 60).save(tmp_path / "a.png")
    config = ApplyConfig(size=40, device="cpu")
    run(style_file, [tmp_path / "a.png"], tmp_path / "out", config)
    assert read_photo(tmp_path / "out" / "a.png").size == (40, 30)


def test_a_gif_becomes_a_png_and_keeps_its_transparency(style_file, tmp_path):
    picture = draw_picture(0).convert("P", palette=1, colors=200)
    picture.save(tmp_path / "a.gif", transparency=picture.getpixel((0, 0)))
    run(style_file, [tmp_path / "a.gif"], tmp_path / "out")
    before, after = read_photo(tmp_path / "a.gif"), read_photo(tmp_path / "out" / "a.png")
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
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["opaque.jpg"]


def test_a_photo_too_large_for_memory_fails_alone(style_file, photos, tmp_path, monkeypatch):
    stylize_photos = Style.stylize_photos

    def cramped(style, batch):
        if batch[0].size == (72, 72):
            raise MemoryError
        return stylize_photos(style, batch)

    monkeypatch.setattr(Style, "stylize_photos", cramped)
    events = run(style_file, [photos], tmp_path / "out")
    failed = {e.source.name: e.reason for e in events if isinstance(e, PhotoFailed)}
    assert failed == {"photo1.png": "not enough memory"}
    assert events[-1].done == 5


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


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_an_output_folder_without_permission(style_file, photos, tmp_path):
    out = tmp_path / "out"
    out.mkdir(mode=0o500)
    with pytest.raises(UsageError, match="cannot write into"):
        run(style_file, [photos], out)

"""`apply` on clips: the promises of the batch contract."""

import json
from dataclasses import replace

import av
import numpy as np
import pytest
from clips import count_ticks, frames_of, moving, sound_of, write_clip
from conftest import draw_picture
from PIL import Image

from stylize.batch.apply import apply
from stylize.config import ApplyConfig, Look
from stylize.errors import UsageError
from stylize.events import ApplyDone, FramePainted, PhotoCurrent, PhotoDone, PhotoFailed

CONFIG = ApplyConfig(device="cpu", precision="fp32")


def run(style, inputs, output, **options):
    config = ApplyConfig(device="cpu", precision="fp32", **options)
    return list(apply(str(style), inputs, output, config))


def one(events, kind):
    (found,) = [event for event in events if isinstance(event, kind)]
    return found


@pytest.fixture
def clip(tmp_path):
    times = [*count_ticks(8), 9000, 9001]
    return write_clip(tmp_path / "in" / "a.mp4", moving(10), times, sound="aac")


def test_a_clip_beside_photos_keeps_its_times_and_its_sound(clip, style_file, tmp_path):
    draw_picture(0).save(clip.parent / "b.png")
    out = tmp_path / "out"
    events = run(style_file, [clip.parent], out)
    done = one(events, ApplyDone)
    assert (done.done, done.failed) == (2, 0)
    frames = [event.frames for event in events if isinstance(event, FramePainted)]
    assert frames == list(range(1, 11))
    assert sound_of(out / "a.mp4") == sound_of(clip)
    times, paintings = frames_of(out / "a.mp4")
    assert times == frames_of(clip)[0]
    assert {each.shape for each in paintings} == {(48, 64, 3)}
    lines = (out / ".stylize" / "manifest.jsonl").read_text().splitlines()
    assert {json.loads(line)["target"] for line in lines} == {"a.mp4", "b.png"}
    assert not any((out / ".stylize" / "parts").iterdir())


def test_paintings_are_those_of_the_style(clip, style_file, tmp_path):
    run(style_file, [clip], tmp_path / "out", crf=1)
    first = Image.fromarray(frames_of(clip)[1][0])
    first.save(tmp_path / "frame.png")
    run(style_file, [tmp_path / "frame.png"], tmp_path / "out", look=Look(even_light=False))
    wanted = np.asarray(Image.open(tmp_path / "out" / "frame.png"), float)
    found = frames_of(tmp_path / "out" / "a.mp4")[1][0]
    # 4:2:0 halves the resolution of colour, so only grey is compared.
    assert np.abs(found.mean(-1) - wanted.mean(-1)).mean() < 6


def test_again_it_stays_and_with_another_rate_factor_only_clips_are_redone(
    clip, style_file, tmp_path
):
    draw_picture(0).save(clip.parent / "b.png")
    out = tmp_path / "out"
    run(style_file, [clip.parent], out)
    assert one(run(style_file, [clip.parent], out), ApplyDone).current == 2
    events = run(style_file, [clip.parent], out, crf=40)
    assert one(events, PhotoCurrent).source.name == "b.png"
    assert one(events, PhotoDone).source.name == "a.mp4"


@pytest.mark.parametrize("stop", [1, 64, 65, 100, 130])
def test_interrupted_after_any_frame_it_ends_with_the_same_bytes(stop, style_file, tmp_path):
    source = write_clip(tmp_path / "a.mp4", moving(140, 32, 32), sound="aac")
    run(style_file, [source], tmp_path / "whole")
    painting = apply(str(style_file), [source], tmp_path / "out", CONFIG)
    for event in painting:
        if isinstance(event, FramePainted) and event.frames == stop:
            painting.close()
    assert not (tmp_path / "out" / "a.mp4").exists()
    again = run(style_file, [source], tmp_path / "out")
    painted = [event for event in again if isinstance(event, FramePainted)]
    # The frame after which it stopped was not in a segment yet.
    assert painted[0].frames == (stop - 1) // 64 * 64 + 1
    assert painted[-1].frames == 140
    assert (tmp_path / "out" / "a.mp4").read_bytes() == (tmp_path / "whole" / "a.mp4").read_bytes()


def test_a_clip_that_has_changed_begins_anew(style_file, tmp_path):
    source = write_clip(tmp_path / "a.mp4", moving(70, 32, 32))
    painting = apply(str(style_file), [source], tmp_path / "out", CONFIG)
    for event in painting:
        if isinstance(event, FramePainted) and event.frames == 66:
            painting.close()
    write_clip(source, moving(70, 32, 32)[::-1])
    events = run(style_file, [source], tmp_path / "out")
    assert next(e.frames for e in events if isinstance(e, FramePainted)) == 1


def test_one_clip_one_name(clip, style_file, tmp_path):
    output = tmp_path / "painted.mkv"
    assert one(run(style_file, [clip], output), ApplyDone).done == 1
    assert len(frames_of(output)[1]) == 10
    assert {path.name for path in tmp_path.iterdir()} == {"in", "painted.mkv", style_file.name}
    with pytest.raises(UsageError, match=r"is a clip, and .* names a picture"):
        run(style_file, [clip], tmp_path / "painted.png")


@pytest.mark.parametrize(
    ("name", "becomes"),
    [("a.MOV", "a.MOV"), ("a.mkv", "a.mkv"), ("a.avi", "a.mp4"), ("a.webm", "a.mp4")],
)
def test_containers(name, becomes, style_file, tmp_path):
    codec = "libvpx-vp9" if name == "a.webm" else "libx264"
    source = write_clip(tmp_path / name, moving(3), codec=codec)
    assert one(run(style_file, [source], tmp_path / "out"), PhotoDone).target.name == becomes
    times, paintings = frames_of(tmp_path / "out" / becomes)
    assert len(paintings) == 3
    assert times == pytest.approx(frames_of(source)[0], abs=0.005)  # some count milliseconds


def test_a_clip_and_one_that_becomes_the_same_name(style_file, tmp_path):
    for name in ("a.mp4", "a.avi"):
        write_clip(tmp_path / "in" / name, moving(1))
    run(style_file, [tmp_path / "in"], tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").glob("*.*")} >= {"a.mp4", "a.avi.mp4"}


def test_sound_that_mp4_cannot_hold_becomes_aac(style_file, tmp_path):
    source = write_clip(tmp_path / "a.avi", moving(30), sound="pcm_mulaw")
    done = one(run(style_file, [source], tmp_path / "out"), PhotoDone)
    assert done.warnings == ("sound was converted from pcm_mulaw to AAC",)
    with av.open(str(done.target)) as container:
        assert container.streams.audio[0].codec_context.name == "aac"
    ends = [sound_of(path)[-1][0] for path in (source, done.target)]
    assert abs(ends[0] - ends[1]) < 0.1  # two packets


def test_a_rotated_clip_is_written_upright(style_file, tmp_path):
    source = write_clip(tmp_path / "a.mp4", moving(2), rotation=90)
    done = one(run(style_file, [source], tmp_path / "out"), PhotoDone)
    assert (done.width, done.height) == (48, 64)
    with av.open(str(done.target)) as container:
        frame = next(container.decode(video=0))
        assert (frame.width, frame.height, frame.rotation) == (48, 64, 0)


def test_texts_and_places(style_file, tmp_path):
    texts = {"title": "A title", "location": "+48.8577+002.295/"}
    source = write_clip(tmp_path / "a.mp4", moving(1), texts=texts)
    found = {}
    for number, options in enumerate(({}, {"strip_gps": True}, {"strip": True})):
        done = one(run(style_file, [source], tmp_path / str(number), **options), PhotoDone)
        with av.open(str(done.target)) as container:
            found[number] = texts.keys() & container.metadata.keys()
    assert found == {0: {"title", "location"}, 1: {"title"}, 2: set()}


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"look": Look(background="transparent")}, "no transparency"),
        ({"max_megapixels": 0.001}, "--max-megapixels"),
    ],
)
def test_what_no_clip_can_have_fails_by_name(options, reason, clip, style_file, tmp_path):
    assert reason in one(run(style_file, [clip], tmp_path / "out", **options), PhotoFailed).reason


def test_a_broken_clip_stops_no_other(clip, style_file, tmp_path):
    (clip.parent / "0.mp4").write_bytes(b"broken" * 100)
    (clip.parent / "1.mp4").touch()
    events = run(style_file, [clip.parent], tmp_path / "out")
    reasons = {e.source.name: e.reason for e in events if isinstance(e, PhotoFailed)}
    assert set(reasons) == {"0.mp4", "1.mp4"}
    assert all("no clip, or damaged" in reason for reason in reasons.values())
    assert one(events, PhotoDone).source == clip


def test_the_masked_part_alone_is_painted(style_file, tmp_path):
    source = write_clip(tmp_path / "a.mp4", [np.full((48, 64, 3), 120, np.uint8)] * 3)
    mask = Image.new("L", (64, 48), 0)
    mask.paste(255, (32, 0, 64, 48))
    (tmp_path / "masks").mkdir()
    mask.save(tmp_path / "masks" / "a.png")
    look = Look(background="keep")
    done = one(
        run(style_file, [source], tmp_path / "out", look=look, masks=str(tmp_path / "masks")),
        PhotoDone,
    )
    for painted in frames_of(done.target)[1]:
        assert np.abs(painted[:, :24].astype(int) - 120).max() <= 3
        assert painted[:, 40:].std() > 3


def test_without_the_part_the_command_is_named(clip, style_file, tmp_path, monkeypatch):
    monkeypatch.setattr("stylize.video.clip.find_spec", lambda name: None)
    failed = one(run(style_file, [clip], tmp_path / "out"), PhotoFailed)
    assert 'pip install "stylize[video]"' in failed.reason


@pytest.mark.parametrize(("count", "segments"), [(64, 0), (30, 1)])
def test_a_full_disk_stops_the_run_and_keeps_the_segments(
    count, segments, style_file, tmp_path, small_disk
):
    random = np.random.default_rng(0)
    frames = [random.integers(0, 256, (96, 128, 3), np.uint8) for _ in range(count)]
    source = write_clip(tmp_path / "a.mkv", frames, codec="ffv1", pix_fmt="bgr0")
    look = Look(strength=0)  # noise, which no codec makes small
    events = run(style_file, [source], small_disk / "out", crf=2, look=look)
    done = one(events, ApplyDone)
    assert (done.done, done.failed, done.stopped) == (0, 1, "the disk is full")
    assert [path.name for path in (small_disk / "out").iterdir()] == [".stylize"]
    assert len(list((small_disk / "out").rglob("*.nut"))) == segments


def test_segments_of_what_has_changed_are_removed(clip, style_file, tmp_path):
    out = tmp_path / "out"

    def segments(**options):
        config = replace(CONFIG, **options)
        events = apply(str(style_file), [clip], out, config)
        for event in events:
            if isinstance(event, FramePainted) and event.frames == 66:
                events.close()
        return set((out / ".stylize" / "parts").rglob("*.nut"))

    write_clip(clip, moving(70))
    (first,) = segments()
    (other,) = segments(crf=30)
    assert first != other
    assert not first.exists()
    assert segments(crf=30) == {other}


@pytest.mark.parametrize("options", [{}, {"fail_fast": True}])
def test_after_a_failure_the_next_clip_begins_unless_told_otherwise(
    options, clip, style_file, tmp_path
):
    (clip.parent / "0.mp4").write_bytes(b"broken" * 100)
    done = one(run(style_file, [clip.parent], tmp_path / "out", **options), ApplyDone)
    assert (done.done, done.left) == ((0, 1) if options else (1, 0))

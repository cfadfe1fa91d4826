"""`stylize apply --watch` in a process of its own, and folders in which things happen."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Timer

import pytest
from commands import STYLIZE, fails, stylize
from conftest import draw_picture

from stylize.batch.apply import apply
from stylize.batch.watch import watch
from stylize.config import ApplyConfig
from stylize.errors import UsageError
from stylize.events import ApplyDone
from stylize.files import locate

LONGEST = 120  # seconds, for anything: reached only if it never happens


class Watch:
    """A watch in a process, by the events that it prints."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.events: list[dict] = []

    def next(self, kind: str, name: str = "") -> dict:
        """The next event of that kind, about the photo of that name if one is given."""
        for line in self._process.stdout:
            event = json.loads(line)
            self.events.append(event)
            if event["event"] == kind and name in (Path(event.get("source", "")).name, ""):
                return event
        raise AssertionError(self._process.stderr.read())

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Its exit code after that signal."""
        self._process.send_signal(number)
        rest, errors = self._process.communicate(timeout=LONGEST)
        self.events += [json.loads(line) for line in rest.splitlines()]
        assert "Traceback" not in errors
        return self._process.returncode

    def about(self, name: str) -> list[str]:
        """The kinds of the events about the photo of that name."""
        return [e["event"] for e in self.events if Path(e.get("source", "")).name == name]


@contextmanager
def running(style, folder, output, *options, environment=None):
    """A watch in a process of its own."""
    command = [*STYLIZE, "apply", style, folder, "-o", output, "--watch", *options]
    # What a shell starts in the background ignores the signal, and so would all that it starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with subprocess.Popen(
        list(map(str, [*command, "--device", "cpu"])),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(output).parent,
        env=environment,
    ) as process:
        # A test that waits for what never comes ends, without the line.
        alarm = Timer(LONGEST, process.kill)
        alarm.start()
        try:
            yield process
        finally:
            alarm.cancel()
            process.kill()


@contextmanager
def watching(style, folder, output, *options):
    with running(style, folder, output, "--json", *options) as process:
        yield Watch(process)


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "watched"
    folder.mkdir()
    return folder


@pytest.fixture
def content(tmp_path):
    """The bytes of a photo that takes a while to copy."""
    draw_picture(9, 200, 160).save(tmp_path / "whole.png")
    return (tmp_path / "whole.png").read_bytes()


def test_what_is_there_is_done_then_what_comes(style_file, photos, tmp_path):
    out = tmp_path / "out"
    with watching(style_file, photos, out) as watched:
        first = watched.next("ApplyDone")
        assert (first["done"], first["failed"], first["left"]) == (6, 0, 0)
        draw_picture(20).save(photos / "new.png")
        draw_picture(21).save(photos / "photo0.png")
        (photos / "new folder").mkdir()
        draw_picture(22).save(photos / "new folder" / "deep.webp")
        for name in ("new.png", "photo0.png", "deep.webp"):
            if "PhotoDone" not in watched.about(name):
                watched.next("PhotoDone", name)
        assert watched.end() == 0
    # A run over the same photos finds nothing left to do.
    config = ApplyConfig(device="cpu")
    *_, done = apply(str(style_file), [photos], out, config)
    assert isinstance(done, ApplyDone)
    assert (done.done, done.current, done.failed) == (0, 8, 0)


def test_it_starts_in_an_empty_folder_and_a_folder_moved_in_is_whole(
    style_file, folder, photos, tmp_path
):
    with watching(style_file, folder, tmp_path / "out") as watched:
        assert watched.next("ApplyDone")["done"] == 0
        shutil.move(photos / "more", folder / "more")
        watched.next("PhotoDone", "photo5.jpg")
        assert watched.end(signal.SIGINT) == 0
    assert (tmp_path / "out" / "more" / "photo5.jpg").is_file()


def test_a_file_that_is_still_copied_is_waited_for(style_file, folder, content, tmp_path):
    with watching(style_file, folder, tmp_path / "out") as watched:
        watched.next("ApplyDone")
        with (folder / "slow.png").open("wb") as file:
            for start in range(0, len(content), len(content) // 8):
                file.write(content[start : start + len(content) // 8])
                file.flush()
                time.sleep(0.7)
        # The rest of this one comes after a pause in which it looks settled.
        (folder / "paused.png").write_bytes(content[: len(content) // 2])
        time.sleep(4)
        (folder / "paused.png").write_bytes(content)
        for name in ("slow.png", "paused.png"):
            if "PhotoDone" not in watched.about(name):
                watched.next("PhotoDone", name)
        assert watched.end() == 0
        for name in ("slow.png", "paused.png"):
            assert [kind for kind in watched.about(name) if kind != "PhotoBegun"] == ["PhotoDone"]


def test_a_broken_photo_fails_once_and_is_done_when_it_is_mended(
    style_file, folder, content, tmp_path
):
    table = tmp_path / "out" / ".stylize" / "failures.csv"
    with watching(style_file, folder, tmp_path / "out") as watched:
        watched.next("ApplyDone")
        (folder / "broken.png").write_bytes(content[:-100])
        watched.next("PhotoFailed", "broken.png")
        assert watched.next("ApplyDone")["failed"] == 1
        draw_picture(1).save(folder / "other.png")
        watched.next("PhotoDone", "other.png")
        assert watched.next("ApplyDone")["failed"] == 1
        assert "broken.png" in table.read_text()
        (folder / "broken.png").write_bytes(content)
        watched.next("PhotoDone", "broken.png")
        assert watched.next("ApplyDone")["failed"] == 0
        assert not table.exists()
        (folder / "other.png").write_bytes(content[:-100])
        watched.next("PhotoFailed", "other.png")
        watched.next("ApplyDone")
        assert watched.end() == 1
        assert watched.about("broken.png").count("PhotoFailed") == 1


def test_renames_and_deletions_do_no_harm(style_file, photos, tmp_path):
    out = tmp_path / "out"
    with watching(style_file, photos, out) as watched:
        watched.next("ApplyDone")
        (photos / "photo0.png").rename(photos / "renamed.png")
        (photos / "photo1.png").unlink()
        shutil.rmtree(photos / "more")
        watched.next("PhotoDone", "renamed.png")
        watched.next("ApplyDone")
        assert watched.end() == 0
        assert not any(event["event"] == "PhotoFailed" for event in watched.events)
    assert (out / "photo1.png").is_file()


def test_several_styles_each_keep_a_folder(style_file, folder, tmp_path):
    (tmp_path / "styles").mkdir()
    for name in ("one", "two"):
        shutil.copy(style_file, tmp_path / "styles" / f"{name}.safetensors")
    with watching("one,two", folder, tmp_path / "out") as watched:
        watched.next("ApplyDone")
        watched.next("ApplyDone")
        draw_picture(1).save(folder / "a.png")
        targets = [watched.next("PhotoDone", "a.png")["target"] for _ in range(2)]
        assert watched.end() == 0
    assert targets == [str(tmp_path / "out" / name / "a.png") for name in ("one", "two")]


def test_a_mask_that_comes_later_counts(style_file, folder, tmp_path):
    masks = tmp_path / "masks"
    masks.mkdir()
    draw_picture(1).save(folder / "a.png")
    mask = draw_picture(2).convert("L").point(lambda value: 255 * (value > 128))
    with watching(style_file, folder, tmp_path / "out", "--masks", masks) as watched:
        watched.next("PhotoDone", "a.png")
        watched.next("ApplyDone")
        mask.save(masks / "a.png")
        watched.next("PhotoDone", "a.png")
        assert watched.end() == 0


def test_its_own_outputs_beside_the_photos_are_no_photos(style_file, tmp_path):
    """Photos in a folder of the output, which is watched, too."""
    folder = tmp_path / "out" / "photos"
    folder.mkdir(parents=True)
    draw_picture(1).save(folder / "a.png")
    with watching(style_file, folder, tmp_path / "out") as watched:
        watched.next("ApplyDone")
        draw_picture(2).save(folder / "b.png")
        watched.next("PhotoDone", "b.png")
        time.sleep(5)
        assert watched.end() == 0
        assert sum(event["event"] == "PhotoDone" for event in watched.events) == 2


def test_names_that_clash_are_said_and_end_nothing(style_file, tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    draw_picture(1).save(tmp_path / "one" / "a.png")
    with watching(style_file, tmp_path / "one", tmp_path / "out", tmp_path / "two") as watched:
        watched.next("ApplyDone")
        draw_picture(2).save(tmp_path / "two" / "a.png")
        assert "several photos would have one name: a.png" in watched.next("Note")["text"]
        (tmp_path / "two" / "a.png").rename(tmp_path / "two" / "b.png")
        watched.next("PhotoDone", "b.png")
        assert watched.end() == 0


def test_the_output_stays_locked_and_a_lost_folder_ends_it(style_file, folder, tmp_path):
    with watching(style_file, folder, tmp_path / "out") as watched:
        watched.next("ApplyDone")
        draw_picture(1).save(tmp_path / "a.png")
        result = stylize("apply", style_file, tmp_path / "a.png", "-o", tmp_path / "out")
        fails(result, 2, "another run of stylize is writing")
        folder.rename(tmp_path / "elsewhere")
        with pytest.raises(AssertionError, match="is gone"):
            watched.next("PhotoDone")


def test_people_read_a_line_for_each_photo(style_file, folder, content, tmp_path):
    draw_picture(1).save(folder / "a.png")
    os.utime(folder / "a.png", (0, 0))
    environment = {**os.environ, "COLUMNS": "200", "NO_COLOR": "1"}
    with running(style_file, folder, tmp_path / "out", environment=environment) as process:
        lines = iter(process.stdout)
        arrow = f"{folder / 'a.png'} -> {tmp_path / 'out' / 'a.png'}\n"
        assert arrow in lines
        (folder / "b.png").write_bytes(content[:-100])
        assert any(line.startswith(f"{folder / 'b.png'}: ") for line in lines)
        process.send_signal(signal.SIGINT)
        assert process.wait(LONGEST) == 1


def refusal(*arguments) -> UsageError:
    with pytest.raises(UsageError) as caught:
        next(watch(*arguments, Event()))
    assert caught.value.hint
    return caught.value


@pytest.mark.parametrize(
    ("inputs", "output", "options", "said"),
    [
        (["photos"], "out", {"fail_fast": True}, "--fail-fast and --watch exclude each other"),
        (["photos"], "out", {"anchor": "auto"}, "--anchor auto would change"),
        (["photos"], "out", {"engine": "ray"}, "--engine ray cannot watch"),
        (["photos"], "s3://bucket/out", {}, "object stores"),
        (["photos", "s3://bucket/photos"], "out", {}, "object stores"),
        (["photos"], "out", {"masks": "s3://bucket/masks"}, "object stores"),
        (["photos"], "out.png", {}, "out.png names one picture"),
        (["photos/photo0.png"], "out", {}, "no folder photos/photo0.png"),
        (["photos", "nowhere"], "out", {}, "no folder nowhere"),
        (["photos"], "photos/out", {}, "lies inside the input folder"),
    ],
)
def test_what_cannot_be_watched_is_refused(
    inputs, output, options, said, style_file, photos, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    places = [locate(text) for text in inputs]
    error = refusal([str(style_file)], places, locate(output), ApplyConfig(**options))
    assert said in str(error)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("words", [["photos", "--dry-run"], ["-"]])
def test_what_the_command_refuses(words, style_file, tmp_path):
    result = stylize("apply", style_file, *words, "-o", "out", "--watch", cwd=tmp_path)
    fails(result, 2, "watch", "hint: ")


def test_without_watchfiles_the_error_says_what_to_install(
    style_file, photos, tmp_path, monkeypatch
):
    monkeypatch.setitem(sys.modules, "watchfiles", None)
    error = refusal([str(style_file)], [photos], tmp_path / "out", ApplyConfig())
    assert error.hint == 'pip install "stylize[watch]"'
    assert not (tmp_path / "out").exists()

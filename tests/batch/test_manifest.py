import csv
import hashlib
import json
import os
import subprocess
import sys
import tracemalloc
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from stylize.batch.manifest import Manifest, Record, State
from stylize.batch.plan import Job
from stylize.errors import UsageError
from stylize.events import PhotoFailed
from stylize.files import digest, write_file

STYLE, OPTIONS = "5" * 64, {"size": None, "look": {"strength": 0.5}}


@pytest.fixture
def job(tmp_path):
    """A photo and its output, both with some content."""
    made = Job(tmp_path / "a.jpg", Path("a.jpg"), tmp_path / "out" / "a.jpg", Path("a.jpg"))
    write_file(made.source, b"photo")
    write_file(made.target, b"output")
    return made


def record(job, **changes):
    made = Record(
        target=str(job.place),
        output=digest(job.target),
        source=str(job.source),
        size=5,
        sha256=digest(job.source),
        mask=None,
        style=STYLE,
        options=OPTIONS,
        time="2026-01-01T00:00:00+00:00",
        seconds=0.5,
    )
    return replace(made, **changes)


def state(job, mask=None, style=STYLE, options=OPTIONS):
    return Manifest(job.target.parent).state(job, mask, style, options)


def note(job, **changes):
    with Manifest.locked(job.target.parent) as manifest:
        manifest.add(record(job, **changes))


def test_an_output_is_new_foreign_or_current(job):
    assert state(job) is State.FOREIGN
    note(job)
    assert state(job) is State.CURRENT
    job.target.unlink()
    assert state(job) is State.NEW


def test_whatever_changed_makes_it_stale(job, tmp_path):
    write_file(tmp_path / "mask.png", b"mask")
    note(job)
    assert state(job, style="6" * 64) is State.STALE
    assert state(job, options={**OPTIONS, "size": 5}) is State.STALE
    assert state(job, mask=tmp_path / "mask.png") is State.STALE
    write_file(job.source, b"phota")  # of the same size
    assert state(job) is State.STALE
    job.source.unlink()
    assert state(job) is State.STALE


def test_a_mask_counts_by_its_content(job, tmp_path):
    write_file(tmp_path / "mask.png", b"mask")
    note(job, mask=digest(tmp_path / "mask.png"))
    assert state(job, mask=tmp_path / "mask.png") is State.CURRENT
    write_file(tmp_path / "mask.png", b"other")
    assert state(job, mask=tmp_path / "mask.png") is State.STALE


def test_an_output_that_was_changed_is_foreign(job):
    note(job)
    write_file(job.target, b"retouched")
    assert state(job) is State.FOREIGN


def test_a_line_without_its_file_is_no_harm(job):
    """As if killed between the line and the file's new name, the old one still in place."""
    note(job)
    note(job, output="0" * 64, options={})
    assert state(job) is State.CURRENT
    assert state(job, options={}) is State.STALE


def test_of_two_lines_for_the_same_bytes_the_last_counts(job):
    note(job, options={})
    note(job)
    assert state(job) is State.CURRENT
    assert state(job, options={}) is State.STALE


def test_every_torn_last_line_is_survived(job):
    note(job)
    path = job.target.parent / ".stylize" / "manifest.jsonl"
    whole = path.read_bytes()
    line = json.dumps(asdict(record(job, output="0" * 64))).encode()
    for length in range(len(line)):
        path.write_bytes(whole + line[:length])
        assert state(job) is State.CURRENT
    path.write_bytes(whole + line[:50])
    note(job, options={})
    assert state(job, options={}) is State.CURRENT
    lines = path.read_bytes().splitlines()
    assert len(lines) == 3
    assert json.loads(lines[2])["options"] == {}


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"target": 1}',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"target": "a.jpg"}',
    ],
)
def test_foreign_lines_are_passed_over(job, line):
    note(job)
    path = job.target.parent / ".stylize" / "manifest.jsonl"
    path.write_bytes(line + b"\n" + path.read_bytes() + line)
    assert state(job) is State.CURRENT


def test_wrong_types_in_a_line_are_passed_over(job):
    note(job)
    path = job.target.parent / ".stylize" / "manifest.jsonl"
    for name in ("target", "output"):
        values = asdict(record(job)) | {name: ["a.jpg"]}
        with path.open("a") as file:
            file.write(json.dumps(values) + "\n")
    assert state(job) is State.CURRENT


def test_names_of_any_bytes_are_remembered(tmp_path):
    name = Path(os.fsdecode(b"caf\xe9.jpg"))
    job = Job(tmp_path / name, name, tmp_path / "out" / name, name)
    write_file(job.source, b"photo")
    write_file(job.target, b"output")
    note(job)
    assert state(job) is State.CURRENT


def test_a_folder_is_held_by_one_run(tmp_path):
    code = (
        "import sys; from pathlib import Path; from stylize.batch.manifest import Manifest\n"
        "with Manifest.locked(Path(sys.argv[1])): print('held', flush=True); input()"
    )
    command = [sys.executable, "-c", code, tmp_path]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(UsageError, match="another run of stylize"), Manifest.locked(tmp_path):
            pass
        other.kill()  # which frees it
    with Manifest.locked(tmp_path) as manifest:
        assert manifest.scratch.is_dir()


def test_what_a_killed_run_left_is_swept(tmp_path):
    write_file(tmp_path / ".stylize" / "tmp" / ".stylize-x", b"half")
    with Manifest.locked(tmp_path) as manifest:
        assert not list(manifest.scratch.iterdir())
    assert not manifest.scratch.exists()


def test_failures_are_listed_and_taken_back(tmp_path):
    odd = Path(os.fsdecode(b'caf\xe9, "1"\n.jpg'))
    with Manifest.locked(tmp_path) as manifest:
        path = manifest.write_failures(
            [PhotoFailed(odd, "damaged, cut"), PhotoFailed(Path("b"), "x")]
        )
        with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
            rows = list(csv.reader(file))
        assert rows == [["photo", "reason"], [str(odd), "damaged, cut"], ["b", "x"]]
        assert manifest.write_failures([]) is None
        assert not path.exists()


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / ".stylize").touch()
    with pytest.raises(UsageError, match="cannot make the folder"), Manifest.locked(tmp_path):
        pass


def lines(job) -> list[bytes]:
    return (job.target.parent / ".stylize" / "manifest.jsonl").read_bytes().splitlines()


def test_lines_that_count_no_longer_are_left_out_at_the_end_of_a_run(job):
    other = replace(job, target=job.target.with_name("b.jpg"), place=Path("b.jpg"))
    write_file(other.target, b"of a photo that is not in this run")
    kept = record(other)
    with Manifest.locked(job.target.parent) as manifest:
        manifest.add(kept)
        manifest.add(replace(kept, output="0" * 64))  # killed before its file got its name
        for number in range(4):
            content = b"%d" % number
            made = record(job, output=hashlib.sha256(content).hexdigest())
            assert manifest.write(job, content, made, overwrite=True)
        manifest.add(record(job, target="gone.jpg"))
        assert len(lines(job)) == 7
    left = (kept, replace(kept, output="0" * 64), made)
    assert lines(job) == [each.to_json() for each in left]
    assert state(job) is State.CURRENT
    assert state(other) is State.CURRENT
    before = lines(job)
    with Manifest.locked(job.target.parent):
        pass
    assert lines(job) == before


def test_a_file_of_many_runs_stays_as_long_as_its_outputs(job):
    for number in range(50):
        content = b"%d" % number
        with Manifest.locked(job.target.parent) as manifest:
            made = record(job, output=hashlib.sha256(content).hexdigest())
            assert manifest.write(job, content, made, overwrite=True)
        assert len(lines(job)) <= 2


def test_records_take_no_memory_only_their_places(job):
    long = "x" * 100_000
    note(job)
    path = job.target.parent / ".stylize" / "manifest.jsonl"
    with path.open("ab") as file:
        for number in range(300):  # 30 MB
            file.write(record(job, target=f"{number}.jpg", warnings=(long,)).to_json() + b"\n")
    tracemalloc.start()
    manifest = Manifest(job.target.parent)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 3e6
    assert manifest.record(job.place, job.target).to_json() == record(job).to_json()


def test_a_line_without_end_is_no_record_and_takes_little_memory(job):
    note(job)
    path = job.target.parent / ".stylize" / "manifest.jsonl"
    with path.open("ab") as file:
        file.write(b" " * 30_000_000 + record(job).to_json()[1:] + b"\n" + lines(job)[0] + b"\n")
    tracemalloc.start()
    assert state(job) is State.CURRENT
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 6e6


def test_another_name_of_the_manifest_keeps_its_content(job):
    """A backup of hard links stays as it was."""
    note(job)
    backup = job.target.parent.parent / "backup"
    os.link(job.target.parent / ".stylize" / "manifest.jsonl", backup)
    before = backup.read_bytes()
    note(job, seconds=2.0)
    assert backup.read_bytes() == before
    assert len(lines(job)) == 2


@pytest.mark.parametrize("name", [".stylize", ".stylize/lock", ".stylize/manifest.jsonl"])
@pytest.mark.parametrize("kind", ["link", "hard link"])
def test_a_link_in_its_place_is_neither_emptied_nor_written_to(job, name, kind):
    place, mine = job.target.parent / name, job.source.with_name("mine")
    if name == ".stylize":
        if kind == "hard link":
            return  # there is none of a folder
        (mine / "tmp").mkdir(parents=True)
        (mine / "tmp" / "text").write_text("mine")
    else:
        place.parent.mkdir()
        mine.write_text("mine")
    place.symlink_to(mine) if kind == "link" else os.link(mine, place)
    before = {path: path.read_bytes() for path in mine.parent.rglob("*") if path.is_file()}
    if kind == "link" or name == ".stylize/lock":
        with pytest.raises(UsageError, match="is a link"):
            note(job)
    else:
        note(job)
    for path, content in before.items():
        assert path == place or path.read_bytes() == content

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from conftest import draw_picture
from PIL import Image

from stylize.consistency.job import check_job, run_job
from stylize.consistency.job_file import read_brand
from stylize.errors import UsageError
from stylize.events import (
    ApplyDone,
    AuditDone,
    JobDone,
    PhotoAudited,
    PhotoSeen,
    VariantStarted,
)

JOB = """
inputs = ["photos"]
output = "painted"
styles = ["tiny.safetensors"]
[[variant]]
name = "web"
size = 48
format = "webp"
[[variant]]
name = "thumb"
size = 32
format = "jpg"
[[variant]]
name = "cut-out"
format = "png"
background = "transparent"
"""


def brand(tmp_path, text=JOB):
    path = tmp_path / "brand.toml"
    path.write_text(text)
    return read_brand(path)


def done_of(events) -> JobDone:
    assert isinstance(events[-1], JobDone)
    return events[-1]


def test_every_variant_of_every_photo(style_file, photos, tmp_path):
    events = [*run_job(brand(tmp_path))]
    done = done_of(events)
    assert (done.done, done.failed, done.left) == (18, 0, 0)
    assert done.complete
    names = [event.variant for event in events if isinstance(event, VariantStarted)]
    assert names == ["web", "thumb", "cut-out"]
    folder = tmp_path / "painted" / "tiny"
    assert Image.open(folder / "web" / "more" / "photo5.webp").size == (48, 48)
    assert max(Image.open(folder / "thumb" / "photo4.jpg").size) == 32
    assert Image.open(folder / "cut-out" / "photo0.png").size == (64, 72)
    assert not (folder / "report").exists()


def test_only_what_changed_is_done_again(style_file, photos, tmp_path):
    assert done_of([*run_job(brand(tmp_path))]).done == 18
    draw_picture(77).save(photos / "photo1.png")
    done = done_of([*run_job(brand(tmp_path))])
    assert (done.done, done.current) == (3, 15)
    done = done_of([*run_job(brand(tmp_path, JOB.replace("size = 32", "size = 40")))])
    assert (done.done, done.current) == (6, 12)


def test_a_mix_is_done_and_audited(photos, tmp_path):
    style = "'woodblock=3,ink=1'"
    text = f"""
        inputs = ["photos"]
        output = "painted"
        styles = [{style}]
        [[variant]]
        name = "web"
        size = 32
        [audit]
        report = false
    """
    events = [*run_job(brand(tmp_path, text))]
    assert done_of(events).complete
    assert (tmp_path / "painted" / "woodblock-0.75-ink-0.25" / "web" / "photo0.png").is_file()
    assert all(e.style_distance is not None for e in events if isinstance(e, PhotoAudited))


def test_a_plan_changes_nothing(style_file, photos, tmp_path):
    plan = [*check_job(brand(tmp_path))]
    assert [(each.variant, each.states) for each in plan] == [
        ("web", {"new": 6}),
        ("thumb", {"new": 6}),
        ("cut-out", {"new": 6}),
    ]
    assert not (tmp_path / "painted").exists()


def test_nothing_is_done_if_a_style_is_missing(photos, tmp_path):
    with pytest.raises(UsageError, match=r"tiny\.safetensors"):
        next(run_job(brand(tmp_path)))
    assert not (tmp_path / "painted").exists()


def test_audit_report_and_limits(style_file, photos, tmp_path):
    text = JOB + "[audit]\nmax_spread = 0.0001\n"
    events = [*run_job(brand(tmp_path, text))]
    done = done_of(events)
    assert not done.complete
    assert "more than 0.0001" in done.broken[0]
    report = tmp_path / "painted" / "tiny" / "report"
    assert done.reports == (report / "report.html",)
    assert len([*(report / "pictures").glob("*-before.webp")]) == 6
    audited = [event for event in events if isinstance(event, PhotoAudited)]
    assert {event.source for event in audited} == {
        path for path in photos.rglob("*") if path.is_file()
    }
    assert all(event.before is not None for event in audited)
    again = [*run_job(brand(tmp_path, text))]  # nothing changed, so nothing is measured
    assert not [event for event in again if isinstance(event, PhotoSeen)]
    assert [event for event in again if isinstance(event, PhotoAudited)] == audited
    assert done_of(again).broken == done.broken
    draw_picture(78).save(photos / "photo1.png")
    (changed,) = (event for event in run_job(brand(tmp_path, text)) if isinstance(event, AuditDone))
    assert changed != next(event for event in events if isinstance(event, AuditDone))


def test_pictures_of_photos_that_are_gone_stay_and_do_not_count(style_file, photos, tmp_path):
    text = JOB + "[audit]\n"
    first = [*run_job(brand(tmp_path, text))]
    (photos / "photo1.png").unlink()
    second = [*run_job(brand(tmp_path, text))]
    assert (tmp_path / "painted" / "tiny" / "web" / "photo1.webp").is_file()
    counts = [
        len([event for event in events if isinstance(event, PhotoAudited)])
        for events in (first, second)
    ]
    assert counts == [6, 5]


def test_a_report_that_was_not_wanted_is_written_when_it_is(style_file, photos, tmp_path):
    report = tmp_path / "painted" / "tiny" / "report" / "report.html"
    assert done_of([*run_job(brand(tmp_path, JOB + "[audit]\nreport = false\n"))]).reports == ()
    assert not report.exists()
    assert done_of([*run_job(brand(tmp_path, JOB + "[audit]\n"))]).reports == (report,)
    assert report.is_file()


def test_failures_of_all_variants_are_counted(style_file, photos, tmp_path):
    (photos / "broken.png").write_bytes(b"nothing")
    done = done_of([*run_job(brand(tmp_path))])
    assert (done.done, done.failed) == (18, 3)
    assert not done.complete


def test_killed_and_run_again_it_ends_complete(style_file, tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    for index in range(100):
        draw_picture(index, 40, 40).save(photos / f"{index}.png")
    file = tmp_path / "brand.toml"
    file.write_text(JOB)
    command = [sys.executable, "-m", "stylize", "job", "run", str(file), "--json"]
    for variant in ("web", "cut-out"):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 120
        folder = tmp_path / "painted" / "tiny" / variant
        while not [*folder.glob("*")] and time.monotonic() < deadline:
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert len([*folder.glob("*")]) < 100
    result = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    events = [json.loads(line) for line in result.stdout.splitlines()]
    assert events[-1]["done"] + events[-1]["current"] == 300
    assert 0 < events[-1]["current"] < 300
    finished = [event for event in events if event["event"] == ApplyDone.__name__]
    assert [event["done"] + event["current"] for event in finished] == [100] * 3
    for folder in ("web", "thumb", "cut-out"):
        written = [*(tmp_path / "painted" / "tiny" / folder).glob("*.*")]
        assert len([path for path in written if path.is_file()]) == 100
        for path in written:
            if path.is_file():
                Image.open(path).load()


AUDITED = JOB + "[audit]\n"


@pytest.mark.parametrize(
    "place", ["audit.json", "report/report.html", "report/pictures/00001-after.webp"]
)
def test_files_of_others_where_the_audit_goes_stay(style_file, photos, tmp_path, place):
    path = tmp_path / "painted" / "tiny" / place
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    for start in (run_job, check_job):
        with pytest.raises(UsageError, match="no job has written it"):
            next(start(brand(tmp_path, AUDITED)))
    assert path.read_text() == "mine"
    next(check_job(brand(tmp_path)))  # without an audit


def test_nothing_that_a_job_reads_lies_where_it_writes(style_file, photos, tmp_path):
    path = tmp_path / "brand.toml"
    target = tmp_path / "painted" / "tiny" / "thumb" / "photo1.jpg"
    target.parent.mkdir(parents=True)
    target.symlink_to(path)
    with pytest.raises(UsageError, match="would be overwritten"):
        next(run_job(brand(tmp_path)))
    target.unlink()
    target.symlink_to(style_file)
    with pytest.raises(UsageError, match="would be overwritten"):
        list(check_job(brand(tmp_path)))
    target.unlink()
    pictures = tmp_path / "painted" / "tiny" / "report" / "pictures"
    pictures.mkdir(parents=True)
    draw_picture(1).save(pictures / "a.png")
    text = AUDITED.replace('["photos"]', f'["photos", "{pictures.relative_to(tmp_path)}"]')
    with pytest.raises(UsageError, match="where the job writes its report"):
        next(run_job(brand(tmp_path, text)))


@pytest.mark.parametrize("folder", ["tiny", "tiny/web", "tiny/report"])
def test_a_job_does_not_leave_its_output(style_file, photos, tmp_path, folder):
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "painted" / folder
    link.parent.mkdir(parents=True)
    link.symlink_to(tmp_path / "elsewhere")
    (tmp_path / "painted" / "tiny" / "audit.json").write_text('{"state": "", "found": []}')
    with pytest.raises(UsageError, match="leads out of the output"):
        next(run_job(brand(tmp_path, AUDITED)))

"""`apply` with photos and outputs in object stores: a real S3 server on loopback, and fsspec's
store in memory, whose versions cannot be predicted."""

import csv
import gzip
import io
import json
import subprocess
import threading
import time
from collections import Counter, deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
from commands import STYLIZE, fails, stylize
from conftest import draw_picture
from object_store import BUCKET, KEY, SECRET
from PIL import Image

from stylize.batch.apply import apply, apply_styles
from stylize.batch.object_manifest import ObjectManifest
from stylize.cli.terminal import print_json
from stylize.config import ApplyConfig, Look
from stylize.errors import UsageError
from stylize.events import ApplyDone, ApplyStarted, PhotoDone, PhotoFailed
from stylize.files import locate

fsspec = pytest.importorskip("fsspec", reason="needs fsspec")

CPU = ApplyConfig(device="cpu", precision="fp32")


def png(seed: int, width: int = 40, height: int = 32) -> bytes:
    content = io.BytesIO()
    draw_picture(seed, width, height).save(content, "PNG")
    return content.getvalue()


@pytest.fixture(params=["s3", "memory"])
def bucket(request):
    """The URL of an empty prefix."""
    if request.param == "s3":
        request.getfixturevalue("s3")
    return locate(f"{request.param}://{BUCKET}/{uuid4()}")


@pytest.fixture
def s3_bucket(s3):
    return locate(f"s3://{BUCKET}/{uuid4()}")


def filesystem(url):
    return fsspec.filesystem(url.scheme, use_listings_cache=False)


def put(url, content):
    filesystem(url).pipe_file(str(url), content)


def outputs(url):
    """Place -> content of all objects below the URL but those that stylize keeps for itself."""
    return {place: filesystem(url).cat_file(str(url / place)) for place in places(url)}


def places(url):
    fs = filesystem(url)
    base = fs._strip_protocol(str(url)) + "/"
    found = fs.find(base, detail=True).items()
    names = [name for name, info in found if info["type"] == "file" and ".stylize" not in name]
    return [name.removeprefix(base) for name in names]


def run(style, inputs, output, config=CPU, listed=()):
    return list(apply(str(style), inputs, output, config, listed))


def failures(events):
    return {str(e.source): e.reason for e in events if isinstance(e, PhotoFailed)}


def started(events):
    (event,) = [event for event in events if isinstance(event, ApplyStarted)]
    return event.photos, event.current


def pixels(content):
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"), int)


def requests(server, method, url, status=200):
    """The keys below the URL of all such requests."""
    base = f"/{url.removeprefix('s3://')}/"
    return [
        path.removeprefix(base)
        for way, path, code in server.log()
        if way == method and code == status and path.startswith(base)
    ]


def test_a_bucket_becomes_what_a_folder_becomes(style_file, bucket, tmp_path):
    for index, name in enumerate(("a.png", "b/c.png", "b/d.png")):
        put(bucket / "in" / name, png(index))
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(png(index))
    put(bucket / "in/notes.txt", b"text")
    run(style_file, [tmp_path / "in"], tmp_path / "out")
    events = run(style_file, [bucket / "in"], bucket / "out")
    assert started(events) == (3, 0)
    assert (events[-1].done, events[-1].failed, events[-1].output) == (3, 0, bucket / "out")
    found = outputs(bucket / "out")
    assert found.keys() == {"a.png", "b/c.png", "b/d.png"}
    for name, content in found.items():
        folder = (tmp_path / "out" / name).read_bytes()
        assert np.abs(pixels(content) - pixels(folder)).max() <= 1


def test_several_styles_go_into_prefixes_of_their_names(style_file, bucket):
    other = style_file.with_name("other.safetensors")
    other.write_bytes(style_file.read_bytes())
    put(bucket / "in/a.png", png(0))
    list(apply_styles([str(style_file), str(other)], [bucket / "in"], bucket / "out", CPU))
    assert places(bucket / "out") == ["other/a.png", "tiny/a.png"]
    assert started(run(other, [bucket / "in"], bucket / "out" / "other")) == (0, 1)


def test_only_what_is_new_or_has_changed_is_done(style_file, bucket):
    for index in range(3):
        put(bucket / f"in/{index}.png", png(index))
    run(style_file, [bucket / "in"], bucket / "out")
    before = outputs(bucket / "out")
    put(bucket / "in/1.png", png(9))
    put(bucket / "in/3.png", png(3))
    events = run(style_file, [bucket / "in"], bucket / "out")
    assert started(events) == (2, 2)
    assert {e.source.name for e in events if isinstance(e, PhotoDone)} == {"1.png", "3.png"}
    after = outputs(bucket / "out")
    assert [name for name in before if before[name] != after[name]] == ["1.png"]
    weaker = replace(CPU, look=Look(strength=0.5))
    assert started(run(style_file, [bucket / "in"], bucket / "out", weaker)) == (4, 0)
    assert started(run(style_file, [bucket / "in"], bucket / "out", weaker)) == (0, 4)


def test_an_unchanged_source_is_never_read_again(style_file, s3, s3_bucket):
    for index in range(5):
        put(s3_bucket / f"in/{index}.png", png(index))
    for _ in range(3):
        run(style_file, [s3_bucket / "in"], s3_bucket / "out")
    assert Counter(requests(s3, "GET", s3_bucket / "in")) == {f"{n}.png": 1 for n in range(5)}
    assert requests(s3, "HEAD", s3_bucket / "in") == []
    written = [key for key in requests(s3, "PUT", s3_bucket / "out") if ".stylize" not in key]
    assert sorted(written) == [f"{n}.png" for n in range(5)]
    assert [key for key in requests(s3, "GET", s3_bucket / "out") if ".stylize" not in key] == []


def test_what_stylize_did_not_write_stays(style_file, bucket):
    for index in range(3):
        put(bucket / f"in/{index}.png", png(index))
    put(bucket / "out/0.png", b"of somebody else")
    events = run(style_file, [bucket / "in"], bucket / "out")
    assert "not as stylize wrote it" in failures(events)[f"{bucket}/in/0.png"]
    put(bucket / "out/1.png", b"retouched")
    events = run(style_file, [bucket / "in"], bucket / "out")
    assert len(failures(events)) == 2
    found = outputs(bucket / "out")
    assert (found["0.png"], found["1.png"]) == (b"of somebody else", b"retouched")
    events = run(style_file, [bucket / "in"], bucket / "out", replace(CPU, overwrite=True))
    assert events[-1].done == 3
    assert pixels(outputs(bucket / "out")["0.png"]).shape == (32, 40, 3)


def test_what_appears_while_a_run_works_stays(style_file, bucket):
    """The PUT itself looks whether there is something."""
    put(bucket / "in/0.png", png(0))
    events = []
    for event in apply(str(style_file), [bucket / "in"], bucket / "out", CPU):
        if isinstance(event, ApplyStarted):
            put(bucket / "out/0.png", b"of somebody else")
        events.append(event)
    assert "not as stylize wrote it" in failures(events)[f"{bucket}/in/0.png"]
    assert outputs(bucket / "out")["0.png"] == b"of somebody else"


def test_folders_and_buckets_mix(style_file, bucket, photos, tmp_path):
    assert started(run(style_file, [photos], bucket / "up")) == (6, 0)
    assert started(run(style_file, [photos], bucket / "up")) == (0, 6)
    (photos / "photo0.png").write_bytes(png(7))
    assert started(run(style_file, [photos], bucket / "up")) == (1, 5)
    down = tmp_path / "down"
    assert started(run(style_file, [bucket / "up"], down)) == (6, 0)
    assert started(run(style_file, [bucket / "up"], down)) == (0, 6)
    put(bucket / "up/photo1.png", png(8))
    assert started(run(style_file, [bucket / "up"], down)) == (1, 5)
    assert {path.name for path in down.rglob("photo*")} == {
        *(f"photo{n}.png" for n in range(5)),
        "photo5.jpg",
    }


def test_bad_objects_fail_by_name_and_are_listed(style_file, bucket):
    put(bucket / "in/good.png", png(0))
    put(bucket / "in/text.jpg", b"not a picture")
    put(bucket / "in/empty.png", b"")
    events = run(style_file, [bucket / "in"], bucket / "out")
    assert failures(events) == {
        f"{bucket}/in/text.jpg": "not a picture",
        f"{bucket}/in/empty.png": "empty file",
    }
    assert (events[-1].done, events[-1].failed) == (1, 2)
    table = filesystem(bucket).cat_file(str(events[-1].failures)).decode()
    assert {row[0] for row in csv.reader(table.splitlines())} == {"photo", *failures(events)}
    for name in ("text.jpg", "empty.png"):
        filesystem(bucket).rm(f"{bucket}/in/{name}")
    assert run(style_file, [bucket / "in"], bucket / "out")[-1].failures is None
    assert not filesystem(bucket).exists(f"{bucket}/out/.stylize/failures.csv")


def test_masks_and_anchors_may_be_objects(style_file, bucket):
    for index in range(2):
        put(bucket / f"in/{index}.png", png(index))
    mask = Image.new("L", (40, 32))
    mask.paste(255, (10, 8, 30, 24))
    content = io.BytesIO()
    mask.save(content, "PNG")
    put(bucket / "masks/0.png", content.getvalue())
    config = replace(CPU, look=Look(background="keep"), masks=str(bucket / "masks"))
    run(style_file, [bucket / "in"], bucket / "out", config)
    before, after = pixels(png(0)), pixels(outputs(bucket / "out")["0.png"])
    assert np.array_equal(before[:6], after[:6])
    assert not np.array_equal(before[12:20, 14:26], after[12:20, 14:26])
    assert started(run(style_file, [bucket / "in"], bucket / "out", config)) == (0, 2)
    put(bucket / "masks/0.png", png(5))
    assert started(run(style_file, [bucket / "in"], bucket / "out", config)) == (1, 1)
    plain = outputs(bucket / "out")
    for anchor in (str(bucket / "in/0.png"), "auto"):
        anchored = replace(CPU, anchor=anchor)
        assert started(run(style_file, [bucket / "in"], bucket / "out", anchored)) == (2, 0)
        assert started(run(style_file, [bucket / "in"], bucket / "out", anchored)) == (0, 2)
        assert outputs(bucket / "out")["1.png"] != plain["1.png"]
    with pytest.raises(UsageError, match=r"in/gone\.png: not found"):
        run(
            style_file,
            [bucket / "in"],
            bucket / "out",
            replace(CPU, anchor=f"{bucket}/in/gone.png"),
        )


def test_two_runs_into_one_prefix(style_file, bucket):
    put(bucket / "in/0.png", png(0))
    with (
        ObjectManifest.locked(bucket / "out"),
        pytest.raises(UsageError, match="another run of stylize"),
    ):
        run(style_file, [bucket / "in"], bucket / "out")
    assert run(style_file, [bucket / "in"], bucket / "out")[-1].done == 1


def test_many_small_parts_become_one(style_file, bucket, monkeypatch):
    monkeypatch.setattr("stylize.batch.object_manifest.GATHER", 0)
    monkeypatch.setattr("stylize.batch.object_manifest.MOST_SMALL", 3)
    monkeypatch.setattr("stylize.batch.object_manifest.MOST_PARTS", 2)
    for index in range(12):
        put(bucket / f"in/{index}.png", png(index))
    for count in range(1, 5):
        for index in range(12):
            put(bucket / f"in/{count}-{index}.png", png(index))
        run(style_file, [bucket / "in"], bucket / "out")
        assert started(run(style_file, [bucket / "in"], bucket / "out")) == (0, 12 * count + 12)
        parts = filesystem(bucket).find(f"{bucket}/out/.stylize/manifest")
        assert len(parts) <= 8


def test_a_part_of_another_kind_is_passed_over(style_file, bucket):
    put(bucket / "in/0.png", png(0))
    run(style_file, [bucket / "in"], bucket / "out")
    good = filesystem(bucket).find(f"{bucket}/out/.stylize/manifest")[0]
    whole = filesystem(bucket).cat_file(good)
    for number, content in enumerate(
        (b"", b"text", whole[:-9], gzip.compress(b"null\n[]\n{}\n\xff"))
    ):
        put(bucket / f"out/.stylize/manifest/{number:010}-x.jsonl.gz", content)
    put(bucket / "out/.stylize/manifest/readme.txt", b"text")
    assert started(run(style_file, [bucket / "in"], bucket / "out")) == (0, 1)


def test_an_output_whose_version_was_not_recorded_is_known_by_its_content(style_file, bucket):
    """As after a kill, in a store whose versions cannot be predicted (encrypted buckets ...)."""
    put(bucket / "in/0.png", png(0))
    run(style_file, [bucket / "in"], bucket / "out")
    (part,) = filesystem(bucket).find(f"{bucket}/out/.stylize/manifest")
    lines = gzip.decompress(filesystem(bucket).cat_file(part)).splitlines()
    record = json.loads(lines[0])
    size = len(outputs(bucket / "out")["0.png"])
    record["output_version"] = f":{size}"
    put(
        bucket / f"out/.stylize/manifest/{Path(part).name}",
        gzip.compress(json.dumps(record).encode()),
    )
    assert started(run(style_file, [bucket / "in"], bucket / "out")) == (0, 1)
    put(bucket / "out/0.png", bytes(size))  # retouched, and of the same size
    assert started(run(style_file, [bucket / "in"], bucket / "out")) == (0, 0)


def test_a_throttled_store_is_asked_again(style_file, s3, s3_bucket):
    for index in range(4):
        put(s3_bucket / f"in/{index}.png", png(index))
    busy = {"status": 503, "code": "SlowDown", "times": 2}
    s3.rules(
        {"method": "GET", "key": "in/0.png", **busy},
        {"method": "PUT", "key": "out/1.png", **busy},
        {"method": "PUT", "key": ".stylize/manifest", **busy},
        {"method": "PUT", "key": "out/2.png", "status": 503, "code": "SlowDown"},
        {"method": "PUT", "key": "out/3.png", "status": 403, "code": "AccessDenied"},
    )
    events = run(style_file, [s3_bucket / "in"], s3_bucket / "out")
    assert events[-1].done == 2
    failed = failures(events)
    assert "asked to slow down" in failed[f"{s3_bucket}/in/2.png"]
    assert "access denied" in failed[f"{s3_bucket}/in/3.png"]
    assert outputs(s3_bucket / "out").keys() == {"0.png", "1.png"}
    s3.rules()
    assert started(run(style_file, [s3_bucket / "in"], s3_bucket / "out")) == (2, 2)


def test_a_put_that_was_tried_again_meets_itself(style_file, s3, s3_bucket, monkeypatch):
    """Its answer was lost, so the store refuses the second try: the object is there already."""
    from stylize.storage.s3 import S3Store

    put_once = S3Store.put

    def twice(store, key, content, replaces="*"):
        version = put_once(store, key, content, replaces)
        return version if ".stylize" in key else put_once(store, key, content, replaces)

    monkeypatch.setattr(S3Store, "put", twice)
    put(s3_bucket / "in/0.png", png(0))
    assert run(style_file, [s3_bucket / "in"], s3_bucket / "out")[-1].done == 1


def test_a_run_that_lost_its_lease_stops(style_file, bucket, monkeypatch):
    for index in range(5):
        put(bucket / f"in/{index}.png", png(index))
    monkeypatch.setattr("stylize.storage.lease.MARGIN", 60)  # over before it begins
    events = run(style_file, [bucket / "in"], bucket / "out")
    assert isinstance(events[-1], ApplyDone)
    assert "another run has taken over" in events[-1].stopped
    assert outputs(bucket / "out") == {}


def test_killed_in_the_middle_it_is_completed(style_file, s3, s3_bucket):
    """No object is ever seen half, and none is written twice."""
    number = 200
    base = s3_bucket.removeprefix("s3://")
    s3.fs.pipe({f"{base}/in/{index % 7}/{index}.png": png(index) for index in range(number)})
    s3.rules(latency=0.01)
    command = [*STYLIZE, "apply", style_file, s3_bucket / "in", "-o", s3_bucket / "out"]
    command = [*map(str, command), "--device", "cpu", "--quiet"]
    seen: dict[str, bytes] = {}  # as each was when it first could be seen
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            for place in set(places(s3_bucket / "out")) - seen.keys():
                seen[place] = s3.fs.cat_file(str(s3_bucket / "out" / place))

    with ThreadPoolExecutor(1) as reader:
        looking = reader.submit(look)
        with subprocess.Popen(command) as process:
            while len(places(s3_bucket / "out")) < number // 4 and process.poll() is None:
                time.sleep(0.01)
            process.kill()
        assert process.returncode == -9
        assert number // 4 <= len(places(s3_bucket / "out")) < number
        second = subprocess.run(command, check=False)
        done.set()
        looking.result()
    assert second.returncode == 0
    s3.rules()  # no latency
    found = outputs(s3_bucket / "out")
    assert len(found) == number
    assert all(pixels(content).shape == (32, 40, 3) for content in found.values())
    assert len(seen) > number // 2  # or the reader came too late to tell
    assert all(found[place] == content for place, content in seen.items())
    written = Counter(requests(s3, "PUT", s3_bucket / "out"))
    assert {key: n for key, n in written.items() if n > 1 and ".stylize" not in key} == {}
    config = ApplyConfig(device="cpu")
    assert started(run(style_file, [s3_bucket / "in"], s3_bucket / "out", config)) == (0, number)


def test_nothing_shows_credentials(style_file, s3, s3_bucket, capsys):
    put(s3_bucket / "in/0.png", png(0))
    put(s3_bucket / "in/bad.png", b"text")
    login = "s3://SOMEKEY:wJal%2FrXUt@"
    masks, first, second = (
        str(s3_bucket / name).replace("s3://", login) for name in ("masks", "in", "out")
    )
    config = replace(CPU, look=Look(background="keep"), masks=masks)
    deque(print_json(apply(str(style_file), [locate(first)], locate(second), config)), 0)
    s3.rules({"method": "PUT", "key": "out/0.png", "status": 403, "code": "AccessDenied"})
    options = ("--device", "cpu", "-v", "--strength", "0.5", "--masks", masks)
    result = stylize("apply", style_file, first, "-o", second, *options)
    assert result.returncode == 1, result.stderr
    printed = capsys.readouterr().out + result.stdout + result.stderr
    s3.rules({"method": "PUT", "key": "lock", "status": 403, "code": "AccessDenied"})
    for url in (first.replace(BUCKET, "nobucket"), first):
        with pytest.raises(UsageError) as refused:
            run(style_file, [locate(url)], locate(second))
        printed += f"{refused.value} {refused.value.hint} {refused.value.__cause__!r}"
    for name in filesystem(s3_bucket).find(f"{s3_bucket}/out/.stylize"):
        content = filesystem(s3_bucket).cat_file(name)
        printed += (gzip.decompress(content) if name.endswith(".gz") else content).decode()
    assert str(s3_bucket / "out") in printed
    assert "access denied" in printed
    for secret in ("SOMEKEY", "wJal", "rXUt", KEY, SECRET):
        assert secret not in printed


@pytest.mark.usefixtures("s3")
def test_what_is_wrong_is_named(style_file, s3_bucket, tmp_path):
    put(s3_bucket / "in/0.png", png(0))
    gone = locate(f"s3://nobucket/{uuid4()}")
    for given, output, words in (
        (gone, tmp_path, "cannot list .*there is no such bucket"),
        (s3_bucket / "in", gone, "cannot write to .*there is no such bucket"),
        (s3_bucket / "none", tmp_path, "no photo or folder"),
        (s3_bucket / "in", locate("sftp://host/out"), "half-written"),
        (s3_bucket / "in", s3_bucket / "in/out", "lies inside"),
    ):
        with pytest.raises(UsageError, match=words):
            run(style_file, [given], output)


def test_the_command_takes_urls(style_file, s3_bucket):
    put(s3_bucket / "in/0.png", png(0))
    command = ("apply", style_file, s3_bucket / "in", "-o", s3_bucket / "out", "--dry-run")
    lines = stylize(*command).stdout.splitlines()
    assert lines == [
        f"        new  {s3_bucket}/in/0.png -> {s3_bucket}/out/0.png",
        "1 photo: 1 new",
    ]
    fails(stylize("apply", style_file, "s3://nobucket/in", *command[3:]), 2, "no such bucket")

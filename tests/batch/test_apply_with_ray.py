"""`apply --engine ray`: real clusters on this machine, whose nodes and workers are killed."""

import signal
import sys
import threading
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import numpy as np
import psutil
import pytest
from commands import fails, stylize
from conftest import draw_picture, write_relatives
from object_store import BUCKET
from PIL import Image

from stylize.batch.apply import apply, apply_styles
from stylize.batch.ray_pipeline import LOST, connected
from stylize.config import ApplyConfig, Look
from stylize.errors import UsageError
from stylize.events import ApplyDone, Event, PhotoBegun, PhotoDone, PhotoFailed

fsspec = pytest.importorskip("fsspec", reason="needs fsspec")
ray = pytest.importorskip("ray", reason="needs ray")
cluster_utils = pytest.importorskip("ray.cluster_utils", reason="needs ray")

LOCAL = ApplyConfig(device="cpu", precision="fp32")
CLUSTER = replace(LOCAL, engine="ray")


@pytest.fixture(scope="module")
def cluster():
    """Two nodes with a core each, and one without any for what a cluster needs itself."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        before = signal.getsignal(signal.SIGTERM)
        head = {"num_cpus": 0, "include_dashboard": False}
        cluster = cluster_utils.Cluster(initialize_head=True, head_node_args=head)
        cluster.nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
        signal.signal(signal.SIGTERM, before)  # which nodes in this process have taken
        with connected(cluster.address, threads=1):
            assert signal.getsignal(signal.SIGTERM) is before
            yield cluster
        cluster.shutdown()
        signal.signal(signal.SIGTERM, before)


def lose_a_node(cluster) -> None:
    cluster.remove_node(cluster.nodes.pop(), allow_graceful=False)
    cluster.nodes.append(cluster.add_node(num_cpus=1))


def draw_photos(folder: Path, count: int, size: int = 300) -> Path:
    folder.mkdir()
    for index in range(count):
        draw_picture(index, size + index, size).save(folder / f"{index:02}.png")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}


def run(style: str, source: Path, target: Path, config: ApplyConfig) -> list[Event]:
    return list(apply(style, [source], target, config))


def painting_workers() -> list[psutil.Process]:
    # The title of a worker's process says what it does.
    titles = ((p, p.info["cmdline"]) for p in psutil.process_iter(["cmdline"]))
    return [process for process, title in titles if title and title[0] == "ray::Worker.paint"]


def kill_a_painting_worker() -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        for process in painting_workers():
            process.kill()
            return
        time.sleep(0.01)
    raise TimeoutError


@pytest.mark.parametrize("what", ["node", "worker"])
def test_what_is_lost_in_the_middle_is_painted_by_others(cluster, tmp_path, what):
    photos = draw_photos(tmp_path / "photos", 12)
    run("woodblock", photos, tmp_path / "local", LOCAL)
    found: list[Event] = []
    for event in apply("woodblock", [photos], tmp_path / "out", CLUSTER):
        found.append(event)
        if isinstance(event, PhotoDone) and sum(isinstance(e, PhotoDone) for e in found) == 3:
            lose_a_node(cluster) if what == "node" else kill_a_painting_worker()
    done = [event.source for event in found if isinstance(event, PhotoDone)]
    assert sorted(done) == sorted(photos.iterdir())
    assert contents(tmp_path / "out") == contents(tmp_path / "local")
    assert isinstance(found[-1], ApplyDone)
    assert (found[-1].done, found[-1].failed, found[-1].left) == (12, 0, 0)


def test_a_photo_that_kills_its_workers_fails_and_stops_no_other(cluster, tmp_path):
    photos = draw_photos(tmp_path / "photos", 2, size=64)
    noise = np.random.default_rng(0).integers(256, size=(4000, 4000, 3), dtype=np.uint8)
    Image.fromarray(noise).save(photos / "99.png", compress_level=1)  # takes long to decode
    ended = threading.Event()
    kills = set()

    def kill() -> None:  # whoever has that photo open
        while not ended.is_set():
            for process in painting_workers():
                with suppress(psutil.Error):
                    if any(Path(file.path).name == "99.png" for file in process.open_files()):
                        process.kill()
                        kills.add(process.pid)
            time.sleep(0.01)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        found = run("woodblock", photos, tmp_path / "out", CLUSTER)
    finally:
        ended.set()
        killer.join()
    assert [(e.source.name, e.reason) for e in found if isinstance(e, PhotoFailed)] == [
        ("99.png", LOST)
    ]
    assert sorted(contents(tmp_path / "out")) == ["00.png", "01.png"]
    assert len(kills) == 3


def test_options_masks_anchors_and_failures_as_with_the_local_engine(cluster, style_file, tmp_path):
    photos = draw_photos(tmp_path / "photos", 5, size=80)
    (photos / "broken.jpg").write_bytes(b"no picture")
    masks = tmp_path / "masks"
    masks.mkdir()
    Image.new("L", (80, 80), 255).save(masks / "00.png")
    options = {
        "masks": str(masks),
        "anchor": "auto",
        "look": Look(background="keep", strength=0.8),
        "size": 60,
        "format": "webp",
    }
    local = run(str(style_file), photos, tmp_path / "local", replace(LOCAL, **options))
    found = run(str(style_file), photos, tmp_path / "out", replace(CLUSTER, **options))
    assert contents(tmp_path / "out") == contents(tmp_path / "local")
    failures = [e for e in local if isinstance(e, PhotoFailed)]
    assert [e for e in found if isinstance(e, PhotoFailed)] == failures
    begun = {event.source for event in found if isinstance(event, PhotoBegun)}
    assert begun == {event.source for event in local if isinstance(event, PhotoBegun)}
    warnings = {e.source: e.warnings for e in found if isinstance(e, PhotoDone)}
    assert warnings == {e.source: e.warnings for e in local if isinstance(e, PhotoDone)}
    again = run(str(style_file), photos, tmp_path / "out", replace(LOCAL, **options))
    assert again[-1].current == 5


def test_the_first_failure_stops_a_run_that_fails_fast(cluster, style_file, tmp_path):
    photos = draw_photos(tmp_path / "photos", 30, size=80)
    (photos / "00.png").write_bytes(b"no picture")
    config = replace(CLUSTER, fail_fast=True)
    last = run(str(style_file), photos, tmp_path / "out", config)[-1]
    assert last.failed == 1
    assert last.left > 0
    assert last.stopped == "a photo failed"
    assert len(contents(tmp_path / "out")) == last.done


def test_the_command_starts_a_cluster_of_its_own(style_file, photos, tmp_path):
    first = stylize("apply", style_file, photos, "-o", tmp_path / "out", "--engine", "ray", "-v")
    assert first.returncode == 0, first.stderr
    assert "Ray, up to " in first.stdout
    local = stylize("apply", style_file, photos, "-o", tmp_path / "local")
    assert local.returncode == 0
    assert contents(tmp_path / "out") == contents(tmp_path / "local")
    second = stylize("apply", style_file, photos, "-o", tmp_path / "out", "--engine", "ray")
    assert second.returncode == 0
    assert "Ray" not in second.stdout  # nothing to do


def test_several_styles_and_a_single_output(cluster, tmp_path):
    photos = draw_photos(tmp_path / "photos", 3, size=64)
    list(apply_styles(["woodblock", "ink"], [photos], tmp_path / "out", CLUSTER))
    for style in ("woodblock", "ink"):
        run(style, photos, tmp_path / style, LOCAL)
        assert contents(tmp_path / "out" / style) == contents(tmp_path / style)
    run("ink", photos / "00.png", tmp_path / "one.png", CLUSTER)
    assert (tmp_path / "one.png").read_bytes() == contents(tmp_path / "ink")["00.png"]


def test_a_mix_is_as_with_the_local_engine(cluster, tmp_path):
    one, two = write_relatives(tmp_path, "one", "two")
    photos = draw_photos(tmp_path / "photos", 2, 60)
    style = f"{one}=1,{two}=2"
    for config, output in ((LOCAL, "here"), (CLUSTER, "there")):
        *_, done = apply(style, [photos], tmp_path / output, config)
        assert done.done == 2
    for name in ("00.png", "01.png"):
        here, there = (np.asarray(Image.open(tmp_path / f / name), int) for f in ("here", "there"))
        assert np.abs(here - there).max() <= 1


def test_from_bucket_to_bucket(s3, style_file, tmp_path):
    photos = draw_photos(tmp_path / "photos", 3, size=64)
    files = fsspec.filesystem("s3", use_listings_cache=False)
    prefix = f"{BUCKET}/{uuid4()}"
    for name, content in contents(photos).items():
        files.pipe_file(f"{prefix}/in/{name}", content)
    urls = (f"s3://{prefix}/in", "-o", f"s3://{prefix}/out")
    result = stylize("apply", style_file, *urls, "--engine", "ray", "--precision", "fp32")
    assert result.returncode == 0, result.stderr
    run(str(style_file), photos, tmp_path / "local", LOCAL)
    for name, content in contents(tmp_path / "local").items():
        assert files.cat_file(f"{prefix}/out/{name}") == content


def test_no_cluster_there(style_file, photos, tmp_path):
    command = ("apply", style_file, photos, "-o", tmp_path / "out", "--address", "127.0.0.1:1")
    fails(stylize(*command), 2, "--address is for Ray", "--engine ray")
    fails(stylize(*command, "--engine", "ray"), 2, "no Ray cluster at 127.0.0.1:1")


def test_gpus_that_are_not_there(cluster, style_file, photos, tmp_path):
    with pytest.raises(UsageError, match="the Ray cluster has no GPUs"):
        run(str(style_file), photos, tmp_path / "out", replace(CLUSTER, device="cuda"))


def test_without_ray_the_error_says_what_to_install(style_file, photos, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError) as caught:
        run(str(style_file), photos, tmp_path / "out", CLUSTER)
    assert caught.value.hint == 'pip install "stylize[ray]"'

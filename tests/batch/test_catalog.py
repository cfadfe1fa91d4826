import os
from pathlib import Path
from uuid import uuid4

import pytest
from conftest import draw_picture

from stylize.batch.catalog import Catalog, dry_run
from stylize.batch.plan import make_plan
from stylize.config import ApplyConfig
from stylize.errors import UsageError
from stylize.files import locate, write_file

fsspec = pytest.importorskip("fsspec", reason="needs fsspec")

NAMES = (
    *("a.jpg", "a.png", "A.PNG", "a.png.jpg", "b.ico", "b.png", "b.ico~2.png", "sub/a.jpg"),
    *("c.jpg/d.jpg", "c.png", "notes.txt", ".hidden.jpg", ".cache/e.jpg", "img.0001.jpg"),
)


@pytest.fixture
def bucket():
    """The URL of an empty prefix."""
    return locate(f"memory://{uuid4()}")


def put(url, *names, content=b""):
    fs = fsspec.filesystem("memory")
    for name in names:
        fs.pipe_file(f"{url}/{name}", content)


def places(inputs, output, config=None, listed=()):
    catalog = Catalog(output, config or ApplyConfig())
    list(catalog.fill(inputs, listed, "wave"))
    return {str(task.job.source): str(task.job.place) for task in catalog.tasks()}


@pytest.mark.parametrize("kind", ["keep", "jpg", "png"])
@pytest.mark.parametrize("name", ["{stem}{suffix}", "{style}-{stem}{suffix}"])
def test_names_are_those_of_a_folder(bucket, tmp_path, kind, name):
    """The plan in memory is the oracle."""
    config = ApplyConfig(format=kind, name=name)
    for each in NAMES:
        write_file(tmp_path / "in" / each, b"")
    put(bucket / "in", *NAMES)
    plan = make_plan([tmp_path / "in"], tmp_path / "out", config, "wave")
    expected = {f"{bucket}/in/{job.origin}": str(job.place) for job in plan.jobs}
    for output in (bucket / "out", tmp_path / "out"):
        assert places([bucket / "in"], output, config) == expected


def test_a_single_object_goes_straight_into_the_output(bucket):
    put(bucket / "in", "sub/a.jpg", "b.jpg")
    assert places([bucket / "in/sub/a.jpg"], bucket / "out") == {f"{bucket}/in/sub/a.jpg": "a.jpg"}


def test_an_output_is_no_single_object(bucket, tmp_path):
    put(bucket / "in", "a.jpg")
    for output in (bucket / "b.jpg", tmp_path / "b.jpg"):
        with pytest.raises(UsageError, match="without object stores only"):
            places([bucket / "in/a.jpg"], output)


def test_listed_objects_are_mirrored_below_their_bucket(bucket):
    put(bucket / "in", "sub/a.jpg", "b.jpg")
    found = places([], bucket / "out", listed=[bucket / "in/sub/a.jpg"])
    assert found == {f"{bucket}/in/sub/a.jpg": "in/sub/a.jpg"}


def test_folders_and_buckets_go_together(bucket, tmp_path):
    put(bucket / "in", "a.jpg")
    draw_picture(0).save(tmp_path / "b.png")
    found = places([bucket / "in", tmp_path], bucket / "out")
    assert found == {f"{bucket}/in/a.jpg": "a.jpg", str(tmp_path / "b.png"): "b.png"}
    put(bucket / "more", "a.jpg")
    with pytest.raises(UsageError, match=r"would have one name: a\.jpg \(.*in/a.jpg, .*more/a.jpg"):
        places([bucket / "in", bucket / "more"], bucket / "out")
    numbered = places([bucket / "in", bucket / "more"], bucket / "out", ApplyConfig(numbered=True))
    assert sorted(numbered.values()) == ["a.jpg", "a~2.jpg"]
    assert len(places([bucket / "in", bucket / "in"], bucket / "out")) == 1


@pytest.mark.parametrize(
    ("inputs", "output", "words"),
    [
        (["in"], "in", "lies inside"),
        (["in"], "in/out", "lies inside"),
        (["in/in"], "", "would lie inside"),
        (["none"], "out", "no photo or folder"),
        (["texts"], "out", "no photos in"),
    ],
)
def test_what_is_refused(bucket, inputs, output, words):
    put(bucket / "in", "in/a.jpg", "in/in/a.jpg")
    put(bucket / "texts", "a.txt")
    with pytest.raises(UsageError, match=words):
        places([bucket / name for name in inputs], bucket / output if output else bucket / "in")


def test_numbers_are_those_of_folders(bucket, tmp_path):
    config = ApplyConfig(numbered=True, format="png")
    for folder in "xyz":
        for each in NAMES:
            write_file(tmp_path / folder / each, b"")
        put(bucket / folder, *NAMES)
    plan = make_plan([tmp_path / folder for folder in "xyz"], tmp_path / "out", config, "wave")
    expected = {str(job.source.relative_to(tmp_path)): str(job.place) for job in plan.jobs}
    found = places([bucket / folder for folder in "xyz"], bucket / "out", config)
    assert {url.removeprefix(f"{bucket}/"): place for url, place in found.items()} == expected


def test_photos_of_many_inputs_keep_their_states(bucket, style_file):
    for folder in "xy":
        put(bucket / folder, "a.jpg")
    put(bucket / "out", "a~2.jpg")
    inputs, config = [bucket / "x", bucket / "y"], ApplyConfig(numbered=True)
    *_, one, two = dry_run(str(style_file), inputs, bucket / "out", config)
    assert [str(event.source) for event in (one, two)] == [f"{bucket}/{n}/a.jpg" for n in "xy"]
    assert [event.state for event in (one, two)] == ["new", "not written by stylize"]


@pytest.mark.parametrize("kind", ["photo", "mask", "anchor"])
def test_a_file_that_is_read_is_no_output(bucket, tmp_path, style_file, kind):
    put(bucket / "in", "a.png")
    out = tmp_path / "out"
    write_file(out / "a.png", b"")
    settings = {"overwrite": True}
    inputs = [bucket / "in"]
    if kind == "photo":
        put(bucket / "in", "b.png")
        inputs = [bucket / "in/b.png", out / "a.png"]
    elif kind == "mask":
        (tmp_path / "masks").mkdir()
        (tmp_path / "masks" / "a.png").symlink_to(out / "a.png")
        settings["masks"] = str(tmp_path / "masks")
    else:
        settings["anchor"] = str(out / "a.png")
    with pytest.raises(UsageError, match="would be overwritten"):
        list(dry_run(str(style_file), inputs, out, ApplyConfig(**settings)))


@pytest.mark.parametrize("settings", [{"masks": "out"}, {"masks": ""}, {"anchor": "out/a.png"}])
def test_an_object_that_is_read_is_no_output(bucket, style_file, settings):
    put(bucket, "in/a.png", "out/a.png")
    settings = {key: f"{bucket}/{value}".rstrip("/") for key, value in settings.items()}
    config = ApplyConfig(overwrite=True, **settings)
    with pytest.raises(UsageError, match=r"would be overwritten|lies inside"):
        list(dry_run(str(style_file), [bucket / "in"], bucket / "out", config))


def test_a_key_that_is_no_path_fails_alone(bucket):
    put(bucket / "in", "a//b.jpg", "c.jpg", "../d.jpg")
    catalog = Catalog(bucket / "out", ApplyConfig())
    list(catalog.fill([bucket / "in"], (), "wave"))
    assert [str(task.job.place) for task in catalog.tasks()] == ["c.jpg"]
    assert all("empty folder name" in failure.reason for failure in catalog.failures)


def test_looking_over_changes_nothing(bucket, style_file):
    put(bucket / "in", "a.jpg", "notes.txt")
    stream = dry_run(str(style_file), [bucket / "in"], bucket / "out", ApplyConfig())
    *_, planned = stream
    assert (planned.source, planned.target, planned.state) == (
        *(f"{bucket}/in/a.jpg", f"{bucket}/out/a.jpg", "new"),
    )
    assert fsspec.filesystem("memory").find(f"{bucket}/out") == []


def test_masks_mirror_the_inputs(bucket):
    put(bucket / "in", "sub/a.jpg", "sub/b.jpg")
    put(bucket / "masks", "sub/a.jpg.png")
    catalog = Catalog(bucket / "out", ApplyConfig(masks=str(bucket / "masks")))
    list(catalog.fill([bucket / "in"], (), "wave"))
    masks = {task.job.origin: task.mask for task in catalog.tasks()}
    assert masks == {Path("sub/a.jpg"): bucket / "masks/sub/a.jpg.png", Path("sub/b.jpg"): None}


def test_a_name_that_is_no_text_fails_alone(bucket, tmp_path):
    for name in (b"caf\xe9.png", b"b.png"):
        (tmp_path / os.fsdecode(name)).touch()
    catalog = Catalog(bucket / "out", ApplyConfig())
    list(catalog.fill([tmp_path], (), "wave"))
    assert [str(task.job.place) for task in catalog.tasks()] == ["b.png"]
    (failure,) = catalog.failures
    assert "not UTF-8" in failure.reason

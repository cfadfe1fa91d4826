"""Whatever a run reads, it never writes."""

import os
from pathlib import Path

import pytest
from conftest import draw_picture

from stylize.batch.guard import Guard
from stylize.batch.tasks import dry_run
from stylize.config import ApplyConfig
from stylize.errors import UsageError
from stylize.files import Url

CLASHES = ("link", "hard link", "same")


def clash(read: Path, target: Path, kind: str) -> None:
    """Make `target` another name of the file `read`."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if kind == "link":
        target.symlink_to(read)
    elif kind == "hard link":
        os.link(read, target)
    else:
        read.rename(target)
        read.symlink_to(target)


@pytest.fixture
def shop(tmp_path):
    for name in ("in/a.png", "in/sub/b.png", "masks/sub/b.png", "anchor.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        draw_picture(1).save(tmp_path / name)
    (tmp_path / "stylize.toml").touch()
    return tmp_path


def plan(shop, style, output="out", **settings):
    config = ApplyConfig(
        masks=str(shop / "masks"), anchor=str(shop / "anchor.png"), overwrite=True, **settings
    )
    read = [shop / "stylize.toml"]
    return dry_run(str(style), [shop / "in"], shop / output, config, read=read)


@pytest.mark.parametrize("kind", CLASHES)
@pytest.mark.parametrize(
    "read", ["in/a.png", "in/sub/b.png", "masks/sub/b.png", "anchor.png", "style", "stylize.toml"]
)
def test_a_file_that_is_read_is_never_an_output(shop, style_file, read, kind):
    assert len(plan(shop, style_file)[0].jobs) == 2
    clash(style_file if read == "style" else shop / read, shop / "out" / "sub" / "b.png", kind)
    with pytest.raises(UsageError, match="would be overwritten"):
        plan(shop, style_file)


@pytest.mark.parametrize("output", ["masks", "masks/new", "in"])
def test_no_folder_that_is_read_is_an_output(shop, style_file, output):
    with pytest.raises(UsageError, match="lies inside the input folder"):
        plan(shop, style_file, output)


@pytest.mark.parametrize("folder", ["masks", "in"])
def test_outputs_among_what_is_read_are_refused(shop, style_file, folder):
    (shop / "out").mkdir()
    (shop / "out" / "sub").symlink_to(shop / folder)
    with pytest.raises(UsageError, match="would lie inside the input folder"):
        plan(shop, style_file)


def test_the_anchor_keeps_its_place_in_the_output_folder(shop, style_file):
    (shop / "new").mkdir()
    draw_picture(2).save(shop / "new" / "anchor.png")
    config = ApplyConfig(anchor=str(shop / "anchor.png"), overwrite=True)
    with pytest.raises(UsageError, match="would be overwritten"):
        dry_run(str(style_file), [shop / "new"], shop, config)
    with pytest.raises(UsageError, match="would be overwritten"):
        dry_run(str(style_file), [shop / "anchor.png"], shop, ApplyConfig(overwrite=True))


def test_a_link_that_leads_out_of_the_output_is_not_followed(shop, style_file):
    (shop / "elsewhere").mkdir()
    (shop / "out").mkdir()
    (shop / "out" / "sub").symlink_to(shop / "elsewhere")
    with pytest.raises(UsageError, match="leads out of the output folder"):
        plan(shop, style_file)
    (shop / "out" / "sub").unlink()
    (shop / "out" / "other").mkdir()
    (shop / "out" / "sub").symlink_to("other")
    plan(shop, style_file)
    (shop / "through").symlink_to("out")
    plan(shop, style_file, "through")


def test_missing_files_and_folders_clash_with_nothing(tmp_path):
    guard = Guard(tmp_path / "out", [tmp_path / "gone"])
    guard.reads([tmp_path / "gone.png", None])
    guard.check(tmp_path / "out" / "a.png")


def test_objects_clash_by_their_url():
    bucket = Url("s3://bucket")
    guard = Guard(bucket / "out", [bucket / "in", bucket / "photo.jpg"])
    guard.reads([bucket / "out/anchor.png", bucket / "photo.jpg"])
    guard.check(bucket / "out/a.png")
    guard.check(bucket / "inside/a.png")
    for target in ("out/anchor.png", "in/a.png", "in/sub/a.png", "photo.jpg"):
        with pytest.raises(UsageError):
            guard.check(bucket / target)
    for output in ("in", "in/out", "photo.jpg/out"):
        with pytest.raises(UsageError, match="lies inside"):
            Guard(bucket / output, [bucket / "in", bucket / "photo.jpg"])
    with pytest.raises(UsageError, match="lies inside"):
        Guard(bucket / "out", [bucket])


def test_the_whole_disk_as_input_leaves_no_place_but_a_store(tmp_path):
    with pytest.raises(UsageError, match="lies inside"):
        Guard(tmp_path, [Path("/")])
    Guard(Url("s3://bucket"), [Path("/")])

import json
import os
import pickle
from copy import deepcopy
from pathlib import Path

import pytest
from conftest import make_tree, needs_permissions

from stylize.errors import UsageError
from stylize.files import (
    digest,
    find_photos,
    identity,
    is_file,
    is_folder,
    locate,
    locate_here,
    refuse_overwriting,
    write_file,
)


def test_photos_are_found_sorted(tmp_path):
    photos, ignored, shut = find_photos(make_tree(tmp_path / "in"))
    names = [photo.relative_to(tmp_path / "in").as_posix() for photo in photos]
    assert names == ["A.PNG", "b.jpg", "sub/c.webp", "sub/deep/d.gif"]
    assert ignored == 1
    assert not shut


def test_what_is_no_file_is_no_photo_and_a_dead_link_may_have_been(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")  # to open it would wait for ever
    (tmp_path / "gone.jpg").symlink_to("nowhere.jpg")
    photos, ignored, _ = find_photos(tmp_path)
    assert [photo.name for photo in photos] == ["gone.jpg"]
    assert ignored == 1


@needs_permissions
def test_a_shut_folder_is_told(tmp_path):
    (tmp_path / "a.jpg").touch()
    (tmp_path / "shut").mkdir(mode=0)
    photos, _, shut = find_photos(tmp_path)
    assert [photo.name for photo in photos] == ["a.jpg"]
    assert [Path(error.filename).name for error in shut] == ["shut"]


def test_a_path_that_no_system_takes_is_not_there():
    assert not is_file("a" * 5000)
    assert not is_folder("a" * 5000)


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_what_is_no_file_is_not_waited_for(tmp_path, kind):
    path = Path("/dev/zero") if kind == "device" else tmp_path / kind
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    with pytest.raises(OSError, match="Is a directory" if kind == "folder" else "Not a regular"):
        digest(path)


def test_digest_is_sha256(tmp_path):
    (tmp_path / "abc").write_bytes(b"abc")  # FIPS 180-2, appendix B.1
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert digest(tmp_path / "abc") == expected


def test_file_is_written_whole_with_ordinary_permissions(tmp_path):
    path = tmp_path / "new" / "file.bin"
    write_file(path, b"abc")
    plain = tmp_path / "plain"
    plain.touch()
    assert path.read_bytes() == b"abc"
    assert path.stat().st_mode == plain.stat().st_mode
    assert list(path.parent.iterdir()) == [path]


def test_a_failed_write_leaves_nothing(tmp_path):
    target = tmp_path / "folder"
    (target / "full").mkdir(parents=True)
    with pytest.raises(OSError, match=r"directory|Directory"):
        write_file(target, b"abc")
    assert [Path(p).name for p in tmp_path.iterdir()] == ["folder"]


def test_a_file_is_made_in_the_scratch_folder(tmp_path):
    """Whatever a killed run leaves is there, and nowhere else."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    write_file(tmp_path / "a.bin", b"abc", scratch)
    assert (tmp_path / "a.bin").read_bytes() == b"abc"
    assert not list(scratch.iterdir())
    with pytest.raises(FileNotFoundError):
        write_file(tmp_path / "b.bin", b"abc", tmp_path / "no such folder")
    assert not (tmp_path / "b.bin").exists()


def test_a_url_shows_no_credentials():
    url = locate("s3://AKIA:se%2Fcret%40@bucket/in/")
    assert url == "s3://bucket/in"
    assert url.login == ("AKIA", "se/cret@")
    below = url / Path("sub/a.jpg")
    assert (below, below.login) == ("s3://bucket/in/sub/a.jpg", url.login)
    for copy in (pickle.loads(pickle.dumps(below)), deepcopy(below)):  # noqa: S301 our own
        assert (copy, copy.login) == (below, below.login)
    assert "cret" not in repr(below)
    assert json.loads(json.dumps(below)) == below


def test_parts_of_a_url():
    url = locate("S3://bucket/in/sub/a.b.jpg")
    assert (url.scheme, url.key, url.name, url.suffix) == (
        *("s3", "in/sub/a.b.jpg", "a.b.jpg", ".jpg"),
    )
    assert url.parent == "s3://bucket/in/sub"
    assert url.is_inside(locate("s3://bucket/in"))
    assert not url.is_inside(locate("s3://bucket/i"))
    assert locate("s3://bucket").key == ""


def test_what_is_no_url_is_a_path():
    assert locate("photos/a.jpg") == Path("photos/a.jpg")
    assert locate("file:///photos/a@b.jpg") == Path("/photos/a@b.jpg")
    assert locate("s3:/bucket") == Path("s3:/bucket")
    assert locate("gs://bucket/a@b:c.jpg") == "gs://bucket/a@b:c.jpg"  # of the key, not a login


def test_a_secret_that_cannot_be_read_is_not_shown():
    with pytest.raises(UsageError, match="cannot be read") as refused:
        locate("s3://AKIA:wJal/rXUt@bucket/in")
    assert not any(part in str(refused.value) for part in ("AKIA", "wJal", "rXUt"))
    with pytest.raises(UsageError, match="names no bucket"):
        locate("s3:///in")


def test_where_only_files_will_do_a_url_is_refused():
    assert locate_here("photos") == Path("photos")
    with pytest.raises(UsageError, match="s3://bucket/in is in an object store"):
        locate_here("s3://KEY:word@bucket/in")


def test_all_names_of_a_file_have_one_identity(tmp_path):
    path, other = tmp_path / "a", tmp_path / "b"
    path.write_text("same")
    other.write_text("same")
    (tmp_path / "link").symlink_to(path)
    os.link(path, tmp_path / "hard link")
    names = (path, tmp_path / "link", tmp_path / "hard link", tmp_path / "x" / ".." / "a")
    (tmp_path / "x").mkdir()
    assert len({identity(name) for name in names}) == 1
    assert identity(other) != identity(path)
    assert identity(tmp_path) == identity(tmp_path / ".") != ""
    (tmp_path / "dead").symlink_to("nowhere")
    missing = (tmp_path / "gone", tmp_path / "dead", Path("a" * 300), Path("a\0"))
    assert {identity(name) for name in missing} == {""}


def test_what_is_read_is_not_written(tmp_path):
    path = tmp_path / "a"
    path.touch()
    (tmp_path / "link").symlink_to(path)
    refuse_overwriting([tmp_path / "new", tmp_path / "b"], [path, tmp_path / "gone"])
    with pytest.raises(UsageError, match="link is read and would be overwritten"):
        refuse_overwriting([tmp_path / "new", tmp_path / "link"], [tmp_path / "gone", path])


def test_a_file_may_be_written_in_pieces(tmp_path):
    write_file(tmp_path / "a", iter([b"one ", b"two"]))
    assert (tmp_path / "a").read_bytes() == b"one two"

from pathlib import Path

import pytest

from stylize.errors import UsageError
from stylize.files import Job, find_photos, make_plan, write_file


@pytest.fixture
def tree(tmp_path):
    """Pictures, other files, hidden ones and a loop of links; contents do not matter to a plan."""
    root = tmp_path / "in"
    for name in ("b.jpg", "A.PNG", "sub/c.webp", "sub/deep/d.gif", "notes.txt", ".hidden.jpg"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    (root / ".cache").mkdir()
    (root / ".cache" / "e.jpg").touch()
    (root / "loop").symlink_to(root)
    return root


def test_photos_are_found_sorted(tree):
    photos, ignored = find_photos(tree)
    names = [photo.relative_to(tree).as_posix() for photo in photos]
    assert names == ["A.PNG", "b.jpg", "sub/c.webp", "sub/deep/d.gif"]
    assert ignored == 1


def test_tree_is_mirrored(tree, tmp_path):
    out = tmp_path / "out"
    plan = make_plan([tree], out)
    assert plan.jobs[2] == Job(tree / "sub" / "c.webp", out / "sub" / "c.webp")
    assert plan.jobs[3].target == out / "sub" / "deep" / "d.png"
    assert not out.exists()


def test_a_photo_given_twice_is_done_once(tree, tmp_path):
    plan = make_plan([tree / "b.jpg", tree], tmp_path / "out")
    assert [job.source.name for job in plan.jobs].count("b.jpg") == 1


def test_a_link_to_a_photo_is_a_photo_of_its_own(tree, tmp_path):
    (tree / "best.jpg").symlink_to(tree / "b.jpg")
    plan = make_plan([tree], tmp_path / "out")
    assert {"b.jpg", "best.jpg"} <= {job.target.name for job in plan.jobs}


def test_a_link_to_itself_is_planned_and_left_to_the_reader(tree, tmp_path):
    (tree / "self.jpg").symlink_to(tree / "self.jpg")
    assert "self.jpg" in [job.source.name for job in make_plan([tree], tmp_path / "out").jobs]


def test_photos_that_would_share_a_name_keep_their_suffixes(tmp_path):
    for name in ("a.gif", "a.png", "b.gif"):
        (tmp_path / "in" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "in" / name).touch()
    plan = make_plan([tmp_path / "in"], tmp_path / "out")
    assert [job.target.name for job in plan.jobs] == ["a.gif.png", "a.png.png", "b.png"]


def test_same_name_from_two_folders_is_refused(tmp_path):
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.jpg").touch()
    with pytest.raises(UsageError, match="two photos would both become"):
        make_plan([tmp_path / "x", tmp_path / "y"], tmp_path / "out")


def test_names_that_differ_in_case_only_collide(tmp_path):
    for folder, name in (("x", "a.jpg"), ("y", "A.jpg")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).touch()
    with pytest.raises(UsageError, match="two photos would both become"):
        make_plan([tmp_path / "x", tmp_path / "y"], tmp_path / "out")


@pytest.mark.parametrize("inside", [".", "out", "sub/out"])
def test_output_inside_an_input_is_refused(tree, inside):
    with pytest.raises(UsageError, match="lies inside the input folder"):
        make_plan([tree], tree / inside)


def test_output_inside_an_input_through_a_link_is_refused(tree, tmp_path):
    (tmp_path / "link").symlink_to(tree)
    with pytest.raises(UsageError, match="lies inside the input folder"):
        make_plan([tree], tmp_path / "link" / "out")


def test_a_photo_is_never_overwritten(tree):
    with pytest.raises(UsageError, match="would be overwritten"):
        make_plan([tree / "b.jpg"], tree, overwrite=True)


def test_existing_outputs_need_overwrite(tree, tmp_path):
    out = tmp_path / "out"
    write_file(out / "b.jpg", b"precious")
    with pytest.raises(UsageError, match="1 of 4 outputs exist") as caught:
        make_plan([tree], out)
    assert "--overwrite" in caught.value.hint
    assert len(make_plan([tree], out, overwrite=True).jobs) == 4


def test_missing_input(tmp_path):
    with pytest.raises(UsageError, match="no file or folder"):
        make_plan([tmp_path / "gone"], tmp_path / "out")


def test_empty_folder(tmp_path):
    (tmp_path / "in").mkdir()
    with pytest.raises(UsageError, match="no photos in"):
        make_plan([tmp_path / "in"], tmp_path / "out")


def test_output_that_is_a_file(tree):
    with pytest.raises(UsageError, match="is a file"):
        make_plan([tree / "A.PNG"], tree / "notes.txt")


def test_a_folder_of_ten_thousand(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for index in range(10_000):
        (folder / f"{index}.jpg").touch()
    assert len(make_plan([folder], tmp_path / "out").jobs) == 10_000


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

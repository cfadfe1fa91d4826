from pathlib import Path

import pytest
from conftest import write_relatives

from stylize.batch.manifest import State
from stylize.batch.plan import find_mask
from stylize.batch.tasks import also_read, dry_run, make_recipe
from stylize.config import ApplyConfig
from stylize.errors import UsageError


@pytest.mark.parametrize("name", ["sub/a.png", "sub/a.jpg.png", "sub/a.jpg"])
def test_masks_mirror_the_inputs(tmp_path, name):
    (tmp_path / "sub").mkdir()
    (tmp_path / name).touch()
    assert find_mask(Path("sub/a.jpg"), str(tmp_path)) == tmp_path / name
    assert find_mask(Path("a.jpg"), str(tmp_path)) is None
    assert find_mask(Path("sub/a.jpg"), None) is None


def test_looking_over_changes_nothing(style_file, photos, tmp_path):
    out = tmp_path / "out"
    plan, tasks = dry_run(str(style_file), [photos], out, ApplyConfig())
    assert len(plan.jobs) == len(tasks) == 6
    assert {task.state for task in tasks} == {State.NEW}
    assert all(task.pending for task in tasks)
    assert not out.exists()


def test_files_of_others_are_foreign_until_they_may_be_overwritten(style_file, photos, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "photo0.png").touch()
    (out / "photo1.png").symlink_to("nowhere")
    _, tasks = dry_run(str(style_file), [photos], out, ApplyConfig())
    assert [task.job.place.name for task in tasks if task.state is State.FOREIGN] == [
        "photo0.png",
        "photo1.png",
    ]
    _, tasks = dry_run(str(style_file), [photos], out, ApplyConfig(overwrite=True))
    assert all(task.pending for task in tasks)


def test_the_style_is_called_by_its_file(style_file):
    """Not by its header: a name from a file is no part of a path."""
    assert make_recipe(str(style_file), ApplyConfig()).name == style_file.stem


@pytest.mark.parametrize("name", ["..", ".stylize", "Tiny", "a b", "\x1b[2J", "a" * 65])
def test_a_style_is_called_by_its_file_only_if_that_is_a_name(style_file, name):
    odd = style_file.rename(style_file.with_name(f"{name}.safetensors"))
    with pytest.raises(UsageError, match="cannot name a style"):
        make_recipe(str(odd), ApplyConfig())


def test_a_mix_is_made_again_when_a_part_or_a_share_changes(photos, tmp_path):
    one, two = write_relatives(tmp_path, "one", "two")
    before = make_recipe(f"{one}=1,{two}=2", ApplyConfig())
    assert before.name == "two-0.667-one-0.333"
    assert before == make_recipe(f"{two}=4,{one}=2", ApplyConfig())
    assert before.style != make_recipe(f"{two}=4,{one}=2.001", ApplyConfig()).style
    assert {one, two} <= {*also_read(f"{one}=1,{two}=2", ApplyConfig())}
    two.write_bytes(one.read_bytes())
    assert before.style != make_recipe(f"{one}=1,{two}=2", ApplyConfig()).style


def test_masks_must_be_a_folder(style_file, photos, tmp_path):
    with pytest.raises(UsageError, match="no folder"):
        dry_run(str(style_file), [photos], tmp_path / "out", ApplyConfig(masks="gone"))

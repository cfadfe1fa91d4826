from dataclasses import replace

import pytest
import torch

from stylize.errors import StyleFileError, UsageError
from stylize.network.style_header import read_header
from stylize.training.checkpoint import RunState
from stylize.training.run_folder import RunFolder


@pytest.fixture
def state(style_file):
    return RunState(1, 20, 1.0, "abc", read_header(style_file), {"network.x": torch.arange(3.0)})


@pytest.fixture
def run(tmp_path):
    return RunFolder(tmp_path, "mine")


def test_the_last_ones_are_kept(run, state):
    for step in (5, 10, 15, 100):
        run.save(replace(state, step=step), keep=2)
    assert {step: path.name for step, path in run.checkpoints().items()} == {
        100: "checkpoint-00000100.safetensors",
        15: "checkpoint-00000015.safetensors",
    }
    assert [state.step for state in run.load()[0]] == [100, 15]


def test_what_was_given_up_is_removed_and_other_files_stay(run, state):
    for step in (5, 10, 15):
        run.save(replace(state, step=step), keep=3)
    copy = run.folder / "checkpoint-best.safetensors"
    copy.touch()
    path = run.save(replace(state, step=7), keep=1)
    assert list(run.checkpoints().values()) == [path]
    assert copy.exists()
    run.clear()
    assert copy.exists()


def test_a_damaged_one_is_passed_over_and_said(run, state):
    for step in (5, 10):
        path = run.save(replace(state, step=step), keep=2)
    path.write_bytes(path.read_bytes()[:-10])
    found, damaged = run.load()
    assert [state.step for state in found] == [5]
    assert len(damaged) == 1
    assert path.name in damaged[0]
    run.checkpoints()[5].write_bytes(b"")
    with pytest.raises(StyleFileError, match=path.name):
        run.load()


def test_what_a_killed_training_left_is_removed(run, state):
    run.save(state, keep=2)
    stray = run.folder / ".stylize-abcdef"
    stray.touch()
    run.tidy()
    assert not stray.exists()
    assert len(run.checkpoints()) == 1
    run.clear()
    assert not run.checkpoints()


def test_nothing_is_lost_without_being_asked_for(run, state):
    with pytest.raises(UsageError, match="no checkpoint"):
        run.refuse_to_lose(resume=True, overwrite=False)
    run.save(state, keep=2)
    with pytest.raises(UsageError, match="exists already"):
        run.refuse_to_lose(resume=False, overwrite=False)
    run.refuse_to_lose(resume=True, overwrite=False)
    run.refuse_to_lose(resume=False, overwrite=True)

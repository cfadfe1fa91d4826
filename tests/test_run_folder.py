from dataclasses import replace

import pytest
import torch

from stylize.checkpoint import RunState
from stylize.errors import StyleFileError, UsageError
from stylize.header import read_header
from stylize.run_folder import RunFolder


@pytest.fixture
def state(style_file):
    return RunState(1, 20, 1.0, "abc", read_header(style_file), {"network.x": torch.arange(3.0)})


@pytest.fixture
def run(tmp_path):
    return RunFolder(tmp_path, "mine")


def test_the_last_ones_are_kept(run, state):
    for step in (5, 10, 15, 100):
        run.save(replace(state, step=step), keep=2)
    names = [path.name for path in run.checkpoints()]
    assert names == ["checkpoint-00000100.safetensors", "checkpoint-00000015.safetensors"]
    assert run.newest()[0].step == 100


def test_a_damaged_one_is_passed_over_and_said(run, state):
    for step in (5, 10):
        path = run.save(replace(state, step=step), keep=2)
    path.write_bytes(path.read_bytes()[:-10])
    found, _, damaged = run.newest()
    assert found.step == 5
    assert len(damaged) == 1
    assert path.name in damaged[0]
    run.checkpoints()[1].write_bytes(b"")
    with pytest.raises(StyleFileError, match=path.name):
        run.newest()


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

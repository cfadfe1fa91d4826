from dataclasses import replace

import pytest
import torch

from stylize.errors import StyleFileError
from stylize.network.style_header import read_header
from stylize.training.checkpoint import RunState, load_run, save_run


def test_run_state_survives_its_file(tmp_path, style_file):
    state = RunState(7, 20, 0.5, "abc", read_header(style_file), {"network.x": torch.arange(3.0)})
    path = tmp_path / "run.safetensors"
    save_run(path, state)
    again = load_run(path)
    assert replace(again, tensors={}) == replace(state, tensors={})
    assert torch.equal(again.tensors["network.x"], torch.arange(3.0))


def test_a_style_is_no_run_state(style_file):
    with pytest.raises(StyleFileError, match="stylize_run"):
        load_run(style_file)

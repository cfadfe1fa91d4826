"""What it writes is read again in test_training_loop.py."""

import sys

import pytest

from stylize.errors import UsageError
from stylize.training.tensorboard import Board


def test_without_tensorboard_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(UsageError, match="needs TensorBoard") as caught:
        Board(tmp_path)
    assert caught.value.hint == 'pip install "stylize[tensorboard]"'

"""Two processes are tested for real in test_torchrun.py."""

import pytest
import torch

from stylize.errors import UsageError
from stylize.training.distributed import ALONE, Workers, join


def test_shares_cover_the_batch_once():
    shares = [Workers(rank, 3).share(12) for rank in range(3)]
    assert [list(range(12)[share]) for share in shares] == [
        [0, 1, 2, 3],
        [4, 5, 6, 7],
        [8, 9, 10, 11],
    ]


def test_a_batch_that_cannot_be_shared_is_refused():
    with pytest.raises(UsageError, match="a batch of 4 cannot be shared by 3") as caught:
        Workers(0, 3).share(4)
    assert "multiple of 3" in caught.value.hint


def test_alone_everything_is_as_it_is(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert join("cpu") == (ALONE, "cpu")
    assert ALONE.first
    assert ALONE.mean(torch.tensor([1.0, 2.0])).tolist() == [1, 2]
    assert ALONE.any(True, torch.device("cpu"))
    assert not ALONE.any(False, torch.device("cpu"))

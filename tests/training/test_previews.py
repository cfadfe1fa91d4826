import sys

import pytest

from stylize.training.previews import losses_plot, losses_table

HISTORY = [(1, {"content": 0.5, "tv": 0.25}), (2, {"content": 0.125, "tv": 0.0625})]


def test_losses_as_a_table():
    rows = losses_table(HISTORY).decode().split()
    assert rows == ["step,content,tv", "1,0.5,0.25", "2,0.125,0.0625"]


def test_losses_as_a_plot():
    pytest.importorskip("matplotlib")
    assert losses_plot(HISTORY).startswith(b"\x89PNG")


def test_no_plot_without_matplotlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError):
        losses_plot(HISTORY)

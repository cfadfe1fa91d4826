import dataclasses
import json
from pathlib import Path

from stylize.cli.terminal import print_json
from stylize.events import Event, PhotoFailed


def test_all_events_are_frozen_dataclasses():
    for kind in Event.__subclasses__():
        assert dataclasses.is_dataclass(kind)
        assert kind.__dataclass_params__.frozen


def test_an_event_is_one_line_of_json(capsys):
    event = PhotoFailed(Path("a\nb.jpg"), "damaged")
    assert list(print_json([event])) == [event]
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1
    expected = {"event": "PhotoFailed", "source": "a\nb.jpg", "reason": "damaged"}
    assert json.loads(lines[0]) == expected

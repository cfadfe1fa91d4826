import signal
import threading

import pytest
import typer

from stylize.cli.options import INTERRUPTED, interruptible, stop_signals
from stylize.errors import UsageError
from stylize.events import Note


@pytest.fixture(autouse=True)
def the_usual_handler():
    # What a shell starts in the background ignores the signal.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    signal.signal(signal.SIGINT, before)


def test_an_interrupt_cuts_nothing_off(capsys):
    """It takes effect between two events, when no lock is held."""
    done = []

    def stream():
        try:
            yield Note("one")
            signal.raise_signal(signal.SIGINT)
            done.append("this event is finished")
            yield Note("two")
            done.append("not reached")
        finally:
            done.append("closed")

    def command():
        with interruptible(stream()) as events:
            for event in events:
                done.append(event.text)

    with pytest.raises(typer.Exit) as stopped:
        command()
    assert stopped.value.exit_code == INTERRUPTED
    assert done == ["one", "this event is finished", "two", "closed"]
    assert "interrupted" in capsys.readouterr().err


@pytest.mark.parametrize("error", [UsageError("wrong", "do it right"), BrokenPipeError()])
@pytest.mark.parametrize("where", ["in the stream", "where it is read"])
def test_errors_pass_and_close_the_stream(error, where):
    seen, closed = [], threading.Event()

    def stream():
        try:
            yield Note("one")
            if where == "in the stream":
                raise error
            yield Note("two")
        finally:
            closed.set()

    def command():
        with interruptible(stream()) as events:
            for event in events:
                seen.append(event.text)
                if where == "where it is read":
                    raise error

    with pytest.raises(type(error)):
        command()
    assert seen == ["one"]
    assert closed.is_set()


def test_the_second_signal_ends_the_process(capfd):
    with stop_signals("stopping", signal.SIGINT, signal.SIGTERM) as stop:
        assert not stop.is_set()
        signal.raise_signal(signal.SIGTERM)
        assert stop.is_set()
        assert "stopping" in capfd.readouterr().err
        assert signal.getsignal(signal.SIGINT) is signal.SIG_DFL
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_an_ignored_signal_stays_ignored():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with stop_signals("stopping", signal.SIGINT) as stop:
        signal.raise_signal(signal.SIGINT)
        assert not stop.is_set()
    assert signal.signal(signal.SIGINT, signal.default_int_handler) is signal.SIG_IGN

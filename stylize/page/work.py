"""Work in the background that clients look at: jobs and trainings."""

import threading
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from stylize.errors import StylizeError


class State(StrEnum):
    """The state of a piece of work."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    STOPPED = "stopped"
    FAILED = "failed"


@dataclass(kw_only=True)
class Work:
    """A piece of work. One thread changes it, others look at it."""

    state: State = State.WAITING
    error: StylizeError | None = None
    stop: threading.Event = field(default_factory=threading.Event)
    turn: Future[None] = field(default_factory=Future)

    @property
    def ended(self) -> bool:
        return self.state not in (State.WAITING, State.RUNNING)

    def progress(self) -> dict[str, Any]:
        """What clients see of it."""
        raise NotImplementedError

    def fail(self, error: Exception) -> State:
        """Note the error, whatever it is: no work ends its thread. Returns the state at the end."""
        if not isinstance(error, StylizeError):
            error = StylizeError(f"{type(error).__name__}: {error}")
        self.error = error
        return State.FAILED

    def end(self) -> None:
        """Stop it if it runs; if it still waits, it never will."""
        if self.turn.cancel():
            self.state = State.STOPPED
        self.stop.set()

    def reason(self) -> dict[str, str]:
        """Why it has failed, for clients; empty texts if it has not."""
        return {
            "error": str(self.error or ""),
            "hint": self.error.hint if self.error else "",
        }

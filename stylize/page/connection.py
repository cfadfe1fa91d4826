"""One connection: HTTP by uvicorn and h11, which ends when a client is too slow."""

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from stylize.page.limits import Limits


def patient(limits: Limits) -> type[H11Protocol]:
    """The protocol that waits `limits.idle` seconds, and no longer, for what a client has to do.

    uvicorn itself waits for ever for the head of a request, and for a client to take its answer.
    """

    class Connection(H11Protocol):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            self._head: asyncio.TimerHandle | None = None
            self._taking: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._await_head()

        def connection_lost(self, exc: Exception | None) -> None:
            self.resume_writing()
            self._stop_waiting()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self.cycle is not None and not self.cycle.response_complete:
                self._stop_waiting()

        def on_response_complete(self) -> None:
            super().on_response_complete()
            if self.cycle.response_complete and not self.transport.is_closing():
                self._await_head()

        def pause_writing(self) -> None:
            super().pause_writing()
            self._taking = self.loop.call_later(limits.idle, self.transport.abort)

        def resume_writing(self) -> None:
            if self._taking is not None:
                self._taking.cancel()
                self._taking = None
            super().resume_writing()

        def _await_head(self) -> None:
            self._stop_waiting()
            self._head = self.loop.call_later(limits.idle, self.transport.abort)

        def _stop_waiting(self) -> None:
            if self._head is not None:
                self._head.cancel()
                self._head = None

    return Connection

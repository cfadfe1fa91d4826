"""Who may write below a prefix: an object that its holder renews, and that others watch.

No clocks are compared. A lease counts as free when nobody has renewed it while another run has
watched it for its term, or at once when its holder was a process of this machine that is gone.
"""

import errno
import json
import os
import socket
import threading
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from stylize.errors import UsageError
from stylize.storage.store import Store

KEY = ".stylize/lock"
BEAT = 5.0  # seconds between renewals
TERM = 30.0  # seconds without a renewal, after which others may take a lease
MARGIN = 5.0  # seconds by which its holder gives it up before that
LOOK = 1.0  # seconds between looks at the lease of another run
SAME_START = 2.0  # seconds by which the start of a process may seem to move
LOST = "another run has taken over the output, or the store cannot be reached"


class Lease:
    """The right to write into `store`; as a context manager."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.run = uuid.uuid4().hex
        self._beat = 0
        self._version = ""
        self._renewed = 0.0
        self._lost = False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="lease", daemon=True)

    def __enter__(self) -> "Lease":
        """Waits up to `TERM` where a killed run on another machine has left its lease.

        Raises:
            UsageError: another run holds it.
            OSError: the store cannot be written to.
        """
        try:
            self._put(None)
        except FileExistsError:
            self._put_after(self._abandoned())
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        with suppress(OSError):
            self.check()  # or it would be the lease of another run
            self.store.delete([KEY])

    def check(self) -> None:
        """Raises OSError (ESTALE) once the lease is lost: then nothing may be written any more."""
        if self._lost or time.monotonic() - self._renewed > TERM - MARGIN:
            self._lost = True
            raise OSError(errno.ESTALE, LOST)

    def _put(self, replaces: str | None) -> None:
        self._beat += 1
        started = time.monotonic()
        content = {"run": self.run, "beat": self._beat, **_me()}
        self._version = self.store.put(KEY, json.dumps(content).encode(), replaces)
        self._renewed = started

    def _put_after(self, version: str | None) -> None:
        try:
            self._put(version)
        except FileExistsError:
            raise self._held() from None

    def _abandoned(self) -> str | None:
        """The version of a lease that nobody holds any more; raises UsageError if someone does."""
        found = self.store.stat(KEY)
        if found is None:
            return None
        alive = _is_alive(_parse(self.store.get(KEY)))
        if alive is not None:
            if alive:
                raise self._held()
            return found.version
        until = time.monotonic() + TERM
        while time.monotonic() < until:
            time.sleep(LOOK)
            now = self.store.stat(KEY)
            if now is None:
                return None
            if now.version != found.version:
                raise self._held()
        return found.version

    def _held(self) -> UsageError:
        return UsageError(
            f"another run of stylize is writing into {self.store.url}",
            "wait for it to end, or choose another output",
        )

    def _renew(self) -> None:
        while not self._ended.wait(BEAT) and not self._lost:
            try:
                self._put(self._version)
            except FileExistsError:
                # A PUT that was tried again may have met its own first try.
                with suppress(OSError):
                    found = self.store.stat(KEY)
                    own = found and _parse(self.store.get(KEY)).get("run") == self.run
                    if found and own:
                        self._version = found.version
                    else:
                        self._lost = True
            except OSError:
                continue  # the next one may succeed


def _me() -> dict[str, Any]:
    """This process, so that others on the same machine can see whether it is alive."""
    return {"machine": _machine(), "pid": os.getpid(), "born": psutil.Process().create_time()}


def _machine() -> str:
    """This machine since it was started, and within it this container."""
    parts = [socket.gethostname()]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
    with suppress(OSError):
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    return " ".join(parts)


def _is_alive(holder: dict[str, Any]) -> bool | None:
    """Whether the holder is a process of this machine that runs; None for one of another."""
    if holder.get("machine") != _machine():
        return None
    try:
        process = psutil.Process(int(holder["pid"]))
        same = abs(process.create_time() - holder["born"]) < SAME_START
        return bool(same and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
    except (KeyError, TypeError, ValueError, psutil.Error):
        return None


def _parse(content: bytes) -> dict[str, Any]:
    try:
        holder = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return holder if isinstance(holder, dict) else {}

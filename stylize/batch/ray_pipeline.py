"""Tasks -> files, painted by the workers of a Ray cluster.

A worker on each core, or for each GPU, holds the style and paints one photo at a time. This process
hands out tasks, a few at a time, and is the only one that writes. When a worker or its node is
lost, its tasks go to others, and a new worker starts as soon as there is room for it.
"""

import os
import signal
import socket
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

from stylize.batch.manifest import Records
from stylize.batch.painter import Encoded
from stylize.batch.pipeline import FAILED
from stylize.batch.reader import first_line
from stylize.batch.tasks import Recipe, Task
from stylize.batch.writer import Outcome, Writer, Written, collect
from stylize.config import AUTO, NORM_VARIABLE, ApplyConfig
from stylize.errors import UsageError, install
from stylize.events import Backend, PhotoBegun, PhotoFailed
from stylize.files import Location, Url
from stylize.network.mixture import Mixture

AHEAD = 2  # tasks that a worker has: one in work, the next one waiting
MOST_LOSSES = 3  # of the workers of one task
MOST_STARTS = 3  # of workers that fail, one after the other
WRITERS = 4  # threads, for a folder
MOST_WRITING = 64  # paintings that wait to be written
LOST = f"{MOST_LOSSES} workers were lost while they painted it"
LOOK = 1.0  # seconds between looks at signals
PATIENCE = 10.0  # seconds to wait for a cluster to answer


@contextmanager
def connected(address: str | None, threads: int) -> Iterator[None]:
    """A connection to the cluster at `address`, or to one of this machine alone with that many
    workers; raises UsageError if there is none."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        raise UsageError("--engine ray needs Ray", install("ray")) from error
    if ray.is_initialized():
        yield
        return
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    if address is None:
        options |= {"num_cpus": threads, "include_dashboard": False}
    host, _, port = (address or "").rpartition(":")
    try:
        if host and port.isdigit():  # Ray itself tries for minutes
            socket.create_connection((host.removeprefix("ray://"), int(port)), PATIENCE).close()
        with _own_signals():
            ray.init(address or "local", **options)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        where = address or "this machine"
        hint = "check --address" if address else "use --engine local"
        raise UsageError(f"no Ray cluster at {where}: {first_line(error)}", hint) from error
    try:
        yield
    finally:
        ray.shutdown()


@contextmanager
def _own_signals() -> Iterator[None]:
    """Keep the handler of SIGTERM: Ray sets one that ends the process in the middle of a file."""
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if handler is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)


@dataclass(eq=False)
class _Order:
    """A task on its way through the cluster, and how many workers it has lost."""

    task: Task
    losses: int = 0


class RayPipeline:
    """Runs tasks with one style into one output, as `Pipeline` does, within `connected`."""

    def __init__(
        self,
        style: Mixture,
        anchors: Sequence[Path],
        manifest: Records,
        recipe: Recipe,
        config: ApplyConfig,
        photos: int,
    ) -> None:
        """`photos` is the number in the whole plan: more workers would have nothing to do.

        Raises UsageError: the cluster has no cores, or not the GPUs that `config` asks for.
        """
        self.config = config
        self._writer = Writer(manifest, overwrite=config.overwrite, threads=WRITERS)
        self._pool = _Pool(style, anchors, recipe, config, photos)
        self._next: deque[_Order] = deque()
        self._failed = False

    @property
    def stopped(self) -> str:
        """Why the run ended before all tasks were done, if it did."""
        return self._writer.stopped or (FAILED if self._failed else "")

    def describe(self) -> Backend:
        """What the first worker computes on; raises UsageError if none can start."""
        backend = self._pool.first()
        return replace(backend, detail=f"Ray, up to {self._pool.size} workers: {backend.detail}")

    def run(self, tasks: Iterable[Task], *, failed: bool = False) -> Iterator[PhotoBegun | Outcome]:
        """As `Pipeline.run`, in the order in which photos are done.

        Raises UsageError: workers cannot start any more.
        """
        if failed and self.config.fail_fast:
            self._failed = True
            return
        waiting = map(_Order, tasks)
        writing: deque[Written] = deque()
        with self._writer:
            try:
                while self._hand_out(waiting) or self._pool.orders:
                    for order, painted in self._pool.wait():
                        yield from self._received(order, painted, writing)
                    wait = len(writing) > MOST_WRITING
                    yield from map(self._seen, collect(writing, wait=wait))
                yield from map(self._seen, collect(writing, wait=True))
            finally:
                for written in writing:
                    written.cancel()

    def _hand_out(self, waiting: Iterator[_Order]) -> bool:
        """Give orders to workers that have room; whether others have to wait for that."""
        while not self.stopped:
            if not self._next:
                self._next.extend(islice(waiting, 1))
            if not self._next:
                return False
            if not self._pool.give(self._next[0]):
                return True
            self._next.popleft()
        return False

    def _received(
        self,
        order: _Order,
        painted: tuple[PhotoBegun | None, Encoded | PhotoFailed] | None,
        writing: deque[Written],
    ) -> Iterator[PhotoBegun | Outcome]:
        """Start writing a painting; without one, the worker is lost."""
        job = order.task.job
        if painted is None and order.losses < MOST_LOSSES:
            self._next.appendleft(order)
            return
        begun, part = painted or (None, PhotoFailed(job.source, LOST))
        if begun is not None:
            yield replace(begun, source=job.source)
        # Workers know other paths of the same files.
        if isinstance(part, PhotoFailed):
            part = replace(part, source=job.source)
        else:
            part = replace(part, done=replace(part.done, source=job.source, target=job.target))
        writing.append(self._writer.start(job, part))

    def _seen(self, event: Outcome) -> Outcome:
        self._failed |= isinstance(event, PhotoFailed) and self.config.fail_fast
        return event


@dataclass(eq=False)
class _Member:
    """A worker that has started, and the orders that it has."""

    actor: Any
    orders: list[_Order] = field(default_factory=list)


class _Pool:
    """The workers; new ones take the places of those that are lost."""

    def __init__(
        self,
        style: Mixture,
        anchors: Sequence[Path],
        recipe: Recipe,
        config: ApplyConfig,
        photos: int,
    ) -> None:
        import ray

        from stylize.batch.ray_worker import Worker

        resources = ray.cluster_resources()
        wants_gpu = config.device.startswith("cuda")
        on_gpu = wants_gpu or (config.device == AUTO and resources.get("GPU", 0) >= 1)
        kind = "GPU" if on_gpu else "CPU"
        self.size = min(int(resources.get(kind, 0)), max(1, photos))
        if not self.size:
            raise UsageError(f"the Ray cluster has no {kind}s", "use --device cpu, or another one")
        device = "cuda" if on_gpu else "cpu" if config.device == AUTO else config.device
        norm = os.environ.get(NORM_VARIABLE, AUTO)
        self._class = ray.remote(Worker).options(
            num_cpus=1,
            num_gpus=int(on_gpu),
            max_restarts=0,
            runtime_env={"env_vars": {NORM_VARIABLE: norm}} if norm != AUTO else None,
        )
        # In the cluster's memory once, not in every message.
        self._arguments = (
            ray.put([(part, part.path.read_bytes()) for part in style.parts]),
            [(path.suffix, path.read_bytes()) for path in anchors],
            replace(recipe, anchors=()),
            replace(config, device=device),
            kind,
        )
        self.orders: dict[Any, tuple[_Member, _Order]] = {}  # by their answers
        self._members: list[_Member] = []
        self._starting: dict[Any, Any] = {}
        self._failures = 0
        self._backend: Backend | None = None
        for _ in range(self.size):
            self._start()

    def first(self) -> Backend:
        """Wait for a worker, and return what it computes on."""
        while self._backend is None:
            self.wait()
        return self._backend

    def give(self, order: _Order) -> bool:
        """Send an order to the worker that has least to do; False if none has room for it."""
        # What kills workers must not take the blame to its neighbours.
        room = 1 if order.losses else AHEAD
        free = [
            member
            for member in self._members
            if len(member.orders) < room and not any(other.losses for other in member.orders)
        ]
        if not free:
            return False
        member = min(free, key=lambda member: len(member.orders))
        member.orders.append(order)
        self.orders[member.actor.paint.remote(_absolute(order.task))] = member, order
        return True

    def wait(self) -> list[tuple[_Order, Any]]:
        """What has been painted since: (order, painted); None in its place if it is lost."""
        import ray

        answers = [*self.orders, *self._starting]
        ready, _ = ray.wait(answers, num_returns=1, timeout=LOOK)
        found = []
        for answer in ready:
            if answer in self._starting:
                self._started(answer)
                continue
            member, order = self.orders.pop(answer)
            member.orders.remove(order)
            try:
                found.append((order, ray.get(answer)))
            except ray.exceptions.RayTaskError as error:  # one photo never stops the others
                reason = first_line(error.cause or error)
                found.append((order, (None, PhotoFailed(order.task.job.source, reason))))
            except ray.exceptions.RayError:
                order.losses += 1
                found.append((order, None))
                if member in self._members:
                    self._members.remove(member)
                    self._start()
        return found

    def _start(self) -> None:
        actor = self._class.remote(*self._arguments)
        self._starting[actor.describe.remote()] = actor

    def _started(self, answer: Any) -> None:
        import ray

        actor = self._starting.pop(answer)
        try:
            self._backend = ray.get(answer)
        except ray.exceptions.RayError as error:
            self._failures += 1
            if self._failures >= MOST_STARTS:
                reason = str(error).strip().splitlines()[-1]
                hint = "the same version of stylize must be on all nodes"
                raise UsageError(f"no worker can start: {reason}", hint) from error
            self._start()
        else:
            self._failures = 0
            self._members.append(_Member(actor))


def _absolute(task: Task) -> Task:
    """With paths that are the same in any working directory."""

    def place(location: Location) -> Location:
        return location if isinstance(location, Url) else location.absolute()

    job = replace(task.job, source=place(task.job.source))
    return replace(task, job=job, mask=task.mask and place(task.mask))

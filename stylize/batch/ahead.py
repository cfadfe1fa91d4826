"""Work in threads, ahead of who needs the results, with few of them in memory."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def in_order(
    function: Callable[[T], R],
    items: Iterable[T],
    threads: int,
    size: Callable[[T], int] = lambda _: 0,
    most: float = 0,
) -> Iterator[R]:
    """`function` of each item, in order. Twice as many as there are threads are in work or done, as
    long as their sizes add up to at most `most`; at least one is. Raises what `function` raises."""
    running: deque[tuple[Future[R], int]] = deque()
    total = 0
    with ThreadPoolExecutor(threads, "ahead") as pool:
        try:
            for item in items:
                own = size(item)
                while running and (len(running) >= 2 * threads or total + own > most > 0):
                    future, freed = running.popleft()
                    total -= freed
                    yield future.result()
                running.append((pool.submit(function, item), own))
                total += own
            while running:
                yield running.popleft()[0].result()
        finally:
            for future, _ in running:
                future.cancel()

"""Runs a function over videos: in this process, or in a pool of processes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def run(
    function: Callable[[Item], Result], items: Iterable[Item], *, num_proc: int = 1
) -> Iterator[tuple[Item, Result]]:
    """Yield `(item, function(item))` for every item, as each gets done.

    `function` and the items are pickled for other processes: pass ids and paths, never masks. An exception in
    `function` is raised here; work that has not begun is then dropped.
    """
    if num_proc <= 1:
        for item in items:
            yield item, function(item)
        return
    with ProcessPoolExecutor(num_proc) as pool:
        waiting = iter(items)
        running = {}
        try:
            while True:
                for item in waiting:
                    running[pool.submit(function, item)] = item
                    if len(running) >= 2 * num_proc:  # enough to keep everyone busy, and little to drop
                        break
                if not running:
                    return
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    yield running.pop(future), future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

"""Threads that work through slabs, with a bound on the memory that waits for them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait

from openhcs_core.cpus import usable_cpus


class Workers:
    """Works through slabs, each as many small tasks, in the order in which they were submitted.

    Parameters
    ----------
    threads : int or None
        As many as the process may use CPUs if None.
    limit : int
        Bytes of slabs that may wait at a time.
    finished : callable
        ``finished(size)`` is called, by the thread that submits, after a slab of so many bytes is done.
    """

    def __init__(self, threads: int | None, limit: int, finished: Callable[[int], object]) -> None:
        self._pool = ThreadPoolExecutor(threads or usable_cpus(), "ims")
        self._limit = limit
        self._finished = finished
        self._waiting: deque[tuple[int, list[Future[None]]]] = deque()
        self._bytes = 0

    def submit(self, size: int, tasks: Iterable[Callable[[], None]]) -> None:
        """Have the tasks of a slab of `size` bytes done."""
        self._waiting.append((size, [self._pool.submit(task) for task in tasks]))
        self._bytes += size

    def make_room(self, size: int) -> None:
        """Return when a slab of `size` bytes fits; a single one always does. Raises what a task raised."""
        while self._waiting and self._bytes + size > self._limit:
            self._finish_oldest()

    def drain(self) -> None:
        """Return when all is done. Raises what a task raised."""
        while self._waiting:
            self._finish_oldest()

    def stop(self) -> None:
        """Return when no task runs any more; those not begun are dropped."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._waiting.clear()

    def _finish_oldest(self) -> None:
        size, futures = self._waiting[0]
        for future in wait(futures, return_when=FIRST_EXCEPTION).done:
            future.result()
        self._waiting.popleft()
        self._bytes -= size
        self._finished(size)

"""Executors: how wells come to workers. Here what one is, and processes on this machine."""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import signal
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Pipe, wait
from typing import Any

from openhcs_core.cpus import usable_cpus
from openhcs_core.pipeline.errors import PipelineError
from openhcs_core.pipeline.plan import WellContext
from openhcs_core.pipeline.worker import WellEvent, Work

logger = logging.getLogger(__name__)

POLL_S = 0.1
"""How often it is asked whether the run is cancelled."""
PATIENCE_S = 0.8
"""What a worker gets to tidy up before it is killed."""
THREAD_VARIABLES = (
    *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"),
    *("NUMEXPR_NUM_THREADS", "NUMBA_NUM_THREADS"),
)
"""Environment variables that keep libraries from using all CPUs in every worker."""

MEMORY_VARIABLES = {
    "MALLOC_MMAP_THRESHOLD_": str(1 << 25),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 28),
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
}
"""For the C library of Linux: the memory of planes is kept for the next ones instead of given back and cleared anew,
and comes in large pages."""


@dataclass(frozen=True)
class WellResult:
    """What became of a well.

    Attributes
    ----------
    well : str
    state : {"finished", "failed", "skipped", "cancelled"}
        "skipped" if an earlier part of the run had finished it.
    error : str
        Why it failed.
    traceback : str
        Of the failure, for those who wrote the function.
    seconds : float
        That the last attempt took.
    attempts : int
    """

    well: str
    state: str
    error: str = ""
    traceback: str = ""
    seconds: float = 0.0
    attempts: int = 0


class Executor(contextlib.AbstractContextManager["Executor"], ABC):
    """Runs wells on workers, of which each takes one well at a time. A context manager: no worker outlives it.

    Parameters
    ----------
    workers : int
    address : str, optional
        Where the workers are, if they are elsewhere.
    """

    def __init__(self, workers: int, address: str | None = None) -> None:
        self.workers, self.address = workers, address

    def prepare(self, modules: Sequence[str], workers: int) -> None:
        """Begin to start some workers while there is other work still; they import these modules meanwhile."""

    @abstractmethod
    def run(
        self,
        work: Work,
        contexts: Sequence[WellContext],
        *,
        retries: int,
        tell: Callable[[WellEvent], object],
        cancelled: Callable[[], bool],
    ) -> Iterator[WellResult]:
        """Run wells; yield the result of each as it ends.

        Parameters
        ----------
        work : Work
        contexts : sequence of WellContext
        retries : int
            How often a well is tried again whose worker died. What a function raises is not tried again.
        tell : callable
            Told how far the wells are.
        cancelled : callable
            Whether to stop: then the workers are gone within two seconds, and no further result comes.

        Raises
        ------
        PipelineError
            If workers cannot be had.
        """

    def close(self) -> None:
        """End all workers."""

    def __exit__(self, *_: object) -> None:
        self.close()


def packed(item: Any) -> bytes:
    """Our own objects as bytes, for another process.

    Raises
    ------
    PipelineError
        If something in it cannot leave this process.
    """
    try:
        return pickle.dumps(item, pickle.HIGHEST_PROTOCOL)
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        raise PipelineError(
            f"The run cannot be handed to workers: {error}. Functions must be importable (defined in a module, "
            "not in a notebook or another function), and backends must be such that can be sent."
        ) from error


class ProcessExecutor(Executor):
    """Processes on this machine, which live for the whole run. One that dies costs its well only.

    Notes
    -----
    They are new Python processes, never forked ones, so that threads and connections of this process are left alone.
    They end with this process, however it ends; more exactly with the thread that runs the wells.
    """

    def __init__(self, workers: int, address: str | None = None) -> None:
        super().__init__(workers, address)
        self._workers: list[_Process] = []
        self._modules: Sequence[str] = ()

    def prepare(self, modules: Sequence[str], workers: int) -> None:
        self._modules = modules
        now = min(workers, usable_cpus())  # the others when there are wells for them
        self._workers += [self._started(number) for number in range(len(self._workers), now)]

    def run(
        self,
        work: Work,
        contexts: Sequence[WellContext],
        *,
        retries: int,
        tell: Callable[[WellEvent], object],
        cancelled: Callable[[], bool],
    ) -> Iterator[WellResult]:
        pending = deque((context, 1) for context in contexts)
        message = packed(("work", work))
        self._end(self._workers[self.workers :])
        del self._workers[self.workers :]
        try:
            while (pending or any(worker.task for worker in self._workers)) and not cancelled():
                self._staff(message, pending)
                for worker in self._ready():
                    for kind, value in worker.messages():
                        if kind == "event":
                            tell(value)
                        else:
                            yield worker.ended(kind, *value)
                    if worker.dead:
                        self._workers.remove(worker)
                        if worker.task:
                            yield from self._buried(worker, pending, retries)
        finally:
            self.close()

    def close(self) -> None:
        workers, self._workers = self._workers, []
        self._end(workers)

    @staticmethod
    def _end(workers: Sequence[_Process]) -> None:
        for worker in workers:
            worker.stop()
        limit = time.monotonic() + PATIENCE_S
        for worker in workers:
            worker.end(limit)

    def _staff(self, message: bytes, pending: deque[tuple[WellContext, int]]) -> None:
        """Give every idle worker a well, and replace the workers that are missing."""
        busy = sum(1 for worker in self._workers if worker.task)
        numbers = set(range(self.workers)) - {worker.number for worker in self._workers}
        while len(self._workers) < min(self.workers, busy + len(pending)):
            self._workers.append(self._started(numbers.pop()))
        for worker in self._workers:
            if pending and not worker.task:
                worker.give(message, *pending.popleft())

    def _ready(self) -> list[_Process]:
        connections = {worker.connection: worker for worker in self._workers}
        return [connections[found] for found in wait(list(connections), POLL_S)]  # type: ignore[index]

    @staticmethod
    def _buried(worker: _Process, pending: deque[tuple[WellContext, int]], retries: int) -> Iterator[WellResult]:
        """What becomes of the well of a worker that died."""
        assert worker.task
        (context, attempt), reason = worker.task, worker.death()
        logger.warning("%s: the worker died (%s), attempt %d", context.well, reason, attempt)
        if attempt <= retries:
            pending.append((context, attempt + 1))
            return
        seconds = time.monotonic() - worker.since
        error = f"its worker died {attempt} times ({reason}); look at the memory of the machine, or use fewer workers"
        yield WellResult(context.well, "failed", error, "", seconds, attempt)

    def _started(self, number: int) -> _Process:
        return _Process(number, threads_each(self.workers), self._modules)


class _Process:
    """One worker process, seen from here."""

    def __init__(self, number: int, threads: int, modules: Sequence[str]) -> None:
        self.number, self.dead, self.since = number, False, 0.0
        self.task: tuple[WellContext, int] | None = None
        self.connection, theirs = Pipe()
        environment = worker_environment(threads) | dict(os.environ)
        start = (
            "import sys; sys.path[:] = sys.argv[3:]; "
            "from openhcs_core.pipeline.process import main; main(int(sys.argv[1]), int(sys.argv[2]))"
        )
        paths = [os.path.abspath(path) for path in sys.path]
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-c", start, str(theirs.fileno()), str(os.getpid()), *paths],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env=environment,
            )
        self._told_work = False
        self._send(pickle.dumps(("prepare", (number, list(modules)))))

    def give(self, work: bytes, context: WellContext, attempt: int) -> None:
        """Have it work on a well."""
        self.task, self.since = (context, attempt), time.monotonic()
        if not self._told_work:
            self._send(work)
            self._told_work = True
        self._send(packed(("well", context)))

    def messages(self) -> Iterator[tuple[str, Any]]:
        """What has come from it."""
        try:
            while self.connection.poll():
                yield self.connection.recv()
        except (EOFError, OSError):
            self.dead = True

    def ended(self, state: str, error: str, traceback: str) -> WellResult:
        """It has ended its well."""
        assert self.task
        (context, attempt), self.task = self.task, None
        return WellResult(context.well, state, error, traceback, time.monotonic() - self.since, attempt)

    def death(self) -> str:
        """How it died."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(PATIENCE_S)
        self.end(time.monotonic())
        code = self._process.returncode
        if code < 0:
            name = signal.Signals(-code).name
            return f"{name}, perhaps for want of memory" if name == "SIGKILL" else name
        return f"exit status {code}"

    def stop(self) -> None:
        """Ask it to end."""
        if self._process.poll() is None:
            self._process.terminate()

    def end(self, limit: float) -> None:
        """Wait until a time, then kill it."""
        try:
            self._process.wait(max(0, limit - time.monotonic()))
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self.connection.close()

    def _send(self, message: bytes) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it is dead, as reading will show
            self.connection.send_bytes(message)


def worker_environment(threads: int) -> dict[str, str]:
    """Environment variables for a worker that may use so many threads."""
    return {name: str(threads) for name in THREAD_VARIABLES} | MEMORY_VARIABLES


def threads_each(workers: int) -> int:
    """Threads that libraries may use in each of so many workers."""
    return max(1, usable_cpus() // workers)

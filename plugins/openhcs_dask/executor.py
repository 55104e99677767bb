"""Wells on workers of dask.distributed."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import threading
import time
import uuid
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import dask
from distributed import Client, Future, LocalCluster, WorkerPlugin, get_worker
from distributed.scheduler import KilledWorker

from openhcs_core.pipeline.errors import PipelineError
from openhcs_core.pipeline.executors import POLL_S, Executor, WellResult, packed, threads_each, worker_environment
from openhcs_core.pipeline.plan import WellContext
from openhcs_core.pipeline.process import run_well
from openhcs_core.pipeline.worker import WellEvent, Work, Worker

CONNECT_S = 30
"""How long a scheduler, and its first worker, may take to answer."""


class DaskExecutor(Executor):
    """Wells on workers of dask.distributed: of a scheduler, or of processes that are started here.

    Notes
    -----
    Workers elsewhere must see the plate, and the places of the results, under the same names as this machine does, and
    must have the same packages. On cancellation they end their wells after the function at hand; processes started here
    are killed.
    """

    def run(
        self,
        work: Work,
        contexts: Sequence[WellContext],
        *,
        retries: int,
        tell: Callable[[WellEvent], object],
        cancelled: Callable[[], bool],
    ) -> Iterator[WellResult]:
        packed((work, contexts))
        with self._client() as client:
            run = _Run(client, work, contexts, retries)
            try:
                while run.going and not cancelled():
                    yield from run.results(self.workers)
                    for event in run.events():
                        tell(event)
            finally:
                run.end()

    @contextlib.contextmanager
    def _client(self) -> Iterator[Client]:
        """Context manager: a client of the scheduler, or of a cluster that is here for this run only."""
        if self.address is not None:
            try:
                client = Client(self.address, timeout=CONNECT_S, set_as_default=False)
            except (OSError, ValueError) as error:
                raise PipelineError(f"No scheduler of dask answers at {self.address}: {error}.") from error
            with client:
                try:
                    client.wait_for_workers(1, CONNECT_S)
                except TimeoutError as error:
                    raise PipelineError(f"The scheduler at {self.address} has no workers. Start some.") from error
                yield client
            return
        environment = worker_environment(threads_each(self.workers))
        environment |= {name: os.environ[name] for name in environment if name in os.environ}
        settings = {
            "distributed.scheduler.allowed-failures": 0,  # whether a well is tried again is decided here
            "distributed.nanny.pre-spawn-environ": environment,
        }
        with dask.config.set(settings):
            cluster = LocalCluster(
                n_workers=self.workers,
                threads_per_worker=1,
                processes=True,
                memory_limit=0,  # the compiler has seen to it
                dashboard_address=None,
                scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},  # its status pages; any port will do
                silence_logs=50,
            )
        try:
            with Client(cluster, set_as_default=False) as client:
                yield client
        finally:
            for nanny in cluster.workers.values():
                nanny.auto_restart = False
                if nanny.pid:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(nanny.pid, signal.SIGKILL)  # all results are safe, or not wanted
            cluster.close()


class _Run:
    """The wells of one run, seen from the client."""

    def __init__(self, client: Client, work: Work, contexts: Sequence[WellContext], retries: int) -> None:
        self._client, self._retries = client, retries
        self._name = f"openhcs-{uuid.uuid4()}"
        self._pending = deque((context, 1) for context in contexts)
        self._tasks: dict[Future, tuple[WellContext, int, float]] = {}
        self._events: queue.SimpleQueue[tuple[float, Any]] = queue.SimpleQueue()
        client.register_plugin(RunPlugin(work), name=self._name)
        client.subscribe_topic(self._name, self._events.put)

    @property
    def going(self) -> bool:
        return bool(self._pending or self._tasks)

    def events(self) -> Iterator[WellEvent]:
        """What the workers have told."""
        while not self._events.empty():
            yield WellEvent(*self._events.get()[1])

    def results(self, workers: int) -> Iterator[WellResult]:
        """Keep so many wells at work; wait a moment, and yield what has ended."""
        while self._pending and len(self._tasks) < workers:
            context, attempt = self._pending.popleft()
            key = f"{self._name}-{context.well}-{attempt}"
            self._tasks[self._client.submit(_well, self._name, context, key=key)] = context, attempt, time.monotonic()
        done = [future for future in self._tasks if future.done()]
        for future in done:
            yield from self._ended(future, *self._tasks.pop(future))
        if not done:
            time.sleep(POLL_S / 4)

    def end(self) -> None:
        """Nothing of the run stays on the workers."""
        self._client.cancel(list(self._tasks), force=True)
        self._client.unsubscribe_topic(self._name)
        self._client.unregister_worker_plugin(self._name)

    def _ended(self, future: Future, context: WellContext, attempt: int, since: float) -> Iterator[WellResult]:
        seconds = time.monotonic() - since
        if future.status == "finished":
            state, (error, traceback) = future.result()
            yield WellResult(context.well, state, error, traceback, seconds, attempt)
            return
        reason = future.exception() if future.status == "error" else future.status
        if isinstance(reason, KilledWorker) or not isinstance(reason, BaseException):
            if attempt <= self._retries:
                self._pending.append((context, attempt + 1))
                return
            reason = f"its worker died {attempt} times; look at the memory of the machine, or use fewer workers"
        yield WellResult(context.well, "failed", str(reason), "", seconds, attempt)


class RunPlugin(WorkerPlugin):
    """What a dask worker keeps for the wells of a run; one that is started again gets it, too.

    Parameters
    ----------
    work : Work
    """

    def __init__(self, work: Work) -> None:
        self._work = work
        self._workers: dict[int, Worker] = {}

    def __getstate__(self) -> Work:
        return self._work

    def __setstate__(self, work: Work) -> None:
        self.__init__(work)  # type: ignore[misc]

    def worker(self, name: object) -> Worker:
        """Our worker of this thread, on the dask worker of a name."""
        thread = threading.get_ident()
        if thread not in self._workers:
            number = name if isinstance(name, int) else zlib.crc32(str(name).encode())
            self._workers[thread] = Worker(self._work, number)
        return self._workers[thread]

    def teardown(self, worker: object) -> None:
        for mine in self._workers.values():
            mine.close()


def _well(name: str, context: WellContext) -> tuple[str, tuple[str, str]]:
    """On a dask worker: work on a well of the run of this name."""
    place = get_worker()
    key = place.get_current_task()

    def tell(event: WellEvent) -> None:
        task = place.state.tasks.get(key)
        if task is None or task.state == "cancelled":
            raise PipelineError("the run is cancelled")
        place.log_event(name, (event.well, event.step, event.done, event.total))

    plugin = place.plugins[name]
    assert isinstance(plugin, RunPlugin)
    return run_well(plugin.worker(place.name), context, tell)

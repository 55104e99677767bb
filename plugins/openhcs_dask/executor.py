"""Wells on workers of dask.distributed."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import queue
import signal
import threading
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import dask
from distributed import Client, Future, LocalCluster, Scheduler, SchedulerPlugin, WorkerPlugin, get_worker
from distributed.comm.addressing import get_address_host, parse_address
from distributed.scheduler import KilledWorker

from openhcs_core.pipeline.errors import PipelineError
from openhcs_core.pipeline.executors import POLL_S, Executor, WellResult, packed, threads_each, worker_environment
from openhcs_core.pipeline.plan import WellContext
from openhcs_core.pipeline.process import run_well
from openhcs_core.pipeline.worker import WellEvent, Work, Worker

CONNECT_S = 30
"""How long a scheduler, and its first worker, may take to answer."""
CERTIFICATES = (
    "Its certificates are named by the configuration of dask: distributed.comm.tls.ca-file, client.cert and client.key."
)


class DaskExecutor(Executor):
    """Wells on workers of dask.distributed: of a scheduler, or of processes that are started here.

    Parameters
    ----------
    workers : int
    address : str, optional
        Of a scheduler: on loopback, or ``tls://HOST:PORT``. What is handed to workers is code to run, and may be
        sessions of OMERO.

    Raises
    ------
    PipelineError
        If the address is another one.

    Notes
    -----
    Workers elsewhere must see the plate, and the places of the results, under the same names as this machine does, and
    must have the same packages, as the scheduler must. On cancellation, or if this process dies, they end their wells
    after the function at hand; processes started here are killed.
    """

    def __init__(self, workers: int, address: str | None = None) -> None:
        super().__init__(workers, address)
        if address is not None:
            _check_private(address)

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
            while run.going and not cancelled():
                yield from run.results(self.workers)
                for event in run.events():
                    tell(event)

    @contextlib.contextmanager
    def _client(self) -> Iterator[Client]:
        """Context manager: a client of the scheduler, or of a cluster that is here for this run only."""
        if self.address is not None:
            try:
                client = Client(self.address, timeout=CONNECT_S, set_as_default=False)
            except (OSError, ValueError, TypeError) as error:  # the last if there are no certificates
                hint = f" {CERTIFICATES}" if self.address.startswith("tls://") else ""
                raise PipelineError(f"No scheduler of dask answers at {self.address}: {error}.{hint}") from error
            with client:
                _check_private(client.scheduler_info()["address"])
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
                security=True,  # else other users of this machine could hand it work, too
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


def _check_private(address: str) -> None:
    """Raise unless nobody else can read what goes to a scheduler, or hand it work."""
    scheme, _ = parse_address(address)
    host = get_address_host(address)
    try:
        local = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name
        local = False
    if not local and scheme != "tls":
        raise PipelineError(
            f"The scheduler of dask at {address} is on the network without encryption, and what goes there is code to "
            "run and sessions of OMERO. Start it and its workers with TLS (dask scheduler --protocol tls ...), and "
            f"give its address as tls://HOST:PORT. {CERTIFICATES}"
        )


class _Run:
    """The wells of one run, seen from its client; named after it, and ended on the cluster when it is gone."""

    def __init__(self, client: Client, work: Work, contexts: Sequence[WellContext], retries: int) -> None:
        self._client, self._retries = client, retries
        self._pending = deque((context, 1) for context in contexts)
        self._tasks: dict[Future, tuple[WellContext, int, float]] = {}
        self._events: queue.SimpleQueue[tuple[float, Any]] = queue.SimpleQueue()
        try:
            client.register_plugin(RunEnd(client.id), name=client.id)
            client.register_plugin(RunPlugin(work), name=client.id)
        except Exception as error:  # whatever the other side could not read
            raise PipelineError(
                f"The cluster cannot take the run: {type(error).__name__}: {error}. Scheduler and workers need the "
                "same packages as this machine."
            ) from error
        client.subscribe_topic(client.id, self._events.put)  # dask forgets this topic with its client

    @property
    def going(self) -> bool:
        return bool(self._pending or self._tasks)

    def events(self) -> Iterator[WellEvent]:
        """What the workers have told."""
        while not self._events.empty():
            _, event = self._events.get()
            if not isinstance(event, dict):  # which dask itself tells of a client
                yield WellEvent(*event)

    def results(self, workers: int) -> Iterator[WellResult]:
        """Keep so many wells at work; wait a moment, and yield what has ended."""
        if self._client.status != "running":
            raise PipelineError(
                "The scheduler of dask is gone, or cannot be reached any more. Finished wells are safe: run again to "
                "go on."
            )
        while self._pending and len(self._tasks) < workers:
            context, attempt = self._pending.popleft()
            key = f"{self._client.id}-{context.well}-{attempt}"
            future = self._client.submit(_well, self._client.id, context, key=key)
            self._tasks[future] = context, attempt, time.monotonic()
        done = [future for future in self._tasks if future.done()]
        for future in done:
            yield from self._ended(future, *self._tasks.pop(future))
        if not done:
            time.sleep(POLL_S / 4)

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


class RunEnd(SchedulerPlugin):
    """Takes a run from the workers, its session with it, as soon as its client is gone, however it went.

    Parameters
    ----------
    client : str
        Its id, which is the name of the run.
    """

    def __init__(self, client: str) -> None:
        self._client = client

    def remove_client(self, scheduler: Scheduler, client: str) -> None:
        async def end() -> None:
            with contextlib.suppress(OSError, ValueError):  # a worker, or all of it, has gone before
                await scheduler.unregister_worker_plugin(None, client)

        if client == self._client:
            scheduler.remove_plugin(client)
            scheduler.loop.add_callback(end)


class RunPlugin(WorkerPlugin):
    """What a dask worker keeps for the wells of a run; one that is started again gets it, too.

    Parameters
    ----------
    work : Work
    """

    def __init__(self, work: Work) -> None:
        self._work = work
        self._workers: dict[int, Worker] = {}
        self._busy: set[int] = set()
        self._lock, self._ended = threading.Lock(), False

    def __getstate__(self) -> Work:
        return self._work

    def __setstate__(self, work: Work) -> None:
        self.__init__(work)  # type: ignore[misc]

    @contextlib.contextmanager
    def worker(self, name: object) -> Iterator[Worker]:
        """Context manager: our worker of this thread, on the dask worker of a name; closed after the end of the run."""
        thread = threading.get_ident()
        with self._lock:
            if thread not in self._workers:
                number = name if isinstance(name, int) else zlib.crc32(str(name).encode())
                self._workers[thread] = Worker(self._work, number)
            self._busy.add(thread)
        try:
            yield self._workers[thread]
        finally:
            with self._lock:
                self._busy.discard(thread)
            if self._ended:
                self._workers[thread].close()

    def teardown(self, worker: object) -> None:
        with self._lock:
            self._ended = True
            idle = [mine for thread, mine in self._workers.items() if thread not in self._busy]
        for mine in idle:
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
    with plugin.worker(place.name) as worker:
        return run_well(worker, context, tell)

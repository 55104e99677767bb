"""The queue of an execution server: who is next, what runs, and what has become of it."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from hashlib import sha256
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Any

from openhcs_core.errors import OpenHCSError
from openhcs_core.execution import outcome
from openhcs_core.execution.child import SESSION_OVER
from openhcs_core.execution.errors import ExecutionError
from openhcs_core.execution.jobs import Jobs
from openhcs_core.execution.keys import ServerKeys
from openhcs_core.execution.logs import ExecutionLog, read_log
from openhcs_core.execution.places import Folders
from openhcs_core.execution.record import Execution, State
from openhcs_core.execution.requests import Execute
from openhcs_core.execution.running import Running, end_left_behind
from openhcs_core.execution.sessions import KEEP_S, SessionKeeper
from openhcs_core.execution.store import Job, JobStore
from openhcs_core.progress import duration_text
from openhcs_core.settings import Settings

if TYPE_CHECKING:
    from openhcs_core.execution.access import User

logger = logging.getLogger(__name__)

CHILD = (sys.executable, "-m", "openhcs_core.execution.child")
RETRY_S = (10.0, 20.0, 40.0, 80.0, 160.0)
"""After how long an execution is tried again that could not reach OMERO.server; as often as there are times."""
KEPT_DAYS = 90
"""Days after which executions that have ended are forgotten."""
LOG_BYTES = 20 << 20
"""Of the log of an execution, whatever it prints."""

Executions = list[Execution]

_SOON_S, _POLL_S, _IDLE_S = 0.01, 0.1, 0.2
_AGAIN_S, _END_S, _DAY_S = 10.0, 15.0, 86_400.0


class JobQueue:
    """Executions that wait and run. Its own thread does the work; the methods may be called from any.

    Parameters
    ----------
    settings : Settings
    store : JobStore
    keys : ServerKeys
    folders : Folders
    check : callable
        Given the key of a session: joins it, and raises an `ExecutionError` with the code "no_session" if it is over.
    local : bool
        Whether there is no OMERO.
    child : sequence of str
        Program of an execution; see `openhcs_core.execution.child`.
    retry_s : sequence of float
        See `RETRY_S`.
    keep_s : float
        See `openhcs_core.execution.sessions.KEEP_S`.
    """

    def __init__(
        self,
        settings: Settings,
        store: JobStore,
        keys: ServerKeys,
        folders: Folders,
        check: Callable[[str], object],
        *,
        local: bool = False,
        child: Sequence[str] = CHILD,
        retry_s: Sequence[float] = RETRY_S,
        keep_s: float = KEEP_S,
    ) -> None:
        self._settings, self._store, self._keys, self._folders = settings, store, keys, folders
        self._local, self._child, self._retry_s = local, tuple(child), tuple(retry_s)
        self._lock = threading.RLock()
        self._jobs = Jobs(store)
        self._running: dict[str, Running] = {}
        self._forgets = 0.0  # when old executions are forgotten
        self._ends: float | None = None  # when those that run are ended
        self._wake_read, self._wake = os.pipe()
        os.set_blocking(self._wake, False)
        self._closing = threading.Event()
        self._worker = threading.Thread(target=self._work, name="executions")
        self._keeper = SessionKeeper(self._sessions, check, self._session_over, keep_s)

    def start(self) -> None:
        """Go on where an earlier server has ended, and begin to work.

        Raises
        ------
        ExecutionError
            If the records cannot be read or written.
        """
        for job in self._store.in_states("queued", "running"):
            self._jobs.put(job)
            if job.execution.state == "running":
                if not end_left_behind(job.pid, job.start):
                    logger.error("Execution %s: its process %d cannot be ended", job.execution.execution_id, job.pid)
                self._jobs.end(job, "interrupted", outcome.SAID["interrupted"])
        self._worker.start()
        if not self._local:
            self._keeper.start()

    def close(self, grace_s: float = 0.0) -> None:
        """Start nothing more; let what runs finish for some time, then interrupt it. What waits stays on disk."""
        with self._lock:
            if self._ends is not None:
                return
            self._ends = time.monotonic() + grace_s
        self._closing.set()
        self._keeper.close()
        self._wake_up()
        if self._worker.is_alive():
            self._worker.join(grace_s + _END_S)
        if self._worker.is_alive():
            logger.error("A process could not be ended")
            return
        with self._lock:
            os.close(self._wake)
            os.close(self._wake_read)
            self._wake = -1  # the number may soon be that of another file

    # What is asked of it

    def submit(self, request: Execute, place: str, user: User) -> Execution:
        """Have a request wait for its turn. When this returns, it is on disk.

        Parameters
        ----------
        request : Execute
            With its session; the same `Execute.request_key` of a user again gets the same execution.
        place : str
            Such as "Plate:12"; a folder if there is no OMERO.
        user : User

        Raises
        ------
        ExecutionError
            If there are too many ("limit"), or the server ends ("closing").
        """
        with self._lock:
            known = self._jobs.find_key(user.id, request.request_key) if request.request_key else None
            if known is not None:
                return self._jobs.shown(known)
            self._check_room(user.id)
            execution = Execution(
                execution_id=str(uuid.uuid4()),
                state="queued",
                plate=place,
                user_id=user.id,
                user=user.name,
                created=time.time(),
                text_hash=sha256(request.pipeline_code.encode()).hexdigest(),
            )
            job = self._store.add(execution, request, self._keys.seal(request.session))
            return self._queued(job)

    def resume(self, execution_id: str, session: str, client_address: str = "", client_key: str = "") -> Execution:
        """Have an execution wait for its turn again; one that waits or runs is left as it is.

        Its images go to `client_address` now; see `Resume`.

        Raises
        ------
        ExecutionError
            If there is none ("unknown"), it is complete ("bad_request"), there are too many ("limit"), or the server
            ends ("closing").
        """
        with self._lock:
            job = self._found(execution_id)
            if not job.execution.has_ended:
                return self._jobs.shown(job)
            if not job.execution.can_resume:
                raise ExecutionError("It is completed: there is nothing to resume.", "bad_request", "execution_id")
            self._check_room(job.execution.user_id)
            execution = replace(job.execution, state="queued", ended=None, message="", traceback="", stream="")
            again = Job(job.number, execution, self._keys.seal(session))
            request = replace(self._store.request(execution_id), client_address=client_address, client_key=client_key)
            self._store.save(again, behind_all=True, request=request)
            return self._queued(again)

    def cancel(self, execution_id: str) -> Execution:
        """End an execution; one that has ended is left as it is. One that runs has ended a little later.

        Raises
        ------
        ExecutionError
            If there is none ("unknown").
        """
        with self._lock:
            job = self._found(execution_id)
            running = self._running.get(execution_id)
            if running is not None:
                running.stop("cancelled")
                job.execution = replace(job.execution, message="It is being cancelled.")
            elif job.execution.state == "queued":
                self._jobs.end(job, "cancelled", outcome.SAID["cancelled"])
            self._wake_up()
            return self._jobs.shown(job)

    def get(self, execution_id: str) -> Execution | None:
        """An execution; None if there is none with this id."""
        with self._lock:
            job = self._jobs.find(execution_id)
            return None if job is None else self._jobs.shown(job)

    def list(self, user_id: int | None = None, state: State | None = None, limit: int = 100) -> Executions:
        """Executions of a user, or of all, newest first."""
        with self._lock:
            return self._jobs.shown_list(user_id, state, limit)

    def counts(self) -> tuple[int, int]:
        """How many wait, and how many run."""
        with self._lock:
            return len(self._jobs.turns()), len(self._running)

    def log(self, execution_id: str, offset: int | None = None) -> dict[str, Any]:
        """A part of the log of an execution; see `openhcs_core.execution.logs.read_log`."""
        return read_log(self._folders.execution_log(execution_id), offset)

    def _found(self, execution_id: str) -> Job:
        job = self._jobs.find(execution_id)
        if job is None:
            raise ExecutionError("There is no such execution.", "unknown", "execution_id")
        return job

    def _check_room(self, user_id: int) -> None:
        if self._closing.is_set():
            raise ExecutionError("The execution server is ending; it takes nothing new.", "closing")
        self._jobs.check_room(user_id, self._settings.server_queue_per_user)

    def _queued(self, job: Job) -> Execution:
        self._jobs.put(job)
        self._wake_up()
        return self._jobs.shown(job)

    def _wake_up(self) -> None:
        with contextlib.suppress(OSError):  # it is awake, or has ended
            os.write(self._wake, b"\0")

    # The thread that works

    def _work(self) -> None:
        while self._ends is None or self._running or self._jobs.has_unsaved:
            try:
                self._wait()
                with self._lock:
                    self._attend_all()
                    self._jobs.save_unsaved()
                    while self._ends is None and self._start_next():
                        pass
                    if time.monotonic() >= self._forgets:
                        self._forget()
            except Exception:  # nothing that goes wrong with one may end the work on the others
                logger.exception("Error in the queue")
                self._closing.wait(_IDLE_S)
            if self._ends is not None and time.monotonic() > self._ends + _END_S - 1:
                return

    def _wait(self) -> None:
        with self._lock:
            descriptors = [each for running in self._running.values() for each in running.waiting_for]
            ending = any(running.is_ending for running in self._running.values())
            limit = _SOON_S if ending else _POLL_S if self._running else _IDLE_S
        if self._wake_read in wait([self._wake_read, *descriptors], limit):
            os.read(self._wake_read, 4096)

    def _attend_all(self) -> None:
        for execution_id, running in list(self._running.items()):
            job = self._jobs[execution_id]
            try:
                if self._ends is not None and time.monotonic() >= self._ends:
                    running.stop("interrupted")
                code = running.poll()
                for event in running.events(last=code is not None):
                    self._take(job, event)
            except Exception:
                logger.exception("Execution %s", execution_id)
                continue
            if code is not None:
                del self._running[execution_id]
                self._ended(job, running, code)

    def _take(self, job: Job, event: Mapping[str, Any]) -> None:
        wells = job.execution.wells_processed
        if event.get("event") == "progress":
            job.execution = outcome.progressed(job.execution, event)
            if event.get("wells"):
                job.tries = 0  # OMERO.server was there
        elif event.get("event") == "stream":
            job.execution = replace(job.execution, stream=str(event.get("stream", "")))
        self._jobs.changed(job, at_once=job.execution.wells_processed != wells)

    def _ended(self, job: Job, running: Running, code: int) -> None:
        execution, lost = outcome.ended(job.execution, running.ended, code, running.ending, time.time())
        job.pid = job.start = 0
        if lost and job.tries < len(self._retry_s):
            delay_s = self._retry_s[job.tries]
            job.tries, job.due = job.tries + 1, time.time() + delay_s
            message = (
                f"OMERO.server cannot be reached; next try in {duration_text(delay_s)} "
                f"({job.tries} of {len(self._retry_s)})."
            )
            job.execution = replace(execution, state="queued", ended=None, message=message, traceback="", stream="")
            self._jobs.save(job)
        elif lost:
            job.execution = execution
            self._jobs.end(
                job, "failed", f"OMERO.server could not be reached in {job.tries + 1} tries. {outcome.GOES_ON}"
            )
        else:
            job.execution = execution
            self._jobs.end(job, execution.state, execution.message)
        running.log.say(f"{job.execution.state}: {job.execution.message}")
        running.close()

    def _start_next(self) -> bool:
        """Start the one whose turn it is; return whether there was one."""
        if len(self._running) >= self._settings.server_jobs:
            return False
        busy = Counter(self._jobs[execution_id].execution.user_id for execution_id in self._running)
        for job in [self._jobs[execution_id] for execution_id in self._jobs.turns()]:
            if job.due <= time.time() and busy[job.execution.user_id] < self._settings.server_jobs_per_user:
                self._start(job)
                return True
        return False

    def _start(self, job: Job) -> None:
        waits, now = job.execution, time.time()
        session = self._keys.unseal(job.session or b"")
        if session is None:
            self._jobs.end(job, "failed", SESSION_OVER)
            return
        log = ExecutionLog(self._folders.execution_log(waits.execution_id), [session], LOG_BYTES)
        running = None
        try:
            request = replace(self._store.request(waits.execution_id), session=session)
            running = Running(self._child, waits.execution_id, self._environment(), log, [session])
            job.pid, job.start = running.pid, running.start
            job.execution = replace(
                waits, state="running", started=now, message="Starting.", attempts=waits.attempts + 1
            )
            self._store.save(job)  # before it gets its job: nothing runs twice
        except (OSError, OpenHCSError) as error:
            logger.error("Execution %s cannot be started: %s", waits.execution_id, error)
            if running is not None:
                running.kill()
                running.close()
            log.close()
            job.pid = job.start = 0
            job.due = now + _AGAIN_S
            job.execution = replace(waits, message=f"It cannot be started now: {error}")
            return
        log.say(f"Attempt {job.execution.attempts}, process {running.pid}")
        running.give(
            {"execution_id": waits.execution_id, "place": waits.plate, "request": asdict(request), "local": self._local}
        )
        self._running[waits.execution_id] = running
        self._jobs.started(job)
        logger.info("Execution %s of user %d: process %d", waits.execution_id, waits.user_id, running.pid)

    def _environment(self) -> dict[str, str]:
        source = self._settings.source
        return dict(os.environ) | ({"OPENHCS_CONFIG": str(source)} if source is not None else {})

    def _forget(self) -> None:
        self._forgets = time.monotonic() + _DAY_S
        for execution_id in self._store.forget(time.time() - KEPT_DAYS * _DAY_S):
            self._folders.execution_log(execution_id).unlink(missing_ok=True)

    # The sessions of those that wait

    def _sessions(self) -> dict[str, Sequence[Job]]:
        found = defaultdict(list)
        with self._lock:
            waiting = [self._jobs[execution_id] for execution_id in self._jobs.turns()]
        for job in waiting:
            found[self._keys.unseal(job.session or b"") or ""].append(job)
        return dict(found)

    def _session_over(self, jobs: Sequence[Job]) -> None:
        with self._lock:
            for job in jobs:
                if self._jobs.find(job.execution.execution_id) is job and job.execution.state == "queued":
                    self._jobs.end(job, "failed", SESSION_OVER)

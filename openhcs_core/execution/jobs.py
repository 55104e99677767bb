"""The executions that have not ended: in memory for quick answers, and on disk."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from openhcs_core.execution.errors import ExecutionError
from openhcs_core.execution.record import Execution, State
from openhcs_core.execution.store import Job, JobStore

logger = logging.getLogger(__name__)

MOST_WAITING = 10_000
"""Executions of all users together."""
SAVED_S = 1.0
"""What is no change of state comes to the disk so much later, and what could not be saved is tried again then."""


class Jobs:
    """Executions of a store; for one thread at a time.

    Parameters
    ----------
    store : JobStore
    """

    def __init__(self, store: JobStore) -> None:
        self._store = store
        self._jobs: dict[str, Job] = {}  # also those whose end is not on disk yet
        self._unsaved: dict[str, float] = {}  # with the time when they are to be saved
        self._last = dict(store.last_starts())
        self._places: dict[str, int] | None = None  # of those that wait, in order; while it is known

    def __getitem__(self, execution_id: str) -> Job:
        return self._jobs[execution_id]

    @property
    def has_unsaved(self) -> bool:
        """Whether something is not on disk."""
        return bool(self._unsaved)

    def find(self, execution_id: str) -> Job | None:
        """An execution, whether it has ended or not; None if there is none with this id."""
        return self._jobs.get(execution_id) or self._store.get(execution_id)

    def find_key(self, user_id: int, request_key: str) -> Job | None:
        """The execution that a user has asked for with a key."""
        known = self._store.by_key(user_id, request_key)
        return known and self._jobs.get(known.execution.execution_id, known)

    def shown(self, job: Job) -> Execution:
        """What is told of it."""
        if job.execution.state != "queued":
            return job.execution
        return replace(job.execution, ahead=self._waiting()[job.execution.execution_id])

    def shown_list(self, user_id: int | None, state: State | None, limit: int) -> list[Execution]:
        """Executions of a user, or of all, newest first."""
        kept = self._store.select(user_id, state, limit)
        jobs = [self._jobs.get(execution.execution_id) for execution in kept]
        found = [self.shown(job) if job else execution for job, execution in zip(jobs, kept, strict=True)]
        return [execution for execution in found if state in (None, execution.state)]

    def turns(self) -> list[str]:
        """Ids of those that wait, in the order of their turns."""
        return list(self._waiting())

    def _waiting(self) -> dict[str, int]:
        if self._places is None:
            waiting = [job for job in self._jobs.values() if job.execution.state == "queued"]
            self._places = {execution_id: place for place, execution_id in enumerate(turns(waiting, self._last))}
        return self._places

    def check_room(self, user_id: int, most: int) -> None:
        """Check that one more of a user may wait.

        Raises
        ------
        ExecutionError
            If not.
        """
        users = [self._jobs[execution_id].execution.user_id for execution_id in self._waiting()]
        if users.count(user_id) >= most:
            raise ExecutionError(
                f"{most} executions of yours wait already, as many as may (server_queue_per_user). Try again when some "
                "of them have run.",
                "limit",
            )
        if len(users) >= MOST_WAITING:
            raise ExecutionError(f"{MOST_WAITING} executions wait already, as many as may. Try again later.", "limit")

    def put(self, job: Job) -> None:
        """Take in one that waits and is on disk."""
        self._jobs[job.execution.execution_id] = job
        self._places = None

    def started(self, job: Job) -> None:
        """Note that one was started, after which its user comes last."""
        self._last[job.execution.user_id] = job.execution.started or time.time()
        self._places = None

    def changed(self, job: Job, at_once: bool = False) -> None:
        """Note that something has changed which comes to the disk at once, or soon."""
        due = 0.0 if at_once else time.monotonic() + SAVED_S
        self._unsaved[job.execution.execution_id] = min(due, self._unsaved.get(job.execution.execution_id, due))

    def save(self, job: Job) -> None:
        """Keep it; if that cannot be now, then as soon as possible."""
        execution_id, self._places = job.execution.execution_id, None
        try:
            self._store.save(job)
        except ExecutionError as error:
            logger.error("Execution %s: %s", execution_id, error)
            self._unsaved[execution_id] = time.monotonic() + SAVED_S
            return
        self._unsaved.pop(execution_id, None)
        if job.execution.has_ended:
            self._jobs.pop(execution_id, None)

    def save_unsaved(self) -> None:
        """Keep what is due."""
        now = time.monotonic()
        for execution_id in [each for each, due in self._unsaved.items() if due <= now]:
            self.save(self._jobs[execution_id])

    def end(self, job: Job, state: State, message: str) -> None:
        """It has ended, whatever it was."""
        job.execution = replace(job.execution, state=state, ended=time.time(), message=message)
        self.save(job)
        logger.info("Execution %s of user %d: %s", job.execution.execution_id, job.execution.user_id, state)


def turns(waiting: Sequence[Job], last: Mapping[int, float]) -> list[str]:
    """Ids of executions in the order of their turns: one of each user after the other, of each first come.

    Parameters
    ----------
    waiting : sequence of Job
    last : mapping of int to float
        When an execution of each user was started last.
    """
    rounds: Counter[int] = Counter()
    places = []
    for job in sorted(waiting, key=lambda job: job.number):
        user = job.execution.user_id
        places.append((rounds[user], last.get(user, 0.0), job.number, job.execution.execution_id))
        rounds[user] += 1
    return [execution_id for *_, execution_id in sorted(places)]

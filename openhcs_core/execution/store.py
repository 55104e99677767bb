"""What a server knows of executions, on disk: nothing that it was told is forgotten when it is killed."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from openhcs_core.execution.errors import ExecutionError
from openhcs_core.execution.record import Execution, State
from openhcs_core.execution.requests import Execute
from openhcs_core.streaming.wire import read_object

STORE, LOCK = "executions.sqlite3", "server.lock"
SCHEMA = 1

_TABLE = """
create table executions (
    id text primary key,
    number integer not null,            -- of its turn
    user_id integer not null,
    request_key text,
    state text not null,
    created real not null,
    ended real,
    execution text not null,            -- JSON of Execution
    request text not null,              -- JSON of Execute, without its session
    session blob,                       -- sealed; only while it is needed
    pid integer not null default 0,
    start integer not null default 0,   -- of that process
    due real not null default 0,        -- not before this time
    tries integer not null default 0,   -- how often OMERO.server could not be reached
    unique (user_id, request_key)
);
create index executions_by_turn on executions (number);
create index executions_of_user on executions (user_id, created);
create index executions_in_state on executions (state, created);
"""


@dataclass
class Job:
    """An execution as the queue handles it.

    Attributes
    ----------
    number : int
        Of its turn; lower ones come first.
    execution : Execution
        What is told of it.
    session : bytes or None
        Sealed.
    pid, start : int
        Of its process; see `openhcs_core.streaming.identity`.
    due : float
        Seconds since 1970 before which it is not started.
    tries : int
        How often in a row OMERO.server could not be reached.
    """

    number: int
    execution: Execution
    session: bytes | None = None
    pid: int = 0
    start: int = 0
    due: float = 0.0
    tries: int = 0


class JobStore:
    """The records of one server, which alone may have them open. A context manager; safe for threads.

    Parameters
    ----------
    folder : Path
        State folder of the server.

    Raises
    ------
    ExecutionError
        If another server has them, or they cannot be read or written.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / STORE
        self._thread_lock = threading.Lock()
        self._folder_lock = _locked(folder / LOCK)
        try:
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
            self._db = self._opened()
        except BaseException as error:
            os.close(self._folder_lock)
            if isinstance(error, (OSError, sqlite3.Error)):
                raise ExecutionError(
                    f"{self._path} cannot be used: {error}. If it is damaged, move it away: a new one is made."
                ) from error
            raise

    def close(self) -> None:
        """Close the file, and let another server have it."""
        with self._thread_lock:
            self._db.close()
            os.close(self._folder_lock)

    def __enter__(self) -> JobStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add(self, execution: Execution, request: Execute, session: bytes) -> Job:
        """Keep a new execution. When this returns, it is on disk.

        Raises
        ------
        ExecutionError
            If it cannot be kept.
        """
        job = Job(0, execution, session)
        given = {
            "id": execution.execution_id,
            "user_id": execution.user_id,
            "request_key": request.request_key or None,
            "created": execution.created,
            "request": _text(request),
        }
        with self._transaction() as db:
            job.number = _next_number(db)
            values = given | _changing(job)
            places = ", ".join(f":{name}" for name in values)
            db.execute(f"insert into executions ({', '.join(values)}) values ({places})", values)
        return job

    def save(self, job: Job, behind_all: bool = False, request: Execute | None = None) -> None:
        """Keep what has changed; the session only until the execution has ended.

        Parameters
        ----------
        job : Job
        behind_all : bool
            Whether its turn comes after all others; its number changes then.
        request : Execute, optional
            What is asked for, if that has changed.

        Raises
        ------
        ExecutionError
            If it cannot be kept.
        """
        with self._transaction() as db:
            number = job.number
            try:
                if behind_all:
                    job.number = _next_number(db)
                values = _changing(job) | ({"request": _text(request)} if request else {})
                changes = ", ".join(f"{name} = :{name}" for name in values)
                db.execute(
                    f"update executions set {changes} where id = :id", values | {"id": job.execution.execution_id}
                )
            except BaseException:
                job.number = number
                raise

    def get(self, execution_id: str) -> Job | None:
        """An execution; None if there is none with this id."""
        return next(iter(self._jobs("id = ?", (execution_id,))), None)

    def by_key(self, user_id: int, request_key: str) -> Job | None:
        """The execution that a user has asked for with a key."""
        return next(iter(self._jobs("user_id = ? and request_key = ?", (user_id, request_key))), None)

    def request(self, execution_id: str) -> Execute:
        """What was asked for, without the session.

        Raises
        ------
        ExecutionError
            If there is no such execution.
        """
        with self._reading() as db:
            row = db.execute("select request from executions where id = ?", (execution_id,)).fetchone()
        if row is None:
            raise ExecutionError("There is no such execution.", "unknown", "execution_id")
        return read_object(Execute, json.loads(row[0]), Execute.command)

    def in_states(self, *states: State) -> list[Job]:
        """All executions in these states, in the order of their turns."""
        places = ", ".join("?" * len(states))
        return self._jobs(f"state in ({places}) order by number", states)

    def select(self, user_id: int | None = None, state: State | None = None, limit: int = 100) -> list[Execution]:
        """Executions of a user, or of all, newest first."""
        wanted = {"user_id": user_id, "state": state}
        given = {name: value for name, value in wanted.items() if value is not None}
        where = " and ".join([f"{name} = ?" for name in given] or ["true"])
        found = self._jobs(f"{where} order by created desc, number desc limit ?", (*given.values(), max(0, limit)))
        return [job.execution for job in found]

    def last_starts(self) -> Mapping[int, float]:
        """When an execution of each user was started last."""
        with self._reading() as db:
            rows = db.execute(
                "select user_id, max(json_extract(execution, '$.started')) from executions group by user_id"
            ).fetchall()
        return {user: started for user, started in rows if started is not None}

    def forget(self, before: float) -> list[str]:
        """Forget what had ended before a time; return the ids."""
        with self._transaction() as db:
            rows = db.execute("select id from executions where ended < ?", (before,)).fetchall()
            db.execute("delete from executions where ended < ?", (before,))
        return [row[0] for row in rows]

    def _opened(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._path, timeout=10, isolation_level=None, check_same_thread=False)
        try:
            db.execute("pragma journal_mode = wal")
            db.execute("pragma synchronous = full")
            db.execute("pragma secure_delete = on")  # no sealed session stays behind
            (version,) = db.execute("pragma user_version").fetchone()
            if version == 0:
                db.executescript(f"begin; {_TABLE} pragma user_version = {SCHEMA}; commit;")
            elif version != SCHEMA:
                raise ExecutionError(
                    f"{self._path} is of version {version}, and this OpenHCS reads {SCHEMA}: start the newer OpenHCS, "
                    "or move the file away."
                )
            return db
        except BaseException:
            db.close()
            raise

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._reading() as db:
            db.execute("begin immediate")
            try:
                yield db
                db.execute("commit")
            except BaseException:
                if db.in_transaction:
                    db.execute("rollback")
                raise

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._thread_lock:
            try:
                yield self._db
            except sqlite3.Error as error:
                raise ExecutionError(
                    f"The server cannot keep its records ({error}). Its administrator has to look at {self._path}."
                ) from error

    def _jobs(self, where: str, values: Sequence[Any]) -> list[Job]:
        names = "number, execution, session, pid, start, due, tries"
        with self._reading() as db:
            rows = db.execute(f"select {names} from executions where {where}", values).fetchall()
        return [Job(number, Execution.from_table(json.loads(text)), *rest) for number, text, *rest in rows]


def _next_number(db: sqlite3.Connection) -> int:
    return int(db.execute("select coalesce(max(number), 0) + 1 from executions").fetchone()[0])


def _text(request: Execute) -> str:
    table = asdict(request)
    del table["session"]
    return json.dumps(table)


def _changing(job: Job) -> dict[str, Any]:
    execution = job.execution
    return {
        "number": job.number,
        "state": execution.state,
        "ended": execution.ended if execution.has_ended else None,
        "execution": json.dumps(asdict(execution)),
        "session": None if execution.has_ended else job.session,
        "pid": job.pid,
        "start": job.start,
        "due": job.due,
        "tries": job.tries,
    }


def _locked(path: Path) -> int:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise ExecutionError(f"{path} cannot be made: {error.strerror}.") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if isinstance(error, BlockingIOError):
            raise ExecutionError(
                f"Another execution server uses {path.parent}. Stop it, or set another server_state in openhcs.toml."
            ) from None
        raise ExecutionError(f"{path} cannot be locked: {error.strerror}. Set server_state to a local disk.") from error
    return descriptor

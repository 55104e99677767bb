"""What a server does with each request: who asks, whether he may, and the answer. No sockets here."""

from __future__ import annotations

import os.path
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from openhcs_core import __version__
from openhcs_core.errors import OpenHCSError
from openhcs_core.execution.access import Access, User
from openhcs_core.execution.errors import ExecutionError
from openhcs_core.execution.inputs import viewer_request
from openhcs_core.execution.listener import Answer, Work
from openhcs_core.execution.places import checked_id
from openhcs_core.execution.record import Execution
from openhcs_core.execution.requests import Cancel, Execute, List, Logs, Ping, Request, Resume, Status, Watched
from openhcs_core.settings import Settings

if TYPE_CHECKING:
    from openhcs_core.execution.queue import JobQueue

PROTOCOL = 1
MAX_LISTED = 1000

_ID = re.compile(r"\d+")
_MAX_ID = 2**63 - 1


class Commands:
    """Answers requests; `take` in the thread of the sockets, everything else in threads of its own.

    Parameters
    ----------
    settings : Settings
    access : Access
    queue : JobQueue
    report : callable
        How the server is doing.
    local : bool
        Whether plates are folders of this machine.
    """

    def __init__(
        self,
        settings: Settings,
        access: Access,
        queue: JobQueue,
        report: Callable[[], dict[str, Any]],
        local: bool = False,
    ) -> None:
        self._settings, self._access, self._queue, self._report = settings, access, queue, report
        self._local, self._closing = local, False
        # What waits for OMERO must not hold up what only reads records.
        self._joining = ThreadPoolExecutor(4, "omero")
        self._reading = ThreadPoolExecutor(2, "records")
        self._actions: dict[type[Request], Callable[[Any], Answer]] = {
            Execute: self._execute,
            Status: lambda request: self._own(request).table(),
            List: self._list,
            Cancel: lambda request: self._queue.cancel(self._own(request).execution_id).table(),
            Resume: self._resume,
            Logs: self._logs,
        }

    def refuse(self) -> None:
        """From now on nothing new is taken."""
        self._closing = True

    def close(self) -> None:
        """End the threads; what waits is not answered."""
        for pool in (self._joining, self._reading):
            pool.shutdown(wait=False, cancel_futures=True)

    def take(self, request: Request, is_health: bool) -> Answer | Work:
        """The answer to a request, or who makes it; see `openhcs_core.execution.listener.Take`."""
        if isinstance(request, Ping):
            return (self._reading, lambda: self._pong() | self._report()) if is_health else self._pong()
        if is_health:
            raise ExecutionError("This is the port of health, which takes ping only.", "bad_request", "command")
        if isinstance(request, (Execute, Resume)) and self._closing:
            raise ExecutionError("The server is ending; it takes nothing new.", "closing")
        quick = not isinstance(request, (Execute, Resume)) and self._access.knows(request.session)
        return (self._reading if quick else self._joining), lambda: self._actions[type(request)](request)

    def _pong(self) -> dict[str, Any]:
        return {
            "status": "ok",
            "type": "pong",
            "ready": not self._closing,
            "version": __version__,
            "protocol": PROTOCOL,
            "time": time.time(),
        }

    def _execute(self, request: Execute) -> Answer:
        if request.workers == 0:
            raise ExecutionError("workers is how many wells at a time: 1 or more.", "bad_request", "workers")
        if self._local:
            user, place = self._access.user(request.session), self._folder(request)
        else:
            place = self._place(request)
            user = self._access.check_place(request.session, place)
        self._check_viewers(request)
        return self._queue.submit(request, place, user).table()

    def _place(self, request: Execute) -> str:
        from openhcs_core.omero.plates import is_location

        if (request.plate_id is None) == (not request.plate):
            raise ExecutionError("Give plate_id, or plate: one of them.", "bad_request", "plate_id")
        if request.plate_id is not None:
            return f"Plate:{request.plate_id}"
        if not is_location(request.plate) or any(int(number) > _MAX_ID for number in _ID.findall(request.plate)):
            raise ExecutionError(
                "plate is no place in OMERO. Give Plate:ID, Dataset:ID, Well:ID,ID... or Image:ID,ID...",
                "bad_request",
                "plate",
            )
        return request.plate

    def _folder(self, request: Execute) -> str:
        if request.plate_id is not None:
            raise ExecutionError("This server has no OMERO. Give a folder as plate.", "bad_request", "plate_id")
        if not os.path.isabs(request.plate) or not os.path.isdir(request.plate):
            raise ExecutionError(
                "plate is no folder of this machine. Give its full path, beginning with /.", "bad_request", "plate"
            )
        return request.plate

    def _check_viewers(self, request: Watched) -> None:
        try:
            viewers = viewer_request(request)
            if viewers is not None:
                viewers.viewers(self._settings, lambda line: None)
        except OpenHCSError as error:
            raise ExecutionError(str(error), "bad_request", "client_address") from error

    def _resume(self, request: Resume) -> Answer:
        user = self._access.user(request.session, fresh=True)
        execution = self._visible(request.execution_id, user)
        if execution.user_id != user.id:
            raise ExecutionError("Only its user can resume an execution: it runs in his session.", "no_access")
        self._check_viewers(request)
        return self._queue.resume(
            execution.execution_id, request.session, request.client_address, request.client_key
        ).table()

    def _list(self, request: List) -> Answer:
        user = self._access.user(request.session)
        if request.everyone and not user.is_admin:
            raise ExecutionError("Executions of all are for administrators of OMERO.", "no_access", "everyone")
        found = self._queue.list(
            None if request.everyone else user.id, request.state, max(1, min(request.limit, MAX_LISTED))
        )
        return {"status": "ok", "executions": [replace(execution, traceback="").table() for execution in found]}

    def _logs(self, request: Logs) -> Answer:
        execution = self._own(request)
        return {"status": "ok"} | self._queue.log(execution.execution_id, request.offset)

    def _own(self, request: Status | Cancel | Logs) -> Execution:
        return self._visible(request.execution_id, self._access.user(request.session))

    def _visible(self, execution_id: str, user: User) -> Execution:
        """An execution of a user; one of somebody else is as unknown to him as one that does not exist."""
        execution = self._queue.get(checked_id(execution_id))
        if execution is None or not (user.is_admin or execution.user_id == user.id):
            raise ExecutionError("There is no such execution.", "unknown", "execution_id")
        return execution

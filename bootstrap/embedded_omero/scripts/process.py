"""A running script, as the client which launched it sees it."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Any

import Ice
import omero
from omero.rtypes import rint, robject

from .. import errors
from ..context import Call
from ..services.job import set_message
from ..store import Record

if TYPE_CHECKING:
    from ..core import Core
    from ..sessions import Session

log = logging.getLogger(__name__)
TERM_SECONDS = 6  # between SIGTERM and SIGKILL, as omero-py's processor has it


class ScriptProcess:
    """omero.grid.ScriptProcess.

    Parameters
    ----------
    core : Core
    launcher : Session
        From which the script was launched; all its clients may ask for the process.
    job : Record
    session : Session
        The session in which the script runs.
    process : omero.grid.ProcessPrx
        The process at the processor.
    """

    exclusive = False  # waits for the processor

    def __init__(self, core: Core, launcher: Session, job: Record, session: Session, process) -> None:
        self.core, self.launcher, self.job, self.session = core, launcher, job, session
        self._process = process
        self._callbacks: dict[Any, Any] = {}
        self._code: int | None = None
        self._results: dict[str, Any] | None = None
        self._collected = False
        self._detached = False
        self._ending = threading.Lock()
        self._lock = threading.RLock()
        launcher.processes.append(self)

    # -- omero.grid.Process

    def poll(self, call: Call):
        self.check()
        return None if self._code is None else rint(self._code)

    def wait(self, call: Call) -> int:
        while not self.check():
            time.sleep(0.1)
        return self._code if self._code is not None else -1

    def cancel(self, call: Call) -> bool:
        return self._stop("cancel", "processCancelled")

    def kill(self, call: Call) -> bool:
        return self._stop("kill", "processKilled")

    def shutdown(self, call: Call) -> None:
        self.kill(call)

    def registerCallback(self, call: Call, callback) -> None:
        with self._lock:
            if callback is not None:
                self._callbacks[callback.ice_getIdentity()] = callback

    def unregisterCallback(self, call: Call, callback) -> None:
        with self._lock:
            self._callbacks.pop(callback.ice_getIdentity(), None)

    # -- omero.grid.ScriptProcess

    def getJob(self, call: Call):
        with self.core.store.lock:
            return call.own().wire(self.job)

    def getResults(self, call: Call, waitSecs: int) -> dict[str, Any]:
        """Outputs of the script; once, after its end."""
        if not 0 <= waitSecs <= 5:
            raise errors.api_usage("Refusing to wait more than 5 seconds: " + str(waitSecs))
        limit = time.monotonic() + waitSecs
        while not self.check() and time.monotonic() < limit:
            time.sleep(0.1)
        with self._lock:
            if self._collected:
                raise errors.api_usage("No current process.")
            if self._results is None:
                raise errors.api_usage("Process still running.")
            self._collected = True
            return self._results

    def setMessage(self, call: Call, message: str) -> str:
        with self.core.store.lock:
            return set_message(call, self.job, message)

    def close(self, call: Call, detach: bool) -> None:
        """Give up the process: it is killed unless it ended or shall go on alone."""
        self._detached = detach
        if not detach:
            self.end()
        with self.core.store.lock:
            self._leave()

    # -- life

    def check(self) -> bool:
        """Whether the script has ended; the first to notice collects the results and tells the callbacks."""
        with self._lock:
            if self._code is not None:
                return True
            try:
                code = self._process.poll()
            except Ice.LocalException as exc:
                log.warning("job %s: the processor is gone: %s", self.job.id, exc)
                code = rint(-1)
            except omero.ServerError as exc:
                log.debug("job %s: %s", self.job.id, exc.message)  # asked at a moment of change: ask again
                return False
            if code is None:
                if self.session.expired():  # its calls fail from now on; a server kills it within a minute
                    self.end()
                return False
            self._code = code.val
            with self.core.store.lock:
                self._results = self._collect()
                self.core.sessions.close(self.session)
        self._notify("processFinished", self._code)
        return True

    def _collect(self) -> dict[str, Any]:
        results = dict(self.session.outputs)
        # Recorded: who runs a script in another group than that of the session does not get the streams.
        launcher = Call(self.core, self.launcher)
        for link in self.core.store.where("JobOriginalFileLink", parent=self.job):
            if link["child"]["name"] in ("stdout", "stderr") and launcher.visible(link):
                results[link["child"]["name"]] = robject(omero.model.OriginalFileI(link["child"].id, False))
        return results

    def _stop(self, how: str, callback: str) -> bool:
        """Send the signal; answers, as the real one does, whether the process had ended before."""
        if self.check():
            return True
        done = self._signal(how)
        self._notify(callback, done)
        return done

    def _signal(self, how: str) -> bool:
        try:
            return bool(getattr(self._process, how)())
        except Ice.Exception as exc:
            log.warning("job %s: %s failed: %s", self.job.id, how, exc)
            return False

    def end(self) -> None:
        """Stop what still runs, politely first; does not wait."""
        # Not with the lock of `check`: sessions end while the store is locked, and a check may wait for the store.
        if self._code is not None or not self._ending.acquire(blocking=False):
            return
        threading.Thread(target=self._end, name=f"end job {self.job.id}", daemon=True).start()

    def _end(self) -> None:
        self._signal("cancel")
        limit = time.monotonic() + TERM_SECONDS
        while not self.check():
            if time.monotonic() > limit:
                self._signal("kill")
                return
            time.sleep(0.05)

    def session_closed(self) -> None:
        """The session which launched the script has ended."""
        if not self._detached:
            self.end()

    def _leave(self) -> None:
        if self in self.launcher.processes:
            self.launcher.processes.remove(self)
        self.core.withdraw(self.launcher, self)

    def _notify(self, method: str, value) -> None:
        for callback in list(self._callbacks.values()):
            proxy = omero.grid.ProcessCallbackPrx.uncheckedCast(self.core.router.reachable(callback).ice_oneway())
            try:
                getattr(proxy, method)(value)
            except Ice.LocalException as exc:
                log.debug("callback of job %s is gone: %s", self.job.id, exc)

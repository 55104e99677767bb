"""The processors which have announced themselves, and how one is found for a job."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import Ice
import omero

from ..store import Record

if TYPE_CHECKING:
    from ..context import Call
    from ..core import Core
    from ..sessions import Client
    from .process import ScriptProcess

log = logging.getLogger(__name__)
CHECK_SECONDS = 0.3


@dataclass
class _Processor:
    proxy: Any
    client: Client


class _Answers(omero.grid.ProcessorCallback):
    """Collects who accepts a job."""

    def __init__(self, expected: int) -> None:
        self.expected = expected
        self.responses = 0
        self.accepted: Any = None
        self.done = threading.Event()

    def isAccepted(self, accepted, sessionUuid, processorConn, current=None):
        self.isProxyAccepted(accepted, sessionUuid, None)

    def isProxyAccepted(self, accepted, sessionUuid, procProxy, current=None):
        self.responses += 1
        if accepted and self.accepted is None:
            self.accepted = procProxy
        if self.accepted is not None or self.responses >= self.expected:
            self.done.set()

    def responseRunning(self, jobIds, current=None):
        pass


class ProcessorPool:
    """Processors and the processes which run on them."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self.params: dict[tuple[int, str], Any] = {}  # parameters by id and hash of the script
        self._processors: list[_Processor] = []
        self._processes: list[ScriptProcess] = []
        self._watcher: threading.Thread | None = None
        self._closed = threading.Event()

    # -- who is there

    def add(self, client: Client, proxy) -> None:
        """A processor of a client announces itself."""
        self._processors.append(_Processor(proxy, client))

    def remove(self, proxy) -> None:
        identity = proxy.ice_getIdentity()
        self._processors = [p for p in self._processors if p.proxy.ice_getIdentity() != identity]

    def forget(self, client: Client) -> None:
        """The processors of a client which is gone."""
        self._processors = [p for p in self._processors if p.client is not client]

    # -- finding one

    def acquire(self, call: Call, job: Record, seconds: float):
        """Proxy of a processor which accepts the job.

        Raises
        ------
        omero.NoProcessorAvailable
            With the number of those who answered.
        """
        if self.core.knobs.take_busy():
            raise _none(0)
        processors = list(self._processors)
        answers = _Answers(len(processors))
        identity = Ice.Identity(str(uuid.uuid4()), "ProcessorCallback")
        callback = omero.grid.ProcessorCallbackPrx.uncheckedCast(self.core.adapter.add(answers, identity))
        try:
            with self.core.store.lock:
                asked = (call.wire(call.user), call.wire(call.group), call.wire(job))
            for processor in processors:
                self._ask(processor, asked, callback, answers)
            if processors:
                answers.done.wait(seconds)
        finally:
            self.core.unpublish(identity)
        if answers.accepted is None:
            raise _none(answers.responses)
        return omero.grid.ProcessorPrx.uncheckedCast(self.core.router.reachable(answers.accepted))

    def _ask(self, processor: _Processor, asked, callback, answers: _Answers) -> None:
        try:
            omero.grid.ProcessorPrx.uncheckedCast(self.core.router.reachable(processor.proxy)).willAccept(
                *asked, callback
            )
        except Ice.Exception as exc:
            log.info("processor does not answer: %s", exc)
            answers.expected -= 1
            if answers.responses >= answers.expected:
                answers.done.set()

    # -- running processes

    def running(self) -> list[ScriptProcess]:
        """Scripts which have not ended yet."""
        return list(self._processes)

    def watch(self, process: ScriptProcess) -> None:
        """Notice the end of a process although nobody asks."""
        with self.core.store.lock:
            self._processes.append(process)
            if self._watcher is None:
                self._watcher = threading.Thread(target=self._watch, name="script processes", daemon=True)
                self._watcher.start()

    def _watch(self) -> None:
        while not self._closed.wait(CHECK_SECONDS):
            for process in list(self._processes):
                if process.check():
                    self._processes.remove(process)

    def kill_all(self, seconds: float = 10) -> None:
        """End every script, at the end of the server."""
        self._closed.set()
        for process in list(self._processes):
            process.end()
        limit = time.monotonic() + seconds
        while any(not p.check() for p in list(self._processes)) and time.monotonic() < limit:
            time.sleep(0.05)


def _none(responses: int) -> omero.NoProcessorAvailable:
    text = f"No processor available! [{responses} response(s)]"
    return omero.NoProcessorAvailable("", "NoProcessorAvailable", text, responses)

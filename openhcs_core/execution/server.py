"""The execution server: one process beside the data, which runs pipelines for users of OMERO."""

from __future__ import annotations

import logging
import resource
import signal
import time
from typing import Any

from openhcs_core import __version__
from openhcs_core.execution.access import Access
from openhcs_core.execution.commands import Commands
from openhcs_core.execution.errors import ExecutionError
from openhcs_core.execution.health import Health
from openhcs_core.execution.keys import ServerKeys, local_session
from openhcs_core.execution.listener import Listener
from openhcs_core.execution.logs import open_server_log
from openhcs_core.execution.places import folders
from openhcs_core.execution.queue import JobQueue
from openhcs_core.execution.store import JobStore
from openhcs_core.settings import Settings
from openhcs_core.streaming.endpoints import is_local, parse, tcp
from openhcs_core.streaming.sockets import Server

logger = logging.getLogger(__name__)

MAX_FILES = 65_536


class OpenHCSExecutionServer:
    """Takes requests, keeps them, and runs them in processes of their own, each in the session it came with.

    Parameters
    ----------
    settings : Settings
    local : bool
        Without OMERO: for the user of this process, on this machine only; plates are folders.

    Raises
    ------
    OpenHCSError
        If a folder or a port cannot be used, or another server uses the folder.
    """

    def __init__(self, settings: Settings, local: bool = False) -> None:
        commands = tcp(*parse(f"tcp://{settings.server_listen}"))
        if local and not is_local(commands):
            raise ExecutionError(
                f"A server without OMERO listens on this machine only, not at {settings.server_listen}. "
                'Set server_listen = "127.0.0.1:7777" in openhcs.toml, or leave --local out.'
            )
        places = folders(settings)
        keys = ServerKeys.load(places.state)
        self._settings, self._local = settings, local
        self._told_to_end = self._closed = False
        self._access = Access(settings, local_session(places.state) if local else None)
        self._store = JobStore(places.state)
        self._log = open_server_log(places.logs)
        try:
            self._queue = JobQueue(settings, self._store, keys, places, self._join, local=local)
            self._health = Health(settings, places, self._queue.counts, local)
            self._commands = Commands(settings, self._access, self._queue, self._health.report, local)
            health = tcp(parse(commands).host, settings.server_health_port)
            self._listener = Listener(commands, health, keys.curve, self._commands.take)
        except BaseException:
            self._store.close()
            raise

    @property
    def address(self) -> Server:
        """Where it takes requests, and the key that clients pin."""
        return self._listener.commands

    @property
    def health(self) -> Server:
        """Where it says how it is doing."""
        return self._listener.health

    def start(self) -> OpenHCSExecutionServer:
        """Go on with what was queued, and begin to take requests. To be closed, then."""
        _logger().addHandler(self._log)
        _logger().setLevel(logging.INFO)
        logger.info("Version %s, for %s.", __version__, "this user" if self._local else self._settings.server_omero)
        if not self._local:
            # It takes half a second, in which nobody has to wait for an answer yet.
            import openhcs_core.omero.plates  # noqa: F401
        self._queue.start()
        self._health.start()
        self._listener.start()
        logger.info("Listening at %s, health at %s.", self.address.endpoint, self.health.endpoint)
        return self

    def run(self) -> int:
        """Start, serve until SIGTERM or SIGINT, and close; the exit status. In the main thread."""
        before = {number: signal.signal(number, self._stop) for number in (signal.SIGTERM, signal.SIGINT)}
        _allow_connections()
        try:
            self.start()
            while not self._told_to_end:
                time.sleep(0.1)  # a signal that another thread gets would not end a wait without limit
        finally:
            self.close(self._settings.server_grace_s)
            for number, handler in before.items():
                signal.signal(number, handler)
        return 0

    def close(self, grace_s: float = 0.0) -> None:
        """Take nothing new, let what runs finish for so long, interrupt the rest, and free the ports.

        Questions about executions are answered to the end. Safe to call again.
        """
        if self._closed:
            return
        self._closed = True
        self._commands.refuse()
        logger.info("Ending; %d executions run, and have %g s to finish.", self._queue.counts()[1], grace_s)
        self._queue.close(grace_s)
        self._listener.close()
        self._commands.close()
        self._health.close()
        self._store.close()
        logger.info("Ended.")
        _logger().removeHandler(self._log)
        _logger().setLevel(logging.NOTSET)
        self._log.close()

    def _stop(self, number: int, frame: Any) -> None:
        self._commands.refuse()
        self._told_to_end = True

    def _join(self, session: str) -> None:
        self._access.user(session, fresh=True)


def _allow_connections() -> None:
    """Let this process have as many as it may: each is an open file, and the usual limit is 1024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _logger() -> logging.Logger:
    return logging.getLogger("openhcs_core")

"""How a server is doing: what it needs is looked at from time to time, in a thread that may be held up."""

from __future__ import annotations

import contextlib
import logging
import shutil
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from openhcs_core import __version__
from openhcs_core.execution.places import Folders
from openhcs_core.pipeline.gpu import gpu_count, gpu_lock
from openhcs_core.settings import Settings
from openhcs_core.streaming.endpoints import parse

logger = logging.getLogger(__name__)

EVERY_S = 10.0
LATE_S = 60.0
CONNECT_S = 3.0
LITTLE_BYTES = 100 << 20


class Health:
    """What is known of a server and what it needs.

    Parameters
    ----------
    settings : Settings
    folders : Folders
    counts : callable
        How many executions are queued, and how many run.
    local : bool
        Whether it has no OMERO.
    """

    def __init__(
        self, settings: Settings, folders: Folders, counts: Callable[[], tuple[int, int]], local: bool = False
    ) -> None:
        self._omero = None if local else settings.server_omero
        self._places = {"state": folders.state, "logs": folders.logs, "scratch": settings.scratch}
        self._counts = counts
        self._began = self._looked = time.monotonic()
        self._reachable: bool | None = None
        self._since = time.time()
        self._found: dict[str, Any] = {"gpus": [], "disk": {}}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="health", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def close(self) -> None:
        """Look no more; a look that is held up is not waited for."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(CONNECT_S)

    def report(self) -> dict[str, Any]:
        """For JSON: ``uptime_s``, ``queued``, ``running``, ``omero``, ``gpus``, ``disk``, ``version``, ``problems``."""
        queued, running = self._counts()
        omero = None
        if self._omero:
            omero = {"host": self._omero, "reachable": self._reachable, "since": self._since}
        return {
            "version": __version__,
            "uptime_s": round(time.monotonic() - self._began, 1),
            "queued": queued,
            "running": running,
            "omero": omero,
            **self._found,
            "problems": self._problems(),
        }

    def _problems(self) -> list[str]:
        problems = []
        if self._reachable is False:
            since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self._since))
            problems.append(f"OMERO.server at {self._omero} cannot be reached since {since}.")
        for place, free in self._found["disk"].items():
            folder = self._places[place.removesuffix("_free_bytes")]
            if free is None:
                problems.append(f"{folder} cannot be looked at.")
            elif free < LITTLE_BYTES:
                problems.append(f"{folder} has only {free >> 20} MB left.")
        late = time.monotonic() - self._looked
        if late > LATE_S:
            problems.append(f"A look at OMERO, GPUs and disks has been held up for {late:.0f} s.")
        return problems

    def _run(self) -> None:
        while True:
            try:
                self._look()
            except Exception:
                logger.exception("The server could not be looked at.")
            if self._ended.wait(EVERY_S):
                return

    def _look(self) -> None:
        if self._omero:
            reachable = _listens(self._omero)
            if reachable != self._reachable:
                self._since = time.time()
                if self._reachable is not None or not reachable:
                    logger.warning("OMERO.server at %s %s.", self._omero, "is back" if reachable else "is not there")
            self._reachable = reachable
        self._found = {
            "gpus": [{"number": number, "busy": _is_busy(number)} for number in range(gpu_count())],
            "disk": {f"{place}_free_bytes": _free(folder) for place, folder in self._places.items()},
        }
        self._looked = time.monotonic()


def _listens(place: str) -> bool:
    try:
        socket.create_connection(parse(f"tcp://{place}"), CONNECT_S).close()
    except OSError:
        return False
    return True


def _free(folder: Any) -> int | None:
    with contextlib.suppress(OSError):
        return shutil.disk_usage(folder).free
    return None


class _Busy(Exception):
    """Somebody has the lock."""


def _is_busy(gpu: int) -> bool:
    """Whether a worker of this machine uses a GPU. (One that asks for it at this very moment asks again at once.)"""

    def busy() -> None:
        raise _Busy

    try:
        with gpu_lock([gpu], 0, busy):
            return False
    except _Busy:
        return True

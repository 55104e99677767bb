"""Keeps the sessions of executions that wait: unused ones would end, and the executions could not run."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from typing import TypeVar

from openhcs_core.execution.errors import ExecutionError

logger = logging.getLogger(__name__)

KEEP_S = 240.0
"""So often they are joined; sessions of OMERO end after ten minutes without use, unless configured otherwise."""

T = TypeVar("T")


class SessionKeeper:
    """A thread that joins sessions now and then.

    Parameters
    ----------
    waiting : callable
        Gives what waits, by the key of its session.
    check : callable
        Given the key of a session: joins it, and raises an `ExecutionError` with the code "no_session" if it is over.
    over : callable
        Given what waits with a session that is over.
    every_s : float
    """

    def __init__(
        self,
        waiting: Callable[[], Mapping[str, T]],
        check: Callable[[str], object],
        over: Callable[[T], object],
        every_s: float = KEEP_S,
    ) -> None:
        self._waiting, self._check, self._over, self._every_s = waiting, check, over, every_s
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._work, name="sessions", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """End; a session that is being joined is not waited for."""
        self._closing.set()

    def _work(self) -> None:
        while not self._closing.wait(self._every_s):
            for session, jobs in self._waiting().items():
                try:
                    self._check(session)
                except ExecutionError as error:
                    if error.code == "no_session" and not self._closing.is_set():
                        self._over(jobs)
                except Exception:
                    logger.exception("A session could not be checked")

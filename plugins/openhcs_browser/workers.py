"""Threads that ask OMERO, each through a connection of its own, so that no window ever waits for a server."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from typing import TypeVar

import Ice
import omero
from omero.gateway import BlitzGateway

from openhcs_browser.model import Account, account
from openhcs_core.omero.errors import OmeroError
from openhcs_core.omero.login import Login
from openhcs_core.omero.session import gateway, session, session_is_over

logger = logging.getLogger(__name__)

T = TypeVar("T")

THUMBNAIL_THREADS = 2
"""Each has a connection. What is asked for first in the tree shall not wait for thumbnails: that has one more."""


class SessionLost(OmeroError):
    """A session has ended, or its server cannot be reached any more."""

    def __init__(self, text: str, login: Login) -> None:
        super().__init__(text)
        self.login = login


class Workers:
    """Threads that work in a session.

    Parameters
    ----------
    login : Login
    threads : int
    name : str
    """

    def __init__(self, login: Login, threads: int, name: str) -> None:
        self._login = login
        self._pool = ThreadPoolExecutor(threads, f"openhcs-browser-{name}")
        self._local = threading.local()
        self._open: list[ExitStack] = []

    def submit(self, work: Callable[[BlitzGateway], T]) -> Future[T]:
        """Let a thread work with its gateway, which reads in all groups.

        The future can be cancelled as long as the work has not begun, and is cancelled after `close`. `SessionLost` is
        its exception if there is no session any more; a connection that broke is made again once.
        """
        try:
            return self._pool.submit(self._work, work)
        except RuntimeError:  # closed, and somebody has not heard of it yet
            future: Future[T] = Future()
            future.cancel()
            return future

    def close(self) -> None:
        """Forget what waits, wait for what has begun, and leave the session."""
        self._pool.shutdown(cancel_futures=True)
        for connection in self._open:
            _close(connection)

    def _work(self, work: Callable[[BlitzGateway], T]) -> T:
        for again in (True, False):
            conn = self._gateway()
            try:
                return work(conn)
            except (omero.ServerError, omero.ClientError, Ice.Exception) as error:
                if not (again and session_is_over(error)):
                    raise
                logger.info("Connecting again after %s", type(error).__name__)
                _close(self._local.connection)
                self._open.remove(self._local.connection)
                del self._local.conn
        raise AssertionError

    def _gateway(self) -> BlitzGateway:
        if not hasattr(self._local, "conn"):
            with ExitStack() as opening:
                try:
                    conn = opening.enter_context(self._login.gateway())
                except OmeroError as error:
                    raise SessionLost(str(error), self._login) from error
                self._local.connection = opening.pop_all()
            self._open.append(self._local.connection)
            self._local.conn = conn
        return self._local.conn


class Connection:
    """A session of OMERO, and the threads that work in it. Making one takes a second: not in the thread of a window.

    Parameters
    ----------
    host, port
        The OMERO.server.
    user, password : str
        For a new session, which ends with `close`.
    key : str
        Instead of them, of a session to join; it goes on.

    Raises
    ------
    OmeroError
        If the server cannot be reached or refuses the log-in.

    Attributes
    ----------
    account : Account
    login : Login
    tree, thumbnails : Workers
    """

    def __init__(self, host: str, port: int, *, user: str = "", password: str = "", key: str = "") -> None:
        self.host, self.port = host, port
        with ExitStack() as opening:
            client = opening.enter_context(session(host, port, user=user, password=password, key=key))
            try:
                self.account: Account = account(gateway(client))
            except (omero.ServerError, Ice.Exception) as error:
                raise OmeroError(
                    f"{host}:{port} does not answer as an OMERO.server ({type(error).__name__})."
                ) from error
            self.login = Login.of(client)
            self.tree = Workers(self.login, 1, "tree")
            self.thumbnails = Workers(self.login, THUMBNAIL_THREADS, "thumbnails")
            self._session = opening.pop_all()

    def close(self) -> None:
        """End the threads; and the session, if it began here. Not in the thread of a window."""
        self.tree.close()
        self.thumbnails.close()
        _close(self._session)


def _close(connection: ExitStack) -> None:
    with suppress(omero.ServerError, omero.ClientError, Ice.Exception):
        connection.close()

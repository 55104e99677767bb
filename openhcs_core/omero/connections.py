"""More than one connection in a session: reading through several at once is faster than through one."""

from __future__ import annotations

import logging
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import Ice
import omero

_log = logging.getLogger(__name__)

EXTRA = 2
"""Connections beside the one of the user. More are not faster, and every open store takes memory of the server."""


class Connections:
    """Further connections in the session of a client, and threads for all of them and the first.

    All who ask for those of one client share them; they end with the last `release`. The session itself
    goes on: these connections only leave it.

    Attributes
    ----------
    clients : list of omero.client
        None if the server refuses more than the one that is there.
    pool : ThreadPoolExecutor
    """

    _of: weakref.WeakKeyDictionary[omero.client, Connections] = weakref.WeakKeyDictionary()
    _lock = threading.Lock()

    def __init__(self, client: omero.client) -> None:
        self.clients: list[omero.client] = []
        self._users = 0
        try:
            for _ in range(EXTRA):
                self.clients.append(_joined(client))
        except (omero.ServerError, omero.ClientError, Ice.Exception) as error:
            _log.warning("Reading through %d connections, not more: %s", 1 + len(self.clients), type(error).__name__)
        self.pool = ThreadPoolExecutor(1 + len(self.clients), "omero")

    @classmethod
    def of(cls, client: omero.client) -> Connections:
        """Those of a client; every call needs a `release`."""
        with cls._lock:
            found = cls._of.get(client)
            if found is None:
                found = cls._of[client] = cls(client)
            found._users += 1
            return found

    def release(self) -> None:
        """Leave the session when nobody needs them any more."""
        with self._lock:
            self._users -= 1
            if self._users:
                return
            for client in [client for client, known in self._of.items() if known is self]:
                del self._of[client]
        self.pool.shutdown()
        for joined in self.clients:
            try:
                joined.closeSession()
            except Ice.Exception as error:
                _log.debug("A connection was not closed: %s", type(error).__name__)


def _joined(client: omero.client) -> omero.client:
    """Another client in the session of `client`, as well encrypted, which does not end it."""
    joined = client.createClient(client.isSecure())
    try:
        # Else the session would be closed if this client were the last to leave.
        joined.getSession().detachOnDestroy()
        joined.enableKeepAlive(60)
    except BaseException:
        joined.closeSession()
        raise
    return joined

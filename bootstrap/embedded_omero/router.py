"""The Glacier2 router which is also the server: sessions are made here, callbacks find their way back."""

from __future__ import annotations

import logging
import uuid
from typing import TYPE_CHECKING

import Ice
import omero
import omero.constants
from Glacier2_Router_ice import _M_Glacier2 as Glacier2

from .sessions import IDLE_MS, Client

if TYPE_CHECKING:
    from .server import Core

log = logging.getLogger(__name__)


class _Closed(Ice.ConnectionCallback):
    def __init__(self, router: Router) -> None:
        self.router = router

    def heartbeat(self, connection: Ice.Connection) -> None:
        pass

    def closed(self, connection: Ice.Connection) -> None:
        self.router.connection_closed(connection)


class Router(Glacier2.Router):
    """Log-in and the way back to clients.

    Every connection has a category; an object which a client hosts carries it in its identity, so that the
    server can call it over the client's own connection.
    """

    def __init__(self, core: Core) -> None:
        self.core = core
        self._categories: dict[str, str] = {}  # connection -> category
        self._connections: dict[str, Ice.Connection] = {}  # category -> connection
        self._clients: dict[str, Client] = {}  # connection -> client
        self._callback = _Closed(self)

    # -- Ice.Router

    def getClientProxy(self, current=None):
        return None  # clients then use the router's own endpoints

    def getServerProxy(self, current=None):
        return current.adapter.createProxy(current.id)

    def addProxies(self, proxies, current=None):
        return []

    # -- Glacier2.Router

    def getCategoryForClient(self, current=None):
        key = current.con.toString()
        with self.core.store.lock:
            if key not in self._categories:
                category = uuid.uuid4().hex
                self._categories[key] = category
                self._connections[category] = current.con
                current.con.setCallback(self._callback)
            return self._categories[key]

    def createSession_async(self, callback, userId, password, current=None):
        try:
            with self.core.store.lock:
                callback.ice_response(self._log_in(userId, password, current))
        except Ice.UserException as exc:
            callback.ice_exception(exc)
        except Exception as exc:
            log.exception("createSession failed")
            callback.ice_exception(omero.WrappedCreateSessionException(str(exc), False, 0, type(exc).__name__))

    def _log_in(self, name: str, password: str, current: Ice.Current) -> Ice.ObjectPrx:
        ctx = current.ctx
        session = self.core.sessions.log_in(
            name, password, ctx.get("omero.group", ""), ctx.get(omero.constants.AGENT, "")
        )
        client_uuid = ctx.get(omero.constants.CLIENTUUID) or str(uuid.uuid4())
        client = self.core.sessions.attach(session, client_uuid, current.con)
        self.getCategoryForClient(current)
        self._clients[current.con.toString()] = client
        return self.core.publish_session(client)

    def createSessionFromSecureConnection_async(self, callback, current=None):
        callback.ice_exception(Glacier2.PermissionDeniedException("certificates are not accepted here"))

    def destroySession(self, current=None):
        client = self._clients.pop(current.con.toString(), None)
        if client is None:  # ended by somebody else; a client which says good-bye need not know
            return
        with self.core.store.lock:
            self.core.sessions.leave(client)

    def refreshSession_async(self, callback, current=None):
        callback.ice_response()

    def getSessionTimeout(self, current=None):
        return IDLE_MS // 1000

    def getACMTimeout(self, current=None):
        return 60

    # -- callbacks

    def connection_closed(self, connection: Ice.Connection) -> None:
        """A client is gone, with or without a good-bye."""
        key = connection.toString()
        client = self._clients.pop(key, None)
        self._connections.pop(self._categories.pop(key, ""), None)
        if client is not None:
            with self.core.store.lock:
                self.core.sessions.leave(client)

    def reachable(self, proxy: Ice.ObjectPrx) -> Ice.ObjectPrx:
        """The same object over the connection of the client which hosts it; other proxies as they are."""
        connection = self._connections.get(proxy.ice_getIdentity().category)
        return proxy if connection is None else connection.createProxy(proxy.ice_getIdentity())

"""The world in which cases are asked: connections by user, and objects by name.

`World` connects and remembers; `seed` fills a server with users, groups and data, through its API only. Their names
carry a token, which answers lose again, so that a server may have been used before.
"""

from __future__ import annotations

import secrets
import time
from typing import Any

import omero
import omero.callbacks
import omero.clients
import omero.cmd
import omero.model
from omero.gateway import BlitzGateway

from .normalise import kind_of

LEVELS = {"private": "rw----", "ro": "rwr---", "ra": "rwra--", "rw": "rwrw--"}
"""Groups of which alice, bob and carol are members, by name, with their permissions."""
_INVOCATION_TIMEOUT = "--Ice.Default.InvocationTimeout=60000"


class World:
    """Connections to a server and names for what is on it.

    Parameters
    ----------
    host : str
    port : int
    user, password : str
        An administrator.

    Attributes
    ----------
    users : dict of str to tuple
        Login and password by name: alice, bob, carol (who leads the groups), dave (in a group of his own), eve (an
        administrator), lite (a restricted one), root.
    ids : dict of (str, str) to int
        Ids by space and name, such as ``("Image", "img_u16")``.
    symbols : dict of (str, int) to str
        The names, by space and id.
    """

    def __init__(self, host: str, port: int, user: str, password: str) -> None:
        self.host, self.port = host, port
        self.token = f"{int(time.time() * 10):x}"
        self.password = secrets.token_urlsafe(12)  # of all users made here
        self.users = {"root": (user, password)}
        self.ids: dict[tuple[str, str], int] = {}
        self.symbols = {("Experimenter", 0): "root", ("Experimenter", 1): "guest"}
        self.symbols |= {("ExperimenterGroup", id): name for id, name in enumerate(("system", "user", "guest"))}
        self._classes: dict[tuple[str, str], type] = {}
        self._clients: dict[str, omero.clients.BaseClient] = {}
        self._gateways: dict[str, BlitzGateway] = {}
        self._opened: list[omero.clients.BaseClient] = []

    def __enter__(self) -> World:
        return self

    def __exit__(self, *exc: object) -> None:
        for client in self._opened:
            client.__del__()  # ends the session too, unless a case did that already

    def seed(self) -> None:
        """Make users, groups and data."""
        from .seed import seed

        seed(self)

    # -- names

    def name(self, text: str) -> str:
        """A name for a user or group which this run only has."""
        return f"{text}.{self.token}"

    def add(self, obj: omero.model.IObject, name: str) -> omero.model.IObject:
        """Remember an object under a name."""
        kind = kind_of(obj)
        self.symbols[(kind, obj.id.val)] = name
        self.ids[(kind, name)] = obj.id.val
        self._classes[(kind, name)] = obj.__class__
        return obj

    def id(self, kind: str, name: str) -> int:
        return self.ids[(kind, name)]

    def ref(self, kind: str, name: str) -> omero.model.IObject:
        """The object of that name, unloaded."""
        return self._classes[(kind, name)](self.id(kind, name), False)

    def group(self, name: str) -> int:
        """Id of a group; -1 for all of them."""
        return -1 if name == "-1" else self.id("ExperimenterGroup", name)

    # -- connections; "alice@rw" is alice in the context of group rw

    def raw_client(self) -> omero.clients.BaseClient:
        """A client which is not logged in."""
        client = omero.client(args=[_INVOCATION_TIMEOUT], host=self.host, port=self.port)
        self._opened.append(client)
        return client

    def fresh(self, who: str) -> omero.clients.BaseClient:
        """A client with a session of its own."""
        client = self.raw_client()
        client.createSession(*self.users[who])
        return client

    def client(self, who: str) -> omero.clients.BaseClient:
        who = who.split("@")[0]
        if who not in self._clients:
            self._clients[who] = self.fresh(who)
        return self._clients[who]

    def sf(self, who: str) -> Any:
        """Session of a user, which is also the factory of services."""
        return self.client(who).sf

    def ctx(self, who: str) -> dict[str, str] | None:
        """Context of a call in a group. It replaces the implicit one, which is therefore in it."""
        user, at, group = who.partition("@")
        if not at:
            return None
        return {**self.client(user).getImplicitContext().getContext(), "omero.group": str(self.group(group))}

    def gw(self, who: str) -> BlitzGateway:
        """Gateway of a user."""
        if who not in self._gateways:
            user, at, group = who.partition("@")
            conn = self._gateways[who] = BlitzGateway(client_obj=self.fresh(user))
            if at:
                conn.SERVICE_OPTS.setOmeroGroup(self.group(group))
        return self._gateways[who]

    # -- changes

    def save(self, who: str, obj: omero.model.IObject, name: str | None = None) -> omero.model.IObject:
        """Save an object, and remember it if it gets a name."""
        saved = self.sf(who).getUpdateService().saveAndReturnObject(obj, self.ctx(who))
        return self.add(saved, name) if name else saved

    def submit(self, who: str, request: omero.cmd.Request) -> omero.cmd.Response:
        """Response to a command, also if that is a refusal."""
        handle = self.sf(who).submit(request, self.ctx(who))
        callback = omero.callbacks.CmdCallbackI(self.client(who), handle)
        try:
            return callback.loop(60, 500)
        finally:
            callback.close(True)

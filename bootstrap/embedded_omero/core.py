"""State of the server which all services share, and the life of their servants."""

from __future__ import annotations

import contextlib
import logging
import uuid
from pathlib import Path
from typing import Any

import Ice
import omero
import omero.constants

from . import (
    dispatch,
    enums,
    errors,
    slices,  # noqa: F401, I001  (before everything which imports parts of the model)
)
from .accounts import Accounts
from .context import Call
from .knobs import Knobs
from .repositories import Repositories
from .router import Router
from .services.base import Closeable
from .services.factory import ServiceFactory
from .services.registry import SERVICES
from .sessions import Client, Session, Sessions
from .store import Store

log = logging.getLogger(__name__)


class Core:
    """Everything one server consists of, except its sockets.

    Parameters
    ----------
    data_dir : Path
        Where pixels and files are kept.
    root_password : str
    """

    def __init__(self, data_dir: Path, root_password: str) -> None:
        from .scripts.pool import ProcessorPool

        self.data_dir = data_dir
        self.knobs = Knobs()
        self.store = Store()
        enums.install(self.store)
        self.accounts = Accounts(self.store, root_password)
        self.sessions = Sessions(self)
        self.repositories = Repositories(self)
        self.processors = ProcessorPool(self)
        self.config: dict[str, str] = {}
        self.router = Router(self)
        self.adapter: Ice.ObjectAdapter | None = None

    # -- servants

    def publish(self, interface: type, service: Any, owner: Client | Session, identity: Ice.Identity) -> Ice.ObjectPrx:
        """Make an implementation reachable; it is called with a `Call` of its client, or of any of its session."""

        def enter(current: Ice.Current) -> Call:
            return self._enter(owner, current)

        return _cast(interface, self.adapter.add(dispatch.servant(interface, service, enter), identity))

    def _enter(self, owner: Client | Session, current: Ice.Current) -> Call:
        if isinstance(owner, Client):
            session, client = owner.session, owner
            there = session.clients.get(client.uuid) is client
        else:
            session, client = owner, owner.clients.get(current.ctx.get(omero.constants.CLIENTUUID, ""))
            there = self.sessions.open.get(session.uuid) is session
        if not there:
            raise Ice.ObjectNotExistException()
        session.touch()
        return Call(self, session, client, current.ctx)

    def publish_session(self, client: Client) -> Ice.ObjectPrx:
        return self.publish(omero.api.ServiceFactory, ServiceFactory(), client, _session_identity(client))

    def service(self, client: Client, name: str) -> Ice.ObjectPrx:
        """A stateless service, made at the first request."""
        if name in client.services:
            return _cast(_known(name).interface, self.adapter.createProxy(client.services[name][0]))
        service = _known(name).implementation()()
        return self.add_service(client, name, _known(name).interface, service, Ice.Identity(client.session.uuid + name))

    def new_service(self, call: Call, name: str) -> Ice.ObjectPrx:
        """A stateful service of its own."""
        return self.new_object(call, _known(name).interface, _known(name).implementation()(), name)

    def new_object(self, call: Call, interface: type, service: Any, name: str) -> Ice.ObjectPrx:
        """Publish a stateful object for the caller until it is closed or the caller goes."""
        _require_client_uuid(call)
        name = str(uuid.uuid4()) + name
        return self.add_service(call.client, name, interface, service, Ice.Identity(name))

    def new_shared_object(self, call: Call, interface: type, service: Any, name: str, category: str) -> Ice.ObjectPrx:
        """Publish an object which outlives its client: any client of the session may use it, until the session ends."""
        _require_client_uuid(call)
        name += str(uuid.uuid4())
        return self.add_service(call.session, name, interface, service, Ice.Identity(name, category))

    def add_service(
        self, owner: Client | Session, key: str, interface: type, service: Any, identity: Ice.Identity
    ) -> Ice.ObjectPrx:
        identity.category = identity.category or owner.uuid
        owner.services[key] = (identity, service)
        return self.publish(interface, service, owner, identity)

    def withdraw(self, owner: Client | Session, service: Any) -> None:
        """Take a service away from its owner."""
        for key, (identity, found) in list(owner.services.items()):
            if found is service:
                del owner.services[key]
                self.unpublish(identity)

    def unpublish(self, identity: Ice.Identity) -> None:
        # If it is gone already, that is what was asked for.
        with contextlib.suppress(Ice.NotRegisteredException, Ice.ObjectAdapterDeactivatedException):
            self.adapter.remove(identity)

    def alive(self, proxy: Ice.ObjectPrx) -> bool:
        return self.adapter.find(proxy.ice_getIdentity()) is not None

    def release(self, client: Client) -> None:
        """Remove everything which lives on the server for a client."""
        self.release_services(client)
        self.unpublish(_session_identity(client))
        self.processors.forget(client)

    def release_services(self, owner: Client | Session) -> None:
        """Remove all services of a client, or what its clients shared of a session."""
        for identity, service in list(owner.services.values()):
            if isinstance(service, Closeable):
                service.discard()
            self.unpublish(identity)
        owner.services.clear()

    def submit(self, call: Call, request) -> Ice.ObjectPrx:
        """Run a command (`omero.cmd.Request`); answers its handle."""
        from .commands.handle import start

        return start(call, request)


def _session_identity(client: Client) -> Ice.Identity:
    return Ice.Identity(client.session.uuid, client.uuid)


def _require_client_uuid(call: Call) -> None:
    """Recorded: who makes a context of their own and leaves out what names the client cannot make objects."""
    if call.client is None or call.ctx.get(omero.constants.CLIENTUUID) != call.client.uuid:
        raise errors.internal("Cannot create session id for servant:\nno omero.client.uuid in the context of the call")


def _known(name: str):
    if name not in SERVICES:
        dispatch.missing[name] += 1
        log.warning("not implemented: %s", name)
        raise errors.internal(f"not implemented: {name}")
    return SERVICES[name]


def _cast(interface: Any, proxy: Ice.ObjectPrx) -> Ice.ObjectPrx:
    """Proxy of the right type: ``omero.api.IQueryPrx`` for ``omero.api.IQuery``."""
    parts = interface.ice_staticId().split("::")[1:]
    module: Any = {"omero": omero}[parts[0]]
    for part in parts[1:-1]:
        module = getattr(module, part)
    return getattr(module, parts[-1] + "Prx").uncheckedCast(proxy)

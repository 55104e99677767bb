"""Sessions: log-in, joining, reference counts, time-outs, inputs and outputs."""

from __future__ import annotations

import logging
import time
import uuid
from typing import TYPE_CHECKING, Any

import Ice
import omero
from Glacier2_Router_ice import _M_Glacier2 as Glacier2

from . import errors
from .store import Record, now_ms

if TYPE_CHECKING:
    from .server import Core

log = logging.getLogger(__name__)
IDLE_MS = 600_000
GRACE_SECONDS = 60  # an expired session is remembered that long, so that its users learn why it is gone


def _timestamp(ms: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(ms / 1000)) + f".{ms % 1000}"


class Client:
    """One client of a session: its connection and what lives on the server for it."""

    def __init__(self, session: Session, uuid: str, connection: Ice.Connection) -> None:
        self.session = session
        self.uuid = uuid
        self.connection = connection
        self.detached = False
        self.services: dict[str, tuple[Ice.Identity, Any]] = {}  # name -> identity and implementation
        self.processors: list[Any] = []


class Session:
    """State of one session."""

    def __init__(self, record: Record, user: Record, group: Record, sudoer: Record | None = None) -> None:
        self.record = record
        self.uuid: str = record["uuid"]
        self.user = user
        self.group = group
        self.sudoer = sudoer
        self.event_type: str = record["defaultEventType"]
        self.clients: dict[str, Client] = {}
        self.inputs: dict[str, Any] = {}
        self.outputs: dict[str, Any] = {}
        self.started = self.last_access = time.monotonic()
        self.hits = 0
        self.processes: list[Any] = []  # script processes started from here
        self.services: dict[str, tuple[Ice.Identity, Any]] = {}  # what all clients of the session share

    @property
    def references(self) -> int:
        return len(self.clients)

    def expired(self, grace: float = 0) -> str:
        """Which limit was exceeded, in the words of the server; empty while the session may be used."""
        now = time.monotonic()
        for name, since in (("timeToIdle", self.last_access), ("timeToLive", self.started)):
            limit = self.record[name] or 0
            over = (now - since - grace) * 1000 - limit
            if limit and over > 0:
                started = _timestamp(self.record["started"])
                return (
                    f"Session (started={started}, hits={self.hits}, last access={started}) "
                    f"exceeded {name} ({limit}) by {int(over)} ms"
                )
        return ""

    def touch(self) -> None:
        """Note a call; raise SessionTimeoutException when the session has expired."""
        reason = self.expired()
        if reason:
            raise errors.server_error(omero.SessionTimeoutException, reason)
        self.last_access = time.monotonic()
        self.hits += 1


class Sessions:
    """All open sessions of a server."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self.open: dict[str, Session] = {}
        self.node = core.store.add("Node", {"uuid": str(uuid.uuid4()), "conn": "embedded", "up": now_ms()})

    # -- opening

    def create(self, user: Record, group: Record | None = None, **options: Any) -> Session:
        """Open a session of a user without asking for a password; options as of `open_unchecked`."""
        group = group or self.core.accounts.default_group(user)
        if group is None:
            raise errors.security(f"User {user.id} is in no group and cannot login")
        if group not in self.core.accounts.groups_of(user) and not self.core.accounts.is_admin(user):
            raise errors.security(f"User {user.id} is not a member of group {group.id} and cannot login")
        return self.open_unchecked(user, group, **options)

    def open_unchecked(
        self,
        user: Record,
        group: Record,
        *,
        agent: str = "createSession",
        event_type: str = "User",
        live_ms: int = 0,
        idle_ms: int = IDLE_MS,
        sudoer: Record | None = None,
    ) -> Session:
        """Open a session in a group, whether or not the user is in it."""
        values = {
            "uuid": str(uuid.uuid4()), "owner": user, "node": self.node, "timeToIdle": idle_ms, "timeToLive": live_ms,
            "started": now_ms(), "message": "Initial message.", "defaultEventType": event_type, "userAgent": agent,
        }  # fmt: skip
        if sudoer is not None:
            values["sudoer"] = sudoer
        session = Session(self.core.store.add("Session", values), user, group, sudoer)
        self.open[session.uuid] = session
        return session

    def log_in(self, name: str, password: str, group: str, agent: str) -> Session:
        """The session for a name and password; the uuid of an open session as name joins that session.

        Raises
        ------
        Glacier2.PermissionDeniedException, omero.WrappedCreateSessionException
        """
        session = self.open.get(name)
        if session is not None:
            if session.expired():
                raise self._refused(f"Can't find default group for {name}")
            return session
        user = self.core.accounts.user(name)
        if user is None or not self.core.accounts.check_password(user, password):
            raise Glacier2.PermissionDeniedException(
                f"Password check failed for '{name}': [{self._reason(name, user)}]"
            )
        chosen = None
        if group:
            chosen = self.core.accounts.group(group)
            if chosen is None:
                raise self._refused(f"No such group: {group}")
        try:
            return self.create(user, chosen, agent=agent)
        except omero.SecurityViolation as exc:
            raise self._refused(exc.message) from None

    def _reason(self, name: str, user: Record | None) -> str:
        if user is not None:
            return f"id={user.id}"
        closed = self.core.store.find("Session", uuid=name)
        if closed is None or closed["closed"] is None:
            return ""
        times = [_timestamp(closed[n]) for n in ("started", "closed")]
        return f"user={closed['owner']['omeName']}, created={times[0]}, closed={times[1]}"

    @staticmethod
    def _refused(reason: str) -> omero.WrappedCreateSessionException:
        return omero.WrappedCreateSessionException(reason, False, 0, "SecurityViolation")

    # -- clients

    def attach(self, session: Session, client_uuid: str, connection: Ice.Connection) -> Client:
        """A client starts to use a session."""
        client = Client(session, client_uuid, connection)
        session.clients[client_uuid] = client
        return client

    def leave(self, client: Client) -> None:
        """A client goes; the last one to leave ends the session unless it detached itself."""
        session = client.session
        if session.clients.get(client.uuid) is not client:
            return
        del session.clients[client.uuid]
        self.core.release(client)
        if not session.clients and not client.detached:
            self.close(session)

    def drop_reference(self, session: Session, client: Client) -> None:
        """Cut off one client; the others stay."""
        session.clients.pop(client.uuid, None)
        self.core.release(client)

    def close(self, session: Session) -> None:
        """End a session: every client is cut off, its scripts are killed."""
        if self.open.pop(session.uuid, None) is None:
            return
        self.core.store.set(session.record, "closed", now_ms())
        for client in list(session.clients.values()):
            self.core.release(client)
        session.clients.clear()
        self.core.release_services(session)
        for process in list(session.processes):
            process.session_closed()
        session.inputs.clear()
        session.outputs.clear()

    def reap(self) -> None:
        """Close sessions which nobody uses and whose time has been over for a while."""
        for session in list(self.open.values()):
            if session.expired(GRACE_SECONDS) and not session.clients:
                self.close(session)

    def get(self, session_uuid: str) -> Session:
        """The open session with that uuid."""
        session = self.open.get(session_uuid)
        if session is None:
            raise errors.server_error(omero.RemovedSessionException, f"No context for {session_uuid}")
        return session

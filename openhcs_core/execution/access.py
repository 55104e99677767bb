"""Who asks, and what they may: users of OMERO, found out by joining the session that came with a request."""

from __future__ import annotations

import contextlib
import getpass
import hashlib
import re
import secrets
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from openhcs_core.errors import OpenHCSError
from openhcs_core.execution.errors import ExecutionError
from openhcs_core.settings import Settings

REMEMBERED_S = 60.0
"""So long a session is not joined again for requests that start nothing."""

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_ICE = {"Ice.Override.ConnectTimeout": "3000", "Ice.Default.InvocationTimeout": "20000"}
"""Milliseconds; omero-py tries to connect three times, with pauses."""


@dataclass(frozen=True)
class User:
    """Somebody of OMERO.

    Attributes
    ----------
    id : int
        -1 of a server without OMERO.
    name : str
    is_admin : bool
    groups : frozenset of int
    """

    id: int
    name: str
    is_admin: bool = False
    groups: frozenset[int] = frozenset()


@dataclass
class _Known:
    """A session that is, or is being, joined; `lock`: by one thread at a time."""

    user: User | None = None
    until: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def keep(self, user: User) -> User:
        """It was joined just now."""
        self.user, self.until = user, time.monotonic() + REMEMBERED_S
        return user


class Access:
    """Finds out who asks; for any thread.

    Parameters
    ----------
    settings : Settings
        Of which OMERO.server the sessions are.
    local : str, optional
        Of a server without OMERO: the session that its user has; see `openhcs_core.execution.keys.local_session`.
    """

    def __init__(self, settings: Settings, local: str | None = None) -> None:
        self._omero, self._local = settings.server_omero, local
        self._sessions: dict[bytes, _Known] = {}
        self._lock = threading.Lock()

    def knows(self, session: str) -> bool:
        """Whether `user` does not have to ask OMERO."""
        if self._local is not None or not _UUID.fullmatch(session):
            return True
        known = self._sessions.get(_digest(session))
        return known is not None and known.until > time.monotonic()

    def user(self, session: str, fresh: bool = False) -> User:
        """Whose session it is.

        Parameters
        ----------
        session : str
        fresh : bool
            Ask OMERO now, whatever is remembered.

        Raises
        ------
        ExecutionError
            If it is over or none ("no_session"), or OMERO cannot be asked ("omero").
        """
        if self._local is not None:
            return self._local_user(session)
        _check_key(session)
        known = self._known(session)
        with known.lock:
            if not fresh and known.user is not None and known.until > time.monotonic():
                return known.user
            try:
                with self._joined(session) as conn:
                    return known.keep(_user(conn))
            except ExecutionError:
                known.until = 0.0
                raise

    def check_place(self, session: str, place: str) -> User:
        """Whose session it is, who may see a place in OMERO and save results there.

        Raises
        ------
        ExecutionError
            As `user` does; and if they may not ("no_access").
        """
        from openhcs_core.omero.plates import load_targets

        _check_key(session)
        with self._joined(session) as conn:
            try:
                targets = load_targets(conn, place)
            except OpenHCSError as error:
                raise ExecutionError(str(error), "no_access", "plate") from error
            if not all(target.canAnnotate() for target in targets):
                raise ExecutionError(
                    f"You may see {place}, but not annotate it, so results could not be saved. Ask its owner.",
                    "no_access",
                    "plate",
                )
            return self._known(session).keep(_user(conn))

    def _local_user(self, session: str) -> User:
        if not secrets.compare_digest(session.encode(), str(self._local).encode()):
            raise ExecutionError(
                "This server has no OMERO: it runs for its own user, whose session is in its state folder.",
                "no_session",
                "session",
            )
        return User(-1, getpass.getuser(), is_admin=True)

    @contextlib.contextmanager
    def _joined(self, session: str) -> Iterator[Any]:
        """A gateway in a session, which goes on after it."""
        from openhcs_core.omero.errors import SessionOver
        from openhcs_core.omero.login import Login

        login = Login.at(self._omero, session, **_ICE)
        try:
            with login.gateway() as conn:
                yield conn
        except ExecutionError:
            raise
        except SessionOver as error:
            raise ExecutionError(f"{self._omero}: {error}", "no_session", "session") from None
        except OpenHCSError as error:
            raise ExecutionError(f"{error} Try again later.", "omero") from error
        except Exception as error:  # of Ice, in the middle of it
            raise ExecutionError(
                f"OMERO.server does not answer as it should ({type(error).__name__}). Try again later.", "omero"
            ) from error

    def _known(self, session: str) -> _Known:
        with self._lock:
            if len(self._sessions) > 10_000:
                self._forget(time.monotonic())
            return self._sessions.setdefault(_digest(session), _Known())

    def _forget(self, now: float) -> None:
        for digest in [digest for digest, known in self._sessions.items() if known.until < now]:
            if not self._sessions[digest].lock.locked():
                del self._sessions[digest]


def _user(conn: Any) -> User:
    context = conn.getEventContext()
    may = context.adminPrivileges
    # Who may act in the name of others anyway; a restricted administrator may not. (Old servers do not tell.)
    is_admin = bool(context.isAdmin) and (may is None or "Sudo" in may)
    return User(context.userId, context.userName, is_admin, frozenset(context.memberOfGroups))


def _check_key(session: str) -> None:
    """Refuse what OMERO does not have to be asked about."""
    if not _UUID.fullmatch(session):
        raise ExecutionError("The key of a session of OMERO is needed. Log in to OMERO.", "no_session", "session")


def _digest(session: str) -> bytes:
    """What a session is remembered by: who reads the memory of this server does not find its key."""
    return hashlib.sha256(session.encode()).digest()

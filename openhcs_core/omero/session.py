"""Sessions: log in or join, the gateway for reading, the context for writing, the time that is left."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import Glacier2
import Ice
import omero
import omero.clients
from omero.gateway import BlitzGateway
from omero.util.sessions import SessionsStore

from openhcs_core.omero.errors import SessionOver, Unreachable


@contextmanager
def session(host: str, port: int, *, user: str = "", password: str = "", key: str = "") -> Iterator[omero.client]:
    """A client in a session: a new one, closed at the end, or one that exists, left as it is.

    Parameters
    ----------
    host, port
        The OMERO.server.
    user, password : str
        For a new session.
    key : str
        Of the session to join, instead of `user` and `password`.

    Raises
    ------
    SessionOver
        If the server refuses the log-in.
    Unreachable
    """
    client = omero.client(host=host, port=port, args=["--Ice.Override.ConnectTimeout=10000"])
    try:
        try:
            if key:
                client.joinSession(key).detachOnDestroy()
            else:
                client.createSession(user, password)
        except (Glacier2.PermissionDeniedException, Glacier2.CannotCreateSessionException):
            reason = "the session is over; log in again" if key else f"wrong password, or no user '{user}'"
            raise SessionOver(f"{host}:{port} refused the log-in: {reason}.") from None
        except (Ice.Exception, omero.ClientError) as error:
            raise Unreachable(
                f"No OMERO.server could be reached at {host}:{port} ({type(error).__name__}). "
                "Check name, port and firewall, and whether it is running."
            ) from error
        client.enableKeepAlive(60)
        yield client
    finally:
        client.closeSession()


def stored_session() -> tuple[str, int, str] | None:
    """Host, port and key of the session made by ``omero login``, None if there is none."""
    host, _, key, port = SessionsStore().get_current()
    return (host, int(port), key) if host and key else None


def gateway(client: omero.client) -> BlitzGateway:
    """A gateway on the session of `client` that reads in all groups of the user."""
    conn = BlitzGateway(client_obj=client)
    conn.SERVICE_OPTS.setOmeroGroup("-1")
    return conn


def in_group(conn: BlitzGateway, group_id: int) -> dict[str, str]:
    """Context for calls in one group: what writes must not go to all groups."""
    context = conn.SERVICE_OPTS.copy()
    context.setOmeroGroup(group_id)
    return context


def session_deadline(conn: BlitzGateway) -> float | None:
    """When the session ends whatever is done in it, in seconds of `time.monotonic`; None if never.

    The sessions of scripts end ``omero.scripts.timeout`` after their start.
    """
    session = conn.c.sf.getSessionService().getSession(conn.c.getSessionId())
    if not session.timeToLive.val:
        return None
    now = conn.c.sf.getConfigService().getServerTime().val
    return time.monotonic() + (session.started.val + session.timeToLive.val - now) / 1000


def session_is_over(error: BaseException) -> bool:
    """Whether an exception tells that the session has ended or the server is gone."""
    gone = (
        omero.RemovedSessionException,
        omero.SessionTimeoutException,
        Ice.ObjectNotExistException,
        Ice.ConnectionLostException,
        Ice.ConnectionRefusedException,
        Ice.CommunicatorDestroyedException,
    )
    return isinstance(error, gone)

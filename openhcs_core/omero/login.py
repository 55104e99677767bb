"""How another process joins a session: what it needs to know, and nothing that is open."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import Glacier2
import Ice
import omero
from omero.gateway import BlitzGateway

from openhcs_core.omero.errors import OmeroError, SessionOver, Unreachable
from openhcs_core.omero.session import gateway, stored_session
from openhcs_core.streaming.endpoints import parse

_SECRET = ("omero.user", "omero.pass", "omero.sess")


@dataclass(frozen=True)
class Login:
    """A session of OMERO for other processes to join.

    It can be pickled: hand it from process to process by pipe, never by argument, environment, file or log.

    Attributes
    ----------
    properties : mapping of str to str
        Where the server is, as `omero.client` takes it.
    key : str
        Of the session.
    """

    properties: Mapping[str, str] = field(repr=False)
    key: str = field(repr=False)

    @classmethod
    def of(cls, client: omero.client) -> Login:
        """The session of a client."""
        properties = client.getPropertyMap()
        return cls({name: properties[name] for name in properties if name not in _SECRET}, client.getSessionId())

    @classmethod
    def at(cls, place: str, key: str, **properties: str) -> Login:
        """The session with a key on the server at ``host:port``."""
        host, port = parse(f"tcp://{place}")
        return cls({"omero.host": host, "omero.port": str(port), **properties}, key)

    @classmethod
    def stored(cls) -> Login:
        """The session of ``omero login``.

        Raises
        ------
        OmeroError
            If there is none.
        """
        found = stored_session()
        if found is None:
            raise OmeroError("Not logged in to OMERO. Run `omero login` first.")
        host, port, key = found
        return cls({"omero.host": host, "omero.port": str(port)}, key)

    @contextmanager
    def gateway(self) -> Iterator[BlitzGateway]:
        """A gateway of its own in the session, reading in all groups; the session goes on after it.

        Raises
        ------
        SessionOver
        Unreachable
        """
        client = omero.client(dict(self.properties))
        try:
            try:
                client.joinSession(self.key).detachOnDestroy()
            except (Glacier2.PermissionDeniedException, Glacier2.CannotCreateSessionException):
                raise SessionOver("the OMERO session is over. Log in again.") from None
            except (Ice.Exception, omero.ClientError) as error:
                raise Unreachable(f"OMERO.server cannot be reached ({type(error).__name__}).") from error
            client.enableKeepAlive(60)
            yield gateway(client)
        finally:
            client.closeSession()

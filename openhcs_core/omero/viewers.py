"""Who sees what a script makes: viewers as the person gave them, within what the site allows."""

from __future__ import annotations

import platform
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from openhcs_core.omero.errors import OmeroError
from openhcs_core.settings import Settings
from openhcs_core.streaming.endpoints import check_target, hosts_and_ports, is_local, parse, tcp
from openhcs_core.streaming.errors import SecurityError
from openhcs_core.streaming.security import CurveKeys, key_from_text, key_text
from openhcs_core.streaming.sockets import Server

if TYPE_CHECKING:
    from openhcs_core.pipeline.viewers import Viewers

LISTEN = "listen"
"""As address: the script listens, viewers come to it."""

STREAM = "Stream:"
"""How the message of a job begins that streams: followed by where it listens, or by its key."""


@dataclass(frozen=True)
class ViewerRequest:
    """The parameters ``Viewer_Address`` and ``Viewer_Key`` of a script.

    Attributes
    ----------
    servers : tuple of Server
        Viewers that listen.
    listen : bool
        Whether viewers come to the script.
    allow : tuple of str
        Public keys of those that may.
    """

    servers: tuple[Server, ...] = ()
    listen: bool = False
    allow: tuple[str, ...] = ()

    @classmethod
    def from_inputs(cls, inputs: Mapping[str, Any]) -> ViewerRequest | None:
        """The request behind the inputs of a script, unwrapped; None if there is none.

        Raises
        ------
        OpenHCSError
            If an input makes no sense by itself.
        """
        places, given = (_words(inputs.get(name)) for name in ("Viewer_Address", "Viewer_Key"))
        keys = tuple(key_from_text(text) for text in given)
        listen = LISTEN in (place.lower() for place in places)
        servers = [Server.from_text(place) for place in places if place.lower() != LISTEN]
        if listen:
            if not keys:
                raise OmeroError(
                    "Viewer_Address is 'listen': give the public key of the viewer as Viewer_Key. "
                    "`openhcs view` prints it."
                )
            return cls(tuple(servers), True, keys)
        if keys:
            if len(keys) > 1 or len(servers) != 1 or servers[0].public_key not in (None, *keys):
                raise OmeroError(
                    "Viewer_Key is the key of one viewer, or with 'listen' as Viewer_Address of those that may come "
                    "in. Write the keys of several viewers behind their addresses: tcp://HOST:PORT/KEY."
                )
            servers = [Server(servers[0].endpoint, keys[0])]
        return cls(tuple(servers)) if servers else None

    def viewers(self, settings: Settings, told: Callable[[str], object]) -> Viewers:
        """Where to connect to and to listen, with new keys where keys are needed.

        Parameters
        ----------
        settings : Settings
        told : callable
            Given the line by which a viewer finds and lets in the script, once there is one; see `stream_line`.

        Raises
        ------
        OpenHCSError
            If the site does not allow it, or a key is missing.
        """
        from openhcs_core.pipeline.viewers import Viewers

        servers = tuple(_allowed(server, settings) for server in self.servers)
        secured = self.listen or any(server.public_key for server in servers)
        keys = CurveKeys.new() if secured else None
        return Viewers(
            connect=servers,
            listen=_endpoints(settings) if self.listen else (),
            keys=keys,
            allow=self.allow,
            options=settings.publisher_options(),
            everything=True,
            ready=lambda server: told(stream_line(server, keys, settings)),
        )


def stream_line(listening: Server | None, keys: CurveKeys | None, settings: Settings) -> str:
    """``Stream: ADDRESS`` of a script that listens, else ``Stream: KEY`` for viewers to let it in; empty if neither."""
    if listening is not None:
        host, port = parse(listening.endpoint)
        if settings.viewer_host or host in ("*", "0.0.0.0", "::"):
            host = settings.viewer_host or platform.node()
        return f"{STREAM} {Server(tcp(host, port), listening.public_key)}"
    return f"{STREAM} {key_text(keys.public)}" if keys else ""


def _words(text: str | None) -> list[str]:
    return list(dict.fromkeys(word for word in re.split(r"[\s,]+", text or "") if word))


def _allowed(server: Server, settings: Settings) -> Server:
    """The viewer, by number."""
    try:
        endpoint = check_target(server.endpoint, settings.viewer_targets)
    except SecurityError as error:
        instead = f", or give '{LISTEN}' as Viewer_Address" if settings.viewer_listen else ""
        raise OmeroError(
            f"scripts may not connect to {server.endpoint} here. Ask the administrator to add it to viewer_targets in "
            f"openhcs.toml{instead}."
        ) from error
    if server.public_key is None and not is_local(endpoint):
        raise OmeroError(
            f"the viewer at {server.endpoint} is on another machine, so its public key is needed. Give its address as "
            "`openhcs view` prints it, tcp://HOST:PORT/KEY, or the key as Viewer_Key."
        )
    return Server(endpoint, server.public_key)


def _endpoints(settings: Settings) -> list[str]:
    if settings.viewer_listen is None:
        raise OmeroError(
            f"Viewer_Address is '{LISTEN}', but scripts may not listen here. Ask the administrator to set "
            "viewer_listen in openhcs.toml, or give the address of a viewer."
        )
    host, first, last = hosts_and_ports(settings.viewer_listen)
    return [tcp(host, port) for port in range(first, last + 1)]

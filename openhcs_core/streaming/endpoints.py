"""Where publishers and viewers listen, and which of these places may be used."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Sequence
from typing import NamedTuple

from openhcs_core.streaming.errors import SecurityError, StreamingError

NAPARI_PORT = 5555
FIJI_PORT = 5565
CONTROL_OFFSET = 1000
"""Distance from the port of the data to that of control."""

_TCP = re.compile(r"tcp://(?P<host>\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9_.*-]+):(?P<port>\d{1,5})")
_ALLOWED = re.compile(r"(?P<place>\[[^\]]+\](?:/\d+)?|[^:]+)(?::(?P<first>\d+)(?:-(?P<last>\d+))?)?")


class Address(NamedTuple):
    """Host and port of an endpoint."""

    host: str
    port: int


def parse(endpoint: str) -> Address:
    """Host and port of an endpoint such as ``tcp://127.0.0.1:5555``.

    Raises
    ------
    StreamingError
        If it is none.
    """
    found = _TCP.fullmatch(endpoint)
    if found is None or int(found["port"]) > 65535:
        raise StreamingError(f"{endpoint!r} is no address of a viewer; write it like tcp://192.168.1.20:{NAPARI_PORT}.")
    return Address(found["host"].strip("[]"), int(found["port"]))


def tcp(host: str, port: int) -> str:
    """The endpoint of a host and port."""
    return f"tcp://[{host}]:{port}" if ":" in host else f"tcp://{host}:{port}"


def control_of(endpoint: str) -> str:
    """The control endpoint that belongs to a data endpoint."""
    host, port = parse(endpoint)
    if port + CONTROL_OFFSET > 65535:
        raise StreamingError(f"Port {port} is too high: control is at this + {CONTROL_OFFSET}. Choose a lower one.")
    return tcp(host, port + CONTROL_OFFSET)


def is_local(endpoint: str) -> bool:
    """Whether nothing that goes there can leave this machine."""
    if endpoint.startswith("ipc://"):
        return True
    host = parse(endpoint).host
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name, or *
        return False


def check_target(endpoint: str, allowed: Sequence[str]) -> str:
    """The endpoint, by number, of a viewer that a user asks this machine to connect to.

    An address that a user gives is otherwise a way into the network of the server.

    Parameters
    ----------
    endpoint : str
    allowed : sequence of str
        Networks, addresses or names of hosts, each with an optional port or range of ports: ``10.1.0.0/16``,
        ``127.0.0.1:5555-5600``, ``desk-12.example.org:5555``.

    Returns
    -------
    str
        With the address that was checked in place of the name, so that it cannot become another one.

    Raises
    ------
    SecurityError
        If it is not allowed.
    StreamingError
        If it is no endpoint, or its host is unknown.
    """
    host, port = parse(endpoint)
    try:
        numbers = {str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
    except OSError as error:
        raise StreamingError(f"The host of {endpoint} is not known here: {error.strerror}.") from error
    for entry in allowed:
        place, first, last = hosts_and_ports(entry)
        if not first <= port <= last:
            continue
        fitting = sorted(number for number in numbers if _is_in(number, host, place))
        if fitting:
            return tcp(fitting[0], port)
    raise SecurityError(
        f"This server may not connect to {endpoint}. Ask its administrator to allow this in the settings, or let the "
        "viewer connect to the server instead."
    )


def hosts_and_ports(entry: str) -> tuple[str, int, int]:
    found = _ALLOWED.fullmatch(entry)
    if found is None:
        raise SecurityError(
            f"{entry!r} is no network, address or host with optional ports, such as 10.1.0.0/16:5555-5600."
        )
    first = int(found["first"] or 0)
    last = int(found["last"] or found["first"] or 65535)
    return found["place"].replace("[", "").replace("]", ""), first, last


def _is_in(number: str, host: str, place: str) -> bool:
    try:
        return ipaddress.ip_address(number.partition("%")[0]) in ipaddress.ip_network(place, strict=False)
    except ValueError:  # the place is a name
        return host.lower() == place.lower()

"""What publishers and viewers do alike with their sockets, each in one thread of its own."""

from __future__ import annotations

import socket
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, NamedTuple

import zmq

from openhcs_core.streaming.endpoints import is_local, parse, tcp
from openhcs_core.streaming.errors import StreamingError
from openhcs_core.streaming.messages import Message
from openhcs_core.streaming.security import CurveKeys, Gate, require_keys, secure_client, secure_server
from openhcs_core.streaming.wire import Buffer, encode

PING_S = 1.0
LOST_S = 4.0
"""Who has been silent for so long is taken for gone."""

_AT_ONCE = 256


class Server(NamedTuple):
    """Somebody who listens: endpoint, and public key outside this machine."""

    endpoint: str
    public_key: str | None = None


def listen(context: zmq.Context, endpoint: str, keys: CurveKeys | None, max_bytes: int) -> tuple[zmq.Socket, str]:
    """A ROUTER that listens, and its endpoint with the real port.

    Raises
    ------
    SecurityError
        If it needs keys.
    StreamingError
        If the port is taken, or the address is none of this machine.
    """
    require_keys(endpoint, keys)
    router = context.socket(zmq.ROUTER)
    router.router_mandatory = True
    _set_up(router, max_bytes)
    if keys is not None:
        secure_server(router, keys)
    try:
        if not endpoint.startswith("ipc://"):
            host, port = parse(endpoint)
            router.ipv6 = ":" in host
            endpoint = tcp("127.0.0.1" if host == "localhost" else host, port)
        router.bind(endpoint)
    except zmq.ZMQError as error:
        router.close()
        why = "it is in use" if error.errno == zmq.EADDRINUSE else error.strerror
        raise StreamingError(f"Cannot listen at {endpoint}: {why}. Choose another port.") from error
    return router, router.last_endpoint.decode()


def connect(context: zmq.Context, server: Server, keys: CurveKeys | None, max_bytes: int) -> zmq.Socket:
    """A DEALER that connects, now or when there is somebody; what is on its way when it breaks is lost.

    Raises
    ------
    SecurityError
        If keys are needed or make no sense.
    StreamingError
        If it is no endpoint.
    """
    local = is_local(server.endpoint)
    if not local and (keys is None or server.public_key is None):
        require_keys(server.endpoint, None)
    dealer = context.socket(zmq.DEALER)
    try:
        dealer.immediate = True
        dealer.reconnect_ivl, dealer.reconnect_ivl_max = 100, 1000
        dealer.ipv6 = "[" in server.endpoint
        _set_up(dealer, max_bytes)
        if keys is not None and server.public_key is not None:
            secure_client(dealer, keys, server.public_key)
        dealer.connect(server.endpoint)
    except BaseException:
        dealer.close()
        raise
    return dealer


def messages(source: zmq.Socket) -> Iterator[list[zmq.Frame]]:
    """What has come, as frames; not for ever."""
    for _ in range(_AT_ONCE):
        try:
            yield source.recv_multipart(zmq.NOBLOCK, copy=False)
        except zmq.Again:
            return


class Peer(NamedTuple):
    """Where somebody is reached: a socket, and on a ROUTER the way from it."""

    socket: zmq.Socket
    route: bytes = b""

    def send(self, message: Message, payload: Buffer | None = None, **changes: Any) -> zmq.MessageTracker | None:
        """Send, some fields changed, if that is possible at once; None if it is not.

        The tracker tells when the payload is not needed any more.

        Raises
        ------
        ConnectionError
            If nobody is there any more.
        """
        frames = encode(message, payload, **changes)
        if self.route:
            frames.insert(0, self.route)
        try:
            if payload is None:
                self.socket.send_multipart(frames, zmq.NOBLOCK)
                return _SENT
            return self.socket.send_multipart(frames, zmq.NOBLOCK, copy=False, track=True)
        except zmq.ZMQError as error:
            if error.errno == zmq.EHOSTUNREACH:
                raise ConnectionError from error
            return None


_SENT = zmq.MessageTracker()
"""Of a message that was copied as it was sent."""


def incoming(source: zmq.Socket, frames: list[zmq.Frame]) -> tuple[Peer, list[Buffer]]:
    """Who sent frames, and the message in them."""
    route = bytes(frames[0].buffer) if source.type == zmq.ROUTER else b""
    return Peer(source, route), [frame.buffer for frame in frames[bool(route) :]]


def _set_up(any_socket: zmq.Socket, max_bytes: int) -> None:
    any_socket.linger = 0
    any_socket.maxmsgsize = max_bytes
    any_socket.rcvhwm = 256
    any_socket.sndhwm = 1000
    any_socket.tcp_keepalive = 1
    any_socket.handshake_ivl = 5000


class Mailbox:
    """Hands work to a thread that polls sockets. Any thread may `post`; `fd` becomes readable."""

    def __init__(self) -> None:
        self._reading, self._writing = socket.socketpair()
        self._reading.setblocking(False)
        self._writing.setblocking(False)
        self._work: deque[Callable[[], None]] = deque()
        self._woken = False
        self._lock = threading.Lock()

    @property
    def fd(self) -> int:
        return self._reading.fileno()

    def post(self, work: Callable[[], None] | None = None) -> None:
        """Wake the thread, with something to do."""
        if work is not None:
            self._work.append(work)
        if not self._woken:
            with self._lock:
                if not self._woken and self._writing.fileno() >= 0:
                    self._woken = True
                    with suppress(BlockingIOError):
                        self._writing.send(b"\0")

    def work(self) -> None:
        """Do what has been posted; in the thread."""
        with suppress(BlockingIOError):
            while self._reading.recv(4096):
                pass
        self._woken = False
        while self._work:
            self._work.popleft()()

    def close(self) -> None:
        with self._lock:
            self._reading.close()
            self._writing.close()


def open_gate(context: zmq.Context, keys: CurveKeys | None, allowed: tuple[str, ...]) -> Gate | None:
    """The gate of a context, where there are keys."""
    return Gate(context, allowed) if keys is not None else None

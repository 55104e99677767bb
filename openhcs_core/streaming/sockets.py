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
from openhcs_core.streaming.security import (
    CurveKeys,
    Gate,
    key_from_text,
    key_text,
    require_keys,
    secure_client,
    secure_server,
)
from openhcs_core.streaming.wire import Buffer, encode

PING_S = 1.0
LOST_S = 4.0
"""Who has been silent for so long is taken for gone."""

_AT_ONCE = 256


class Server(NamedTuple):
    """Somebody who listens: endpoint, and public key outside this machine.

    As text ``tcp://192.168.1.20:5555/KEY``, the key in hexadecimal: one word that can be copied anywhere.
    """

    endpoint: str
    public_key: str | None = None

    @classmethod
    def from_text(cls, text: str) -> Server:
        """What a text says.

        Raises
        ------
        StreamingError
            If it is no address.
        SecurityError
            If what follows the address is no key.
        """
        scheme, slashes, rest = text.strip().partition("://")
        place, _, key = rest.partition("/")
        endpoint = scheme + slashes + place
        parse(endpoint)
        return cls(endpoint, key_from_text(key) if key else None)

    def __str__(self) -> str:
        return f"{self.endpoint}/{key_text(self.public_key)}" if self.public_key else self.endpoint


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
    """A DEALER that connects, now or when there is somebody; what is sent before, or while it breaks, may come later.

    So who listens must expect old messages of those that connect. (With ZMQ_IMMEDIATE these would be lost instead, but
    ZeroMQ then ends the process if a connection breaks while a message of several frames is being read.)

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


def messages(source: zmq.Socket) -> Iterator[list[Buffer]]:
    """What has come, as frames; not for ever. Frames that no message has are not kept."""
    headers = 3 if source.type == zmq.ROUTER else 2
    for _ in range(_AT_ONCE):
        try:
            frames: list[Buffer] = [source.recv(zmq.NOBLOCK)]
        except zmq.Again:
            return
        while source.getsockopt(zmq.RCVMORE):
            # Only a payload is worth it to be left where ZeroMQ has it, with all that came together with it.
            part = source.recv() if len(frames) < headers else source.recv(copy=False).buffer
            if len(frames) < headers + 2:
                frames.append(part)
        yield frames


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


def incoming(source: zmq.Socket, frames: list[Buffer]) -> tuple[Peer, list[Buffer]]:
    """Who sent frames, and the message in them."""
    route = bytes(frames[0]) if source.type == zmq.ROUTER else b""
    return Peer(source, route), frames[bool(route) :]


def _set_up(any_socket: zmq.Socket, max_bytes: int) -> None:
    any_socket.linger = 0
    any_socket.maxmsgsize = max_bytes
    any_socket.rcvhwm = 256
    any_socket.sndhwm = 1000
    any_socket.tcp_keepalive = 1
    any_socket.handshake_ivl = 1000


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

    def call(self, work: Callable[[], object], thread: threading.Thread) -> None:
        """Have something done in the thread, which is another one, and wait for it; raises what it raises."""
        done = threading.Event()
        problems: list[Exception] = []

        def call() -> None:
            try:
                work()
            except Exception as error:
                problems.append(error)
            done.set()

        self.post(call)
        while not done.wait(0.1) and thread.is_alive():
            pass
        if problems:
            raise problems[0]

    def work(self, woken: bool) -> None:
        """Do what has been posted; in the thread, which says whether `fd` is readable."""
        if woken:
            with suppress(BlockingIOError):
                self._reading.recv(16)  # there is one byte at most
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

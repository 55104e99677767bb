"""What strangers send to a server: noise, broken requests, recorded and made up bytes."""

from __future__ import annotations

import json
import random
import socket
import threading
import uuid
from contextlib import suppress

import zmq
from zmq.utils.monitor import recv_monitor_message

FIELDS = (
    *("command", "type", "session", "execution_id", "plate_id", "plate", "pipeline_code", "config_code", "wells"),
    *("workers", "outputs", "resume", "state", "limit", "everyone", "offset", "client_address", "nonsense"),
)
VALUES = (
    *(None, True, False, 0, -1, 1, 2**63, 2**64, 1e400, 1.5, "", "x", "\0", "é", "\ud800", "a" * 5000, [], {}, [[]]),
    *(["A01"], [1], ["\udfff"], {"a": 1}, "../../etc/passwd", "/etc/passwd", str(uuid.UUID(int=0)), "9" * 400),
    *("Plate:1", "Plate:" + "9" * 30, "listen", "tcp://[::1]:1/x", "127.0.0.1:5555", "${HOME}", "'; drop table x; --"),
)
COMMANDS = ("execute", "status", "list", "cancel", "resume", "logs", "ping", "shutdown", "", "\0")


def hostile(chance: random.Random, session: str) -> list[bytes]:
    """Frames nobody should send, behind the empty one."""
    kind = chance.random()
    if kind < 0.2:
        return [chance.randbytes(chance.choice([0, 1, 5, 30, 300])) for _ in range(chance.randint(1, 5))]
    if kind < 0.3:
        depth = chance.choice([10, 1000, 60_000])
        opening, closing = chance.choice([(b"[", b"]"), (b'{"a":', b"}"), (b'[{"session":', b"}]")])
        return [opening * depth + (b"1" + closing * depth if chance.random() < 0.5 else b"")]
    if kind < 0.35:
        return [chance.choice([b"[" * 250_000, b"9" * 250_000, b'"' + b"a" * 250_000, b"{" + b'"a":1,' * 40_000])]
    table = {chance.choice(FIELDS): chance.choice(VALUES) for _ in range(chance.randint(0, 6))}
    table["command"] = chance.choice(COMMANDS)
    if chance.random() < 0.7:
        table["session"] = session
    text = bytearray(json.dumps(table).encode())
    for _ in range(chance.choice([0, 0, 1, 3])):
        text[chance.randrange(len(text))] = chance.randrange(256)
    return [bytes(text)]


class Proxy:
    """Stands between one client and a server, and keeps what the client sends. A context manager.

    Attributes
    ----------
    endpoint : str
        For the client.
    sent : bytes
        By the client.
    """

    def __init__(self, port: int) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"tcp://127.0.0.1:{self._listening.getsockname()[1]}"
        self.sent = b""
        self._port = port
        self._threads = [threading.Thread(target=self._run, daemon=True)]
        self._threads[0].start()

    def _run(self) -> None:
        self.client, _ = self._listening.accept()
        self.server = socket.create_connection(("127.0.0.1", self._port))
        self._threads.append(threading.Thread(target=self._pass, args=(self.server, self.client)))
        self._threads[-1].start()
        self._pass(self.client, self.server)

    def _pass(self, here: socket.socket, there: socket.socket) -> None:
        with suppress(OSError):
            while data := here.recv(65536):
                if here is self.client:
                    self.sent += data
                there.sendall(data)
            there.shutdown(socket.SHUT_WR)

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *_) -> None:
        for one in (self.client, self.server):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        for one in (self._listening, self.client, self.server):
            one.close()


def is_let_in(asking: zmq.Socket, endpoint: str, more: bytes = b"", timeout_s: float = 20.0) -> bool:
    """Whether a socket that has not connected yet is let in; given more to send, whether it then stays in."""
    monitor = asking.get_monitor_socket()
    try:
        asking.connect(endpoint)
        while monitor.poll(1000 * timeout_s):
            event = recv_monitor_message(monitor)["event"]
            if event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                if not more:
                    return True
                asking.send(more)
            if event in (zmq.EVENT_DISCONNECTED, zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL):
                return False
        raise AssertionError("neither let in nor sent away")
    finally:
        asking.disable_monitor()
        monitor.close()

"""The sockets of a server, in one thread that nothing holds up: each request gets exactly one answer."""

from __future__ import annotations

import json
import logging
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from typing import Any

import zmq

from openhcs_core.execution.errors import ExecutionError
from openhcs_core.execution.requests import Request, read_request
from openhcs_core.streaming.errors import MessageError
from openhcs_core.streaming.security import CurveKeys
from openhcs_core.streaming.sockets import Mailbox, Server, listen, messages
from openhcs_core.streaming.wire import MAX_HEADER_BYTES, Buffer

logger = logging.getLogger(__name__)

MAX_FRAME_BYTES = 4 * MAX_HEADER_BYTES
"""What is larger breaks the connection; what is merely too large for a request is told so."""
MAX_WAITING = 2000
MAX_WAITING_BYTES = 64 << 20
MAX_WAITING_PER_CLIENT = 32
"""Requests that are being worked on or wait for it; what comes beyond is refused."""

Answer = Mapping[str, Any]
Work = tuple[Executor, Callable[[], Answer]]
Take = Callable[[Request, bool], "Answer | Work"]
"""Given a request, and whether it came to the port of health: the answer, or who makes it. Must not wait for anything.

May raise ExecutionError; so may who makes the answer.
"""


class Listener:
    """Two ROUTERs in CURVE, for commands and for health; they take REQ sockets, and DEALERs without the empty frame.

    Any client key is let in: who somebody is, the session of OMERO in a request says. What the client knows is the
    key of this server.

    Parameters
    ----------
    commands, health : str
        Endpoints; port 0 for any.
    keys : CurveKeys
    take : callable
        See `Take`.

    Raises
    ------
    StreamingError
        If a port is taken, or an address is none of this machine.

    Attributes
    ----------
    commands, health : Server
        Where it listens.
    """

    def __init__(self, commands: str, health: str, keys: CurveKeys, take: Take) -> None:
        self._take, self._closing = take, False
        self._waiting: Counter[tuple[bool, bytes]] = Counter()
        self._waiting_all = self._waiting_bytes = 0
        self._mailbox = Mailbox()
        self._context = zmq.Context()
        self._thread = threading.Thread(target=self._run, name="listener", daemon=True)
        self._sockets: dict[zmq.Socket, bool] = {}
        try:
            self.commands = self._listen(commands, keys, False)
            self.health = self._listen(health, keys, True)
        except BaseException:
            self._end()
            raise

    def _listen(self, endpoint: str, keys: CurveKeys, is_health: bool) -> Server:
        router, bound = listen(self._context, endpoint, keys, MAX_FRAME_BYTES)
        self._sockets[router] = is_health
        return Server(bound, keys.public)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def close(self) -> None:
        """Send what is answered by now, and free the ports. Safe to call again."""
        if self._thread.is_alive():
            self._mailbox.post(self._stop)
            self._thread.join()
        elif not self._closing:
            self._stop()
            self._end()

    def _stop(self) -> None:
        self._closing = True

    def _run(self) -> None:
        poller = zmq.Poller()
        for source in (*self._sockets, self._mailbox.fd):
            poller.register(source, zmq.POLLIN)
        while not self._closing:
            try:
                ready = dict(poller.poll())
                self._mailbox.work(self._mailbox.fd in ready)
                for source in self._sockets.keys() & ready.keys():
                    for frames in messages(source):
                        self._receive(source, frames)
            except Exception:  # whatever it is, the others want their answers
                logger.exception("A request could not be taken.")
        self._end()

    def _end(self) -> None:
        for source in self._sockets:
            source.close(linger=1000)
        self._mailbox.close()
        self._context.term()

    def _receive(self, source: zmq.Socket, frames: list[Buffer]) -> None:
        """Answer a request, or have it answered."""
        is_health = self._sockets[source]
        envelope, body = [bytes(frames[0])], frames[1:]
        if len(body) > 1 and not len(body[0]):  # of a REQ socket
            envelope.append(b"")
            body = body[1:]
        client, size = (is_health, envelope[0]), sum(map(len, body))
        try:
            if len(body) != 1:
                raise MessageError(f"A request is one frame with a JSON object, not {len(body)} frames.")
            if size > MAX_HEADER_BYTES:
                raise MessageError(f"The request has {size} bytes; {MAX_HEADER_BYTES} are allowed.")
            found = self._take(_readable(read_request(body[0])), is_health)
            if isinstance(found, Mapping):
                self._send(source, envelope, _text(found))
                return
            if (
                self._waiting[client] >= MAX_WAITING_PER_CLIENT
                or self._waiting_all >= MAX_WAITING
                or self._waiting_bytes + size > MAX_WAITING_BYTES
            ):
                raise ExecutionError("The server has more to do than it can. Try again in a moment.", "limit")
        except Exception as error:
            self._send(source, envelope, _text(problem(error)))
            return
        executor, work = found
        self._waiting[client] += 1
        self._waiting_all += 1
        self._waiting_bytes += size

        def make() -> None:
            try:
                text = _text(work())
            except Exception as error:
                text = _text(problem(error))
            self._mailbox.post(lambda: done(text))

        def done(text: bytes) -> None:
            self._waiting[client] -= 1
            if not self._waiting[client]:
                del self._waiting[client]
            self._waiting_all -= 1
            self._waiting_bytes -= size
            self._send(source, envelope, text)

        executor.submit(make)

    def _send(self, source: zmq.Socket, envelope: list[bytes], text: bytes) -> None:
        try:
            source.send_multipart([*envelope, text], zmq.NOBLOCK)
        except zmq.ZMQError:
            logger.debug("Who asked is gone, or does not read what it asked for.")


def _text(answer: Answer) -> bytes:
    return json.dumps(answer).encode()


def problem(error: Exception) -> Answer:
    """The answer to a request that is refused, or went wrong."""
    if isinstance(error, MessageError):
        return _problem("bad_request", str(error), error.field)
    if isinstance(error, ExecutionError):
        return _problem(error.code, str(error), error.field, error.traceback)
    logger.error("A request went wrong.", exc_info=error)
    return _problem("failed", f"The server failed ({type(error).__name__}). Its log says more.")


def _problem(code: str, message: str, field: str = "", traceback: str = "") -> Answer:
    return {"status": "error", "code": code, "field": field, "message": message, "traceback": traceback}


def _readable(request: Request) -> Request:
    """A request whose texts can be stored and shown."""
    for name, value in vars(request).items():
        for text in value if isinstance(value, tuple) else (value,):
            if isinstance(text, str) and ("\0" in text or not text.isascii() and _is_broken(text)):
                raise MessageError(f"The field '{name}' is no text: it has characters that are none.", name)
    return request


def _is_broken(text: str) -> bool:
    """Whether a text has halves of characters, which JSON can say."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False

"""The control channel of a viewer, on the port after the next thousand: who are you, how are you doing, please end."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Sequence

import zmq

from openhcs_core.streaming.endpoints import control_of
from openhcs_core.streaming.errors import MessageError, StreamingError
from openhcs_core.streaming.messages import Error, Message, Ping, Pong, Shutdown, State, Status
from openhcs_core.streaming.security import CurveKeys
from openhcs_core.streaming.sockets import Server, connect, messages
from openhcs_core.streaming.wire import MAX_HEADER_BYTES, Buffer, decode, encode, from_table, read_json

logger = logging.getLogger(__name__)


class ControlServer:
    """Answers on a ROUTER, in the thread of its receiver: also the seeds' plain JSON from REQ sockets.

    Parameters
    ----------
    router : zmq.Socket
    pong : callable
        Who answers.
    state : callable
    shutdown : callable
        Given the reason.
    """

    def __init__(
        self,
        router: zmq.Socket,
        pong: Callable[[], Pong],
        state: Callable[[], State],
        shutdown: Callable[[str], None],
    ) -> None:
        self.socket = router
        self._pong, self._state, self._shutdown = pong, state, shutdown
        self.refused = 0

    def answer(self) -> None:
        """Answer what has come."""
        for buffers in messages(self.socket):
            envelope, body = [bytes(buffers[0])], buffers[1:]
            if body and not len(body[0]):  # of a REQ socket
                envelope.append(b"")
                body = body[1:]
            plain = len(body) == 1
            try:
                message = from_table(read_json(_bounded(body[0]))) if plain else decode(body)[0]
                reply = self._reply(message)
            except MessageError as error:
                self.refused += 1
                reply = Error(message=str(error))
            answer: Sequence[Buffer] = encode(reply)
            if plain:
                status = "error" if isinstance(reply, Error) else "ok"
                answer = [json.dumps({**json.loads(bytes(answer[1])), "status": status}).encode()]
            try:
                self.socket.send_multipart([*envelope, *answer], zmq.NOBLOCK)
            except zmq.ZMQError:
                logger.debug("Who asked is gone.")

    def _reply(self, message: Message) -> Message:
        if isinstance(message, Ping):
            return self._pong()
        if isinstance(message, Status):
            return self._state()
        if isinstance(message, Shutdown):
            self._shutdown(message.reason)
            return self._pong()
        raise MessageError("Control takes ping, status and shutdown.")


def ask(
    endpoint: str,
    question: Message,
    timeout_s: float = 1.0,
    keys: CurveKeys | None = None,
    server_key: str | None = None,
) -> Message | None:
    """Ask a running viewer.

    Parameters
    ----------
    endpoint : str
        Of its data; that of control follows from it.
    question : Ping, Status or Shutdown
    timeout_s : float
    keys, server_key
        Outside this machine: own keys, and the viewer's public key.

    Returns
    -------
    Message or None
        None if nobody answers in time.

    Raises
    ------
    StreamingError
        If the viewer does not take the question, or the endpoint makes no sense.
    """
    deadline = time.monotonic() + timeout_s
    with zmq.Context() as context:
        dealer = connect(context, Server(control_of(endpoint), server_key), keys, MAX_HEADER_BYTES)
        try:
            if not dealer.poll(int(1000 * timeout_s), zmq.POLLOUT):
                return None
            dealer.send_multipart(encode(question))
            if not dealer.poll(max(int(1000 * (deadline - time.monotonic())), 0)):
                return None
            reply, _ = decode(dealer.recv_multipart())
        finally:
            dealer.close(linger=0)
    if isinstance(reply, Error):
        raise StreamingError(f"The viewer at {endpoint} refuses: {reply.message}")
    return reply


def _bounded(text: Buffer) -> Buffer:
    if len(text) > MAX_HEADER_BYTES:
        raise MessageError("A header is too large.")
    return text

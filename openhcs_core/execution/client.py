"""Questions to an execution server: a JSON object there, one back; only the server with the pinned key can answer."""

from __future__ import annotations

import json
import logging
import random
import socket
import time
from typing import Any

import zmq
from zmq.utils.monitor import parse_monitor_message

from openhcs_core.execution.errors import ExecutionError, UnreachableError
from openhcs_core.execution.requests import Cancel, Execute, Request, Resume, request_table
from openhcs_core.settings import load_settings
from openhcs_core.streaming.endpoints import parse, tcp
from openhcs_core.streaming.errors import MessageError, SecurityError, StreamingError
from openhcs_core.streaming.security import CurveKeys, key_from_text, public_key, secure_client
from openhcs_core.streaming.sockets import Server
from openhcs_core.streaming.wire import MAX_HEADER_BYTES, read_json

logger = logging.getLogger(__name__)

PORT = 7777
TIMEOUT_S = 30.0
RETRIES = 3
BACK_OFF_S, BACK_OFF_MAX_S = 0.5, 8.0
"""Before the first retry about the first; twice as long before each more, up to the second."""
MAX_ANSWER_BYTES = 16 << 20

_FAILED = zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
"""A server that starts or ends may spoil one handshake; two of them in a row mean something."""
_FAILED_FOR_GOOD = zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL | zmq.EVENT_HANDSHAKE_FAILED_AUTH
_EVENTS = (
    *(zmq.EVENT_CONNECTED, zmq.EVENT_CONNECT_RETRIED, zmq.EVENT_DISCONNECTED),
    *(zmq.EVENT_HANDSHAKE_SUCCEEDED, _FAILED, _FAILED_FOR_GOOD),
)


class WrongKeyError(UnreachableError):
    """Who answers at the server's address does not have its key."""


class RemoteTraceback(Exception):
    """What the server shows of an error, as the cause of an exception here."""

    def __str__(self) -> str:
        return f'\n"""\n{self.args[0].strip()}\n"""'


class ServerClient:
    """Asks an execution server. For any thread: every question has a connection of its own.

    Parameters
    ----------
    server : Server
        Endpoint and public key.
    timeout_s : float
        How long an answer may take.
    retries : int
        How often a question is put again that got none. The server answers what it has answered before, so that
        nothing is done twice.

    Raises
    ------
    ExecutionError
        If the server's key is not given.
    SecurityError
        If it is none.
    """

    def __init__(self, server: Server, timeout_s: float = TIMEOUT_S, retries: int = RETRIES) -> None:
        if not server.public_key:
            raise ExecutionError(
                f"The public key of the execution server at {server.endpoint} is not known here. `openhcs serve "
                "--show-key` prints it on the server: give the whole address, tcp://HOST:PORT/KEY, or add it to "
                "known_servers in openhcs.toml.",
                "unreachable",
            )
        public_key(server.public_key)
        self.server = server
        self._timeout_s, self._retries = timeout_s, retries
        self._keys = CurveKeys.new()

    def ask(self, request: Request, retries: int | None = None) -> dict[str, Any]:
        """The server's answer.

        Parameters
        ----------
        request : Request
        retries : int, optional
            Other than usual.

        Raises
        ------
        ExecutionError
            If the server refuses the request: with its code, field, message and traceback.
        UnreachableError
            If it does not answer; says for each reason what it means.
        WrongKeyError
            If somebody else answers.
        """
        question = _written(request)
        problems: list[_NoAnswer] = []
        for attempt in range((self._retries if retries is None else retries) + 1):
            if attempt:
                pause = min(BACK_OFF_S * 2 ** (attempt - 1), BACK_OFF_MAX_S)
                time.sleep(pause * random.uniform(0.5, 1.5))  # many shall not come all at once
            try:
                return _read(self._exchange(question), self.server)
            except _NoAnswer as problem:
                logger.info("%s: attempt %d: %s", request.command, attempt + 1, problem)
                problems.append(problem)
        said = " Then: ".join(dict.fromkeys(map(str, problems)))
        if isinstance(request, (Execute, Resume, Cancel)) and any(problem.arrived for problem in problems):
            said += f" It may have taken the request ({request.command}) all the same: see its list of executions."
        raise UnreachableError(said)

    def _exchange(self, question: bytes) -> bytes:
        """One attempt."""
        with zmq.Context() as context, context.socket(zmq.REQ) as asking:
            asking.linger = 0
            asking.maxmsgsize = MAX_ANSWER_BYTES
            asking.ipv6 = "[" in self.server.endpoint
            asking.handshake_ivl = int(1000 * self._timeout_s)
            secure_client(asking, self._keys, self.server.public_key or "")
            with asking.get_monitor_socket(sum(_EVENTS)) as monitor:
                try:
                    asking.connect(self.server.endpoint)
                    asking.send(question)
                    return self._answer(asking, _Events(monitor, self.server.endpoint))
                finally:
                    asking.disable_monitor()

    def _answer(self, asking: zmq.Socket, events: _Events) -> bytes:
        deadline = time.monotonic() + self._timeout_s
        poller = zmq.Poller()
        poller.register(asking, zmq.POLLIN)
        poller.register(events.monitor, zmq.POLLIN)
        while (left := deadline - time.monotonic()) > 0:
            ready = dict(poller.poll(int(1000 * left) + 1))
            if asking in ready:
                return asking.recv_multipart()[0]
            if ready:
                events.take()
        raise events.silence(self._timeout_s)


def server_at(host: str, port: int = PORT, key: str | None = None) -> Server:
    """An execution server by what a person knows of it.

    Parameters
    ----------
    host : str
        ``HOST``, ``HOST:PORT`` or ``tcp://HOST:PORT/KEY``.
    port : int
        If `host` has none.
    key : str, optional
        If `host` has none; that of ``known_servers`` in openhcs.toml unless given.

    Returns
    -------
    Server
        Without a key if none is known.

    Raises
    ------
    ExecutionError
        If it is no address.
    SecurityError
        If the key is none.
    """
    try:
        if "://" in host:
            server = Server.from_text(host)
        else:
            has_port = host.count(":") == 1 or "]:" in host
            server = Server(f"tcp://{host}" if has_port else tcp(host.strip("[]"), port))
            parse(server.endpoint)
    except SecurityError:  # the key is none
        raise
    except StreamingError:
        raise ExecutionError(
            f"{host!r} is no address of an execution server; write it like gpu.example.org, gpu.example.org:{PORT} or "
            f"tcp://gpu.example.org:{PORT}/KEY."
        ) from None
    known = key or server.public_key or load_settings().known_servers.get(server.endpoint.removeprefix("tcp://"))
    return Server(server.endpoint, key_from_text(known) if known else None)


class _NoAnswer(Exception):
    """An attempt got no answer; says why. Another one may. The question may have arrived, or cannot have."""

    def __init__(self, text: str, arrived: bool) -> None:
        super().__init__(text)
        self.arrived = arrived


class _Events:
    """What becomes of a connection, and what that means."""

    def __init__(self, monitor: zmq.Socket, endpoint: str) -> None:
        self.monitor = monitor
        self._endpoint = endpoint
        self._connected = self._was_connected = self._welcome = False
        self._failed = 0

    def take(self) -> None:
        """One event.

        Raises
        ------
        _NoAnswer
            If there is going to be no answer.
        WrongKeyError
            If the server is another one.
        """
        event = parse_monitor_message(self.monitor.recv_multipart())["event"]
        if event == zmq.EVENT_CONNECTED:
            self._connected = self._was_connected = True
        elif event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
            self._welcome = True
        elif event & (_FAILED | _FAILED_FOR_GOOD):
            self._failed += 1
            if self._failed > 1 or event & _FAILED_FOR_GOOD:
                raise WrongKeyError(
                    f"What listens at {self._endpoint} does not have the key that is pinned for this execution server: "
                    "it is another server or none at all, it has got a new key, or the key given here is wrong. "
                    "`openhcs serve --show-key` prints the right one on the server."
                )
        elif event == zmq.EVENT_DISCONNECTED and (self._welcome or not self._failed):
            raise self._reset()
        elif event == zmq.EVENT_CONNECT_RETRIED:
            if not self._connected:
                raise self._reset() if self._was_connected else _NoAnswer(_refusal(self._endpoint), False)
            self._connected = False

    def silence(self, timeout_s: float) -> _NoAnswer:
        """What it means that nothing has come in time."""
        if not self._was_connected:
            text = (
                f"{self._endpoint} could not be connected to within {timeout_s:g} s (timeout): the host is off, or no "
                "network leads there, or a firewall is between."
            )
        elif not self._welcome:
            text = (
                f"What listens at {self._endpoint} took the connection, but did not answer within {timeout_s:g} s "
                "(timeout): the execution server is overloaded or hangs, or something else is there."
            )
        else:
            text = (
                f"The execution server at {self._endpoint} did not answer within {timeout_s:g} s (timeout): it is "
                "overloaded or hangs."
            )
        return _NoAnswer(text, self._was_connected)

    def _reset(self) -> _NoAnswer:
        return _NoAnswer(
            f"The execution server at {self._endpoint} broke the connection (reset): it has crashed or was ended "
            "during the request.",
            self._welcome,
        )


def _refusal(endpoint: str) -> str:
    """Why there is no connection; tried again, as ZeroMQ does not tell."""
    host, port = parse(endpoint)
    try:
        with socket.create_connection((host, port), timeout=1.0):
            pass
    except socket.gaierror as error:
        return f"The host {host} is not known here ({error.strerror}). Check the name of the execution server."
    except (ConnectionRefusedError, TimeoutError):
        pass
    except OSError as error:
        return f"{endpoint} cannot be reached: {error.strerror}. Check host and network."
    return (
        f"Nothing listens at {endpoint} (connection refused): the execution server is not running there. Start it "
        "with `openhcs serve`, or check host and port."
    )


def _written(request: Request) -> bytes:
    question = json.dumps(request_table(request), separators=(",", ":")).encode()
    if len(question) > MAX_HEADER_BYTES:
        raise ExecutionError(
            f"The request is too large: {len(question) >> 10} KiB, {MAX_HEADER_BYTES >> 10} are allowed. Make the text "
            "of the pipeline shorter.",
            "bad_request",
        )
    return question


def _read(text: bytes, server: Server) -> dict[str, Any]:
    try:
        answer = read_json(text)
    except MessageError as error:
        raise ExecutionError(f"The answer of {server.endpoint} is not JSON. Is it another version?") from error
    if "code" not in answer:
        return answer
    message, code, field, traceback = (str(answer.get(key) or "") for key in ("message", "code", "field", "traceback"))
    raise ExecutionError(message, code, field, traceback) from (RemoteTraceback(traceback) if traceback else None)

"""Viewers as those see them who stream to them: found running on this machine, or on another one."""

from __future__ import annotations

import os
import signal
import socket
import time
from abc import ABC, abstractmethod
from contextlib import suppress

from openhcs_core.streaming.control import ask
from openhcs_core.streaming.endpoints import control_of, is_local, parse
from openhcs_core.streaming.errors import StreamingError
from openhcs_core.streaming.identity import is_alive
from openhcs_core.streaming.messages import Ping, Pong, Shutdown, State, Status
from openhcs_core.streaming.security import CurveKeys, key_from_text, key_text
from openhcs_core.streaming.sockets import Server

START_S = 60.0
"""A viewer that starts may be silent for so long."""

ANSWER_S = 3.0
"""A viewer that is there answers within this time, on a busy machine, too."""


class Visualizer(ABC):
    """A viewer that results can be streamed to.

    Parameters
    ----------
    viewer : str
        Its name, such as "napari".
    server : Server
        Where it listens, and its public key if connections are encrypted.
    keys : CurveKeys, optional
        By which this process asks it, if they are.

    Attributes
    ----------
    viewer : str
    pid : int
        Of its process; 0 if it is not known.
    persistent : bool
        Whether it goes on when this process ends.
    ready : bool
        Whether it has said that it takes images.
    """

    def __init__(self, viewer: str, server: Server, keys: CurveKeys | None = None) -> None:
        self.viewer, self.pid, self.persistent, self.ready = viewer, 0, True, False
        self._server, self._keys = server, keys

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.viewer} at {self.endpoint}>"

    @property
    def endpoint(self) -> str:
        """Where publishers connect to."""
        return self._server.endpoint

    @property
    def public_key(self) -> str | None:
        """Its public key; None if connections are not encrypted."""
        return self._server.public_key

    @property
    def is_encrypted(self) -> bool:
        """Whether connections are encrypted; its key is known once it is ready."""
        return self._keys is not None or self.public_key is not None

    @property
    def address(self) -> str:
        """Endpoint with key, for people to copy."""
        return str(self._server)

    @property
    @abstractmethod
    def is_running(self) -> bool:
        """Whether it is there, as far as this can be known; it may still be starting."""

    @property
    def is_starting(self) -> bool:
        """Whether it runs, but does not take images yet."""
        return self.is_running and not self.ready

    def start_viewer(self, async_mode: bool = False) -> None:
        """Start it, if it is one to be started and not running.

        Parameters
        ----------
        async_mode : bool
            Do not wait until it is ready.

        Raises
        ------
        StreamingError
            If it cannot be started.
        """
        if not async_mode:
            self.wait_ready()

    def wait_ready(self, timeout_s: float = START_S) -> None:
        """Wait until it takes images; at once if it has said so before and is running.

        Parameters
        ----------
        timeout_s : float
            How long nothing may be heard of it.

        Raises
        ------
        StreamingError
            If it does not, with the reason.
        """
        deadline = time.monotonic() + timeout_s
        while not (self.ready and self.is_running):
            pong = self.ping(min(ANSWER_S, timeout_s))
            if pong is not None and pong.ready:
                self.ready = True
                return
            if time.monotonic() > deadline or not self.is_running:
                raise StreamingError(f"{self.viewer} at {self.endpoint} does not answer.")

    def ping(self, timeout_s: float = ANSWER_S) -> Pong | None:
        """Its answer to a ping; None if there is none in time."""
        return ping(self._server, timeout_s, self._keys)

    def state(self) -> State | None:
        """What it holds and has counted; None if it does not answer."""
        with suppress(StreamingError):
            answer = ask(self.endpoint, Status(), ANSWER_S, self._keys, self.public_key)
            return answer if isinstance(answer, State) else None
        return None

    def allow(self, public_key: str) -> None:
        """Let a publisher in; nothing is needed where connections are not encrypted.

        Parameters
        ----------
        public_key : str
            In Z85 or hexadecimal.

        Raises
        ------
        StreamingError
            If it is no key, or this viewer takes no commands from here.
        """
        if self.is_encrypted:
            self._order(allow=key_text(key_from_text(public_key)))

    def connect(self, address: str) -> None:
        """Have it connect to a publisher that listens.

        Parameters
        ----------
        address : str
            With the publisher's key, if there is one.

        Raises
        ------
        StreamingError
            If it is no address, or this viewer takes no commands from here.
        """
        server = Server.from_text(address)
        if server.public_key and not self.is_encrypted:
            raise StreamingError(f"{self.viewer} at {self.endpoint} has no keys; start it with encryption.")
        self._order(connect=str(server))

    @abstractmethod
    def stop(self, timeout_s: float = 5.0) -> None:
        """End it: it is asked to, then told to, then killed, each after so many seconds.

        Raises
        ------
        StreamingError
            If that is not possible from here.
        """

    def _order(self, **command: str) -> None:
        raise StreamingError(
            f"{self.viewer} at {self.endpoint} was not started from here and takes no commands; give them where it was "
            "started, or start another one at another port."
        )


class RemoteVisualizer(Visualizer):
    """A viewer on another machine, which somebody has started there."""

    @property
    def is_running(self) -> bool:
        return True

    def wait_ready(self, timeout_s: float = START_S) -> None:
        """Nothing: only publishers that it knows can tell whether it answers."""

    def stop(self, timeout_s: float = 5.0) -> None:
        raise StreamingError(f"{self.viewer} at {self.endpoint} is on another machine; end it there.")


class Found(Visualizer):
    """A viewer on this machine that somebody else has started, and that has said which process it is."""

    def __init__(self, endpoint: str, pong: Pong) -> None:
        super().__init__(pong.name, Server(endpoint))
        self.pid, self.ready, self._start = pong.pid, pong.ready, pong.start

    @property
    def is_running(self) -> bool:
        return is_alive(self.pid, self._start) and is_taken(control_of(self.endpoint))

    def stop(self, timeout_s: float = 5.0) -> None:
        with suppress(StreamingError):
            ask(self.endpoint, Shutdown(reason="it was ended from the command line or a program"), ANSWER_S)
        for number in (None, signal.SIGTERM, signal.SIGKILL):
            # The pid alone may be another process by now.
            if number is not None and is_alive(self.pid, self._start):
                with suppress(ProcessLookupError):
                    os.kill(self.pid, number)
            deadline = time.monotonic() + timeout_s
            while is_alive(self.pid, self._start):
                if time.monotonic() > deadline:
                    break
                time.sleep(0.02)
            else:
                return
        raise StreamingError(f"{self.viewer} at {self.endpoint} (process {self.pid}) cannot be ended.")


def ping(server: Server, timeout_s: float = ANSWER_S, keys: CurveKeys | None = None) -> Pong | None:
    """The answer of a viewer to a ping; None if nobody answers, or not as a viewer does."""
    if server.public_key is None and not is_local(server.endpoint):
        return None
    try:
        answer = ask(server.endpoint, Ping(), timeout_s, keys, server.public_key)
    except StreamingError:
        return None
    return answer if isinstance(answer, Pong) else None


def is_taken(endpoint: str) -> bool:
    """Whether anything on this machine listens at an endpoint."""
    host, port = parse(endpoint)
    try:
        with socket.create_connection((host, port), timeout=1.0):
            return True
    except OSError:
        return False

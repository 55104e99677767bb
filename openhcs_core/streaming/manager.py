"""The viewers that a process streams to: found, started, shared and ended."""

from __future__ import annotations

import atexit
import logging
import os
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import lru_cache

from openhcs_core import plugins
from openhcs_core.streaming.endpoints import control_of, is_local, tcp
from openhcs_core.streaming.errors import SecurityError, StreamingError
from openhcs_core.streaming.messages import Pong
from openhcs_core.streaming.security import CurveKeys, key_from_text
from openhcs_core.streaming.sockets import Server
from openhcs_core.streaming.started import StartedVisualizer
from openhcs_core.streaming.visualizer import (
    ANSWER_S,
    Found,
    RemoteVisualizer,
    Visualizer,
    is_taken,
    ping,
)

__all__ = ["Found", "ViewerManager", "Visualizer", "default_ports", "is_here", "manager", "own_address", "scan"]

logger = logging.getLogger(__name__)

HERE = "127.0.0.1"
PORTS_EACH = 10
"""Ports from its own on that are searched for a viewer."""

_SCANNERS = 10


def default_ports() -> list[int]:
    """Where viewers are expected: some ports from the usual one of each on."""
    return sorted(
        {port for spec in plugins.viewers().values() for port in range(spec.port, spec.port + PORTS_EACH)},
    )


def scan(ports: Iterable[int] | None = None, timeout_s: float = ANSWER_S) -> list[Found]:
    """Viewers on this machine, whoever has started them; those that take encrypted connections only stay unknown.

    Parameters
    ----------
    ports : iterable of int, optional
        Of their data; `default_ports` unless given.
    timeout_s : float
        How long each may take to answer; they are asked at the same time.

    Returns
    -------
    list of Found
        By port.
    """

    def look(port: int) -> Found | None:
        endpoint = tcp(HERE, port)
        pong = _pong(endpoint, timeout_s)
        return None if pong is None else Found(endpoint, pong)

    wanted = sorted(set(default_ports() if ports is None else ports))
    with ThreadPoolExecutor(_SCANNERS, "openhcs-scan") as threads:
        return [found for found in threads.map(look, wanted) if found is not None]


class ViewerManager:
    """Viewers by name and place, each started once. For any thread.

    A viewer that has ended leaves the cache and is started anew when it is asked for.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cache: dict[tuple[str, str], Visualizer] = {}
        self._keys = CurveKeys.new()
        self._owner = os.getpid()

    def get_or_create(
        self,
        viewer: str,
        port: int | None = None,
        *,
        host: str = HERE,
        persistent: bool = False,
        title: str = "",
        key: str = "",
        curve: bool = False,
        async_mode: bool = False,
    ) -> Visualizer:
        """The viewer at a place: one that runs there, or a new one.

        Parameters
        ----------
        viewer : str
            Name that a plugin offers.
        port : int, optional
            The usual one of this viewer unless given; 0 for a new viewer at any port.
        host : str
            Of this machine: one that other machines can reach makes connections encrypted. Of another machine: the
            viewer must run there, and `key` is needed.
        persistent : bool
            Whether a viewer that is started goes on when this process ends.
        title : str
            Of the window of one that is started.
        key : str
            Public key of a viewer on another machine.
        curve : bool
            Encrypt on this machine, too.
        async_mode : bool
            Do not wait until it is ready; `Visualizer.wait_ready` does.

        Raises
        ------
        PluginError
            If no plugin offers such a viewer.
        SecurityError
            If a key is needed.
        StreamingError
            If it does not start, or something else is at the port; nothing of it stays.
        """
        spec = plugins.viewer(viewer)
        host = _number(host)
        endpoint = tcp(host, spec.port if port is None else port)
        if not is_here(host):
            if not key:
                raise SecurityError(
                    f"{endpoint} is on another machine: give the public key that {viewer} shows there with its address."
                )
            return RemoteVisualizer(viewer, Server(endpoint, key_from_text(key)))
        fixed = port != 0
        if fixed:
            control_of(endpoint)  # raises if there is no room for it
        encrypted = curve or not is_local(endpoint)
        with self._lock:
            known = self._cached(viewer, endpoint)
            if known is None and fixed:
                known = self._find(viewer, endpoint)
            if known is None:
                known = StartedVisualizer(spec, endpoint, self._keys if encrypted else None, persistent, title)
                with _ended_by_ctrl_c(known):
                    known.start_viewer(async_mode=True)
            if fixed:
                self._cache[viewer, endpoint] = known
        if encrypted and not known.is_encrypted:
            raise StreamingError(f"{viewer} runs at {endpoint} without encryption; choose another port.")
        if fixed and async_mode:
            return known
        try:
            with _ended_by_ctrl_c(known):
                known.wait_ready()
        except StreamingError:
            with self._lock:
                if self._cache.get((viewer, endpoint)) is known:
                    del self._cache[viewer, endpoint]
                other = self._rival(viewer, endpoint) if fixed and not encrypted else None
                if other is None:
                    raise
                known = self._cache[viewer, endpoint] = other
        if not fixed:
            with self._lock:
                self._cache[viewer, known.endpoint] = known
        return known

    def running(self) -> list[Visualizer]:
        """The viewers in use that are running, as far as this can be known."""
        with self._lock:
            return [known for known in self._cache.values() if known.is_running]

    def close(self, timeout_s: float = 5.0) -> None:
        """End the viewers that this manager has started, but for the persistent ones."""
        if self._owner != os.getpid():  # a fork; they belong to its parent
            return
        with self._lock:
            own = [known for known in self._cache.values() if isinstance(known, StartedVisualizer)]
            self._cache.clear()
        own = [known for known in own if not known.persistent]
        for known in own:
            known.ask_to_end()
        deadline = time.monotonic() + timeout_s
        for known in own:
            with suppress(StreamingError):  # the others shall end all the same
                known.stop(max(deadline - time.monotonic(), 0.1))

    def _cached(self, viewer: str, endpoint: str) -> Visualizer | None:
        known = self._cache.get((viewer, endpoint))
        if known is not None and not known.is_running:
            logger.warning("%s at %s is not running any more.", viewer, endpoint)
            del self._cache[viewer, endpoint]
            return None
        return known

    def _find(self, viewer: str, endpoint: str) -> Visualizer | None:
        """One that somebody else has started at this place.

        Raises
        ------
        StreamingError
            If something else is there.
        """
        pong = _pong(endpoint)
        if pong is None:
            if is_taken(endpoint) or is_taken(control_of(endpoint)):
                raise StreamingError(
                    f"{viewer} cannot listen at {endpoint}: something else does, at this port or that of control "
                    "(+ 1000). End it, or choose another port."
                )
            return None
        if pong.name != viewer:
            raise StreamingError(f"At {endpoint} runs {pong.name}, not {viewer}. Choose another port.")
        return Found(endpoint, pong)

    def _rival(self, viewer: str, endpoint: str) -> Visualizer | None:
        """One that another process has started meanwhile."""
        with suppress(StreamingError):
            return self._find(viewer, endpoint)
        return None


@contextmanager
def _ended_by_ctrl_c(viewer: Visualizer) -> Iterator[None]:
    """Context manager for the start of a viewer: without this, nobody would know of one that goes on to start."""
    try:
        yield
    except KeyboardInterrupt:
        if isinstance(viewer, StartedVisualizer):
            viewer.stop()
        raise


@lru_cache(maxsize=1)
def manager() -> ViewerManager:
    """The manager of this process; its viewers end with the process, but for the persistent ones."""
    made = ViewerManager()
    atexit.register(made.close)
    return made


os.register_at_fork(after_in_child=manager.cache_clear)


def own_address(towards: str = "") -> str:
    """The address of this machine that others see.

    Parameters
    ----------
    towards : str
        Host of the others, if it is known; it counts unless it is this machine.

    Raises
    ------
    StreamingError
        If there is none but that for itself.
    """
    for target in filter(None, (towards, "203.0.113.1")):  # the second is nobody's, but has a route
        with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((target, 9))  # sends nothing
            number = str(probe.getsockname()[0])
            if not is_local(tcp(number, 0)):
                return number
    raise StreamingError("This machine has no address that others could reach; give one.")


def _pong(endpoint: str, timeout_s: float = ANSWER_S) -> Pong | None:
    # Asked first, as somebody who is not there is waited for.
    return ping(Server(endpoint), timeout_s) if is_taken(control_of(endpoint)) else None


def is_here(host: str) -> bool:
    """Whether a host is this machine.

    Raises
    ------
    StreamingError
        If it is not known.
    """
    number = _number(host)
    with socket.socket(socket.AF_INET6 if ":" in number else socket.AF_INET, socket.SOCK_STREAM) as probe:
        try:
            probe.bind((number, 0))
        except OSError:
            return False
    return True


def _number(host: str) -> str:
    """The address of a host; that of IPv4 where there are several."""
    try:
        found = socket.getaddrinfo(host.strip("[]"), None, type=socket.SOCK_STREAM)
    except OSError as error:
        raise StreamingError(f"The host {host} is not known here: {error.strerror}.") from error
    return str(min(found, key=lambda info: info[0] != socket.AF_INET)[4][0])

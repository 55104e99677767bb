"""Where the images of a remote run go on the client's side; a viewer is one such place."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from openhcs_core.errors import OpenHCSError
from openhcs_core.omero.viewers import LISTEN
from openhcs_core.streaming.security import key_from_text, key_text
from openhcs_core.streaming.sockets import Server

if TYPE_CHECKING:
    from openhcs_core.streaming.manager import Visualizer

logger = logging.getLogger(__name__)


def get_local_ip(server_host: str) -> str:
    """The address by which a server reaches this machine.

    Parameters
    ----------
    server_host : str
        Name or address of the server.

    Raises
    ------
    StreamingError
        If the host is not known, or there is no way to it.
    """
    from openhcs_core.streaming.manager import HERE, is_here, own_address

    return HERE if is_here(server_host) else own_address(server_host)


class Sink(ABC):
    """Takes the images of a run while they are made.

    Parameters
    ----------
    from_server : bool
        The server listens, and this machine connects to it: for those that cannot be reached from the server.

    Attributes
    ----------
    address, key : str
        What an execution is told of it (``client_address`` and ``client_key``); known once it is open.
    """

    def __init__(self, from_server: bool = False) -> None:
        self.from_server = from_server
        self.address = self.key = ""
        self._stream = ""
        self._problems: list[str] = []

    @abstractmethod
    def open(self, server_host: str) -> None:
        """Be ready for images from a server.

        Raises
        ------
        OpenHCSError
            If that is not possible.
        """

    def let_in(self, stream: str) -> None:
        """Let the sender in, or connect to it: ``Execution.stream`` tells which, as soon as it is known.

        The run goes on without images where that fails; `close` tells of it.
        """
        if stream in ("", self._stream):
            return
        self._stream = stream
        try:
            sender = Server.from_text(stream) if "://" in stream else Server("", key_from_text(stream))
            if self.from_server:
                self._connect(sender)
            elif sender.public_key and Server.from_text(self.address).public_key:
                self._allow(sender.public_key)
        except OpenHCSError as error:
            self._problem(f"The images cannot come: {error}")

    def close(self) -> list[str]:
        """Take no more; return what is to be known about it."""
        return self._problems

    @abstractmethod
    def _allow(self, key: str) -> None:
        """Let a sender in."""

    @abstractmethod
    def _connect(self, sender: Server) -> None:
        """Connect to a sender."""

    def _problem(self, text: str) -> None:
        logger.warning("%s", text)
        self._problems.append(text)


class ViewerSink(Sink):
    """A viewer of this machine: one that runs, or a new one.

    Parameters
    ----------
    viewer : str
        Its name, such as "napari".
    port : int, optional
        That it listens at; its usual one unless given.
    persistent : bool
        Whether a viewer that is started stays open when this program ends.
    title : str
        Of the window of one that is started.
    from_server : bool
        See `Sink`.

    Attributes
    ----------
    visualizer : Visualizer
        Once it is open.
    """

    def __init__(
        self,
        viewer: str = "napari",
        port: int | None = None,
        *,
        persistent: bool = True,
        title: str = "",
        from_server: bool = False,
    ) -> None:
        super().__init__(from_server)
        self.viewer, self.port = viewer, port
        self._persistent, self._title = persistent, title
        self.visualizer: Visualizer

    def open(self, server_host: str) -> None:
        from openhcs_core.streaming.manager import HERE, manager

        away = self.from_server  # nobody comes to it, so that any port will do
        self.visualizer = manager().get_or_create(
            self.viewer,
            0 if away and self.port is None else self.port,
            host=HERE if away else get_local_ip(server_host),
            persistent=self._persistent,
            title=self._title,
            curve=away,
        )
        self.address = LISTEN if away else self.visualizer.address
        self.key = key_text(self.visualizer.public_key or "") if away else ""

    def _allow(self, key: str) -> None:
        self.visualizer.allow(key)

    def _connect(self, sender: Server) -> None:
        self.visualizer.connect(str(sender))


@contextmanager
def opened(
    sinks: Sequence[Sink], server_host: str, tell: Callable[[str], object] = lambda text: None
) -> Iterator[dict[str, Any]]:
    """Context manager: sinks are ready for images; gives ``client_address`` and ``client_key`` for all of them.

    Parameters
    ----------
    sinks : sequence of Sink
    server_host : str
    tell : callable
        Given in the end what is to be known about each.

    Raises
    ------
    OpenHCSError
        If one cannot be opened.
    """
    ready: list[Sink] = []
    try:
        for sink in sinks:
            sink.open(server_host)
            ready.append(sink)
        addresses = dict.fromkeys(sink.address for sink in sinks)
        keys = [sink.key for sink in sinks if sink.key]
        yield {"client_address": " ".join(addresses), "client_key": " ".join(keys)}
    finally:
        for sink in ready:
            for statement in sink.close():
                tell(statement)

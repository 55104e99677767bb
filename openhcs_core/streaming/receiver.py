"""The side of a viewer: takes images from any number of publishers into the viewer's own arrays."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager

from openhcs_core.streaming.intake import Intake, Sink, Viewer
from openhcs_core.streaming.messages import Credits, State
from openhcs_core.streaming.reception import Reception
from openhcs_core.streaming.security import CurveKeys, require_keys
from openhcs_core.streaming.sockets import Server

__all__ = ["Receiver", "Sink", "Viewer"]


class Receiver(AbstractContextManager["Receiver"]):
    """Takes images for a viewer. Its methods may be called from any thread.

    Parameters
    ----------
    viewer : Viewer
        Called in the receiver's thread.
    name : str
        Kind of viewer, for people.
    listen : str, optional
        Endpoint for publishers to come to; control is at its port + 1000. Port 0 for any.
    connect : sequence of str or Server
        Publishers that listen.
    keys : CurveKeys, optional
        Needed outside this machine.
    allow : sequence of str
        Public keys of the publishers that may come in, and of who may use control.
    credits, window_bytes : int
        How many images, and how much of them, a publisher may have on the way.
    max_plane_bytes : int
        Larger ones are refused.
    id : str, optional
        The same after a restart; made of name, host and port unless given.
    displays : bool
        Whether `displayed` is going to be called: then publishers wait for it a moment before they end.

    Raises
    ------
    SecurityError
        If an endpoint needs keys.
    StreamingError
        If one makes no sense or is taken.

    Attributes
    ----------
    endpoint : str or None
        Where it listens.
    """

    def __init__(
        self,
        viewer: Viewer,
        name: str = "viewer",
        listen: str | None = None,
        connect: Sequence[str | Server] = (),
        keys: CurveKeys | None = None,
        allow: Sequence[str] = (),
        credits: int = 64,
        window_bytes: int = 64 << 20,
        max_plane_bytes: int = 1 << 30,
        id: str | None = None,
        displays: bool = False,
    ) -> None:
        self._intake = Intake(viewer, max_plane_bytes)
        self._window = Credits(credits=credits, window_bytes=window_bytes)
        servers = [Server(entry) if isinstance(entry, str) else entry for entry in connect]
        self._reception = Reception(
            viewer, self._intake, self._window, max_plane_bytes, name, listen, servers, keys, tuple(allow), id, displays
        )
        self.endpoint = self._reception.endpoint

    def start(self) -> Receiver:
        """Begin to take images."""
        self._reception.start()
        return self

    def connect(self, endpoint: str, public_key: str | None = None) -> None:
        """Connect to a publisher that listens.

        Raises
        ------
        SecurityError
            If keys are needed.
        """
        self._reception.call(lambda: self._reception.connect(Server(endpoint, public_key)))

    def allow(self, public_key: str) -> None:
        """Let one more publisher in.

        Raises
        ------
        SecurityError
            If it is no key, or this viewer has none itself.
        """
        self._reception.call(lambda: self._reception.allow(public_key))

    def subscribe(self, endpoint: str) -> None:
        """Take the messages of OpenHCS's first publishers, which are not told what became of them."""
        require_keys(endpoint, None)
        self._reception.call(lambda: self._reception.subscribe(endpoint))

    def displayed(self, stream: str, count: int) -> None:
        """So many images of a stream have been drawn by now."""
        state = self._intake.streams.get(stream)
        if state is not None:
            state.displayed = count

    def pause(self, paused: bool = True) -> None:
        """Take no more images until told otherwise; the publishers keep them."""
        window = Credits(credits=0, window_bytes=0) if paused else self._window
        self._reception.call(lambda: self._reception.change(window))

    def replay(self, stream: str | None = None) -> None:
        """Ask for everything again, of one stream or of all."""
        self._reception.call(lambda: self._reception.replay(stream))

    def state(self) -> State:
        """Counts of what has come."""
        return self._reception.state()

    def close(self) -> None:
        """Say goodbye. Safe to call again."""
        self._reception.close()

    def __enter__(self) -> Receiver:
        return self if self._reception.started else self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

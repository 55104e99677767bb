"""A viewer in the test's own process: keeps what it is sent."""

from __future__ import annotations

import socket
from contextlib import ExitStack

import numpy as np

from openhcs_core.plate import PlaneAddress
from openhcs_core.streaming.messages import Begin, End, Image, Progress
from openhcs_core.streaming.receiver import Receiver
from openhcs_core.streaming.security import CurveKeys, key_from_text, key_text
from openhcs_core.streaming.sockets import Server

LOOPBACK = "127.0.0.1"


class Screen(ExitStack):
    """A viewer that listens; a context manager.

    Parameters
    ----------
    host : str, optional
        Where it listens, at any port; nowhere if empty.
    secured : bool
        Whether it has keys.

    Attributes
    ----------
    begins, ends : list of Begin, End
    planes : dict of (stream, PlaneAddress) to array
    source_ids : dict of PlaneAddress to int
    """

    def __init__(self, host: str = LOOPBACK, secured: bool = False) -> None:
        super().__init__()
        self.begins: list[Begin] = []
        self.ends: list[End] = []
        self.planes: dict[tuple[str, PlaneAddress], np.ndarray] = {}
        self.source_ids: dict[PlaneAddress, int | None] = {}
        self.keys = CurveKeys.new() if secured else None
        listen = f"tcp://{host}:0" if host else None
        self.receiver = self.enter_context(Receiver(self, "screen", listen=listen, keys=self.keys))

    @property
    def address(self) -> str:
        """As people give it to a script."""
        return str(Server(self.receiver.endpoint, self.keys and self.keys.public))

    @property
    def key(self) -> str:
        return key_text(self.keys.public)

    def follow(self, message: str) -> bool:
        """Do what the message of a job says to viewers; whether it says anything."""
        line, _, rest = message.partition("\n")
        if not line.startswith("Stream: ") or not rest:
            return False
        told = line.removeprefix("Stream: ")
        if told.startswith("tcp://"):
            server = Server.from_text(told)
            self.receiver.connect(server.endpoint, server.public_key)
        else:
            self.receiver.allow(key_from_text(told))
        return True

    def begin(self, begin: Begin) -> Screen:
        self.begins.append(begin)
        return self

    def target(self, image: Image) -> np.ndarray:
        return self.planes.setdefault((image.stream, image.address), np.zeros(image.shape, image.dtype))

    def received(self, image: Image) -> None:
        self.source_ids[image.address] = image.source_id

    def end(self, end: End) -> None:
        self.ends.append(end)

    def progress(self, progress: Progress) -> None:
        pass

    def shutdown(self, reason: str) -> None:
        pass

    def of(self, stream: str) -> dict[PlaneAddress, np.ndarray]:
        """Planes of a stream."""
        return {address: plane for (name, address), plane in self.planes.items() if name == stream}


def own_address() -> str:
    """Address of this machine in its network; that of loopback if it has none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as anyone:
        try:
            anyone.connect(("192.0.2.1", 9))  # nothing is sent
        except OSError:
            return LOOPBACK
        return str(anyone.getsockname()[0])

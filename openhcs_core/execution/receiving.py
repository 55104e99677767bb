"""Images of a remote run that come into this process: for a function, or for a folder."""

from __future__ import annotations

import os
import re
from abc import abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from openhcs_core.errors import OpenHCSError
from openhcs_core.execution.sinks import Sink, get_local_ip
from openhcs_core.omero.viewers import LISTEN
from openhcs_core.plate import PlaneAddress
from openhcs_core.streaming.endpoints import is_local, tcp
from openhcs_core.streaming.errors import StreamingError
from openhcs_core.streaming.messages import DTYPES, Begin, End, Image, Progress
from openhcs_core.streaming.receiver import Receiver
from openhcs_core.streaming.security import CurveKeys, key_text
from openhcs_core.streaming.sockets import Server

PORTS = range(5575, 5601)
"""They listen at the first that is free; to these servers may connect, unless their settings differ."""

Callback = Callable[[Begin, np.ndarray, PlaneAddress], object]
"""Given what all images of a stream have in common, one of them, and its coordinates."""


class ReceiverSink(Sink):
    """Images come into this process, each stream of them to what `_begin` makes for it.

    Parameters
    ----------
    port : int, optional
        That it listens at; the first of `PORTS` that is free unless given.
    from_server : bool
        See `Sink`.

    Attributes
    ----------
    received : int
        Images so far.
    """

    def __init__(self, port: int | None = None, *, from_server: bool = False) -> None:
        super().__init__(from_server)
        self._ports = PORTS if port is None else (port,)
        self._receiver: Receiver | None = None
        self.received = self._failed = 0
        self._failure = ""

    def open(self, server_host: str) -> None:
        if self.from_server:
            own = CurveKeys.new()
            receiver = Receiver(_Taker(self), "client", keys=own)
            self.address, self.key = LISTEN, key_text(own.public)
        else:
            receiver, keys = self._listening(get_local_ip(server_host))
            self.address = str(Server(receiver.endpoint or "", keys.public if keys else None))
        self._receiver = receiver.start()

    def close(self) -> list[str]:
        if self._receiver is not None:
            self._receiver.close()
        if self._failed:
            self._problem(f"{self._failed} images were not taken: {self._failure}.")
        return super().close()

    def took(self, problem: Exception | None = None) -> None:
        """An image was taken, or was not; in the thread of the receiver."""
        if problem is None:
            self.received += 1
        else:
            self._failed += 1  # a full disk is told of once
            self._failure = self._failure or (str(problem) or type(problem).__name__).rstrip(".")

    def _listening(self, host: str) -> tuple[Receiver, CurveKeys | None]:
        keys = None if is_local(tcp(host, 0)) else CurveKeys.new()
        for port in self._ports:
            try:
                return Receiver(_Taker(self), "client", listen=tcp(host, port), keys=keys), keys
            except StreamingError as error:
                problem = error
        raise problem

    def _allow(self, key: str) -> None:
        assert self._receiver is not None
        self._receiver.allow(key)

    def _connect(self, sender: Server) -> None:
        assert self._receiver is not None
        self._receiver.connect(*sender)

    @abstractmethod
    def _begin(self, begin: Begin) -> Callable[[np.ndarray, Image], object]:
        """A stream begins; the function takes its images, in the thread of the receiver."""


class CallbackSink(ReceiverSink):
    """A function that is called with each image, in a thread of its own.

    Parameters
    ----------
    callback : callable
        Given a `Begin`, an array (Y, X) and its `PlaneAddress`; of points and shapes as
        `openhcs_core.streaming.messages.Image` describes. An image for which it raises counts as not delivered.
    port, from_server
        See `ReceiverSink`.
    """

    def __init__(self, callback: Callback, port: int | None = None, *, from_server: bool = False) -> None:
        super().__init__(port, from_server=from_server)
        self._callback = callback

    def _begin(self, begin: Begin) -> Callable[[np.ndarray, Image], object]:
        return lambda array, image: self._callback(begin, array, image.address)


class DirectorySink(ReceiverSink):
    """A folder: ``STREAM/A01_s001_c1_z001_t001.tif`` for each image, with the title of the stream as STREAM.

    Points and shapes become ``.csv`` files, with a line of headings. A file is there once it is complete.

    Parameters
    ----------
    folder : str or Path
        Made if it is not there; files that have the same names are replaced.
    port, from_server
        See `ReceiverSink`.
    """

    def __init__(self, folder: str | Path, port: int | None = None, *, from_server: bool = False) -> None:
        super().__init__(port, from_server=from_server)
        self.folder = Path(folder)
        self._named: dict[str, str] = {}

    def open(self, server_host: str) -> None:
        import tifffile  # noqa: F401  (missing is better known before anything runs)

        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OpenHCSError(f"The folder {self.folder} cannot be made: {error.strerror}.") from error
        super().open(server_host)

    def close(self) -> list[str]:
        return [*super().close(), f"{self.received} images are in {self.folder}."]

    def _begin(self, begin: Begin) -> Callable[[np.ndarray, Image], object]:
        folder = self.folder / self._name(begin)
        folder.mkdir(exist_ok=True)
        write = _write_table if begin.kind in ("points", "shapes") else _write_image

        def take(array: np.ndarray, image: Image) -> None:
            place = image.address
            well = _safe(place.well) or "image"
            name = f"{well}_s{place.site:03}_c{place.channel}_z{place.z_index:03}_t{place.timepoint:03}"
            write(folder / name, array)

        return take

    def _name(self, begin: Begin) -> str:
        """Of the folder of a stream: the server's words, but never a way out of here."""
        wanted = _safe(begin.title or begin.step) or "images"
        name, number = wanted, 1
        while self._named.setdefault(name, begin.stream) != begin.stream:
            number += 1
            name = f"{wanted}_{number}"
        return name


class _Taker:
    """The viewer that a receiver calls."""

    def __init__(self, sink: ReceiverSink) -> None:
        self._sink = sink

    def begin(self, begin: Begin) -> _Images:
        return _Images(self._sink, self._sink._begin(begin))

    def progress(self, progress: Progress) -> None:
        """Is known from the server."""

    def shutdown(self, reason: str) -> None:
        """Only this program ends it."""


class _Images:
    """The images of one stream."""

    def __init__(self, sink: ReceiverSink, take: Callable[[np.ndarray, Image], object]) -> None:
        self._sink, self._take = sink, take
        self._array: Any = None

    def target(self, image: Image) -> np.ndarray:
        self._array = np.empty(image.shape, DTYPES[image.dtype].newbyteorder("="))
        return self._array

    def received(self, image: Image) -> None:
        try:
            self._take(self._array, image)
        except Exception as error:
            self._sink.took(error)
            raise
        self._sink.took()

    def end(self, end: End) -> None:
        if end.undelivered:
            self._sink._problem(f"{end.undelivered} of {end.images} images did not come from the server.")


def _safe(text: str) -> str:
    return re.sub(r"[^\w.+-]+", "_", text).strip("._")[:80]


def _write_image(path: Path, array: np.ndarray) -> None:
    import tifffile

    _whole(path.with_name(f"{path.name}.tif"), lambda made: tifffile.imwrite(made, array))


def _write_table(path: Path, array: np.ndarray) -> None:
    heads = "y,x" if array.shape[1] == 2 else "outline,y,x"
    _whole(
        path.with_name(f"{path.name}.csv"),
        lambda made: np.savetxt(made, array, "%.17g", ",", header=heads, comments=""),
    )


def _whole(path: Path, write: Callable[[Path], object]) -> None:
    """Have a file written, which is at its place once it is complete."""
    made = path.with_name(f".{path.name}")
    try:
        write(made)
        os.replace(made, path)
    except BaseException:
        made.unlink(missing_ok=True)
        raise

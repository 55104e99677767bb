"""The sending side: results go to any number of viewers while the pipeline goes on."""

from __future__ import annotations

import logging
import os
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from openhcs_core.plate import PlaneAddress
from openhcs_core.streaming.errors import StreamingError
from openhcs_core.streaming.link import Stream, ViewerReport
from openhcs_core.streaming.messages import DTYPES, Begin, Image, Progress, Slot
from openhcs_core.streaming.outbox import Outbox
from openhcs_core.streaming.postman import Postman
from openhcs_core.streaming.security import CurveKeys
from openhcs_core.streaming.slots import SlotPool
from openhcs_core.streaming.sockets import Server
from openhcs_core.streaming.spool import Spool
from openhcs_core.streaming.wire import decode, encode

logger = logging.getLogger(__name__)

NO_PLATE = PlaneAddress("")
"""Address of an image that is on no plate."""

MAX_WELL = 64
"""Characters of its name."""

_NAMES = {np.dtype(name): name for name in DTYPES}


@dataclass(frozen=True)
class PublisherOptions:
    """How much a publisher may hold, and for how long.

    Attributes
    ----------
    memory_bytes : int
        Window of memory for images; what one viewer may have on its way comes from it.
    scratch : Path
        Folder for what does not fit into it.
    spool_bytes : int
        How much may be there.
    overflow : {"wait", "drop"}
        Once that is full as well: wait for the viewers, or drop images; counted in any case.
    wait_s : float
        The longest that one image waits; then it is dropped, and so are those after it until a viewer takes something.
    replay : bool
        Keep what all viewers have, for those that come later or come back, while there is room.
    shared_memory : bool
        Whether viewers of this machine may take images from shared memory.
    drain_s : float
        At the end: how long to wait for a viewer that receives nothing new.
    absent_s : float
        At the end: how long to wait for a viewer that is not there.
    """

    memory_bytes: int = 512 << 20
    scratch: Path = field(default_factory=lambda: Path(tempfile.gettempdir()))
    spool_bytes: int = 16 << 30
    overflow: Literal["wait", "drop"] = "wait"
    wait_s: float = 60.0
    replay: bool = True
    shared_memory: bool = True
    drain_s: float = 30.0
    absent_s: float = 3.0


@dataclass(frozen=True)
class Report:
    """What became of the images of a publisher; as text, for people.

    Attributes
    ----------
    images : int
        Taken from the pipeline.
    viewers : sequence of ViewerReport
    undelivered : sequence of Image
        Those that no viewer received.
    dropped : int
        Of them, for want of room.
    peak_memory, spooled : int
        Bytes.
    waited_s : float
        Seconds for which the pipeline waited for room.
    refused : int
        Messages and clients that made no sense or had no right.
    """

    images: int
    viewers: Sequence[ViewerReport]
    undelivered: Sequence[Image]
    dropped: int
    peak_memory: int
    spooled: int
    waited_s: float
    refused: int

    def __str__(self) -> str:
        parts = [f"{self.images} images streamed", *map(str, self.viewers)]
        if not self.viewers:
            parts.append("no viewer came")
        if self.undelivered:
            some = ", ".join(image.address.stem for image in self.undelivered[:5])
            more = " ..." if len(self.undelivered) > 5 else ""
            parts.append(f"{len(self.undelivered)} reached no viewer: {some}{more}")
        if self.dropped:
            parts.append(f"{self.dropped} dropped for want of room")
        return "; ".join(parts) + "."


class Publisher(AbstractContextManager["Publisher"]):
    """Sends images to viewers; from one process, made anew in each. Its methods may be called from any thread.

    Viewers that listen are connected to, others come in where the publisher listens; each gets everything, also what
    was sent before it came, at its own pace.

    Parameters
    ----------
    connect : sequence of str or Server
        Viewers that listen.
    listen : str, optional
        Endpoint for viewers to come to; port 0 for any.
    keys : CurveKeys, optional
        Needed outside this machine.
    allow : sequence of str
        Public keys of the viewers that may come in.
    options : PublisherOptions
    name : str
        For people.

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
        connect: Sequence[str | Server] = (),
        listen: str | None = None,
        keys: CurveKeys | None = None,
        allow: Sequence[str] = (),
        options: PublisherOptions = PublisherOptions(),
        name: str = "OpenHCS",
    ) -> None:
        self._options, self._pid = options, os.getpid()
        self._pool = SlotPool(options.memory_bytes, options.shared_memory)
        self._spool = Spool(options.scratch, options.spool_bytes)
        self._outbox = Outbox(
            *(self._pool, self._spool, options.overflow, options.wait_s, options.replay),
            added=lambda nbytes: self._postman.added(nbytes),
        )
        self._streams: dict[str, Stream] = {}
        self._lock, self._closing = threading.Lock(), threading.Lock()
        self._report: Report | None = None
        servers = [Server(entry) if isinstance(entry, str) else entry for entry in connect]
        try:
            self._postman = Postman(
                self._outbox, self._streams, servers, listen, keys, tuple(allow), name=name, id=uuid.uuid4().hex
            )
        except BaseException:
            self._outbox.close()
            self._pool.close()
            raise
        self.endpoint = self._postman.endpoint
        self._postman.probe(self._pool)
        self._postman.start()

    def begin(self, begin: Begin) -> None:
        """Begin a stream, or say more about it.

        Raises
        ------
        MessageError
            If viewers would refuse what is said.
        """
        self._check()
        decode(encode(begin))
        with self._lock:
            self._streams.setdefault(begin.stream, Stream(begin)).begin = begin
        self._postman.begun(begin.stream)

    def save(
        self, stream: str, array: np.ndarray, address: PlaneAddress = NO_PLATE, source_id: int | None = None
    ) -> bool:
        """Send an image. It is copied before this returns: the array stays the caller's.

        Parameters
        ----------
        stream : str
            One that has begun.
        array : ndarray, (Y, X)
            Or points, or shapes; see `openhcs_core.streaming.messages.Image`.
        address : PlaneAddress
        source_id : int, optional
            Of the image in OMERO.

        Returns
        -------
        bool
            False if it was dropped for want of room; that is counted.

        Raises
        ------
        StreamingError
            If the stream is unknown, or the array is none that can be sent.
        """
        self._check()
        state = self._streams.get(stream)
        if state is None or state.ended:
            raise StreamingError(f"The stream '{stream}' has not begun, or has ended.")
        dtype = _NAMES.get(array.dtype) or array.dtype.name
        if array.ndim != 2 or dtype not in DTYPES:
            raise StreamingError(
                f"An array of {array.ndim} dimensions and type {array.dtype} cannot be streamed: two dimensions, and "
                f"one of {', '.join(DTYPES)} are needed."
            )
        well, *numbers = address
        if len(well) > MAX_WELL:
            raise StreamingError(f"A well has a name of at most {MAX_WELL} characters; this one has {len(well)}.")
        site, channel, z_index, timepoint = map(int, numbers)
        source = None if source_id is None else int(source_id)

        def image(seq: int, slot: Slot | None) -> Image:
            return Image(
                stream=stream,
                seq=seq,
                well=well,
                site=site,
                channel=channel,
                z_index=z_index,
                timepoint=timepoint,
                source_id=source,
                shape=array.shape,
                dtype=dtype,
                nbytes=array.nbytes,
                slot=slot,
            )

        entry = self._outbox.put(array, dtype, image)
        with self._lock:
            state.images += 1
            state.last = max(state.last, entry.image.seq)
        return entry.exists

    def progress(self, progress: Progress) -> None:
        """Tell the viewers how far the run is; those that are not there miss it."""
        self._check()
        self._postman.progress(progress)

    def end(self, stream: str, aborted: bool = False) -> None:
        """Nothing more comes of a stream; viewers are told once they have all of it."""
        self._check()
        with self._lock:
            if stream in self._streams:
                self._streams[stream].aborted |= aborted
                self._streams[stream].ended = True
        self._postman.wake()

    @property
    def undelivered(self) -> int:
        """Images that some viewer who is known and has not left lacks at the moment; all while none is known."""
        return len(self._outbox.entries) - self._outbox.delivered_below

    def drain(
        self, patience_s: Callable[[], float], cancelled: Callable[[], bool] = lambda: False, poll_s: float = 0.02
    ) -> int:
        """Wait while viewers take images; what is undelivered in the end.

        Parameters
        ----------
        patience_s : callable
            For how long at most nothing may have changed, at the moment.
        cancelled : callable
            Whether to wait no more.
        poll_s : float
            How often both are asked.
        """
        left, since = self.undelivered, time.monotonic()
        while left and not cancelled() and time.monotonic() <= since + patience_s():
            time.sleep(poll_s)
            if (now := self.undelivered) != left:
                left, since = now, time.monotonic()
        return left

    def wait(self, timeout_s: float, viewers: int = 1) -> bool:
        """Wait until so many viewers are there; false if they are not in time."""
        return self._postman.wait_for(viewers, timeout_s)

    def close(self, aborted: bool = False) -> Report:
        """End all streams, wait for the viewers as long as the options say, and report. Safe to call again.

        Aborted: nobody is waited for, neither here nor by a `close` or `save` that waits in another thread.
        """
        if aborted:
            for state in list(self._streams.values()):
                state.aborted = True
            self._postman.abort()
            self._outbox.abort()
        with self._closing:
            if self._report is None:
                for stream, state in list(self._streams.items()):
                    if not state.ended:
                        self.end(stream, aborted)
                self._postman.close(self._options.drain_s, self._options.absent_s)
                self._outbox.close()
                self._report = self._make_report()
                self._spool.close()
                self._pool.close()
                (logger.warning if self._report.undelivered else logger.info)("%s", self._report)
        return self._report

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.close(aborted=kind is not None)

    def _check(self) -> None:
        if self._report is not None:
            raise StreamingError("The publisher has been closed.")
        if os.getpid() != self._pid:
            raise StreamingError("A publisher belongs to one process; make one in each worker.")

    def _make_report(self) -> Report:
        entries = self._outbox.entries
        viewers = [link.report(entries) for link in self._postman.links]
        missing: set[int] | None = None
        for viewer in viewers:
            seqs = {image.seq for image in (*viewer.undelivered, *viewer.failed)}
            missing = seqs if missing is None else missing & seqs
        undelivered = [entry.image for entry in entries if missing is None or entry.image.seq in missing]
        return Report(
            images=len(entries),
            viewers=viewers,
            undelivered=undelivered,
            dropped=len(self._outbox.dropped),
            peak_memory=self._pool.peak,
            spooled=self._spool.written,
            waited_s=self._outbox.waited_s,
            refused=self._postman.refused,
        )

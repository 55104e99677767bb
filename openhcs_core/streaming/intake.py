"""What a viewer does with messages: copies images into the arrays it is given, once each, and counts. No sockets."""

from __future__ import annotations

import logging
import sys
import threading
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from openhcs_core.errors import OpenHCSError
from openhcs_core.plate import PlaneAddress
from openhcs_core.streaming.errors import MessageError, StreamingError
from openhcs_core.streaming.messages import DTYPES, Begin, End, Image, Probe, Progress, State, StreamState
from openhcs_core.streaming.slots import SlotReader
from openhcs_core.streaming.wire import Buffer

logger = logging.getLogger(__name__)

MAX_STREAMS = 4096
MAX_IMAGES = 4_000_000
"""Of one stream; against publishers gone wild."""

MAX_TOLD = 256
"""Streams of which the state is told; the last."""

_NATIVE = {name: dtype.newbyteorder("=") for name, dtype in DTYPES.items()}


class Sink(Protocol):
    """Where the images of one stream go. Called in the receiver's thread."""

    def target(self, image: Image) -> np.ndarray:
        """The array to copy an image into: contiguous, writable, of its shape and dtype.

        Whatever it raises, the image is refused with the text of the exception.
        """

    def received(self, image: Image) -> None:
        """The image is there, all of it."""

    def end(self, end: End) -> None:
        """All publishers of the stream have ended, or are gone (aborted); their counts are summed."""


class Viewer(Protocol):
    """What a viewer does. Called in the receiver's thread."""

    def begin(self, begin: Begin) -> Sink:
        """A stream begins; called once for it. Whatever it raises, its images are refused."""

    def progress(self, progress: Progress) -> None:
        """How far a run is."""

    def shutdown(self, reason: str) -> None:
        """Somebody asks this program to end."""


@dataclass
class _Stream:
    """A stream in the viewer; what has come of each coordinate is the publisher and the number."""

    begin: Begin
    sink: Sink
    seen: dict[PlaneAddress, tuple[str, int]] = field(default_factory=dict)
    open: set[str] = field(default_factory=set)
    ends: dict[str, End] = field(default_factory=dict)
    received: int = 0
    displayed: int = 0
    failed: int = 0
    ended: bool = False


class Intake:
    """State of a viewer's streams. For one thread, but for `state`."""

    def __init__(self, viewer: Viewer, max_plane_bytes: int) -> None:
        self._viewer, self._max = viewer, max_plane_bytes
        self._reader = SlotReader()
        self.streams: dict[str, _Stream] = {}
        self._lock = threading.Lock()
        self.nbytes = 0
        self.refused = 0

    def begin(self, publisher: str, begin: Begin) -> None:
        """A publisher begins a stream.

        Raises
        ------
        MessageError
            If it is refused.
        """
        stream = self.streams.get(begin.stream)
        if stream is None:
            if len(self.streams) >= MAX_STREAMS:
                raise MessageError(f"There are {MAX_STREAMS} streams already.")
            try:
                sink = self._viewer.begin(begin)
            except Exception as error:
                _log("The viewer refuses a stream.", error)
                raise MessageError(f"The viewer refuses the stream: {_text(error)}") from error
            with self._lock:
                stream = self.streams[begin.stream] = _Stream(begin, sink)
        stream.open.add(publisher)
        stream.ends.pop(publisher, None)
        stream.ended = False

    def sees(self, probe: Probe | None) -> bool:
        """Whether a publisher's shared memory is seen here."""
        found = np.zeros(16, np.uint8)
        try:
            if probe is not None:
                self._reader.copy(probe.slot, found)
        except StreamingError:
            return False
        return probe is not None and found.tobytes().hex() == probe.nonce

    def image(self, publisher: str, image: Image, payload: Buffer | None) -> tuple[str, str]:
        """Take an image; return what became of it, as in `Ack`, and why."""
        stream = self.streams.get(image.stream)
        if stream is None or publisher not in stream.open:
            return "failed", "Its stream has not begun."
        address = image.address
        if stream.seen.get(address) == (publisher, image.seq):
            return "received", ""
        problem = self._problem(stream, image)
        if problem:
            stream.failed += 1
            return "failed", problem
        try:
            target = _flat(stream.sink.target(image), image)
        except Exception as error:
            stream.failed += 1
            return "failed", _text(error)
        try:
            if image.slot is not None:
                self._reader.copy(image.slot, target)
            elif payload is not None:
                np.copyto(target, np.frombuffer(payload, np.uint8))
        except StreamingError as error:
            return "again", str(error)
        _to_native(target, image)
        try:
            stream.sink.received(image)
        except Exception as error:
            _log("The viewer fails with an image.", error)
            stream.failed += 1
            return "failed", _text(error)
        stream.seen[address] = publisher, image.seq
        stream.received += 1
        self.nbytes += image.nbytes
        return "received", ""

    def end(self, publisher: str, end: End) -> None:
        """A publisher has ended its part of a stream."""
        stream = self.streams.get(end.stream)
        if stream is None or publisher not in stream.open:
            return
        stream.open.discard(publisher)
        stream.ends[publisher] = end
        if stream.open or stream.ended:
            return
        stream.ended = True
        ends = stream.ends.values()
        total = End(
            stream=end.stream,
            images=sum(one.images for one in ends),
            delivered=sum(one.delivered for one in ends),
            undelivered=sum(one.undelivered for one in ends),
            aborted=any(one.aborted for one in ends),
        )
        try:
            stream.sink.end(total)
        except Exception:
            logger.exception("The viewer fails at the end of a stream.")

    def gone(self, publisher: str) -> None:
        """A publisher is not there any more; what it did not end is aborted."""
        for name, stream in self.streams.items():
            if publisher in stream.open:
                mine = sum(who == publisher for who, _ in stream.seen.values())
                self.end(publisher, End(stream=name, images=mine, delivered=mine, undelivered=0, aborted=True))

    def progress(self, progress: Progress) -> None:
        """How far a run is."""
        try:
            self._viewer.progress(progress)
        except Exception:
            logger.exception("The viewer fails with a progress message.")

    def forget(self, stream: str | None) -> None:
        """Take images again that have been there."""
        for name, state in self.streams.items():
            if stream in (None, name):
                state.seen.clear()
                state.received = state.displayed = state.failed = 0

    def state(self, publishers: int) -> State:
        """Counts; from any thread."""
        with self._lock:
            streams = list(self.streams.values())
        states = [
            StreamState(
                stream=stream.begin.stream,
                title=stream.begin.title,
                images=stream.begin.images,
                received=stream.received,
                displayed=stream.displayed,
                failed=stream.failed,
                ended=stream.ended,
            )
            for stream in streams[-MAX_TOLD:]
        ]
        return State(
            publishers=publishers,
            received=sum(stream.received for stream in streams),
            displayed=sum(stream.displayed for stream in streams),
            failed=sum(stream.failed for stream in streams),
            refused=self.refused,
            nbytes=self.nbytes,
            streams=tuple(states),
        )

    def close(self) -> None:
        self._reader.close()

    def _problem(self, stream: _Stream, image: Image) -> str:
        begin = stream.begin
        if image.nbytes > self._max:
            return f"It has {image.nbytes} bytes; {self._max} are allowed."
        if begin.dtype not in (None, image.dtype):
            return f"It is {image.dtype}, its stream {begin.dtype}."
        if begin.kind in ("image", "labels") and begin.size_yx not in (None, image.shape):
            return f"It has {image.shape} pixels, its stream {begin.size_yx}."
        if begin.kind in ("points", "shapes") and image.shape[1] != (2 if begin.kind == "points" else 3):
            return f"Its shape {image.shape} is none of {begin.kind}."
        if len(stream.seen) >= MAX_IMAGES:
            return f"Its stream has {MAX_IMAGES} images already."
        return ""


def _log(what: str, error: Exception) -> None:
    """With a traceback, unless the viewer says it on purpose."""
    logger.warning("%s %s", what, error, exc_info=None if isinstance(error, OpenHCSError) else error)


def _text(error: Exception) -> str:
    return str(error)[:500] or type(error).__name__


def _flat(target: np.ndarray, image: Image) -> np.ndarray:
    """The bytes of an array to copy into."""
    if target.shape != image.shape or target.dtype != _NATIVE[image.dtype]:
        raise StreamingError("The viewer has no place of its shape and dtype.")
    if not (target.flags.c_contiguous and target.flags.writeable):
        raise StreamingError("The viewer's place for it is not contiguous, or not writable.")
    return target.reshape(-1).view(np.uint8)


def _to_native(flat: np.ndarray, image: Image) -> None:
    """Swap bytes on machines that need it."""
    if sys.byteorder == "big":
        flat.view(DTYPES[image.dtype]).byteswap(inplace=True)

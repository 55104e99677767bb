"""What has come: filled by the receiver's thread, emptied by the thread of the window."""

from __future__ import annotations

import logging
import math
import threading
from collections import deque
from dataclasses import dataclass

import numpy as np

from openhcs_core.plate import PlaneAddress
from openhcs_core.streaming.errors import StreamingError
from openhcs_core.streaming.messages import DTYPES, Begin, End, Image, Progress
from openhcs_napari.arrangement import Arrangement
from openhcs_napari.memory import Memory
from openhcs_napari.planes import Place, Tick

logger = logging.getLogger(__name__)

MAX_LAYERS = 500
MAX_PLANE_BYTES = 2 << 30
"""Of a plane after padding."""

VoxelSize = tuple[float | None, float | None, float | None]
NO_SIZE: VoxelSize = (None, None, None)


@dataclass(frozen=True)
class Fresh:
    """What has come to a stack since it was last taken.

    Attributes
    ----------
    places : list of Place
        The newest last.
    images : int
        How many that were; a place may have got several.
    size_yx : (height, width)
        Of the largest plane of the stack.
    dtype : dtype
        That can hold all its planes.
    """

    places: list[Place]
    images: int
    size_yx: tuple[int, int]
    dtype: np.dtype


class Stack:
    """The planes of one layer.

    Parameters
    ----------
    begin : Begin
        Of its stream.
    arrangement : Arrangement
    layer : Tick
        What tells its layer from others of the stream.
    channel : int
        From 1; that of its first plane where there are several.
    voxel_size_um : (z, y, x)

    Attributes
    ----------
    planes : dict of Place to array
    total : int or None
        How many there are going to be, if known.
    sources : dict of (well, site) to int
        Ids of images in OMERO.
    """

    def __init__(
        self, begin: Begin, arrangement: Arrangement, layer: Tick, channel: int, voxel_size_um: VoxelSize = NO_SIZE
    ) -> None:
        self.begin, self.arrangement, self.layer, self.channel = begin, arrangement, layer, channel
        self.voxel_size_um = voxel_size_um
        self.planes: dict[Place, np.ndarray] = {}
        self.total = arrangement.total(begin)
        self.sources: dict[tuple[str, int], int] = {}
        self._lock = threading.Lock()
        self._fresh: list[Place] = []
        self._kept = True
        self.size_yx = begin.size_yx or (0, 0)
        self.dtype = None if begin.dtype is None else DTYPES[begin.dtype].newbyteorder("=")
        if begin.kind == "labels" and begin.dtype == "bool":
            self.dtype = np.dtype(np.uint8)

    @property
    def is_known(self) -> bool:
        """Whether a layer can be made of it."""
        return self.dtype is not None and (self.begin.kind in ("points", "shapes") or self.size_yx != (0, 0))

    def put(self, image: Image, plane: np.ndarray) -> None:
        """Add a plane, in place of an earlier one of the same coordinates; in the receiver's thread."""
        place = self.arrangement.place(image.address)
        with self._lock:
            if not self._kept:
                return
            self.planes[place] = plane
            self._fresh.append(place)
            self.size_yx = self.padded(image)
            self.dtype = plane.dtype if self.dtype is None else np.result_type(self.dtype, plane.dtype)
            if image.source_id is not None:
                self.sources[image.well, image.site] = image.source_id

    def padded(self, image: Image) -> tuple[int, int]:
        """The size of all planes with this one."""
        return max(self.size_yx[0], image.shape[0]), max(self.size_yx[1], image.shape[1])

    def take(self) -> Fresh | None:
        """What has come since the last time; None if nothing has."""
        if not self._fresh:
            return None
        with self._lock:
            fresh, self._fresh = self._fresh, []
            assert self.dtype is not None
            places = list(dict.fromkeys(reversed(fresh)))[::-1]
            return Fresh(places, len(fresh), self.size_yx, self.dtype)

    def put_back(self, fresh: Fresh) -> None:
        """Take this again the next time."""
        with self._lock:
            self._fresh[:0] = [*fresh.places, *fresh.places[-1:] * (fresh.images - len(fresh.places))]

    def drop(self) -> None:
        """Free the planes, and keep none that comes."""
        with self._lock:
            self._kept = False
            self._fresh.clear()
            self.planes.clear()


class _StreamSink:
    """The images of one stream; in the receiver's thread."""

    def __init__(self, streams: Streams, begin: Begin) -> None:
        self._streams, self._begin = streams, begin
        self._arrangement = Arrangement.of(begin)
        self._coming: dict[PlaneAddress, np.ndarray] = {}
        channels = begin.values.get("channel", ())
        for layer in self._arrangement.layers(begin):
            named = dict(zip(self._arrangement.separate, layer, strict=True))
            streams.stack(begin, self._arrangement, layer, int(named.get("channel", channels[0] if channels else 1)))

    def target(self, image: Image) -> np.ndarray:
        """A new array each time: what is shown changes when the plane is complete."""
        kind, dtype = self._begin.kind, np.dtype(image.dtype)
        if kind == "labels" and dtype.kind not in "biu":
            raise StreamingError(f"Labels are whole numbers; these are {image.dtype}.")
        if kind in ("image", "labels"):
            stack = self._stack(image)
            if math.prod(stack.padded(image)) * dtype.itemsize > MAX_PLANE_BYTES:
                raise StreamingError(f"Its size {image.shape} differs too much from those of its layer.")
        plane = self._coming[image.address] = self._streams.memory.empty(image.shape, dtype)
        return plane

    def received(self, image: Image) -> None:
        plane = self._coming.pop(image.address)
        if self._begin.kind == "labels" and plane.dtype.kind == "b":
            plane = plane.view(np.uint8)
        self._stack(image).put(image, plane)

    def end(self, end: End) -> None:
        self._coming.clear()
        self._streams.ended(self._begin, end)

    def _stack(self, image: Image) -> Stack:
        layer = self._arrangement.layer(image.address)
        return self._streams.stack(self._begin, self._arrangement, layer, image.channel)


class Streams:
    """All that has come; what a `Receiver` calls. Attributes are for the thread of the window.

    Attributes
    ----------
    memory : Memory
        For the receiver's thread.
    progresses : dict of str to Progress
        The last of each kind.
    ends : dict of str to End
        By stream.
    notes : deque of str
        What went wrong or should be known; the newest last.
    asked_to_end : str or None
        Why this viewer should end, if somebody asked for it.
    """

    def __init__(self) -> None:
        self._stacks: dict[tuple[str, Tick], Stack] = {}
        self._lock = threading.Lock()
        self.memory = Memory()
        self._voxel_sizes: dict[str, VoxelSize] = {}
        self.progresses: dict[str, Progress] = {}
        self.ends: dict[str, End] = {}
        self.notes: deque[str] = deque(maxlen=100)
        self.asked_to_end: str | None = None

    def begin(self, begin: Begin) -> _StreamSink:
        """A stream begins.

        Raises
        ------
        StreamingError
            If its planes are too large.
        """
        if begin.size_yx and math.prod(begin.size_yx) * np.dtype(begin.dtype or "uint8").itemsize > MAX_PLANE_BYTES:
            raise StreamingError(f"Planes of {begin.size_yx} pixels are too large for this viewer.")
        return _StreamSink(self, begin)

    def progress(self, progress: Progress) -> None:
        """How far a run is."""
        self.progresses[progress.what] = progress

    def shutdown(self, reason: str) -> None:
        """Somebody asks this viewer to end."""
        self.asked_to_end = reason or "it was asked to end"

    def ended(self, begin: Begin, end: End) -> None:
        """A stream is complete, or given up."""
        self.ends[end.stream] = end
        title = begin.title or begin.step or begin.stream
        if end.aborted:
            self.notes.append(f"{title} did not come to its end: {end.delivered} of {end.images} images are here.")
        elif end.undelivered:
            self.notes.append(f"{title}: {end.undelivered} of {end.images} images did not arrive.")

    def stack(self, begin: Begin, arrangement: Arrangement, layer: Tick, channel: int) -> Stack:
        """The stack of a layer, made if there is none.

        Raises
        ------
        StreamingError
            If there are too many layers already.
        """
        with self._lock:
            stack = self._stacks.get((begin.stream, layer))
            if stack is None:
                if len(self._stacks) >= MAX_LAYERS:
                    raise StreamingError(
                        f"There are {MAX_LAYERS} layers already; clear the viewer, or show fewer components separately."
                    )
                # Who does not say its pixel size has that of the other results of its plate: they are to lie over them.
                size = begin.voxel_size_um
                size = self._voxel_sizes.get(begin.plate, NO_SIZE) if size == NO_SIZE else size
                if size != NO_SIZE:
                    self._voxel_sizes[begin.plate] = size
                stack = self._stacks[begin.stream, layer] = Stack(begin, arrangement, layer, channel, size)
            return stack

    def stacks(self) -> list[Stack]:
        """All stacks."""
        with self._lock:
            return list(self._stacks.values())

    def clear(self) -> None:
        """Forget what has come; what comes next makes new stacks."""
        with self._lock:
            for stack in self._stacks.values():
                stack.drop()
            self._stacks.clear()
        self.notes.clear()

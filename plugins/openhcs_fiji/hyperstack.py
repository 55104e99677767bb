"""The planes of one window, and the stack of ImageJ that is made of them."""

from __future__ import annotations

import copy
import threading
from dataclasses import dataclass
from typing import Any

import numpy as np

from openhcs_core.plate import PlaneAddress
from openhcs_core.streaming.messages import Begin, Image
from openhcs_fiji.mapping import Dimensions, Places, number, text_of
from openhcs_fiji.pixels import Copier, Heap, fitted, is_exact, limits, native, wider

MISSING = " (missing)"
"""At the end of the label of a plane that has not come."""


@dataclass
class _Plane:
    """A plane in Java, with its type and size (Y, X)."""

    pixels: Any
    kind: np.dtype
    size: tuple[int, int]


class Blanks:
    """Blank planes, one of each type and size, that all windows share. For the main thread."""

    def __init__(self, heap: Heap) -> None:
        self._heap = heap
        self._planes: dict[tuple[np.dtype, int], Any] = {}

    def plane(self, kind: np.dtype, size: tuple[int, int]) -> Any:
        """The one of a type and size (Y, X)."""
        key = kind, size[0] * size[1]
        if key not in self._planes:
            self._planes[key] = self._heap.new(kind, size)
        return self._planes[key]


class Hyperstack:
    """The planes of one window by their coordinates, as they came, and the stack that ImageJ shows.

    Planes go straight into the stack where it has room. Where it has none (more values, a larger image, a wider type)
    they wait until the main thread lays the stack out anew, however many have come by then.

    Parameters
    ----------
    jpype : module
    begin : Begin
        Of the stream.
    dimensions : Dimensions
    heap : Heap

    Attributes
    ----------
    places, laid_out : Places
        Now, and when the stack was laid out.
    stack : ij.ImageStack or None
        As laid out last.
    stale : bool
        Whether it must be laid out anew.
    received : int
        Images that have come, those included that came again.
    limits : mapping of int to (low, high)
        Values of each channel to be shown black and full, as far as they are not known beforehand.
    sources : set of int
        Ids of images in OMERO.
    conversions : list of str
        What happens to the types of pixels.
    notes : list of str
        What people should be told.
    """

    def __init__(self, jpype: Any, begin: Begin, dimensions: Dimensions, heap: Heap) -> None:
        self._jpype, self._begin, self._heap = jpype, begin, heap
        self.labels = begin.kind == "labels"
        self.places = Places(dimensions, begin.values)
        self.laid_out = self.places
        self.kind: np.dtype | None = None
        self.size = begin.size_yx or (0, 0)
        self.stack: Any = None
        self.stale = True
        self.received = 0
        self.limits: dict[int, tuple[float, float]] = {}
        self.sources: set[int] = set()
        self.conversions: list[str] = []
        self.notes: list[str] = []
        self._planes: dict[PlaneAddress, _Plane] = {}
        self._changed: list[PlaneAddress] = []
        self._converted: set[tuple[str, np.dtype]] = set()
        self._lock = threading.Lock()

    @property
    def count(self) -> int:
        """Planes that are there."""
        return len(self._planes)

    @property
    def total(self) -> int:
        """Planes that there is room for."""
        shape = self.places.shape
        return shape.c * shape.z * shape.t

    def take(self, image: Image, copier: Copier) -> None:
        """Take the image that lies in the copier; in the receiver's thread.

        Raises
        ------
        StreamingError
            If it has no room in memory, or would make too many places.
        """
        array, address = copier.array(image.shape, image.dtype), image.address
        largest = float(array.max(initial=0)) if self.labels else 0.0
        wanted = native(array.dtype, self.labels, largest)
        with self._lock:
            self.stale |= self.places.add(address)
            self._widen(wanted, image.shape)
            kind, size, old = self.kind, self.size, self._planes.get(address)
        assert kind is not None
        self._note(array, kind)
        self._measure(array, image.channel, largest)
        ready = fitted(array, kind, size, self.labels)
        if old is None or (old.kind, old.size) != (kind, size):
            plane = _Plane(self._heap.new(kind, size), kind, size)
        else:
            plane = old
        copier.put(ready, plane.pixels)
        with self._lock:
            self._planes[address] = plane
            if not self.stale and plane is not old:
                self._set(address, plane)
            self._changed.append(address)
            self.received += 1
            if image.source_id is not None:
                self.sources.add(image.source_id)

    def changes(self) -> list[PlaneAddress]:
        """What has come since the last call, in order."""
        with self._lock:
            changed, self._changed = self._changed, []
        return changed

    def lay_out(self, copier: Copier, blanks: Blanks) -> None:
        """Make the stack anew; in the main thread, after something has come."""
        with self._lock:
            kind, size, shape = self.kind, self.size, self.places.shape
            assert kind is not None
            total = shape.c * shape.z * shape.t
            self.stack = self._jpype.JClass("ij.ImageStack")(size[1], size[0], total)
            arrays = self.stack.getImageArray()
            self._jpype.JClass("java.util.Arrays").fill(arrays, blanks.plane(kind, size))
            for index, values in enumerate(self.places.everywhere(), 1):
                self.stack.setSliceLabel(text_of(values, self._begin) + MISSING, index)
            for address, plane in self._planes.items():
                if (plane.kind, plane.size) != (kind, size):
                    array = copier.get(plane.pixels, plane.kind, plane.size)
                    plane.pixels = self._heap.new(kind, size)
                    plane.kind, plane.size = kind, size
                    copier.put(fitted(array, kind, size, self.labels), plane.pixels)
                self._set(address, plane)
            self.laid_out, self.stale = copy.deepcopy(self.places), False

    def _set(self, address: PlaneAddress, plane: _Plane) -> None:
        place = self.places.place(address)
        assert place is not None
        index = number(place, self.places.shape)
        self.stack.setPixels(plane.pixels, index)
        self.stack.setSliceLabel(self._text(address), index)

    def _text(self, address: PlaneAddress) -> str:
        names = (name for names in self.places.axes.values() for name in names)
        return text_of({name: getattr(address, name) for name in names}, self._begin)

    def _widen(self, kind: np.dtype, size: tuple[int, int]) -> None:
        """Make the window's type and size such that an image fits."""
        new_kind = kind if self.kind is None else wider(self.kind, kind)
        new_size = (max(self.size[0], size[0]), max(self.size[1], size[1]))
        if (new_kind, new_size) != (self.kind, self.size):
            self.kind, self.size, self.stale = new_kind, new_size, True

    def _note(self, array: np.ndarray, kind: np.dtype) -> None:
        """Remember, once for each type, that pixels are converted."""
        if array.dtype == kind or (array.dtype.name, kind) in self._converted:
            return
        self._converted.add((array.dtype.name, kind))
        exact = "" if is_exact(array, kind) else "; large values are rounded"
        true = ", true as 255" if array.dtype == bool and not self.labels else ""
        self.conversions.append(f"{array.dtype.name} is shown as {kind.name}{true}{exact}.")
        if exact or not self.labels:  # labels are numbers, whatever their type
            self.notes.append(self.conversions[-1])

    def _measure(self, array: np.ndarray, channel: int, largest: float) -> None:
        channels = self._begin.channels
        if 0 < channel <= len(channels) and channels[channel - 1].window is not None:
            return
        if self.labels:
            low, high = 0.0, max(255.0, largest)
        elif array.dtype in (np.bool_, np.uint8):
            low, high = 0.0, 255.0
        else:
            low, high = limits(array)
        known = self.limits.get(channel, (low, high))
        self.limits[channel] = (min(known[0], low), max(known[1], high))

"""From arrays of NumPy to those of Java, in one copy."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from openhcs_core.streaming.errors import StreamingError

BYTE, SHORT, FLOAT = np.dtype("uint8"), np.dtype("uint16"), np.dtype("float32")
"""The types that ImageJ has, the narrowest first."""

_SAMPLES = 4096

_TRY_S = 2.0
_NO_MEMORY = (
    "ImageJ has no memory left. Close or clear windows, or give it more with -Xmx in OPENHCS_FIJI_JAVA_OPTIONS."
)


def native(dtype: np.dtype, labels: bool, largest: float = 0) -> np.dtype:
    """The type of ImageJ for pixels: the same, else float32, or 255 for true. Labels are uint16 while they fit."""
    if labels and dtype.kind in "biu":
        return SHORT if largest <= 65535 else FLOAT
    if dtype.kind == "b":
        return BYTE
    return dtype if dtype in (BYTE, SHORT) else FLOAT


def is_exact(array: np.ndarray, kind: np.dtype) -> bool:
    """Whether the type of ImageJ holds all values of a type."""
    return kind != FLOAT or np.can_cast(array.dtype, FLOAT)


def wider(one: np.dtype, other: np.dtype) -> np.dtype:
    """The type which holds the values of both."""
    return max(one, other, key=(BYTE, SHORT, FLOAT).index)


def fitted(array: np.ndarray, kind: np.dtype, size: tuple[int, int], labels: bool) -> np.ndarray:
    """An array (Y, X) in a type and size of a window, blank where it has nothing; itself if it fits."""
    if array.dtype == kind and array.shape == size:
        return array
    if array.dtype == bool and not labels:
        array = array * np.uint8(255)
    full = np.zeros(size, kind)
    with np.errstate(over="ignore"):  # beyond float32 is infinite there
        np.copyto(full[: array.shape[0], : array.shape[1]], array, casting="unsafe")
    return full


def limits(array: np.ndarray) -> tuple[float, float]:
    """Values to be shown black and full, from some of the pixels."""
    flat = array.reshape(-1)
    some = np.sort(flat[:: max(1, flat.size // _SAMPLES)])
    some = some[np.isfinite(some)]
    if not some.size:
        return 0.0, 1.0
    low, high = some[len(some) // 100], some[len(some) - 1 - len(some) // 500]
    if not low < high:
        low, high = np.nanmin(array), np.nanmax(array)
    return float(low), float(high)


class Heap:
    """Memory of Java for planes. A part of it is held back, so that ImageJ goes on when it is full.

    Parameters
    ----------
    jpype : module
        With Java started.
    """

    def __init__(self, jpype: Any) -> None:
        self._jpype = jpype
        self._types = {BYTE: jpype.JByte, SHORT: jpype.JShort, FLOAT: jpype.JFloat}
        self._reserve_bytes = max(16 << 20, int(jpype.JClass("java.lang.Runtime").getRuntime().maxMemory()) // 20)
        self._reserve: Any = jpype.JArray(jpype.JByte)(self._reserve_bytes)
        self._next_try = 0.0

    def new(self, kind: np.dtype, size: tuple[int, int]) -> Any:
        """A blank plane.

        Raises
        ------
        StreamingError
            If there is no room.
        """
        try:
            if self._reserve is None:
                if time.monotonic() < self._next_try:
                    raise StreamingError(_NO_MEMORY)
                self._next_try = time.monotonic() + _TRY_S
                self._reserve = self._jpype.JArray(self._jpype.JByte)(self._reserve_bytes)
            return self._jpype.JArray(self._types[kind])(size[0] * size[1])
        except (MemoryError, self._jpype.JException) as error:
            if isinstance(error, MemoryError) or "OutOfMemoryError" in str(error.getClass().getName()):
                self._reserve, self._next_try = None, time.monotonic() + _TRY_S
                raise StreamingError(_NO_MEMORY) from error
            raise


class Copier:
    """A place for one image, and the way from there into arrays of Java. For one thread.

    Java reads the memory of NumPy through a direct buffer, which is made once: about 0.1 ms for an image of 1 MB
    against 1 ms for the way over a sequence.
    """

    def __init__(self, jpype: Any) -> None:
        self._jpype = jpype
        self._order = jpype.JClass("java.nio.ByteOrder").nativeOrder()
        self._room(1 << 20)

    def _room(self, nbytes: int) -> None:
        self._memory = np.zeros(nbytes, np.uint8)
        direct = self._jpype.nio.convertToDirectBuffer(self._memory.data).order(self._order)
        self._buffers = {BYTE: direct, SHORT: direct.asShortBuffer(), FLOAT: direct.asFloatBuffer()}

    def array(self, shape: tuple[int, int], dtype: str) -> np.ndarray:
        """The place, as an array; what was there before is gone."""
        kind = np.dtype(dtype)
        nbytes = shape[0] * shape[1] * kind.itemsize
        if nbytes > self._memory.size:
            self._room(-(-nbytes // 8) * 8)
        return self._memory[:nbytes].view(kind).reshape(shape)

    def put(self, array: np.ndarray, plane: Any) -> None:
        """Copy an array of a type that ImageJ has into a plane of as many pixels."""
        if array.base is not self._memory and not np.may_share_memory(array, self._memory):
            place = self.array(array.shape, array.dtype.name)
            np.copyto(place, array)
            array = place
        buffer = self._buffers[array.dtype]
        buffer.rewind()
        buffer.get(plane, 0, array.size)

    def get(self, plane: Any, kind: np.dtype, size: tuple[int, int]) -> np.ndarray:
        """A plane of Java, copied."""
        return np.frombuffer(memoryview(plane), kind).reshape(size)

"""Memory for planes."""

from __future__ import annotations

import math

import numpy as np
import psutil  # type: ignore[import-untyped]

from openhcs_core.streaming.errors import StreamingError

_SLAB = 64 << 20
_ALIGNED = 64
_RESERVE = 512 << 20


class Memory:
    """Hands out arrays, several from one piece: the system gives large pieces several times as fast as small ones.

    A piece is free again when all its arrays are. For one thread.
    """

    def __init__(self) -> None:
        self._slab = np.empty(0, np.uint8)
        self._used = 0

    def empty(self, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """A new array, its values undefined.

        Raises
        ------
        StreamingError
            If there is no memory: this program would be killed.
        """
        nbytes = math.prod(shape) * dtype.itemsize
        if self._used + nbytes > self._slab.nbytes:
            size = max(_SLAB, nbytes)
            if psutil.virtual_memory().available < size + _RESERVE:
                raise StreamingError("The viewer's memory is full; clear it, or view less at a time.")
            self._slab, self._used = np.empty(size, np.uint8), 0
        array = self._slab[self._used : self._used + nbytes].view(dtype).reshape(shape)
        self._used += -(-nbytes // _ALIGNED) * _ALIGNED
        return array

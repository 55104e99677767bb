"""Memory for planes."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

from openhcs_core.streaming.errors import StreamingError
from openhcs_napari.memory import Memory


def test_arrays_are_as_asked_for_and_do_not_overlap():
    memory = Memory()
    arrays = [
        memory.empty(shape, np.dtype(dtype))
        for shape, dtype in (
            ((3, 5), "uint8"),
            ((0, 2), "float64"),
            ((7, 2), "float64"),
            ((4000, 4000), "uint16"),
            ((4000, 4000), "uint16"),
            ((4000, 4000), "uint16"),
            ((9000, 9000), "uint8"),  # more than one piece
        )
    ]
    for number, array in enumerate(arrays):
        assert array.flags.c_contiguous
        assert array.flags.aligned
        array[...] = number
    assert [array.shape for array in arrays[:3]] == [(3, 5), (0, 2), (7, 2)]
    assert [array.dtype.name for array in arrays[:3]] == ["uint8", "float64", "float64"]
    assert all((array == number).all() for number, array in enumerate(arrays))


def test_a_piece_is_free_when_its_arrays_are():
    memory = Memory()
    array = memory.empty((10,), np.dtype(np.uint8))
    piece = weakref.ref(array.base)
    memory.empty((65 << 20,), np.dtype(np.uint8))  # the next piece
    assert piece() is not None
    del array
    gc.collect()
    assert piece() is None


def test_too_much_is_refused():
    with pytest.raises(StreamingError, match="memory is full"):
        Memory().empty((1 << 30, 1 << 30), np.dtype(np.uint8))

"""Arrays of any order of axes, read as (T, C, Z, Y, X)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from openhcs_core.local.image import AXES, Shape5


def array_reader(
    array: Any, places: Mapping[str, int]
) -> tuple[Shape5, Callable[[int, int, int, int, int, int], np.ndarray]]:
    """Shape (T, C, Z, Y, X) of an array, and a function that reads it, see `LocalImage.read`.

    Parameters
    ----------
    array : array-like
        With ``shape`` and slicing.
    places : dict
        Position of each axis; axes that are not named are of length 1.
    """
    t, c, z, y, x = (array.shape[places[axis]] if axis in places else 1 for axis in AXES)
    kept = [axis for axis in sorted(places, key=lambda axis: places[axis]) if axis in "ZYX"]

    def read(t: int, c: int, z0: int, z1: int, y0: int, y1: int) -> np.ndarray:
        wanted: dict[str, int | slice] = {"T": t, "C": c, "Z": slice(z0, z1), "Y": slice(y0, y1), "X": slice(None)}
        index: list[int | slice] = [0] * len(array.shape)
        for axis, place in places.items():
            index[place] = wanted[axis]
        slab = np.asarray(array[tuple(index)]).transpose([kept.index(axis) for axis in "ZYX" if axis in kept])
        return slab if "Z" in kept else slab[np.newaxis]

    return (t, c, z, y, x), read

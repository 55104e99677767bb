"""Planes that arrive one by one, as one array of many dimensions."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

Tick = tuple[str | int, ...]
"""One position along a slider: the values of the components that go along it."""

Place = tuple[Tick, ...]
"""Where a plane belongs: one position for each slider."""


class PlaneStore:
    """Planes as an array; what is not there is blank, what is smaller than the largest plane is padded.

    It has what napari asks of the data of a layer. Another thread may put planes into the mapping at any time; the
    shape changes only with `arrange`.

    Parameters
    ----------
    planes : mapping of Place to array
        Each (Y, X).
    """

    def __init__(self, planes: Mapping[Place, np.ndarray]) -> None:
        self._planes = planes
        self._fixed: Place = ()
        self._ticks: tuple[Sequence[Tick], ...] = ()
        self.dtype = np.dtype(np.uint16)
        self.shape: tuple[int, ...] = (1, 1)

    def arrange(self, fixed: Place, ticks: Sequence[Sequence[Tick]], size_yx: tuple[int, int], dtype: np.dtype) -> None:
        """Say what the axes are.

        Parameters
        ----------
        fixed : Place
            Positions along the first sliders, which are no axes.
        ticks : sequence of sequence of Tick
            Those along each other slider, in order.
        size_yx : (height, width)
            Of the largest plane.
        dtype : dtype
            That can hold the values of all planes.
        """
        self._fixed, self._ticks, self.dtype = fixed, tuple(ticks), np.dtype(dtype)
        self.shape = (*map(len, ticks), *size_yx)

    @property
    def ndim(self) -> int:
        """How many axes there are."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """How many values there are."""
        return int(np.prod(self.shape, dtype=np.int64))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> np.ndarray:
        """A view or copy of a part; indices are whole numbers, slices and one ellipsis."""
        whole = [slice(None)] * self.ndim
        parts = list(key) if isinstance(key, tuple) else [key]
        dots = next((number for number, part in enumerate(parts) if part is Ellipsis), len(parts))
        after = parts[dots + 1 :]
        parts = [*parts[:dots], *whole[: self.ndim - dots - len(after)], *after]
        if len(parts) != self.ndim:
            raise IndexError(f"{len(parts)} indices for {self.ndim} axes.")
        rows, columns = parts[-2:]
        chosen = [range(length)[part] for length, part in zip(self.shape, parts[:-2], strict=False)]
        if all(isinstance(index, int) for index in chosen):
            return self._plane(chosen)[rows, columns]
        ranges = [[index] if isinstance(index, int) else index for index in chosen]
        blank = np.broadcast_to(np.zeros((), self.dtype), self.shape[-2:])[rows, columns]
        block = np.zeros((*map(len, ranges), *blank.shape), self.dtype)
        for position in itertools.product(*(range(len(each)) for each in ranges)):
            indices = [each[number] for each, number in zip(ranges, position, strict=True)]
            if self._place(indices) in self._planes:
                block[position] = self._plane(indices)[rows, columns]
        return block[tuple(0 if isinstance(index, int) else slice(None) for index in chosen)]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self[...].astype(dtype or self.dtype, copy=bool(copy))

    def _place(self, indices: Sequence[int]) -> Place:
        return (*self._fixed, *(ticks[index] for ticks, index in zip(self._ticks, indices, strict=True)))

    def _plane(self, indices: Sequence[int]) -> np.ndarray:
        height, width = self.shape[-2:]
        plane = self._planes.get(self._place(indices))
        if plane is None:
            return np.broadcast_to(np.zeros((), self.dtype), (height, width))
        if plane.shape == (height, width) and plane.dtype == self.dtype:
            return plane
        padded = np.zeros((height, width), self.dtype)
        part = plane[:height, :width]
        padded[: part.shape[0], : part.shape[1]] = part
        return padded

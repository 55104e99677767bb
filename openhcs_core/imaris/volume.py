"""One volume (one channel at one time point) on its way into the file, chunk by chunk."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import numpy as np

from openhcs_core.imaris.histogram import Histogram, histogram_for
from openhcs_core.imaris.layout import Level, Shape3
from openhcs_core.imaris.pyramid import reduce_box

StoreChunk = Callable[[int, Shape3, np.ndarray], None]


class Volume:
    """Takes full-resolution chunks in any order, from several threads, and makes all lower levels.

    A chunk is reduced while it is hot. Its reduced voxels go into the chunks of the next level that
    are still open; one that is full is handled the same way at once. Only open chunks are held, so
    memory follows the order in which chunks arrive, not the size of the volume.

    Parameters
    ----------
    levels : sequence of Level
    dtype : dtype
        uint8, uint16, uint32 or float32.
    store : callable
        ``store(level, start, chunk)`` keeps a finished chunk (whole, zero padded) whose first voxel is
        `start` (z, y, x).
    done : callable
        Called with the volume after its last chunk was stored, by the thread that stored it.
    projected_level : int, optional
        Level of which a maximum projection along z is wanted.
    """

    def __init__(
        self,
        levels: Sequence[Level],
        dtype: np.dtype,
        store: StoreChunk,
        done: Callable[[Volume], None],
        projected_level: int | None = None,
    ) -> None:
        self.histograms: list[Histogram] = [histogram_for(dtype) for _ in levels]
        self.projection: np.ndarray | None = None
        self._levels = levels
        self._dtype = np.dtype(dtype)
        self._store = store
        self._done = done
        self._projected_level = projected_level
        self._open: list[dict[Shape3, list]] = [{} for _ in levels]
        self._lock = threading.Lock()
        self._left = sum(int(np.prod(level.grid)) for level in levels)
        if projected_level is not None:
            shape = levels[projected_level].shape[1:]
            self.projection = np.full(shape, -np.inf if self._dtype.kind == "f" else 0, self._dtype)

    def new_chunk(self, number: int, start: Shape3) -> tuple[np.ndarray, Shape3]:
        """An empty chunk of a level and its true size; what lies beyond the image is zero."""
        level = self._levels[number]
        size = level_size(level, start)
        return (np.empty if size == level.chunks else np.zeros)(level.chunks, self._dtype), size

    def add(self, number: int, start: Shape3, chunk: np.ndarray) -> None:
        """Take a complete chunk of a level, and make and store all that follows from it."""
        level = self._levels[number]
        size = level_size(level, start)
        self.histograms[number].add(chunk, size)
        if number == self._projected_level:
            self._project(start, chunk[: size[0], : size[1], : size[2]])
        completed = self._reduce(number + 1, start, chunk, size) if number + 1 < len(self._levels) else []
        self._store(number, start, chunk)
        del chunk
        while completed:
            self.add(number + 1, *completed.pop())
        with self._lock:
            self._left -= 1
            finished = self._left == 0
        if finished:
            self._done(self)

    def _reduce(self, number: int, start: Shape3, chunk: np.ndarray, size: Shape3) -> list[tuple[Shape3, np.ndarray]]:
        """Spread the reduced chunk over the open chunks of the next level; return those now complete."""
        level = self._levels[number]
        factors, chunks = np.array(level.factors), np.array(level.chunks)
        begin = np.array(start) // factors
        end = np.minimum((np.array(start) + size) // factors, level.shape)
        if np.any(begin >= end):
            return []
        reduced = reduce_box(chunk, level.factors)
        completed = []
        for index in np.ndindex(*((end - 1) // chunks - begin // chunks + 1)):
            first = (begin // chunks + index) * chunks
            low, high = np.maximum(begin, first), np.minimum(end, first + chunks)
            part = reduced[_box(low - begin, high - begin)]
            key = (int(first[0]), int(first[1]), int(first[2]))
            with self._lock:
                if key not in self._open[number]:
                    new, new_size = self.new_chunk(number, key)
                    self._open[number][key] = [new, int(np.prod(new_size))]
                entry = self._open[number][key]
            entry[0][_box(low - first, high - first)] = part
            with self._lock:
                entry[1] -= part.size
                if entry[1] == 0:
                    completed.append((key, self._open[number].pop(key)[0]))
        return completed

    def _project(self, start: Shape3, voxels: np.ndarray) -> None:
        assert self.projection is not None
        highest = np.fmax.reduce(voxels, axis=0)
        rows, columns = highest.shape
        with self._lock:
            part = self.projection[start[1] : start[1] + rows, start[2] : start[2] + columns]
            np.fmax(part, highest, out=part)


def level_size(level: Level, start: Shape3) -> Shape3:
    """True size of the chunk that begins at `start`: less than a chunk at the far edges."""
    z, y, x = (min(chunk, size - first) for chunk, size, first in zip(level.chunks, level.shape, start, strict=True))
    return z, y, x


def _box(low: np.ndarray, high: np.ndarray) -> tuple[slice, ...]:
    return tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))

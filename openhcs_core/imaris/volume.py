"""One volume (one channel at one time point) on its way into the file, chunk by chunk."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from math import prod

import numpy as np

from openhcs_core.imaris.histogram import Histogram, histogram_for
from openhcs_core.imaris.layout import Level, Shape3
from openhcs_core.imaris.pixeltypes import PixelConversion
from openhcs_core.imaris.pyramid import reduce_into

StoreChunk = Callable[[int, Shape3, np.ndarray, bool], None]

_scratch = threading.local()


class Volume:
    """Takes full-resolution chunks in any order, from several threads, and makes all lower levels.

    A chunk is reduced while it is hot. Its reduced voxels go into the chunks of the next level that
    are still open; one that is full is handled the same way at once. Only open chunks are held, so
    memory follows the order in which chunks arrive, not the size of the volume.

    Parameters
    ----------
    levels : sequence of Level
    convert : PixelConversion
        From the voxels given to those stored.
    store : callable
        ``store(level, start, chunk, uniform)`` keeps a finished chunk (whole, zero padded) whose first
        voxel is `start` (z, y, x); `uniform` says that all its voxels are equal.
    done : callable
        Called with the volume after its last chunk was stored, by the thread that stored it.
    projected_level : int, optional
        Level of which a maximum projection along z is wanted.
    """

    def __init__(
        self,
        levels: Sequence[Level],
        convert: PixelConversion,
        store: StoreChunk,
        done: Callable[[Volume], None],
        projected_level: int | None = None,
    ) -> None:
        self.histograms: list[Histogram] = [histogram_for(convert.target) for _ in levels]
        self.projection: np.ndarray | None = None
        self._levels = levels
        self._convert = convert
        self._store = store
        self._done = done
        self._projected_level = projected_level
        self._open: list[dict[Shape3, list]] = [{} for _ in levels]
        self._lock = threading.Lock()
        self._left = sum(prod(level.grid) for level in levels)
        if projected_level is not None:
            shape = levels[projected_level].shape[1:]
            self.projection = np.full(shape, -np.inf if convert.target.kind == "f" else 0, convert.target)

    def take(self, start: Shape3, voxels: np.ndarray) -> None:
        """Take the voxels of one full-resolution chunk, and make and store all that follows from them."""
        depth, height, width = voxels.shape
        chunk = self._own_chunk()
        if voxels.shape != chunk.shape:
            chunk[:] = 0
        self._convert(voxels, out=chunk[:depth, :height, :width])
        self._add(0, start, chunk)

    def _own_chunk(self) -> np.ndarray:
        """A chunk of the full resolution that this thread uses again and again: it stays in the cache of its CPU."""
        kept = getattr(_scratch, "chunk", None)
        if kept is None or kept.shape != self._levels[0].chunks or kept.dtype != self._convert.target:
            kept = _scratch.chunk = np.empty(self._levels[0].chunks, self._convert.target)
        return kept

    def _add(self, number: int, start: Shape3, chunk: np.ndarray) -> None:
        size = level_size(self._levels[number], start)
        uniform = is_uniform(chunk)
        if uniform:
            self.histograms[number].add(chunk[:1, :1, :1], (1, 1, 1), prod(size))
        else:
            self.histograms[number].add(chunk, size)
        if number == self._projected_level:
            self._project(start, chunk[: size[0], : size[1], : size[2]])
        completed = self._reduce(number + 1, start, chunk, size, uniform) if number + 1 < len(self._levels) else None
        self._store(number, start, chunk, uniform)
        del chunk
        if completed:
            self._add(number + 1, *completed)
        with self._lock:
            self._left -= 1
            finished = self._left == 0
        if finished:
            self._done(self)

    def _reduce(
        self, number: int, start: Shape3, chunk: np.ndarray, size: Shape3, uniform: bool
    ) -> tuple[Shape3, np.ndarray] | None:
        """Reduce a chunk into the open one of the next level that holds it all; return that if it is complete now."""
        level = self._levels[number]
        spans = zip(start, size, level.factors, level.chunks, strict=True)
        parts = [(a // factor // side * side, a // factor, (a + length) // factor) for a, length, factor, side in spans]
        (z, z0, z1), (y, y0, y1), (x, x0, x1) = parts
        key, first, extent = (z, y, x), (z0 - z, y0 - y, x0 - x), (z1 - z0, y1 - y0, x1 - x0)
        if not all(extent):
            return None
        with self._lock:
            entry = self._open[number].get(key)
            if entry is None:
                voxels = level_size(level, key)
                make = np.empty if voxels == level.chunks else np.zeros
                entry = self._open[number][key] = [make(level.chunks, chunk.dtype), prod(voxels)]
        if uniform:
            entry[0][z0 - z : z1 - z, y0 - y : y1 - y, x0 - x : x1 - x] = chunk[0, 0, 0]
        else:
            reduce_into(entry[0], first, extent, chunk, level.factors)
        with self._lock:
            entry[1] -= prod(extent)
            return (key, self._open[number].pop(key)[0]) if entry[1] == 0 else None

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


def is_uniform(chunk: np.ndarray) -> bool:
    """Whether all voxels of a C-contiguous chunk are the same, bit by bit."""
    bits = chunk.reshape(-1).view(f"u{chunk.itemsize}")
    return bits[0] == bits[bits.size // 2] == bits[-1] and bool(np.all(bits == bits[0]))

"""Histograms of one volume, collected block by block from several threads."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np

from openhcs_core.imaris import kernels
from openhcs_core.imaris.layout import Shape3

FINE_BINS = 4096
"""Bins in which uint32 and float32 values are collected."""

_scratch = threading.local()
"""Tables of each thread, zero between uses: making them anew would take as long as counting."""


@dataclass(frozen=True)
class HistogramResult:
    """What an Imaris file holds of a histogram.

    Attributes
    ----------
    minimum, maximum : float
        Values at the lower end of the first and the upper end of the last bin; never equal.
    bins : ndarray of uint64, (256,)
    fine_bins : ndarray of uint64, (257..1024,), or None for uint8
    """

    minimum: float
    maximum: float
    bins: np.ndarray
    fine_bins: np.ndarray | None


class CountHistogram:
    """Exact counts of every grey value, for uint8 and uint16."""

    def __init__(self, dtype: np.dtype) -> None:
        self._counts = np.zeros(1 << (8 * np.dtype(dtype).itemsize), np.int64)
        self._lock = threading.Lock()

    def add(self, block: np.ndarray, size: Shape3, times: int = 1) -> None:
        """Count the first `size` (z, y, x) voxels of a block, `times` each; the rest of it must be zero."""
        counts = _counts_of(block.reshape(-1))
        counts[0] -= block.size - size[0] * size[1] * size[2]
        with self._lock:
            self._counts[: counts.size] += counts * times

    def value_range(self) -> tuple[float, float] | None:
        """Smallest and largest value seen, None before any."""
        seen = np.flatnonzero(self._counts)
        return (float(seen[0]), float(seen[-1])) if seen.size else None

    def result(self) -> HistogramResult:
        """Bins from 0, one grey value wide, up to the largest value but at least 256 of them."""
        if self._counts.size == 256:
            return HistogramResult(0.0, 255.0, self._counts.astype(np.uint64), None)
        seen = np.flatnonzero(self._counts)
        top = max(256, int(seen[-1]) if seen.size else 0)
        counts = self._counts[: top + 1]
        fine = _resample(counts, 1024) if counts.size > 1024 else counts.astype(np.uint64)
        return HistogramResult(0.0, float(top), _resample(counts, 256), fine)


@dataclass(frozen=True)
class _Bins:
    """Counts of values v by floor(v / 2**exponent), starting at bin number `first`."""

    exponent: int
    first: int
    counts: np.ndarray

    @property
    def last(self) -> int:
        return self.first + self.counts.size - 1

    def coarser(self, exponent: int) -> _Bins:
        """The same counts in bins of width 2**exponent; exact, since wide bins are made of whole narrow ones."""
        shift = min(exponent - self.exponent, 62)  # bin numbers have far fewer bits, so more changes nothing
        numbers = (self.first + np.arange(self.counts.size, dtype=np.int64)) >> shift
        first = int(numbers[0])
        counts = np.zeros(int(numbers[-1]) - first + 1, np.int64)
        np.add.at(counts, numbers - first, self.counts)
        return _Bins(exponent, first, counts)

    def merged(self, other: _Bins) -> _Bins:
        """Both together, in bins wide enough for FINE_BINS of them to hold all."""
        exponent = max(self.exponent, other.exponent)
        while True:
            a, b = self.coarser(exponent), other.coarser(exponent)
            first, last = min(a.first, b.first), max(a.last, b.last)
            if last - first < FINE_BINS:
                break
            exponent += max(1, ((last - first) // FINE_BINS).bit_length())
        counts = np.zeros(last - first + 1, np.int64)
        for part in (a, b):
            counts[part.first - first : part.last - first + 1] += part.counts
        return _Bins(exponent, first, counts)


class RangeHistogram:
    """Counts over a growing range with exact extremes, for uint32 and float32; NaN and infinity are skipped."""

    def __init__(self) -> None:
        self._bins: _Bins | None = None
        self._range: tuple[float, float] | None = None
        self._lock = threading.Lock()

    def add(self, block: np.ndarray, size: Shape3, times: int = 1) -> None:
        """Count the first `size` (z, y, x) voxels of a block, `times` each."""
        values = block[: size[0], : size[1], : size[2]]
        low, high = float(values.min()), float(values.max())
        if not np.isfinite(low) or not np.isfinite(high):
            values = values[np.isfinite(values)]
            if not values.size:
                return
            low, high = float(values.min()), float(values.max())
        bins = _bins_of(values, low, high)
        bins.counts[:] *= times
        with self._lock:
            self._bins = bins if self._bins is None else self._bins.merged(bins)
            old = self._range or (low, high)
            self._range = min(old[0], low), max(old[1], high)

    def value_range(self) -> tuple[float, float] | None:
        """Smallest and largest finite value seen, None before any."""
        return self._range

    def result(self) -> HistogramResult:
        """1024 and 256 bins between the extremes; a constant image gets a range of one."""
        if self._bins is None or self._range is None:
            return HistogramResult(0.0, 1.0, np.zeros(256, np.uint64), np.zeros(1024, np.uint64))
        low, high = self._range
        if high == low:
            high = _above(low)
        width = 2.0**self._bins.exponent
        centres = (self._bins.first + np.arange(self._bins.counts.size) + 0.5) * width
        numbers = np.clip((centres - low) / (high - low) * 1024, 0, 1023).astype(np.int64)
        fine = np.zeros(1024, np.int64)
        np.add.at(fine, numbers, self._bins.counts)
        return HistogramResult(low, high, _resample(fine, 256), fine.astype(np.uint64))


Histogram = CountHistogram | RangeHistogram


def histogram_for(dtype: np.dtype) -> Histogram:
    """An empty histogram for voxels of `dtype` (uint8, uint16, uint32 or float32)."""
    dtype = np.dtype(dtype)
    return CountHistogram(dtype) if dtype.kind == "u" and dtype.itemsize <= 2 else RangeHistogram()


def display_range(ranges: list[tuple[float, float] | None]) -> tuple[float, float]:
    """A window (low, high), low < high, that shows all values of several volumes."""
    known = [r for r in ranges if r is not None]
    if not known:
        return 0.0, 1.0
    low, high = min(r[0] for r in known), max(r[1] for r in known)
    return (low, high) if high > low else (low, _above(low))


def _above(value: float) -> float:
    """A value above `value` that is told apart from it in float32 as well."""
    return value + max(1.0, abs(value) * 2.0**-20)


def _resample(counts: np.ndarray, number: int) -> np.ndarray:
    """Join bins to `number` of them: bin i goes to i * number // len(counts)."""
    edges = -(-np.arange(number) * counts.size // number)  # the first bin that goes to each
    return np.add.reduceat(counts, edges).astype(np.uint64)


def _bins_of(values: np.ndarray, low: float, high: float) -> _Bins:
    """Bins of finite values between `low` and `high`, as narrow as FINE_BINS of them allow."""
    span = max(high - low, abs(high) * 2.0**-23, abs(low) * 2.0**-23, 2.0**-149)
    exponent = int(np.ceil(np.log2(span / (FINE_BINS - 1))))
    while np.floor(np.ldexp(high, -exponent)) - np.floor(np.ldexp(low, -exponent)) >= FINE_BINS:
        exponent += 1
    first = int(np.floor(np.ldexp(low, -exponent)))
    flat = values.reshape(-1)
    loops = kernels.ready()
    if loops:
        counts = np.zeros(int(np.floor(np.ldexp(high, -exponent))) - first + 1, np.int64)
        loops.count_scaled(flat, 2.0**-exponent, first, counts)
        return _Bins(exponent, first, counts)
    numbers = np.floor(flat.astype(np.float64) * 2.0**-exponent)
    numbers -= first
    return _Bins(exponent, first, np.bincount(numbers.astype(np.int64)).astype(np.int64))


def _counts_of(values: np.ndarray) -> np.ndarray:
    """Counts of 0, 1, 2 … up to the largest of some uint8 or uint16 values, (n,), or some more."""
    loops = kernels.ready()
    if not loops:
        return np.bincount(values)
    if not hasattr(_scratch, "tables"):
        _scratch.tables = np.zeros((4, 1 << 16), np.uint32)
    return loops.count(values, _scratch.tables)

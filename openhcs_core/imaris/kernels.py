"""Inner loops compiled by numba, where it is installed; NumPy does the same work without it, in more time."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Kernels:
    """The compiled loops; none holds the GIL, all take C-contiguous arrays."""

    count: Callable[..., np.ndarray]
    count_scaled: Callable[..., None]
    mean_of_integers: Callable[..., None]
    mean_of_floats: Callable[..., bool]


_ready: Kernels | None = None
_lock = threading.Lock()
_begun = False


def ready() -> Kernels | None:
    """The compiled loops, or None where there are none (yet)."""
    return _ready


def prepare() -> None:
    """Compile the loops, or load them from numba's cache; returns at once from the second call on."""
    global _ready, _begun
    with _lock:
        if _begun:
            return
        _begun = True
        try:
            _ready = compiled()
        except Exception as error:  # numba absent, too old or too new: NumPy will do
            _log.debug("no compiled loops: %s", error)


def prepare_in_background() -> None:
    """`prepare` in a thread of its own: it may take a second or two, in which NumPy works."""
    if not _begun:
        threading.Thread(target=prepare, name="ims-kernels").start()


def count(values: np.ndarray, tables: np.ndarray) -> np.ndarray:
    """Counts of 0, 1, 2 … up to the largest of uint8 or uint16 values, (n,), or some more.

    Four tables, (4, 65536), of zeros are used and left so: neighbours must not wait for each other.
    """
    bits = 0
    whole = values.size // 4 * 4
    for i in range(0, whole, 4):
        a, b, c, d = values[i], values[i + 1], values[i + 2], values[i + 3]
        tables[0, a] += 1
        tables[1, b] += 1
        tables[2, c] += 1
        tables[3, d] += 1
        bits |= a | b | c | d
    for i in range(whole, values.size):
        tables[0, values[i]] += 1
        bits |= values[i]
    size = 1
    while size <= bits:
        size *= 2
    counts = np.empty(size, np.int64)
    for value in range(size):
        counts[value] = tables[0, value] + tables[1, value] + tables[2, value] + tables[3, value]
    tables[:, :size] = 0
    return counts


def count_scaled(values: np.ndarray, scale: float, first: int, counts: np.ndarray) -> None:
    """Count finite values, (n,), by floor(value * scale) - first."""
    for i in range(values.size):
        counts[int(math.floor(float(values[i]) * scale)) - first] += 1


def mean_of_integers(
    block: np.ndarray, fz: int, fy: int, target: np.ndarray, first: tuple[int, int, int], size: tuple[int, int, int]
) -> None:
    """Truncated mean of boxes of fz × fy × 2 voxels; where fz or fy is 1, voxels count twice in sum and number.

    The means become those voxels of `target` that begin at `first`, `size` of them.
    """
    depth, height, width = size
    for z in range(depth):
        for y in range(height):
            a, b = block[fz * z, fy * y], block[fz * z, fy * y + fy - 1]
            c, d = block[fz * z + fz - 1, fy * y], block[fz * z + fz - 1, fy * y + fy - 1]
            row = target[first[0] + z, first[1] + y, first[2] : first[2] + width]
            for x in range(width):
                left, right = 2 * x, 2 * x + 1
                row[x] = (
                    np.uint64(a[left]) + np.uint64(a[right]) + np.uint64(b[left]) + np.uint64(b[right])
                    + np.uint64(c[left]) + np.uint64(c[right]) + np.uint64(d[left]) + np.uint64(d[right])
                ) >> np.uint64(3)  # fmt: skip


def mean_of_floats(
    block: np.ndarray, fz: int, fy: int, target: np.ndarray, first: tuple[int, int, int], size: tuple[int, int, int]
) -> bool:
    """Mean of boxes of fz × fy × 2 voxels, summed along x, then y, then z; whether all of it is finite."""
    depth, height, width = size
    number = np.float32(fz * fy * 2)
    finite = True
    for z in range(depth):
        for y in range(height):
            row = target[first[0] + z, first[1] + y, first[2] : first[2] + width]
            a, b = block[fz * z, fy * y], block[fz * z, fy * y + fy - 1]
            for x in range(width):
                row[x] = a[2 * x] + a[2 * x + 1]
                if fy == 2:
                    row[x] += b[2 * x] + b[2 * x + 1]
            if fz == 2:
                a, b = block[fz * z + 1, fy * y], block[fz * z + 1, fy * y + fy - 1]
                for x in range(width):
                    total = a[2 * x] + a[2 * x + 1]
                    if fy == 2:
                        total += b[2 * x] + b[2 * x + 1]
                    row[x] += total
            for x in range(width):
                row[x] /= number
                finite &= math.isfinite(row[x])
    return finite


def compiled() -> Kernels:
    """Compile the loops, for all types; raises whatever numba raises."""
    from numba import njit

    def fast(loop: Callable[..., Any]) -> Callable[..., Any]:
        try:
            return njit(nogil=True, cache=True)(loop)
        except RuntimeError:  # no folder to keep compiled code in
            return njit(nogil=True)(loop)

    kernels = Kernels(fast(count), fast(count_scaled), fast(mean_of_integers), fast(mean_of_floats))
    # Compilation happens at the first call with each type: here, before anyone waits for a result.
    for name in ("u1", "u2", "u4", "f4"):
        block = np.zeros((2, 2, 2), name)
        target, flat = np.empty((1, 1, 1), name), block.reshape(-1)
        if block.itemsize <= 2:
            kernels.count(flat, np.zeros((4, 1 << 8 * block.itemsize), np.uint32))
        else:
            kernels.count_scaled(flat, 1.0, 0, np.zeros(1, np.int64))
        mean = kernels.mean_of_floats if block.dtype.kind == "f" else kernels.mean_of_integers
        mean(block, 2, 2, target, (0, 0, 0), (1, 1, 1))
    return kernels

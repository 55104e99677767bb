"""Thresholds that are found in a histogram: a few hundred numbers, wherever the image is."""

from __future__ import annotations

from typing import Any

import numpy as np

from openhcs_functions._arrays import host, modules

BINS = 256
"""Number of bins for floats, and for integers that span more than `MAX_LEVELS`."""

MAX_LEVELS = 1 << 16


def histogram(image: Any) -> tuple[np.ndarray, np.ndarray]:
    """Counts, and the value that each stands for: every integer on its own, or the centres of `BINS` equal bins."""
    xp, _ = modules(image)
    low, high = image.min(), image.max()
    if image.dtype.kind in "uib" and int(high) - int(low) < MAX_LEVELS:
        counts = xp.bincount((image.ravel().astype(np.int64) - int(low)), minlength=int(high) - int(low) + 1)
        return host(counts).astype(np.float64), np.arange(int(low), int(high) + 1, dtype=np.float64)
    counts, edges = xp.histogram(image.astype(np.float64), bins=BINS, range=(float(low), float(high)))
    edges = host(edges)
    return host(counts).astype(np.float64), (edges[:-1] + edges[1:]) / 2


def otsu(counts: np.ndarray, values: np.ndarray) -> float:
    """The value that parts the histogram into two classes of the largest variance between them."""
    below, above = counts.cumsum(), counts[::-1].cumsum()[::-1]
    sums = (counts * values).cumsum()
    mean_below = sums[:-1] / below[:-1]
    mean_above = (sums[-1] - sums[:-1]) / above[1:]
    between = below[:-1] * above[1:] * (mean_below - mean_above) ** 2
    best = np.flatnonzero(between == between.max())  # several where nothing lies between the classes
    return float(values[best[0]] + values[best[-1] + 1]) / 2


def li(counts: np.ndarray, values: np.ndarray) -> float:
    """The value of minimum cross entropy between the image and its two classes, by fixed-point iteration."""
    # Logarithms of means: all values are moved to above 0.
    step = float(np.diff(values).min())
    shifted = values - values[0] + step
    threshold = float((counts * shifted).sum() / counts.sum())
    for _ in range(1000):
        below = shifted <= threshold
        low, high = ((counts[part] * shifted[part]).sum() / max(counts[part].sum(), 1) for part in (below, ~below))
        if high <= low:
            break
        previous, threshold = threshold, float((high - low) / (np.log(high) - np.log(low)))
        if abs(threshold - previous) < step / 2:
            break
    return threshold + float(values[0]) - step


def triangle(counts: np.ndarray, values: np.ndarray) -> float:
    """The value that is farthest from the line between the peak of the histogram and the end of its longer tail."""
    peak = int(counts.argmax())
    filled = np.flatnonzero(counts)
    first, last = int(filled[0]), int(filled[-1])
    if last - peak >= peak - first:
        tail = np.arange(peak, last + 1)
        line = counts[peak] * (last - tail) / max(last - peak, 1)
    else:
        tail = np.arange(first, peak + 1)
        line = counts[peak] * (tail - first) / max(peak - first, 1)
    # The distance from the line is proportional to the vertical one.
    return float(values[tail[np.argmax(line - counts[tail])]])


METHODS = {"otsu": otsu, "li": li, "triangle": triangle}


def threshold_of(image: Any, method: str) -> float | None:
    """The threshold of an image, in its units; None if all its values are the same."""
    counts, values = histogram(image)
    if np.count_nonzero(counts) < 2:
        return None
    return METHODS[method](counts, values)

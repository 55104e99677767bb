"""The watershed itself: by scikit-image on the host, level by level in parallel on a GPU."""

from __future__ import annotations

from typing import Any

import numpy as np

from openhcs_functions._arrays import modules

LEVELS = 1024
"""Number of levels into which the parallel flood cuts a landscape."""


def flood(landscape: Any, markers: Any, mask: Any) -> Any:
    """Grow markers over a mask, the lowest parts of the landscape first, until they meet.

    Parameters
    ----------
    landscape : array of float
    markers : array of int
        Labels to begin with.
    mask : array of bool
        Where labels may be.

    Returns
    -------
    array of int
        Labels, of the type of the markers; 0 where no marker reaches.
    """
    if isinstance(landscape, np.ndarray):
        from skimage.segmentation import watershed

        return watershed(landscape, markers, mask=mask).astype(markers.dtype, copy=False)
    return parallel_flood(landscape, markers, mask)


def parallel_flood(landscape: Any, markers: Any, mask: Any) -> Any:
    """The same as `flood`, but each level at once: step by step, free pixels take the label of their lowest neighbour.

    Neighbours share a side. Where the order of pixels within a level matters, borders are others than those of `flood`.
    """
    xp, _ = modules(landscape)
    labels = xp.where(mask, markers, xp.zeros((), markers.dtype))
    if not labels.any():
        return labels
    within = landscape[mask]
    low, high = float(within.min()), float(within.max())
    levels = ((landscape - low) * ((LEVELS - 1) / (high - low or 1.0))).clip(0, LEVELS - 1).astype(np.int32)
    for level in xp.unique(levels[mask]).tolist():
        free = mask & (levels <= level)
        while True:
            grown = xp.where(free & (labels == 0), _lowest_neighbour(labels, landscape), labels)
            if bool((grown == labels).all()):
                break
            labels = grown
    return labels


def _lowest_neighbour(labels: Any, landscape: Any) -> Any:
    """For every pixel the label of that of its labelled neighbours where the landscape is lowest; 0 if it has none."""
    xp, _ = modules(labels)
    heights = xp.where(labels > 0, landscape, xp.full((), np.inf, landscape.dtype))
    lowest, found = xp.full_like(heights, np.inf), xp.zeros_like(labels)
    for axis in range(labels.ndim):
        before, after = (
            tuple(cut if other == axis else slice(None) for other in range(labels.ndim))
            for cut in (slice(None, -1), slice(1, None))
        )
        for here, there in ((before, after), (after, before)):
            lower = heights[there] < lowest[here]
            lowest[here] = xp.where(lower, heights[there], lowest[here])
            found[here] = xp.where(lower, labels[there], found[here])
    return found

"""Intensities brought to one scale."""

from __future__ import annotations

from typing import Any

import numpy as np

from openhcs_core.functions import processing_function
from openhcs_functions._arrays import modules, require, working


@processing_function()
def normalize_percentile(image: Any, low: float = 1.0, high: float = 99.0, clip: bool = True) -> Any:
    """Scale a plane so that two of its percentiles become 0 and 1.

    Parameters
    ----------
    image : array, axes YX
    low, high : float
        Percentiles, 0 to 100.
    clip : bool
        Whether values beyond become 0 and 1.

    Returns
    -------
    array of float32, axes YX
        0 where both percentiles are the same value.
    """
    require(0 <= low < high <= 100, f"normalize_percentile: 0 <= low < high <= 100 is wanted, not {low} and {high}.")
    return scaled(image, low, high, clip)


@processing_function(axes="ZYX")
def normalize_percentile_3d(image: Any, low: float = 1.0, high: float = 99.0, clip: bool = True) -> Any:
    """Scale a stack so that two of its percentiles become 0 and 1: as `normalize_percentile`, for the whole stack.

    Parameters
    ----------
    image : array, axes ZYX
    low, high : float
        Percentiles, 0 to 100.
    clip : bool
        Whether values beyond become 0 and 1.

    Returns
    -------
    array of float32, axes ZYX
    """
    require(0 <= low < high <= 100, f"normalize_percentile_3d: 0 <= low < high <= 100 is wanted, not {low} and {high}.")
    return scaled(image, low, high, clip)


def scaled(image: Any, low: float, high: float, clip: bool) -> Any:
    """The image with two of its percentiles at 0 and 1, float32."""
    xp, _ = modules(image)
    bottom, top = (float(value) for value in xp.percentile(image, [low, high]))
    if bottom == top:
        return xp.zeros(image.shape, np.float32)
    values = ((working(image) - bottom) / (top - bottom)).astype(np.float32, copy=False)
    return values.clip(0, 1) if clip else values

"""Thresholds: which pixels belong to something. Masks are 1 there and 0 elsewhere."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from openhcs_core.functions import processing_function
from openhcs_functions._arrays import modules, require, working
from openhcs_functions._histogram import threshold_of


@processing_function(outputs=("labels",))
def threshold(image: Any, method: Literal["otsu", "li", "triangle"] = "otsu", factor: float = 1.0) -> Any:
    """What is brighter than a value that the histogram of the plane gives.

    Parameters
    ----------
    image : array, axes YX
    method : {"otsu", "li", "triangle"}
        "otsu": two classes of similar size; "li": dim objects, too; "triangle": few objects on much background.
    factor : float
        The threshold is multiplied by it: more than 1 is stricter.

    Returns
    -------
    array of uint8, axes YX
        The mask; empty if all values are the same.
    """
    return _global(image, method, factor)


@processing_function(axes="ZYX", outputs=("labels",))
def threshold_3d(image: Any, method: Literal["otsu", "li", "triangle"] = "otsu", factor: float = 1.0) -> Any:
    """What is brighter than a value that the histogram of the whole stack gives; see `threshold`.

    Parameters
    ----------
    image : array, axes ZYX
    method : {"otsu", "li", "triangle"}
    factor : float
        The threshold is multiplied by it.

    Returns
    -------
    array of uint8, axes ZYX
    """
    return _global(image, method, factor)


@processing_function(outputs=("labels",))
def threshold_fixed(image: Any, value: float) -> Any:
    """What is brighter than a given value.

    Parameters
    ----------
    image : array, axes YX
    value : float
        In units of the image.

    Returns
    -------
    array of uint8, axes YX
    """
    return (image > value).astype(np.uint8)


@processing_function(outputs=("labels",))
def threshold_local(
    image: Any,
    method: Literal["mean", "gaussian", "sauvola"] = "mean",
    size: int = 51,
    offset: float = 0.0,
    k: float = 0.2,
) -> Any:
    """What is brighter than its surroundings.

    Parameters
    ----------
    image : array, axes YX
    method : {"mean", "gaussian", "sauvola"}
        "mean", "gaussian": the threshold is the mean of the neighbourhood, weighted or not, plus `offset`. "sauvola":
        the mean times ``1 + k * (deviation / R - 1)``, where the standard deviation is that of the neighbourhood and R
        half of the range of the plane; plus `offset`.
    size : int
        Height and width of the neighbourhood, pixels; odd. Of "gaussian" the standard deviation is a sixth of it.
    offset : float
        In units of the image; more is stricter.
    k : float
        Of "sauvola" only.

    Returns
    -------
    array of uint8, axes YX
    """
    require(size >= 3 and size % 2 == 1, f"threshold_local: 'size' must be odd and at least 3, not {size}.")
    _, ndi = modules(image)
    values = image.astype(np.float64)
    level = ndi.gaussian_filter(values, size / 6) if method == "gaussian" else ndi.uniform_filter(values, size)
    if method == "sauvola":
        reach = float(values.max() - values.min()) / 2
        if reach:
            centred = values - float(values.mean())  # the difference of large squares is not exact
            squares = ndi.uniform_filter(centred**2, size) - ndi.uniform_filter(centred, size) ** 2
            level = level * (1 + k * (squares.clip(0) ** 0.5 / reach - 1))
    return (values > level + offset).astype(np.uint8)


def _global(image: Any, method: str, factor: float) -> Any:
    xp, _ = modules(image)
    level = threshold_of(image, method)
    if level is None:
        return xp.zeros(image.shape, np.uint8)
    return (working(image) > level * factor).astype(np.uint8)

"""Projections: one plane of a stack."""

from __future__ import annotations

from typing import Any

import numpy as np

from openhcs_core.functions import processing_function
from openhcs_functions._arrays import modules, restore, working


@processing_function(axes="ZYX", planes="one")
def max_projection(image: Any) -> Any:
    """The largest value along z.

    Parameters
    ----------
    image : array, axes ZYX

    Returns
    -------
    array, axes YX, same type
    """
    return image.max(axis=0)


@processing_function(axes="ZYX", planes="one")
def mean_projection(image: Any) -> Any:
    """The mean along z.

    Parameters
    ----------
    image : array, axes ZYX

    Returns
    -------
    array, axes YX, same type
    """
    return restore(image.mean(axis=0, dtype=np.float64), image.dtype)


@processing_function(axes="ZYX", planes="one")
def sum_projection(image: Any) -> Any:
    """The sum along z.

    Parameters
    ----------
    image : array, axes ZYX

    Returns
    -------
    array, axes YX
        uint32 of uint8 and uint16, int32 of int8 and int16, clipped to their range; double precision of wider integers;
        floats keep their type.
    """
    kind, size = image.dtype.kind, image.dtype.itemsize
    if kind == "f":
        return image.sum(axis=0, dtype=np.float64).astype(image.dtype)
    if size > 2:
        return image.sum(axis=0, dtype=np.float64)
    return restore(image.sum(axis=0, dtype=np.int64).astype(np.float64), np.int32 if kind == "i" else np.uint32)


@processing_function(axes="ZYX", planes="one")
def best_focus(image: Any) -> Any:
    """The plane in focus: that with the largest variance of its Laplacian, for its brightness.

    Parameters
    ----------
    image : array, axes ZYX

    Returns
    -------
    array, axes YX, same type
    """
    _, ndi = modules(image)
    sharpness = []
    for plane in image:
        values = working(plane)
        mean = abs(float(values.mean()))
        # One pixel of smoothing, since noise is as sharp out of focus.
        sharpness.append(float(ndi.gaussian_laplace(values, 1.0).var()) / mean**2 if mean else 0.0)
    return image[int(np.argmax(sharpness))].copy()

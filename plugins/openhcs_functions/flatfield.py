"""Flat-field correction: the same brightness wherever in the field an object lies.

Both corrections divide by a smooth illumination. Its mean is scaled to 1: images stay about as bright as they are.
"""

from __future__ import annotations

from typing import Any

from openhcs_core.functions import processing_function
from openhcs_functions._arrays import modules, require, restore, working

DARKEST = 0.05
"""Illumination, as part of its mean, below which nothing is brightened any more."""


@processing_function(axes="SYX")
def flat_field_stack(image: Any, sigma: float = 30.0) -> Any:
    """Correct fields by the illumination that they share.

    The illumination is the median of all fields, pixel by pixel, smoothed. It takes many fields (ten or more) of one
    channel, with their objects in different places: a step with ``variable_components=("site",)``.

    Parameters
    ----------
    image : array, axes SYX
        At least 2 fields.
    sigma : float
        Standard deviation of the smoothing Gaussian, pixels.

    Returns
    -------
    array, axes SYX, same type
    """
    require(len(image) > 1, "flat_field_stack: one field is not enough; use flat_field_smooth, or stack over sites.")
    xp, _ = modules(image)
    values = working(image)
    return restore(values / _illumination(xp.median(values, axis=0), sigma), image.dtype)


@processing_function()
def flat_field_smooth(image: Any, sigma: float = 100.0) -> Any:
    """Correct a plane by its own smooth part: for one field, or objects that are spread evenly.

    Parameters
    ----------
    image : array, axes YX
    sigma : float
        Standard deviation of the smoothing Gaussian, pixels; several times the size of an object.

    Returns
    -------
    array, axes YX, same type
    """
    values = working(image)
    return restore(values / _illumination(values, sigma), image.dtype)


def _illumination(plane: Any, sigma: float) -> Any:
    require(sigma > 0, f"flat field: 'sigma' must be more than 0, not {sigma}.")
    xp, ndi = modules(plane)
    smooth = ndi.gaussian_filter(plane, sigma, mode="nearest")
    mean = float(smooth.mean())
    if mean <= 0:  # a black plane has nothing to correct
        return xp.ones_like(plane)
    return xp.maximum(smooth / mean, DARKEST)

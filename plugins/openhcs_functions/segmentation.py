"""Round objects of about one size, such as nuclei, found by their outline rather than by their brightness."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from openhcs_core.functions import GroupContext, processing_function
from openhcs_functions._arrays import modules, require, working
from openhcs_functions._calibration import z_step as step_of
from openhcs_functions._flood import flood
from openhcs_functions.labelling import components, sized

# In units of the diameter: they fit round objects with blurred outlines.
CENTRE_SIGMA = 0.2
OUTLINE_SIGMA = 0.16
WINDOW = 1 / 3
REACH = 0.75
SURROUND = 1.6
"""The wider of the two Gaussians, in units of the narrower."""
CURVATURE = 0.2
"""Least curvature inside of an object, in units of the least contrast: flat ground belongs to none."""


@processing_function(outputs=("labels",))
def blobs(image: Any, diameter: float = 20.0, min_contrast: float | None = None, min_area: int = 10) -> Any:
    """Number bright round objects, dim ones beside brilliant ones, too, and those that touch.

    Centres are where a difference of Gaussians of the size of the objects is largest; outlines are where the image is
    steepest (its smoothed Laplacian is 0), at most 3/4 of the diameter from a centre; a watershed parts neighbours.

    Parameters
    ----------
    image : array, axes YX
    diameter : float
        Of a typical object, pixels.
    min_contrast : float, optional
        Smallest difference between an object and its surroundings as the Gaussians give it, in units of the image; a
        tenth of that of the strongest objects unless given. Give it where planes may be empty: noise is then their
        strongest object.
    min_area : int
        Pixels; smaller objects are left out.

    Returns
    -------
    array of uint16 or uint32, axes YX
    """
    return _blobs(image, diameter, min_contrast, min_area, (1.0, 1.0))


@processing_function(axes="ZYX", outputs=("labels",), context=True)
def blobs_3d(
    image: Any,
    diameter: float = 20.0,
    min_contrast: float | None = None,
    min_volume: int = 30,
    z_step: float | None = None,
    context: GroupContext | None = None,
) -> Any:
    """Number bright round objects in space; see `blobs`.

    Parameters
    ----------
    image : array, axes ZYX
    diameter : float
        Of a typical object in y and x, pixels.
    min_contrast : float, optional
        As of `blobs`.
    min_volume : int
        Voxels; smaller objects are left out.
    z_step : float, optional
        Distance of planes in units of the width of a pixel; from the size of voxels unless given, 1 where unknown.

    Returns
    -------
    array of uint16 or uint32, axes ZYX
    """
    return _blobs(image, diameter, min_contrast, min_volume, (step_of(context, z_step), 1.0, 1.0))


def _blobs(image: Any, diameter: float, min_contrast: float | None, min_size: int, spacing: tuple[float, ...]) -> Any:
    require(diameter >= 3, f"blobs: 'diameter' must be at least 3 pixels, not {diameter}.")
    xp, ndi = modules(image)
    values = working(image)

    def scaled(size: float) -> list[float]:
        return [size * diameter / step for step in spacing]

    response = ndi.gaussian_filter(values, scaled(CENTRE_SIGMA))
    response -= ndi.gaussian_filter(values, scaled(CENTRE_SIGMA * SURROUND))
    window = [2 * max(1, math.floor(half)) + 1 for half in scaled(WINDOW)]
    peaks = (response == ndi.maximum_filter(response, size=window)) & (response > 0)
    if min_contrast is None and peaks.any():
        min_contrast = float(xp.percentile(response[peaks], 99)) / 10
    least = min_contrast or 0.0
    peaks &= response > least
    if not peaks.any():
        return xp.zeros(image.shape, np.uint16)
    curvature = -ndi.gaussian_laplace(values, scaled(OUTLINE_SIGMA)) * (OUTLINE_SIGMA * diameter) ** 2
    inside = curvature > CURVATURE * least
    inside &= ndi.distance_transform_edt(~peaks, sampling=spacing) <= REACH * diameter
    labels = flood(-response, components(peaks, image.ndim), inside)
    return sized(labels, min_size, None)

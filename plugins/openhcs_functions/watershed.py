"""Watersheds: touching objects apart, and cells around their nuclei."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np

from openhcs_core.functions import GroupContext, processing_function
from openhcs_functions._arrays import label_type, modules, renumber, require, require_labels, working
from openhcs_functions._calibration import z_step as step_of
from openhcs_functions._flood import flood
from openhcs_functions._histogram import threshold_of
from openhcs_functions.labelling import components


@processing_function(outputs=("labels",))
def split_touching(image: Any, min_distance: int = 5, sigma: float = 1.0) -> Any:
    """Number the objects of a mask, and part round ones that touch where they are narrowest.

    A watershed of the distance to the background from its peaks.

    Parameters
    ----------
    image : array of int, axes YX
        Mask; everything but 0 belongs to an object.
    min_distance : int
        Pixels between the centres of two objects, at least; about the radius of the smallest.
    sigma : float
        Pixels by which the distances are smoothed: more gives fewer objects.

    Returns
    -------
    array of uint16 or uint32, axes YX
    """
    return _split(image, min_distance, sigma, (1.0, 1.0))


@processing_function(axes="ZYX", outputs=("labels",), context=True)
def split_touching_3d(
    image: Any,
    min_distance: int = 5,
    sigma: float = 1.0,
    z_step: float | None = None,
    context: GroupContext | None = None,
) -> Any:
    """Number the objects of a mask in space, and part round ones that touch; see `split_touching`.

    Parameters
    ----------
    image : array of int, axes ZYX
        Mask; everything but 0 belongs to an object.
    min_distance : int
        Between the centres of two objects, at least; pixels of y and x.
    sigma : float
        Pixels of y and x by which the distances are smoothed.
    z_step : float, optional
        Distance of planes in units of the width of a pixel; from the size of voxels unless given, 1 where unknown.

    Returns
    -------
    array of uint16 or uint32, axes ZYX
    """
    return _split(image, min_distance, sigma, (step_of(context, z_step), 1.0, 1.0))


@processing_function(inputs=("seeds",), outputs=("labels",))
def seeded_watershed(
    image: Any,
    seeds: Any,
    method: Literal["otsu", "li", "triangle"] = "li",
    factor: float = 1.0,
    sigma: float = 1.0,
    landscape: Literal["distance", "gradient", "intensity"] = "distance",
) -> Any:
    """Cells around their nuclei: every seed grows over what is bright, as far as the next one.

    Parameters
    ----------
    image : array, axes YX
        Stain of the cells.
    seeds : array of int, axes YX
        Labels of the nuclei. A cell has the number of its nucleus, and holds all of it.
    method : {"otsu", "li", "triangle"}
        How the threshold is found above which a pixel may belong to a cell; see
        `openhcs_functions.thresholds.threshold`.
    factor : float
        The threshold is multiplied by it: more than 1 is stricter.
    sigma : float
        Standard deviation of the Gaussian that smooths the image before, pixels.
    landscape : {"distance", "gradient", "intensity"}
        Where two cells meet: halfway between the nuclei, on the strongest edge, or (of stains that are brightest inside
        the cells) on the darkest line.

    Returns
    -------
    array of uint16 or uint32, axes YX
    """
    require_labels(seeds)
    require(image.shape == seeds.shape, f"seeded_watershed: seeds are {seeds.shape}, the image is {image.shape}.")
    require(sigma >= 0, f"seeded_watershed: 'sigma' must not be negative, as {sigma} is.")
    _, ndi = modules(image)
    smooth = ndi.gaussian_filter(working(image), sigma)
    level = threshold_of(smooth, method)
    mask = seeds > 0
    if level is not None:
        mask |= smooth > level * factor
    if landscape == "intensity":
        surface = -smooth
    elif landscape == "gradient":
        surface = sum(ndi.sobel(smooth, axis) ** 2 for axis in (0, 1)) ** 0.5
    else:
        surface = ndi.distance_transform_edt(seeds == 0)
    return flood(surface, seeds.astype(label_type(int(seeds.max()))), mask)


def _split(mask: Any, min_distance: int, sigma: float, spacing: tuple[float, ...]) -> Any:
    require(min_distance >= 1, f"split_touching: 'min_distance' must be at least 1, not {min_distance}.")
    require(sigma >= 0, f"split_touching: 'sigma' must not be negative, as {sigma} is.")
    xp, ndi = modules(mask)
    inside = mask != 0
    if not inside.any():
        return xp.zeros(mask.shape, np.uint16)
    if inside.all():  # there is no background to be distant from
        return xp.ones(mask.shape, np.uint16)
    # Beyond the border an object is cut off, not at its end, so that padding with background would be wrong.
    distance = ndi.distance_transform_edt(inside, sampling=spacing).astype(np.float32)
    distance = ndi.gaussian_filter(distance, [sigma / step for step in spacing]) * inside
    window = [2 * max(1, math.floor(min_distance / step)) + 1 for step in spacing]
    peaks = inside & (distance == ndi.maximum_filter(distance, size=window))
    markers = components(peaks, mask.ndim)
    flooded = flood(-distance, markers, inside)
    # What has no peak of its own, since a larger object is near, is an object all the same.
    rest = components(inside & (flooded == 0), mask.ndim)
    count = int(flooded.max())
    if not rest.any():
        return flooded
    wide = xp.where(rest > 0, rest.astype(np.uint32) + count, flooded.astype(np.uint32))
    return renumber(wide, xp.ones(int(wide.max()) + 1, bool))

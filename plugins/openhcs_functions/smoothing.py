"""Smoothing: noise away before anything is thresholded."""

from __future__ import annotations

from typing import Any

from openhcs_core.functions import GroupContext, processing_function
from openhcs_functions._arrays import modules, require, restore, working
from openhcs_functions._calibration import z_step as step_of


@processing_function()
def gaussian(image: Any, sigma: float = 1.0) -> Any:
    """Gaussian smoothing of each plane.

    Parameters
    ----------
    image : array, axes YX
    sigma : float
        Standard deviation of the Gaussian, pixels. 0 leaves the image alone. It ends at 4 sigma.

    Returns
    -------
    array, axes YX, same type
    """
    return _gaussian(image, (sigma, sigma))


@processing_function(axes="ZYX", context=True)
def gaussian_3d(
    image: Any, sigma: float = 1.0, z_step: float | None = None, context: GroupContext | None = None
) -> Any:
    """Gaussian smoothing of a stack.

    Parameters
    ----------
    image : array, axes ZYX
    sigma : float
        Standard deviation in y and x, pixels; the same length in z.
    z_step : float, optional
        Distance of planes in units of the width of a pixel; from the size of voxels unless given, 1 where unknown.

    Returns
    -------
    array, axes ZYX, same type
    """
    return _gaussian(image, (sigma / step_of(context, z_step), sigma, sigma))


@processing_function()
def median(image: Any, size: int = 3) -> Any:
    """Median of the neighbourhood of each pixel: removes single hot pixels, keeps edges.

    Parameters
    ----------
    image : array, axes YX
    size : int
        Height and width of the neighbourhood, pixels; odd.

    Returns
    -------
    array, axes YX, same type
    """
    require(size >= 1 and size % 2 == 1, f"median: 'size' must be odd and at least 1, not {size}.")
    _, ndi = modules(image)
    return ndi.median_filter(image, size=size)


@processing_function()
def difference_of_gaussians(image: Any, small: float = 1.0, large: float = 4.0) -> Any:
    """What is larger than `small` and smaller than `large`: spots and nuclei on uneven ground.

    Parameters
    ----------
    image : array, axes YX
    small, large : float
        Standard deviations of the two Gaussians, pixels.

    Returns
    -------
    array of float32, axes YX
        Difference, in units of the image; negative beside bright things.
    """
    require(0 <= small < large, f"difference_of_gaussians: 'small' ({small}) must be less than 'large' ({large}).")
    _, ndi = modules(image)
    values = working(image)
    return (ndi.gaussian_filter(values, small) - ndi.gaussian_filter(values, large)).astype("float32", copy=False)


def _gaussian(image: Any, sigmas: tuple[float, ...]) -> Any:
    require(min(sigmas) >= 0, f"gaussian: 'sigma' must not be negative, as {min(sigmas)} is.")
    _, ndi = modules(image)
    return restore(ndi.gaussian_filter(working(image), sigmas), image.dtype)

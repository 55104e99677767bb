"""Background: what is there without any cell, subtracted."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from openhcs_core.functions import processing_function
from openhcs_functions._arrays import modules, require, restore, working

MAX_BALL = 8
"""Largest radius, in pixels, of a ball that is rolled in full; larger ones roll over a smaller image."""


@processing_function()
def subtract_constant(image: Any, value: float = 0.0) -> Any:
    """The image less one value, such as the offset of the camera; 0 where it is below.

    Parameters
    ----------
    image : array, axes YX
    value : float
        In units of the image.

    Returns
    -------
    array, axes YX, same type
    """
    return _less(image, value)


@processing_function()
def subtract_percentile(image: Any, percentile: float = 5.0) -> Any:
    """The image less a percentile of its own values; 0 where it is below.

    Parameters
    ----------
    image : array, axes YX
    percentile : float
        0 to 100; with few cells 50 is the background.

    Returns
    -------
    array, axes YX, same type
    """
    require(0 <= percentile <= 100, f"subtract_percentile: 'percentile' must be from 0 to 100, not {percentile}.")
    xp, _ = modules(image)
    return _less(image, xp.percentile(image, percentile))


@processing_function()
def white_top_hat(image: Any, size: int = 51) -> Any:
    """The image less its opening: only what is narrower than `size` stays.

    Parameters
    ----------
    image : array, axes YX
    size : int
        Height and width of the square, pixels; wider than the widest object.

    Returns
    -------
    array, axes YX, same type
    """
    require(size >= 3, f"white_top_hat: 'size' must be at least 3, not {size}.")
    _, ndi = modules(image)
    # The opening is nowhere above the image, so that the difference of unsigned numbers is right.
    return image - ndi.grey_opening(image, size=(size, size))


@processing_function()
def rolling_ball(image: Any, radius: float = 50.0) -> Any:
    """The image less the surface that a ball rolled below it can reach.

    The ball is as high, from centre to rim, as the values of the plane span, so that the result does not depend on the
    units of the image. A ball of more than `MAX_BALL` pixels rolls over an image made smaller by local minima, whose
    surface is interpolated.

    Parameters
    ----------
    image : array, axes YX
    radius : float
        Pixels; larger than the largest object.

    Returns
    -------
    array, axes YX, same type
    """
    require(radius >= 1, f"rolling_ball: 'radius' must be at least 1, not {radius}.")
    values = working(image)
    return restore((values - _rolled(values, radius)).clip(0), image.dtype)


def _rolled(values: Any, radius: float) -> Any:
    """The surface that the ball reaches; nowhere above the values."""
    xp, ndi = modules(values)
    factor = math.ceil(radius / MAX_BALL)
    height, width = values.shape
    rest = (-height % factor, -width % factor)
    padded = xp.pad(values, ((0, rest[0]), (0, rest[1])), mode="edge")
    small = padded.reshape(padded.shape[0] // factor, factor, padded.shape[1] // factor, factor).min(axis=(1, 3))
    reach = math.ceil(radius / factor)
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1] * (factor / radius)
    distance = y**2 + x**2
    footprint = distance <= 1
    span = float(values.max() - values.min())
    ball = span * (np.sqrt(1 - np.minimum(distance, 1)) - 1)
    ball, footprint = xp.asarray(ball, dtype=values.dtype), xp.asarray(footprint)
    surface = ndi.grey_opening(small, footprint=footprint, structure=ball, mode="nearest")
    if factor > 1:
        # Centres of blocks lie at (i + 1/2) * factor - 1/2.
        rows, columns = ((xp.arange(size) + 0.5) / factor - 0.5 for size in (height, width))
        grid = xp.stack(xp.meshgrid(rows, columns, indexing="ij"))
        surface = ndi.map_coordinates(surface, grid, order=1, mode="nearest").astype(values.dtype)
    return xp.minimum(surface, values)


def _less(image: Any, value: Any) -> Any:
    return restore((working(image).astype("float64") - value).clip(0), image.dtype)

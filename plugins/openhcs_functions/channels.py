"""Arithmetic of channels: steps with ``variable_components=("channel",)``, and ``select`` to say which ones."""

from __future__ import annotations

from typing import Any

import numpy as np

from openhcs_core.functions import processing_function
from openhcs_functions._arrays import modules, require, restore, working
from openhcs_functions.intensity import scaled


@processing_function(axes="CYX", planes="one")
def add_channels(image: Any) -> Any:
    """The sum of all channels, clipped to the range of their type.

    Parameters
    ----------
    image : array, axes CYX

    Returns
    -------
    array, axes YX, same type
    """
    return restore(image.sum(axis=0, dtype=np.float64), image.dtype)


@processing_function(axes="CYX", planes="one")
def subtract_channels(image: Any, factor: float = 1.0, reverse: bool = False) -> Any:
    """The first of two channels less the second: takes out what bleeds through; 0 where it is below.

    Parameters
    ----------
    image : array, axes CYX
        Two channels.
    factor : float
        The second is multiplied by it.
    reverse : bool
        Whether the first is subtracted from the second instead.

    Returns
    -------
    array, axes YX, same type
    """
    first, second = _two(image, reverse, "subtract_channels")
    return restore((first - factor * second).clip(0), image.dtype)


@processing_function(axes="CYX", planes="one")
def divide_channels(image: Any, background: float = 0.0, reverse: bool = False) -> Any:
    """The ratio of two channels.

    Parameters
    ----------
    image : array, axes CYX
        Two channels.
    background : float
        Subtracted from both before, in units of the image.
    reverse : bool
        Whether the second is divided by the first instead.

    Returns
    -------
    array of float32, axes YX
        The first divided by the second; 0 where the second is not above the background.
    """
    first, second = (values - background for values in _two(image, reverse, "divide_channels"))
    xp, _ = modules(image)
    valid = second > 0
    return xp.where(valid, first / xp.where(valid, second, 1.0), 0.0).astype(np.float32)


@processing_function(axes="CYX", planes="one")
def merge_channels(image: Any, weights: tuple[float, ...] | None = None, low: float = 1.0, high: float = 99.0) -> Any:
    """One plane of all channels, each scaled by its percentiles first: for segmentation by several stains at once.

    Parameters
    ----------
    image : array, axes CYX
    weights : tuple of float, optional
        Of each channel; equal unless given.
    low, high : float
        Percentiles that become 0 and 1.

    Returns
    -------
    array of float32, axes YX
        Weighted mean, 0 to 1.
    """
    parts = tuple(weights) if weights is not None else (1.0,) * len(image)
    require(len(parts) == len(image), f"merge_channels: {len(parts)} weights are given for {len(image)} channels.")
    require(sum(parts) > 0 and min(parts) >= 0, f"merge_channels: weights must be positive, not {parts}.")
    require(0 <= low < high <= 100, f"merge_channels: 0 <= low < high <= 100 is wanted, not {low} and {high}.")
    total = sum(weight * scaled(plane, low, high, True) for weight, plane in zip(parts, image, strict=True))
    return (total / sum(parts)).astype(np.float32)


def _two(image: Any, reverse: bool, name: str) -> tuple[Any, Any]:
    require(
        len(image) == 2,
        f'{name} takes two channels, not {len(image)}: choose them in the step, as select={{"channel": [1, 2]}}.',
    )
    first, second = (working(plane).astype(np.float64) for plane in image)
    return (second, first) if reverse else (first, second)

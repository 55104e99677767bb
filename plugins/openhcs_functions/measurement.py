"""Tables: what objects and fields measure."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from openhcs_core.functions import GroupContext, processing_function
from openhcs_functions._arrays import host, modules, require, require_labels, working
from openhcs_functions._calibration import pixel_area_um2, voxel_volume_um3

Table = dict[str, Any]


@processing_function(inputs=("labels",), outputs=("table",), context=True)
def measure_objects(image: Any, labels: Any, context: GroupContext | None = None) -> Table:
    """One row per object of a plane: where, how large, how bright, which shape.

    Parameters
    ----------
    image : array, axes YX
        What is measured.
    labels : array of int, axes YX
        Objects.

    Returns
    -------
    table
        Label; AreaPx (pixels), AreaUm2 (square micrometres, where the size of pixels is known); CentroidY, CentroidX
        (pixels, 0 is the centre of the first); MeanIntensity, StdIntensity, MinIntensity, MaxIntensity, SumIntensity
        (units of the image); MajorAxis, MinorAxis (pixels: full axes of the ellipse with the same second moments),
        Eccentricity (0 is a circle), Orientation (radians from the y axis to the major axis, towards x);
        TouchesBorder.
    """
    table, numbers = _objects(image, labels, ("CentroidY", "CentroidX"), "AreaPx")
    area = pixel_area_um2(context)
    if area:
        table["AreaUm2"] = table["AreaPx"] * area
    return {**table, **_ellipses(labels, numbers, table), "TouchesBorder": _at_border(labels, numbers)}


@processing_function(axes="ZYX", inputs=("labels",), outputs=("table",), context=True)
def measure_objects_3d(image: Any, labels: Any, context: GroupContext | None = None) -> Table:
    """One row per object of a stack: where, how large, how bright.

    Parameters
    ----------
    image : array, axes ZYX
        What is measured.
    labels : array of int, axes ZYX
        Objects.

    Returns
    -------
    table
        Label; VolumePx (voxels), VolumeUm3 (cubic micrometres, where the size of voxels is known); CentroidZ,
        CentroidY, CentroidX (voxels, 0 is the centre of the first); MeanIntensity, StdIntensity, MinIntensity,
        MaxIntensity, SumIntensity (units of the image); TouchesBorder.
    """
    table, numbers = _objects(image, labels, ("CentroidZ", "CentroidY", "CentroidX"), "VolumePx")
    volume = voxel_volume_um3(context)
    if volume:
        table["VolumeUm3"] = table["VolumePx"] * volume
    return {**table, "TouchesBorder": _at_border(labels, numbers)}


@processing_function(outputs=("table",))
def measure_field(image: Any) -> Table:
    """One row per plane: how bright it is.

    Parameters
    ----------
    image : array, axes YX

    Returns
    -------
    table
        MeanIntensity, StdIntensity, MinIntensity, MedianIntensity, MaxIntensity, SumIntensity (units of the image).
    """
    xp, _ = modules(image)
    values = image.astype(np.float64)
    return {
        "MeanIntensity": [float(values.mean())],
        "StdIntensity": [float(values.std())],
        "MinIntensity": [float(values.min())],
        "MedianIntensity": [float(xp.median(values))],
        "MaxIntensity": [float(values.max())],
        "SumIntensity": [float(values.sum())],
    }


@processing_function(outputs=("table",), context=True)
def count_objects(image: Any, context: GroupContext | None = None) -> Table:
    """One row per plane of labels: how many objects there are, and how much they cover.

    Parameters
    ----------
    image : array of int, axes YX
        Labels.

    Returns
    -------
    table
        ObjectCount; Coverage (part of the plane, 0 to 1); MeanAreaPx (pixels; NaN without objects), MeanAreaUm2 (square
        micrometres, where the size of pixels is known).
    """
    require_labels(image)
    sizes = _sizes(image)[1:]
    count, covered = int(np.count_nonzero(sizes)), int(sizes.sum())
    mean = covered / count if count else math.nan
    table: Table = {"ObjectCount": [count], "Coverage": [covered / image.size], "MeanAreaPx": [mean]}
    area = pixel_area_um2(context)
    if area:
        table["MeanAreaUm2"] = [mean * area]
    return table


def _sizes(labels: Any) -> np.ndarray:
    xp, _ = modules(labels)
    return host(xp.bincount(labels.ravel().astype(np.int64)))


def _objects(image: Any, labels: Any, centroids: tuple[str, ...], size_name: str) -> tuple[Table, np.ndarray]:
    """Label, size, centroid and intensities of all objects; and their numbers."""
    require_labels(labels)
    require(image.shape == labels.shape, f"The labels are {labels.shape}, but the image is {image.shape}.")
    xp, ndi = modules(image)
    sizes = _sizes(labels)
    numbers = np.flatnonzero(sizes)
    numbers = numbers[numbers > 0]
    # Everything else is about the pixels of objects only.
    inside = labels > 0
    owner = labels[inside].astype(np.int64)
    values = working(image[inside]).astype(np.float64)

    def sums(weights: Any) -> np.ndarray:
        return host(xp.bincount(owner, weights=weights, minlength=len(sizes)))[numbers]

    count = sizes[numbers]
    total = sums(values)
    mean = total / count
    means = xp.zeros(len(sizes))
    means[xp.asarray(numbers)] = xp.asarray(mean)
    spread = np.sqrt(sums((values - means[owner]) ** 2) / count)
    wanted = xp.asarray(numbers)
    extremes = [
        host(xp.asarray(of(values, owner, wanted))).astype(np.float64) if len(numbers) else np.zeros(0)
        for of in (ndi.minimum, ndi.maximum)
    ]
    table: Table = {"Label": numbers, size_name: count}
    for name, place in zip(centroids, xp.nonzero(inside), strict=True):
        table[name] = sums(place.astype(np.float64)) / count
    intensities = ("MeanIntensity", "StdIntensity", "MinIntensity", "MaxIntensity", "SumIntensity")
    table.update(zip(intensities, (mean, spread, *extremes, total), strict=True))
    return table, numbers


def _ellipses(labels: Any, numbers: np.ndarray, table: Table) -> Table:
    """Axes of the ellipses that have the second moments of the objects."""
    xp, _ = modules(labels)
    inside = labels > 0
    owner = labels[inside].astype(np.int64)
    length = int(owner.max()) + 1 if len(numbers) else 1
    offsets = []
    for name, place in zip(("CentroidY", "CentroidX"), xp.nonzero(inside), strict=True):
        centre = xp.zeros(length)
        centre[xp.asarray(numbers)] = xp.asarray(table[name])
        offsets.append(place - centre[owner])
    y, x = offsets
    yy, xx, yx = (
        host(xp.bincount(owner, weights=product, minlength=length))[numbers] / table["AreaPx"]
        for product in (y * y, x * x, y * x)
    )
    middle, half = (yy + xx) / 2, np.hypot((yy - xx) / 2, yx)
    large, small = middle + half, np.maximum(middle - half, 0)
    return {
        "MajorAxis": 4 * np.sqrt(large),
        "MinorAxis": 4 * np.sqrt(small),
        "Eccentricity": np.sqrt(1 - small / np.where(large > 0, large, 1)) * (large > 0),
        "Orientation": np.arctan2(2 * yx, yy - xx) / 2,
    }


def _at_border(labels: Any, numbers: np.ndarray) -> np.ndarray:
    """Whether objects reach the border in y or x."""
    sides = (labels[..., 0, :], labels[..., -1, :], labels[..., :, 0], labels[..., :, -1])
    return np.isin(numbers, np.concatenate([host(side).ravel() for side in sides]))

"""From masks to numbered objects, and which of them stay."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.ndimage

from openhcs_core.functions import processing_function
from openhcs_functions._arrays import label_type, modules, renumber, require, require_labels


@processing_function(outputs=("labels",))
def connected_components(image: Any, connectivity: int = 1) -> Any:
    """Number the connected parts of a mask, plane by plane.

    Parameters
    ----------
    image : array of int, axes YX
        Mask; everything but 0 belongs to an object.
    connectivity : int
        1: pixels touch by their sides; 2: by their corners, too.

    Returns
    -------
    array of uint16 or uint32, axes YX
    """
    require(connectivity in (1, 2), f"connected_components: 'connectivity' must be 1 or 2, not {connectivity}.")
    return components(image, connectivity)


@processing_function(axes="ZYX", outputs=("labels",))
def connected_components_3d(image: Any, connectivity: int = 1) -> Any:
    """Number the connected parts of a mask in space.

    Parameters
    ----------
    image : array of int, axes ZYX
        Mask; everything but 0 belongs to an object.
    connectivity : int
        1: voxels touch by their faces; 2: by their edges, too; 3: by their corners, too.

    Returns
    -------
    array of uint16 or uint32, axes ZYX
    """
    require(connectivity in (1, 2, 3), f"connected_components_3d: 'connectivity' must be 1 to 3, not {connectivity}.")
    return components(image, connectivity)


@processing_function(outputs=("labels",))
def fill_holes(image: Any) -> Any:
    """A mask without holes, plane by plane.

    Parameters
    ----------
    image : array of int, axes YX
        Mask.

    Returns
    -------
    array of uint8, axes YX
    """
    _, ndi = modules(image)
    return ndi.binary_fill_holes(image != 0).astype(np.uint8)


@processing_function(outputs=("labels",))
def keep_by_area(image: Any, min_area: int = 0, max_area: int | None = None) -> Any:
    """Objects of the right size; the others become background.

    Parameters
    ----------
    image : array of int, axes YX
        Labels.
    min_area, max_area : int
        Pixels, both included; no upper limit unless given.

    Returns
    -------
    array of uint16 or uint32, axes YX
    """
    return sized(image, min_area, max_area)


@processing_function(axes="ZYX", outputs=("labels",))
def keep_by_volume(image: Any, min_volume: int = 0, max_volume: int | None = None) -> Any:
    """Objects of the right size in space; the others become background.

    Parameters
    ----------
    image : array of int, axes ZYX
        Labels.
    min_volume, max_volume : int
        Voxels, both included; no upper limit unless given.

    Returns
    -------
    array of uint16 or uint32, axes ZYX
    """
    return sized(image, min_volume, max_volume)


@processing_function(outputs=("labels",))
def remove_border_objects(image: Any, margin: int = 0) -> Any:
    """Objects that lie wholly inside the field; those at its border become background.

    Parameters
    ----------
    image : array of int, axes YX
        Labels.
    margin : int
        Pixels from the border that objects must not touch, beside the outermost.

    Returns
    -------
    array of uint16 or uint32, axes YX
    """
    require(margin >= 0, f"remove_border_objects: 'margin' must not be negative, as {margin} is.")
    require_labels(image)
    xp, _ = modules(image)
    keep = xp.ones(int(image.max()) + 1, bool)
    width = margin + 1
    for side in (image[:width], image[-width:], image[:, :width], image[:, -width:]):
        keep[side.ravel()] = False
    keep &= xp.bincount(image.ravel(), minlength=len(keep)) > 0
    return renumber(image, keep)


@processing_function(outputs=("labels",))
def expand_labels(image: Any, distance: float = 3.0) -> Any:
    """Objects grown outwards, as far as the next one: rings of cytoplasm around nuclei.

    Parameters
    ----------
    image : array of int, axes YX
        Labels.
    distance : float
        Pixels.

    Returns
    -------
    array of int, axes YX, same type
    """
    require(distance >= 0, f"expand_labels: 'distance' must not be negative, as {distance} is.")
    require_labels(image)
    xp, ndi = modules(image)
    if not image.any():
        return image.copy()
    away, nearest = ndi.distance_transform_edt(image == 0, return_indices=True)
    return xp.where(away <= distance, image[tuple(nearest)], xp.zeros((), image.dtype))


def components(mask: Any, connectivity: int) -> Any:
    """Connected parts of a mask of any number of axes."""
    _, ndi = modules(mask)
    structure = scipy.ndimage.generate_binary_structure(mask.ndim, connectivity)
    labels, count = ndi.label(mask != 0, structure=structure)
    return labels.astype(label_type(int(count)))


def sized(labels: Any, smallest: int, largest: int | None) -> Any:
    """Objects of at least so many pixels or voxels, and at most so many if there is a limit."""
    require_labels(labels)
    xp, _ = modules(labels)
    sizes = xp.bincount(labels.ravel())
    keep = sizes >= max(smallest, 1)
    if largest is not None:
        require(largest >= smallest, f"The largest size ({largest}) must not be less than the smallest ({smallest}).")
        keep &= sizes <= largest
    return renumber(labels, keep)

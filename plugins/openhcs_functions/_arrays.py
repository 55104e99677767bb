"""What all functions share: the array modules of NumPy or CuPy, and the rules of pixel types."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.ndimage

from openhcs_core.functions import FunctionError


def modules(array: Any) -> tuple[Any, Any]:
    """The array module and the module of image filters for an array: NumPy and SciPy, or CuPy and its SciPy."""
    if isinstance(array, np.ndarray):
        return np, scipy.ndimage
    import cupy
    import cupyx.scipy.ndimage

    return cupy, cupyx.scipy.ndimage


def host(array: Any) -> np.ndarray:
    """The array as one of NumPy."""
    return array if isinstance(array, np.ndarray) else array.get()


def working(image: Any) -> Any:
    """The image in floating point: single precision if that holds its values exactly, else double."""
    small = image.dtype.itemsize <= 2 or image.dtype == np.float32
    return image.astype(np.float32 if small else np.float64, copy=False)


def restore(values: Any, dtype: Any) -> Any:
    """Computed values in a pixel type: rounded to the nearest integer and clipped to its range; floats as they are."""
    dtype = np.dtype(dtype)
    if dtype.kind == "f":
        return values.astype(dtype, copy=False)
    if dtype.kind == "b":
        return values > 0.5
    xp, _ = modules(values)
    limits = np.iinfo(dtype)
    # float32 cannot hold the limits of types with 32 bits, float64 not those with 64: what rounds up wraps around.
    wide = values if dtype.itemsize <= 2 else values.astype(np.float64, copy=False)
    largest = float(limits.max) if int(float(limits.max)) <= limits.max else float(np.nextafter(float(limits.max), 0))
    return xp.clip(xp.rint(wide), float(limits.min), largest).astype(dtype)


def label_type(count: int) -> type[np.unsignedinteger[Any]]:
    """The smallest of uint16 and uint32 that holds so many labels."""
    return np.uint16 if count <= np.iinfo(np.uint16).max else np.uint32


def renumber(labels: Any, keep: Any) -> Any:
    """Labels numbered anew from 1, in the same order.

    Parameters
    ----------
    labels : array of int
    keep : array of bool
        Whether each number from 0 on stays; 0 is background whatever it says.
    """
    xp, _ = modules(labels)
    keep = keep.copy()
    keep[0] = False
    numbers = xp.cumsum(keep) * keep
    return numbers.astype(label_type(int(keep.sum())))[labels]


def require(condition: bool, message: str) -> None:
    """Raise unless a parameter is right.

    Raises
    ------
    FunctionError
    """
    if not condition:
        raise FunctionError(message)


def require_labels(labels: Any) -> None:
    """Raise unless the values can be labels."""
    require(
        labels.dtype.kind in "uib", f"Labels must be integers, not {labels.dtype}: take them from a segmentation step."
    )

"""NumPy files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from openhcs_core.imaris import ImsMetadata
from openhcs_core.local.errors import LocalError
from openhcs_core.local.image import AXES, LocalImage
from openhcs_core.local.voxels import array_reader


def open_npy(path: Path, axes: str | None, series: int) -> LocalImage:
    """Open an array; without `axes` its axes are the last ones of T, C, Z, Y, X. Raises LocalError."""
    if series:
        raise LocalError(f"{path} has no image {series + 1}.")
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    axes = axes or AXES[-array.ndim :]
    if len(axes) != array.ndim or array.ndim < 2:
        raise LocalError(
            f"{path} has {array.ndim} axes; {axes!r} names {len(axes)}. Name every axis, at least Y and X."
        )
    shape, read_mapped = array_reader(array, {axis: place for place, axis in enumerate(axes)})
    size = path.stat().st_size

    def read(*region: int) -> np.ndarray:
        # To read what is missing of a mapped file would end the process.
        if path.exists() and path.stat().st_size < size:
            raise LocalError(f"{path} has become shorter while it was read. Export it again.")
        return read_mapped(*region)

    return LocalImage(shape, array.dtype, read, ImsMetadata(name=path.stem), [path])

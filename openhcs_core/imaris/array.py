"""Imaris files from arrays."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from openhcs_core.imaris.chunkrows import by_whole_chunks
from openhcs_core.imaris.errors import ImsError
from openhcs_core.imaris.metadata import ImsChannel, ImsMetadata
from openhcs_core.imaris.writer import ImsWriter

AXES = "TCZYX"


def write_ims(
    array: Any,
    path: str | os.PathLike[str],
    *,
    axes: str = AXES,
    voxel_size_um: Sequence[float | None] | None = None,
    channels: Sequence[ImsChannel | str] | None = None,
    name: str = "",
    time_increment_s: float | None = None,
    sections: Mapping[str, Mapping[str, object]] | None = None,
    metadata: ImsMetadata | None = None,
    preset: str = "fast",
    progress: Callable[[int, int], object] | None = None,
    cancelled: Callable[[], bool] | None = None,
    resume: str | None = None,
    wait: bool = True,
) -> list[str]:
    """Write an array as an Imaris file.

    Parameters
    ----------
    array : array-like
        Anything with ``shape``, ``dtype`` and slicing: numpy, a memory map, dask, zarr, h5py. It is
        read slab by slab, so it may be larger than memory.
    path : path
        Target, ending in ``.ims``. An existing file is replaced once the new one is complete.
    axes : str
        One letter of "TCZYX" per axis of the array, in its order; Y and X are required.
    voxel_size_um : (z, y, x), optional
        Micrometres, None where unknown.
    channels : sequence of ImsChannel or str, optional
        One per channel; a text is a name.
    name : str
        Name of the image; the file's name if empty.
    time_increment_s : float, optional
        Seconds between time points.
    sections : dict of dict, optional
        Further parameters, shown in Imaris with the image.
    metadata : ImsMetadata, optional
        Everything else; the arguments above take precedence.
    preset : {"fast", "small", "uncompressed"}
    progress, cancelled, resume, wait : optional
        See `ImsWriter`.

    Returns
    -------
    list of str
        What was converted or assumed, for people.

    Raises
    ------
    ImsError
        If the array cannot become an Imaris file.

    Examples
    --------
    >>> import numpy as np
    >>> stack = np.zeros((2, 8, 64, 64), np.uint16)
    >>> write_ims(stack, "cells.ims", axes="CZYX", voxel_size_um=(0.5, 0.1, 0.1), channels=["DAPI", "GFP"])
    []
    """
    if not all(hasattr(array, needed) for needed in ("shape", "dtype", "__getitem__")):
        array = np.asarray(array)
    axes = axes.upper()
    if len(axes) != len(array.shape):
        raise ImsError(
            f"The array has {len(array.shape)} axes, but axes={axes!r} names {len(axes)}. "
            'Name every axis, for example axes="ZYX".'
        )
    if len(set(axes)) != len(axes) or not {"Y", "X"} <= set(axes) <= set(AXES):
        raise ImsError(f"axes={axes!r} must hold Y and X, and may hold T, C and Z, each once.")
    sizes = dict(zip(axes, array.shape, strict=True))
    metadata = metadata or ImsMetadata()
    given: dict[str, Any] = {"name": name or metadata.name or Path(path).stem}
    if voxel_size_um is not None:
        if len(voxel_size_um) != 3:
            raise ImsError(f"voxel_size_um={voxel_size_um!r} must be (z, y, x) in micrometres; None where unknown.")
        given["voxel_size_um"] = tuple(voxel_size_um)
    if channels is not None:
        given["channels"] = tuple(ImsChannel(item) if isinstance(item, str) else item for item in channels)
    if time_increment_s is not None:
        given["time_increment_s"] = time_increment_s
    if sections is not None:
        given["sections"] = {**metadata.sections, **sections}
    value_range = None
    if isinstance(array, np.ndarray) and array.dtype.kind == "i" and array.size:
        value_range = float(array.min()), float(array.max())

    shape = tuple(sizes.get(axis, 1) for axis in AXES)
    kept = [axis for axis in axes if axis in "ZYX"]

    def read(t: int, c: int, z0: int, z1: int, y0: int, y1: int) -> np.ndarray:
        wanted: dict[str, int | slice] = {"T": t, "C": c, "Z": slice(z0, z1), "Y": slice(y0, y1), "X": slice(None)}
        slab = np.asarray(array[tuple(wanted[axis] for axis in axes)])
        slab = slab.transpose([kept.index(axis) for axis in "ZYX" if axis in kept])
        return slab if "Z" in kept else slab[np.newaxis]

    chunk = _chunk_shape(array, axes)
    with ImsWriter(
        path,
        shape,
        array.dtype,
        replace(metadata, **given),
        preset=preset,
        value_range=value_range,
        progress=progress,
        cancelled=cancelled,
        resume=resume,
        wait=wait,
    ) as writer:
        source = by_whole_chunks(read, list(writer.regions()), (shape[2], shape[3]), chunk) if chunk else read
        for t, c in np.ndindex(shape[:2]):
            writer.write_volume(t, c, functools.partial(source, t, c))
    return writer.statements


def _chunk_shape(array: Any, axes: str) -> tuple[int, int] | None:
    """Chunks (z, y) of an array of zarr, h5py or dask; None where it has none."""
    chunks = getattr(array, "chunks", None)
    if not isinstance(chunks, tuple) or len(chunks) != len(axes):
        return None
    # dask names the size of every single chunk
    sides = {axis: int(max(side) if isinstance(side, tuple) else side) for axis, side in zip(axes, chunks, strict=True)}
    return sides.get("Z", 1), sides["Y"]

"""Small colour pictures of an image: channels mixed in their colours."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from openhcs_core.imaris.layout import Level, Shape3
from openhcs_core.imaris.metadata import ImsChannel

THUMBNAIL_SIZE = 256


def thumbnail_level(levels: Sequence[Level], size: int = THUMBNAIL_SIZE) -> int:
    """Number of the smallest level that is still at least `size` pixels high and wide, else 0."""
    for number in range(len(levels) - 1, 0, -1):
        if min(levels[number].shape[1:]) >= size:
            return number
    return 0


def projection(data: Any, shape: Shape3) -> np.ndarray:
    """Maximum projection along z, (y, x), of an array that is read chunk by chunk; NaN gives way to numbers.

    Parameters
    ----------
    data : h5py.Dataset
        Chunked, (z, y, x).
    shape : (z, y, x)
        The part of it that counts.
    """
    depth, height, width = shape
    step = data.chunks[0]
    parts = (data[z : min(depth, z + step), :height, :width] for z in range(0, depth, step))
    return functools.reduce(np.fmax, (np.fmax.reduce(part, axis=0) for part in parts))


def composite(projections: Sequence[np.ndarray], channels: Sequence[ImsChannel]) -> np.ndarray:
    """Mix channels in their colours, black and full colour as their windows say.

    Parameters
    ----------
    projections : sequence of ndarray, (y, x)
        One per channel, all of one size.
    channels : sequence of ImsChannel
        With colour and window.

    Returns
    -------
    ndarray of uint8, (y, x, 3)
    """
    mixed = np.zeros((*projections[0].shape, 3))
    for plane, channel in zip(projections, channels, strict=True):
        low, high = channel.window or (0.0, 1.0)
        with np.errstate(over="ignore"):
            shade = np.clip((np.nan_to_num(plane.astype(np.float64), nan=low) - low) / (high - low), 0, 1)
        mixed += shade[..., None] * np.asarray(channel.color or (1.0, 1.0, 1.0))
    return (np.clip(mixed, 0, 1) * 255 + 0.5).astype(np.uint8)


def shrunk(picture: np.ndarray, size: int = THUMBNAIL_SIZE) -> np.ndarray:
    """The picture (y, x, 3) within `size` × `size` pixels, aspect kept, by averaging; never enlarged."""
    height, width = picture.shape[:2]
    scale = size / max(height, width)
    if scale >= 1:
        return picture
    result = picture.astype(np.float64)
    for axis, length in ((0, height), (1, width)):
        number = max(1, round(length * scale))
        edges = np.arange(number) * length // number
        counts = np.diff(np.append(edges, length))
        shape = [1, 1, 1]
        shape[axis] = number
        result = np.add.reduceat(result, edges, axis=axis) / counts.reshape(shape)
    return (result + 0.5).astype(np.uint8)


def thumbnail(projections: Sequence[np.ndarray], channels: Sequence[ImsChannel]) -> np.ndarray:
    """The picture that Imaris shows of a file: (y, x, 4) uint8, RGBA, opaque."""
    rgb = shrunk(composite(projections, channels))
    return np.dstack([rgb, np.full(rgb.shape[:2], 255, np.uint8)])

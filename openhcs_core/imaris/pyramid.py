"""Reduction of one resolution level to the next: the mean of boxes of 1, 2, 4 or 8 voxels."""

from __future__ import annotations

import numpy as np

from openhcs_core.imaris import kernels
from openhcs_core.imaris.layout import Shape3

_WIDER: dict[int, np.dtype] = {1: np.dtype("<u2"), 2: np.dtype("<u4"), 4: np.dtype("<u8")}


def reduce_box(block: np.ndarray, factors: Shape3) -> np.ndarray:
    """Mean of boxes of voxels; a last odd plane, row or column is dropped.

    Integers are summed exactly and truncated. Floats are summed in float32, along x, then y, then z;
    boxes in which that is not finite are averaged again in float64 over the voxels that are not NaN,
    so that one missing pixel does not grow with every level.

    Parameters
    ----------
    block : ndarray, (z, y, x)
        uint8, uint16, uint32 or float32.
    factors : (z, y, x)
        1 or 2 per axis.

    Returns
    -------
    ndarray, (z // fz, y // fy, x // fx)
        Same type as `block`.
    """
    z, y, x = (side // factor for side, factor in zip(block.shape, factors, strict=True))
    mean = np.empty((z, y, x), block.dtype)
    reduce_into(mean, (0, 0, 0), mean.shape, block, factors)
    return mean


def reduce_into(target: np.ndarray, first: Shape3, size: Shape3, block: np.ndarray, factors: Shape3) -> None:
    """As `reduce_box`, but the means become a part of another block.

    Parameters
    ----------
    target : ndarray, (z, y, x)
        C-contiguous, of the type of `block`.
    first, size : (z, y, x)
        The part of it: first voxel, and number of voxels.
    block : ndarray, (z, y, x)
        At least as large as `size` times `factors`; what is beyond that does not count.
    factors : (z, y, x)
    """
    fz, fy, fx = factors
    loops = kernels.ready()
    if loops and fx == 2 and block.flags.c_contiguous:
        if block.dtype.kind == "u":
            loops.mean_of_integers(block, fz, fy, target, first, size)
            return
        if loops.mean_of_floats(block, fz, fy, target, first, size):
            return
    place = target[tuple(slice(low, low + length) for low, length in zip(first, size, strict=True))]
    block = block[: size[0] * fz, : size[1] * fy, : size[2] * fx]
    if factors == (1, 1, 1):
        place[:] = block
    elif block.dtype.kind == "f":
        place[:] = _mean_of_floats(block, factors)
    else:
        place[:] = _mean_of_integers(block, factors)


def _mean_of_integers(block: np.ndarray, factors: Shape3) -> np.ndarray:
    """Truncated mean, in a wider type."""
    fz, fy, fx = factors
    total = _pair_sums(block) if fx == 2 else block.astype(_WIDER[block.itemsize])
    if fy == 2:
        total = total[:, 0::2] + total[:, 1::2]
    if fz == 2:
        total = total[0::2] + total[1::2]
    total >>= (fz * fy * fx).bit_length() - 1
    return total


def _pair_sums(block: np.ndarray) -> np.ndarray:
    """Sums of neighbours along x, in a type twice as wide.

    Two neighbours read as one little-endian integer: low half plus high half. Unlike strided slices
    this runs over contiguous memory.
    """
    wider = _WIDER[block.itemsize]
    pairs = np.ascontiguousarray(block, block.dtype.newbyteorder("<")).view(wider)
    bits = 8 * block.itemsize
    total = pairs & wider.type((1 << bits) - 1)
    total += pairs >> wider.type(bits)
    return total


def _mean_of_floats(block: np.ndarray, factors: Shape3) -> np.ndarray:
    fz, fy, fx = factors
    with np.errstate(over="ignore", invalid="ignore"):
        mean = block[..., 0::2] + block[..., 1::2] if fx == 2 else block
        if fy == 2:
            mean = mean[:, 0::2] + mean[:, 1::2]
        if fz == 2:
            mean = mean[0::2] + mean[1::2]
        mean = mean / np.float32(fz * fy * fx)
    bad = np.nonzero(~np.isfinite(mean))
    if bad[0].size:
        z, y, x = mean.shape
        boxes = block.reshape(z, fz, y, fy, x, fx).transpose(0, 2, 4, 1, 3, 5)[bad].astype(np.float64)
        boxes = boxes.reshape(len(boxes), -1)
        present = ~np.isnan(boxes)
        with np.errstate(invalid="ignore"):
            mean[bad] = np.where(present, boxes, 0).sum(axis=1) / present.sum(axis=1)
    return mean

"""Resolution levels and chunk ("block") shapes of an Imaris file.

All shapes are (z, y, x) in voxels. The rules are those of the vendor's own writer, so that Imaris
finds the blocks it would have made itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from math import prod
from operator import mul

Shape3 = tuple[int, int, int]

BLOCK_BYTES = 1 << 20
"""Size of a chunk, and of the data below which no further resolution level is made."""

MAX_WASTE = 2.0
"""Padded volume / true volume above which another chunk shape is preferred."""


@dataclass(frozen=True)
class Level:
    """One resolution level.

    Attributes
    ----------
    shape : (z, y, x)
        True size in voxels.
    chunks : (z, y, x)
        Chunk shape; powers of two.
    factors : (z, y, x)
        1 or 2 per axis: how many voxels of the previous level make one of this; (1, 1, 1) at level 0.
    """

    shape: Shape3
    chunks: Shape3
    factors: Shape3

    @property
    def grid(self) -> Shape3:
        """Number of chunks per axis."""
        z, y, x = (-(-size // chunk) for size, chunk in zip(self.shape, self.chunks, strict=True))
        return z, y, x

    @property
    def padded(self) -> Shape3:
        """Size of the stored array: whole chunks."""
        z, y, x = (count * chunk for count, chunk in zip(self.grid, self.chunks, strict=True))
        return z, y, x


def level_shapes(shape: Shape3, itemsize: int) -> list[Shape3]:
    """Sizes of all resolution levels, the full one first.

    A level with more than 1 MiB of data is followed by another, in which every axis is halved
    (rounded down) that is longer than one voxel and not much shorter than the other two.

    Parameters
    ----------
    shape : (z, y, x)
        Size of the image in voxels.
    itemsize : int
        Bytes per voxel.

    Returns
    -------
    list of (z, y, x)
    """
    shapes = [shape]
    while prod(shapes[-1]) > BLOCK_BYTES // itemsize:
        last = shapes[-1]
        volume = prod(last)
        z, y, x = (a // 2 if a > 1 and (10 * a) ** 2 > volume // a else a for a in last)
        if (z, y, x) == last:
            break
        shapes.append((z, y, x))
    return shapes


def levels(shape: Shape3, itemsize: int, timepoints: int = 1) -> list[Level]:
    """Resolution levels with their chunk shapes.

    Parameters
    ----------
    shape : (z, y, x)
        Size of one volume in voxels.
    itemsize : int
        Bytes per voxel: 1, 2 or 4.
    timepoints : int
        Number of time points of the image; it takes part in the choice of chunks.

    Returns
    -------
    list of Level
        The full resolution first.
    """
    shapes = level_shapes(shape, itemsize)
    factors = [(1, 1, 1), *(reduction_factors(fine, coarse) for fine, coarse in pairwise(shapes))]
    result: list[Level] = []
    for number, size in enumerate(shapes):
        # Not smaller than what a chunk of the level before becomes; and boxes that become one voxel of
        # the next level stay together in a chunk.
        before = result[-1].chunks if result else (1, 1, 1)
        ahead = factors[number + 1] if number + 1 < len(shapes) else (1, 1, 1)
        z, y, x = (max(c // f, g) for c, f, g in zip(before, factors[number], ahead, strict=True))
        result.append(Level(size, chunk_shape(size, itemsize, timepoints, (z, y, x)), factors[number]))
    return result


def chunk_shape(shape: Shape3, itemsize: int, timepoints: int = 1, smallest: Shape3 = (1, 1, 1)) -> Shape3:
    """Chunk shape of one resolution level.

    The best shape shows three orthogonal slices from the fewest chunks; then comes the smallest
    surface, then the least padding. Shapes that more than double the volume give way to others.

    Parameters
    ----------
    shape : (z, y, x)
        Size of the level in voxels.
    itemsize : int
        Bytes per voxel.
    timepoints : int
        Number of time points.
    smallest : (z, y, x)
        Lower bound per axis.

    Returns
    -------
    (z, y, x)
    """
    voxels = BLOCK_BYTES // itemsize
    ranked = sorted(
        (*_cost(shape, timepoints, box, voxels), box)
        for box in _boxes(voxels, flat=shape[0] == 1)
        if all(side >= least for side, least in zip((box[2], box[1], box[0]), smallest, strict=True))
    )
    if not ranked:
        exponent = voxels.bit_length() - 1
        z = exponent // 3
        y = (exponent - z) // 2
        return 1 << z, 1 << y, 1 << (exponent - z - y)
    best = ranked[0]
    if best[2] > MAX_WASTE:
        best = next((entry for entry in ranked if entry[2] <= MAX_WASTE), best)
    bx, by, bz = best[3]
    return bz, by, bx


def slab_regions(levels: Sequence[Level], itemsize: int, budget: int) -> Iterator[tuple[int, int, int, int]]:
    """Pieces in which an image is read: whole chunks deep, all of x wide, whole planes where they fit.

    Where they do not, the image is read in bands of rows, each through its whole depth before the
    next. Bands are as high as keeps the least memory for chunks of the lower levels that are begun.

    Parameters
    ----------
    levels : sequence of Level
        The full resolution first.
    itemsize : int
        Bytes per voxel as read.
    budget : int
        Bytes that a piece should not exceed. One row of chunks is the least, whatever its size.

    Yields
    ------
    z0, z1, y0, y1 : int
        Half-open ranges.
    """
    (size_z, size_y, size_x), (depth, chunk_y, _) = levels[0].shape, levels[0].chunks
    row_of_chunks = min(depth, size_z) * min(chunk_y, size_y) * size_x * itemsize
    rows = max(1, budget // row_of_chunks) * chunk_y
    band = size_y
    if rows < size_y:
        heights = {-(-rows // height) * height for height in _chunk_heights(levels)}
        band = min((*heights, size_y), key=lambda height: (open_voxels(levels, height), height))
    for top in range(0, size_y, band):
        bottom = min(top + band, size_y)
        for z0 in range(0, size_z, depth):
            for y0 in range(top, bottom, rows):
                yield z0, min(z0 + depth, size_z), y0, min(y0 + rows, bottom)


def open_voxels(levels: Sequence[Level], band: int) -> int:
    """Most voxels of lower levels in chunks that are begun and not complete, when bands of so many rows are read."""
    total = 0
    size_y = levels[0].shape[1]
    for level, height in zip(levels[1:], _chunk_heights(levels)[1:], strict=True):
        (z, y, x), (chunk_z, chunk_y, _) = level.padded, level.chunks
        if band >= size_y or band % height == 0:  # every chunk is complete when the band is
            total += chunk_z * min(y, -(-band * chunk_y // height)) * x
        else:
            total += z * chunk_y * x
    return total


def _chunk_heights(levels: Sequence[Level]) -> list[int]:
    """How many rows of the full resolution become one row of chunks, for every level."""
    factors = accumulate((level.factors[1] for level in levels), mul)
    return [level.chunks[1] * factor for level, factor in zip(levels, factors, strict=True)]


def reduction_factors(fine: Shape3, coarse: Shape3) -> Shape3:
    """1 or 2 per axis: how many voxels of one level make one of the next."""
    z, y, x = (2 if b < a else 1 for a, b in zip(fine, coarse, strict=True))
    return z, y, x


def _boxes(voxels: int, flat: bool) -> Iterator[Shape3]:
    """All allowed chunk shapes (x, y, z) of at most `voxels`; x first, so that ties prefer a narrow one."""
    powers = [1 << exponent for exponent in range(voxels.bit_length())]
    for x in powers:
        for y in powers:
            if flat:
                if x * y <= voxels and x <= 4 * y and y <= 4 * x:
                    yield x, y, 1
            elif x == y:
                yield from ((x, y, z) for z in powers if z >= 4 and x * y * z <= voxels)


def _cost(shape: Shape3, timepoints: int, box: Shape3, voxels: int) -> tuple[int, int, float]:
    """Slices, surface and waste of chunks `box` (x, y, z)."""
    x, y, z = box
    t = voxels // (x * y * z)
    nz, ny, nx = (-(-size // side) for size, side in zip(shape, (z, y, x), strict=True))
    slices = nx * ny + nx * nz + ny * nz - nx - ny - nz + 1
    surface = x * y + x * z + y * z
    stored = nx * x * ny * y * nz * z * -(-timepoints // t) * t
    return slices, surface, stored / (prod(shape) * timepoints)

"""Reading of images that are stored in chunks of their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

KEPT_BYTES = 128 << 20
"""Memory for chunks of which more will be needed."""

ReadVoxels = Callable[[int, int, int, int, int, int], np.ndarray]
"""``read(t, c, z0, z1, y0, y1)`` gives voxels (z1 - z0, y1 - y0, X)."""

Region = tuple[int, int, int, int]


def by_whole_chunks(
    read: ReadVoxels, regions: Sequence[Region], size: tuple[int, int], chunk: tuple[int, int]
) -> ReadVoxels:
    """A function that reads the same, but whole chunks of the source where regions cut through them.

    Parameters
    ----------
    read : callable
    regions : sequence of (z0, z1, y0, y1)
        What will be asked for, for every time point and channel, each once.
    size, chunk : (z, y)
        Of the image and of its chunks.
    """
    whole = all(
        first % side == 0 and (last % side == 0 or last == end)
        for region in regions
        for first, last, end, side in zip(region[::2], region[1::2], size, chunk, strict=True)
    )
    if whole:
        return read
    # As deep as what is asked for: a source may unpack the chunks of one call side by side.
    depth = max(z1 - z0 for z0, z1, _, _ in regions)
    return ChunkRows(read, size, (-(-depth // chunk[0]) * chunk[0], chunk[1]))


@dataclass
class _Block:
    voxels: np.ndarray
    left: int


class ChunkRows:
    """Unpacks each chunk of an array once, although it is wanted piece by piece, as far as memory allows.

    What is read at a time are all chunks of one row along x. They are kept until each of their voxels was
    handed out, or until newer ones need the memory.

    Parameters
    ----------
    read : callable
    size, chunk : (z, y)
        Of the image, and of the pieces to be read: whole chunks.
    """

    def __init__(self, read: ReadVoxels, size: tuple[int, int], chunk: tuple[int, int]) -> None:
        self._read = read
        self._size = size
        self._chunk = chunk
        self._blocks: dict[tuple[int, int, int, int], _Block] = {}

    def __call__(self, t: int, c: int, z0: int, z1: int, y0: int, y1: int) -> np.ndarray:
        """Voxels (z1 - z0, y1 - y0, X); every voxel may be asked for once."""
        result = None
        chunk_z, chunk_y = self._chunk
        for z in range(z0 // chunk_z * chunk_z, z1, chunk_z):
            for y in range(y0 // chunk_y * chunk_y, y1, chunk_y):
                low_z, high_z = max(z, z0), min(z + chunk_z, z1)
                low_y, high_y = max(y, y0), min(y + chunk_y, y1)
                part = self._take(t, c, z, y)[low_z - z : high_z - z, low_y - y : high_y - y]
                self._use((t, c, z, y), part.size)
                if result is None:
                    if part.shape[:2] == (z1 - z0, y1 - y0):
                        return part
                    result = np.empty((z1 - z0, y1 - y0, part.shape[2]), part.dtype)
                result[low_z - z0 : high_z - z0, low_y - y0 : high_y - y0] = part
        assert result is not None
        return result

    def _take(self, t: int, c: int, z: int, y: int) -> np.ndarray:
        block = self._blocks.get((t, c, z, y))
        if block is None:
            z1, y1 = (
                min(first + side, size) for first, side, size in zip((z, y), self._chunk, self._size, strict=True)
            )
            voxels = self._read(t, c, z, z1, y, y1)
            while (
                self._blocks and sum(kept.voxels.nbytes for kept in self._blocks.values()) > KEPT_BYTES - voxels.nbytes
            ):
                del self._blocks[next(iter(self._blocks))]
            block = self._blocks[t, c, z, y] = _Block(voxels, voxels.size)
        return block.voxels

    def _use(self, key: tuple[int, int, int, int], voxels: int) -> None:
        block = self._blocks[key]
        block.left -= voxels
        if block.left <= 0:
            del self._blocks[key]

"""Packing of chunks: byte shuffle and deflate, as every HDF5 library can unpack them.

Any stream in zlib format is valid behind HDF5's gzip filter, whichever library made it. The fastest
one installed is taken: ISA-L (package ``isal``), then zlib-ng, then Python's own zlib.
"""

from __future__ import annotations

import itertools
import threading
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from types import ModuleType

import numpy as np

from openhcs_core.imaris.errors import ImsError

PRESETS = ("fast", "small", "uncompressed")

UNIFORM_KEPT = 256
"""Chunks of one single value that are kept in their stored form; a few kB each."""

Deflate = Callable[[bytes | memoryview | np.ndarray], bytes]

_scratch = threading.local()


@dataclass(frozen=True)
class Codec:
    """How the chunks of a file are stored.

    Attributes
    ----------
    name : str
        For people: library and settings.
    shuffle : bool
        Whether the bytes of a chunk are sorted by significance before deflate.
    level : int
        Level noted in the file for the gzip filter; 0 means no filter.
    deflate : callable or None
        Bytes to a zlib stream; None stores chunks as they are.
    """

    name: str
    shuffle: bool
    level: int
    deflate: Deflate | None
    _uniform: dict[tuple, bytes] = field(default_factory=dict, repr=False, compare=False)

    def encode(self, chunk: np.ndarray, uniform: bool = False) -> bytes | np.ndarray:
        """Stored form of one whole chunk (C-contiguous, little-endian).

        Parameters
        ----------
        chunk : ndarray
        uniform : bool
            Whether all its voxels are equal: the empty parts of an image are compressed only once.
        """
        if self.deflate is None:
            return chunk
        key = (chunk.shape, chunk[0, 0, 0].tobytes()) if uniform else None
        encoded = self._uniform.get(key) if key else None
        if encoded is None:
            encoded = self.deflate(shuffled(chunk) if self.shuffle else chunk.reshape(-1).view(np.uint8))
            if key and len(self._uniform) < UNIFORM_KEPT:
                self._uniform[key] = encoded
        return encoded


def codec_for(preset: str, dtype: np.dtype, samples: Iterable[np.ndarray] = (), shuffle: bool | None = None) -> Codec:
    """The codec of a preset for voxels of one type.

    Parameters
    ----------
    preset : {"fast", "small", "uncompressed"}
    dtype : dtype
        uint8, uint16, uint32 or float32. Integers of two and four bytes are always shuffled. For
        floats it depends on the image: noise gains by it, scaled integers lose.
    samples : iterable of ndarray
        A few blocks of the image; if it is of floats, the smaller result decides.
    shuffle : bool, optional
        That decision, if it was made before.

    Raises
    ------
    ImsError
        For an unknown preset.
    """
    check_preset(preset)
    if preset == "uncompressed":
        return Codec("uncompressed", False, 0, None)
    name, level, deflate = _fast() if preset == "fast" else _small()
    dtype = np.dtype(dtype)
    if dtype.kind != "f":
        shuffle = dtype.itemsize > 1
    elif shuffle is None:
        plain = packed = 0
        for sample in samples:
            sample = np.ascontiguousarray(sample)
            plain += len(deflate(sample.reshape(-1).view(np.uint8)))
            packed += len(deflate(shuffled(sample)))
        shuffle = packed <= plain
    return Codec(name, shuffle, level, deflate)


def check_preset(preset: str) -> None:
    """Raise ImsError unless `preset` is one of PRESETS."""
    if preset not in PRESETS:
        raise ImsError(f"Unknown preset {preset!r}. Choose one of: {', '.join(PRESETS)}.")


def shuffled(chunk: np.ndarray) -> np.ndarray:
    """All lowest bytes of a chunk, then all second bytes, and so on: HDF5's shuffle filter.

    Parameters
    ----------
    chunk : ndarray
        Little-endian, C-contiguous.

    Returns
    -------
    ndarray of uint8, (bytes per voxel, voxels)
        Good until this thread shuffles again.
    """
    size = chunk.itemsize
    flat = chunk.reshape(-1).view(f"<u{size}")
    planes = getattr(_scratch, "planes", None)
    if planes is None or planes.shape != (size, flat.size):
        planes = _scratch.planes = np.empty((size, flat.size), np.uint8)
    np.copyto(planes[0], flat, casting="unsafe")
    for byte in range(1, size):
        np.right_shift(flat, 8 * byte, out=planes[byte], casting="unsafe")
    return planes


def _fast() -> tuple[str, int, Deflate]:
    try:
        from isal import igzip_lib
    except ImportError:
        name, deflate = _run_length()
        return name, 1, deflate

    def compress(data: bytes | memoryview | np.ndarray, window: int) -> bytes:
        return igzip_lib.compress(data, 1, flag=igzip_lib.COMP_ZLIB, hist_bits=window)

    return "ISA-L, level 1", 1, _Windows(compress)


class _Windows:
    """Deflate with the better of two windows, as found out now and then.

    In noise far repeats are chance: to look for them takes a fifth of the time and makes the result
    larger. In smooth images they are worth a fifth of the size.
    """

    SHORT, LONG = 9, 15
    TRIED_EVERY = 32

    def __init__(self, compress: Callable[[bytes | memoryview | np.ndarray, int], bytes]) -> None:
        self._compress = compress
        self._count = itertools.count()
        self._window = self.SHORT

    def __call__(self, data: bytes | memoryview | np.ndarray) -> bytes:
        if next(self._count) % self.TRIED_EVERY:
            return self._compress(data, self._window)
        short, long = self._compress(data, self.SHORT), self._compress(data, self.LONG)
        self._window = self.SHORT if len(short) <= len(long) else self.LONG
        return min(short, long, key=len)


def _small() -> tuple[str, int, Deflate]:
    """Level 6 or run lengths, chunk by chunk: the one wins on structure, the other on noise."""
    library, _ = _zlib()
    name, run_length = _run_length()

    def deflate(data: bytes | memoryview | np.ndarray) -> bytes:
        return min(run_length(data), library.compress(data, 6), key=len)

    return f"{name} or level 6", 6, deflate


def _run_length() -> tuple[str, Deflate]:
    library, name = _zlib()

    def deflate(data: bytes | memoryview | np.ndarray) -> bytes:
        packer = library.compressobj(1, zlib.DEFLATED, 15, 9, zlib.Z_RLE)
        return packer.compress(data) + packer.flush()

    return f"{name}, run lengths", deflate


def _zlib() -> tuple[ModuleType, str]:
    try:
        from zlib_ng import zlib_ng
    except ImportError:
        return zlib, "zlib"
    return zlib_ng, "zlib-ng"

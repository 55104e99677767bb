"""A picture of an image, to see at a glance what an Imaris file holds."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from openhcs_core.imaris.errors import ImsError
from openhcs_core.imaris.hdf5 import channel_path
from openhcs_core.imaris.metadata import ImsChannel, ImsMetadata, resolved_channels
from openhcs_core.imaris.thumbnail import composite, projection, shrunk
from openhcs_core.imaris.verify import dimensions, read_text, true_size


def preview_png(
    source: Any,
    out: str | os.PathLike[str],
    *,
    t: int = 0,
    size: int = 1024,
    enlarge: bool = False,
    channels: tuple[ImsChannel, ...] = (),
) -> Path:
    """Write the maximum projection along z, all channels mixed in their colours, as a PNG picture.

    Parameters
    ----------
    source : path or array-like (T, C, Z, Y, X)
        An Imaris file or an image in memory.
    out : path
        The picture.
    t : int
        Time point.
    size : int
        Longest side of the picture in pixels.
    enlarge : bool
        Whether a smaller image grows, by a whole number.
    channels : sequence of ImsChannel, optional
        Colours and windows. Those of the file, or a palette for an array, if not given. Where there is
        no window, the darkest and brightest 0.1 % of the projection are cut off.

    Returns
    -------
    Path
        `out`.

    Raises
    ------
    ImsError
        If the source has no such time point or is no Imaris file.
    """
    if isinstance(source, (str, os.PathLike)):
        projections, known = _from_file(Path(source), t, size)
    else:
        if len(source.shape) != 5 or not 0 <= t < source.shape[0]:
            raise ImsError(f"An array of size {tuple(source.shape)} is not (T, C, Z, Y, X) with a time point {t}.")
        projections = [np.fmax.reduce(np.asarray(source[t, c]), axis=0) for c in range(source.shape[1])]
        known = ()
    described = resolved_channels(ImsMetadata(channels=channels or known), len(projections))
    shown = [
        ImsChannel(channel.name, channel.color, channel.window or _window(plane))
        for channel, plane in zip(described, projections, strict=True)
    ]
    out = Path(out)
    picture = shrunk(composite(projections, shown), size)
    factor = max(1, size // max(picture.shape[:2])) if enlarge else 1
    out.write_bytes(png(picture.repeat(factor, axis=0).repeat(factor, axis=1)))
    return out


def png(picture: np.ndarray) -> bytes:
    """A picture (y, x, 3) uint8 as a PNG file."""
    height, width, _ = picture.shape
    # Every row starts with the number of its filter: 0, none.
    rows = np.zeros((height, 1 + 3 * width), np.uint8)
    rows[:, 1:] = picture.reshape(height, -1)

    def part(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    signature = b"\x89PNG\r\n\x1a\n"
    return signature + part(b"IHDR", header) + part(b"IDAT", zlib.compress(rows.tobytes())) + part(b"IEND", b"")


def _from_file(path: Path, t: int, size: int) -> tuple[list[np.ndarray], tuple[ImsChannel, ...]]:
    """Projections of the smallest level that fills the picture, and the channels without their windows."""
    try:
        file = h5py.File(path, "r", locking=False)
    except OSError as error:
        raise ImsError(f"{path} cannot be read as an Imaris file: {error}") from error
    with file:
        levels, times, number = dimensions(file)
        if not 0 <= t < times:
            raise ImsError(f"{path} has no time point {t}; it has {times}.")
        sizes = [true_size(file[channel_path(r, 0, 0)]) for r in range(levels)]
        level = max((r for r in range(levels) if max(sizes[r][1:]) >= size), default=0)
        projections, channels = [], []
        for c in range(number):
            projections.append(projection(file[channel_path(level, t, c)]["Data"], sizes[level]))
            section = file["DataSetInfo"][f"Channel {c}"]
            red, green, blue = (float(value) for value in read_text(section, "Color").split())
            channels.append(ImsChannel(read_text(section, "Name"), (red, green, blue)))
    return projections, tuple(channels)


def _window(plane: np.ndarray) -> tuple[float, float]:
    finite = plane[np.isfinite(plane)]
    if not finite.size:
        return 0.0, 1.0
    low, high = (float(value) for value in np.percentile(finite, (0.1, 99.9)))
    return (low, high) if high > low else (float(finite.min()), float(finite.max()) + 1.0)

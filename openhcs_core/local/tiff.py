"""TIFF, OME-TIFF and ImageJ files."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from openhcs_core.cpus import usable_cpus
from openhcs_core.local.errors import LocalError
from openhcs_core.local.image import LocalImage, Shape5, named_axes, reason
from openhcs_core.local.tiff_metadata import tiff_metadata

_SEPARATE = 2
"""Planar configuration of pages in which each sample has a plane of its own."""


def open_tiff(path: Path, axes: str | None, series: int) -> LocalImage:
    """Open an image of a TIFF file; see `openhcs_core.local.image.open_image`."""
    import tifffile

    tiff = tifffile.TiffFile(path)
    try:
        if not tiff.series:
            raise LocalError(f"{path} holds no image.")
        if not 0 <= series < len(tiff.series):
            raise LocalError(f"{path} has no image {series + 1}; it has {len(tiff.series)}.")
        chosen: Any = tiff.series[series]
        voxels = TiffVoxels(chosen, axes, path)
        metadata, statements = tiff_metadata(tiff, series, voxels.shape[1], voxels.samples, path)
        files = sorted({Path(page.parent.filehandle.path) for page in chosen.pages})
    except BaseException:
        tiff.close()
        raise

    def close() -> None:
        voxels.close()
        tiff.close()

    return LocalImage(
        voxels.shape, voxels.dtype, voxels.read, metadata, files, (1, voxels.rows), statements, close=close
    )


class TiffVoxels:
    """Voxels of one image of a TIFF file.

    Parameters
    ----------
    series : tifffile.TiffPageSeries
    axes : str, optional
        What the user calls the axes; see `named_axes`.
    path : Path
        For messages.

    Attributes
    ----------
    shape : (T, C, Z, Y, X)
    dtype : dtype
        Of the byte order in the file.
    samples : int
        Channels that are stored together in a page, such as red, green and blue.
    rows : int
        Of pixels that are stored together.

    Raises
    ------
    LocalError
        If planes are missing, or an axis cannot be exported.
    """

    def __init__(self, series: Any, axes: str | None, path: Path) -> None:
        self._series = series
        self._page = page = series.keyframe
        self._handles: dict[str, int] = {}
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(usable_cpus(), "tiff")
        self.samples = page.samplesperpixel
        self._side_by_side = self.samples if page.planarconfig != _SEPARATE else 1
        self._height = page.tilelength if page.is_tiled else min(page.rowsperstrip, page.imagelength)
        self._across = -(-page.imagewidth // page.tilewidth) if page.is_tiled else 1
        self.rows = self._height if series.dataoffset is None else 1
        self.shape, self._strides = self._layout(axes, path)
        missing = sum(page is None for page in series.pages)
        if missing:
            raise LocalError(f"{path} cannot be exported: {missing} of {len(series.pages)} planes are missing.")
        self.dtype = np.dtype(series.pages[0].parent.byteorder + series.dtype.char)

    def read(self, t: int, c: int, z0: int, z1: int, y0: int, y1: int) -> np.ndarray:
        """Voxels (z1 - z0, y1 - y0, X); see `LocalImage`."""
        c, sample = divmod(c, self.samples)
        step_t, step_c, step_z = self._strides
        slab = np.empty((z1 - z0, y1 - y0, self.shape[4]), self.dtype)

        def read_plane(z: int) -> None:
            try:
                self._read_rows(slab[z - z0], t * step_t + c * step_c + z * step_z, sample, y0)
            except OSError:
                raise
            except Exception as error:  # what a decoder says of damaged data
                place = f"T{t + 1} C{c + 1} Z{z + 1}"
                raise LocalError(f"The file is damaged at {place}, rows {y0} to {y1}: {reason(error)}.") from error

        list(self._pool.map(read_plane, range(z0, z1)))
        return slab

    def close(self) -> None:
        """Close all files."""
        self._pool.shutdown()
        while self._handles:
            os.close(self._handles.popitem()[1])

    def _layout(self, axes: str | None, path: Path) -> tuple[Shape5, tuple[int, int, int]]:
        """Shape (T, C, Z, Y, X), and how many pages further the next time point, channel and section are."""
        found: str = self._series.get_axes(squeeze=False)
        size: Sequence[int] = self._series.get_shape(squeeze=False)
        if "S" in found:  # inside the pages
            place = found.index("S")
            found, size = found[:place] + found[place + 1 :], (*size[:place], *size[place + 1 :])
        places = named_axes(found, size, axes, path)
        if [found[place] for place in (places["Y"], places["X"])] != ["Y", "X"] or self._page.imagedepth > 1:
            raise LocalError(f"{path} has axes {found}: Y and X must be those of its pages.")
        steps = [int(np.prod(size[place + 1 : -2], dtype=object)) for place in range(len(size) - 2)]
        t, c, z = (size[places[axis]] if axis in places else 1 for axis in "TCZ")
        step_t, step_c, step_z = (steps[places[axis]] if axis in places else 0 for axis in "TCZ")
        return (t, c * self.samples, z, size[-2], size[-1]), (step_t, step_c, step_z)

    def _read_rows(self, rows: np.ndarray, plane: int, sample: int, y0: int) -> None:
        """Fill `rows` from row `y0` of one sample of a page on."""
        together, length = self._side_by_side, self._page.imagelength
        inside = sample if together > 1 else 0
        if self._series.dataoffset is not None:
            plane = plane * (self.samples // together) + sample - inside
            start = self._series.dataoffset + (plane * length + y0) * rows.shape[1] * together * rows.itemsize
            stored = rows if together == 1 else np.empty((*rows.shape, together), self.dtype)
            self._fill(self._series.pages[0], stored, start)
            if together > 1:
                rows[:] = stored[..., inside]
            return
        page = self._series.pages[plane]
        first = (sample - inside) * -(-length // self._height) * self._across
        y1 = y0 + len(rows)
        for index in range(y0 // self._height * self._across, ((y1 - 1) // self._height + 1) * self._across):
            size = page.databytecounts[first + index]
            encoded = bytearray(size) if size else None
            if encoded is not None:
                self._fill(page, encoded, page.dataoffsets[first + index])
            segment, (_, _, y, x, _), shape = self._page.decode(encoded, index, jpegtables=page.jpegtables)
            top, bottom, right = max(y, y0), min(y + shape[1], y1), min(x + shape[2], rows.shape[1])
            if segment is None:  # an empty segment of a sparse file
                rows[top - y0 : bottom - y0, x:right] = self._page.nodata
            else:
                rows[top - y0 : bottom - y0, x:right] = segment[0, top - y : bottom - y, : right - x, inside]

    def _fill(self, page: Any, target: np.ndarray | bytearray, offset: int) -> None:
        """Read bytes from the file of a page; raises OSError if there are too few."""
        path = page.parent.filehandle.path
        with self._lock:
            if path not in self._handles:
                self._handles[path] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        view = memoryview(target).cast("B")  # type: ignore[arg-type]
        while view:
            count = os.preadv(self._handles[path], [view], offset)
            if not count:
                raise ValueError("the file ends too early")
            view, offset = view[count:], offset + count

"""Voxels from the file an image was imported from, where this machine can read it: TIFF and OME-TIFF."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from omero.gateway import BlitzGateway, ImageWrapper

from openhcs_core.settings import Settings

TIFF_SUFFIXES = {".tif", ".tiff", ".btf", ".tf2", ".tf8", ".lsm", ".stk"}


class PixelsNotOnDisk(Exception):
    """Why the file of an image is not used; the API has to deliver."""


class DiskPixels:
    """Voxels of one image out of its file in the managed repository.

    Parameters
    ----------
    conn : BlitzGateway
    image : ImageWrapper
        As the gateway gave it: whoever may not see an image, or download its file, does not get the file.
    settings : Settings
        Its `path_map` tells where this machine sees the repository.
    shape : (T, C, Z, Y, X)
        Size of the image in OMERO.

    Attributes
    ----------
    dtype : dtype
        Of the byte order in the file.

    Raises
    ------
    PixelsNotOnDisk
        If there is no such file, it may not or cannot be read, or its planes are not those of the image.
    """

    def __init__(
        self, conn: BlitzGateway, image: ImageWrapper, settings: Settings, shape: tuple[int, int, int, int, int]
    ) -> None:
        files = _files(conn, image, settings)
        self._handles: dict[str, int] = {}
        self._tiff: Any = None
        self._width = shape[4]
        try:
            self._tiff = tifffile.TiffFile(_first_tiff(files))
            self._series = _series(self._tiff, image._obj.series.val, {os.path.realpath(file) for file in files})
            self._strides = _plane_strides(self._series, shape)
        except PixelsNotOnDisk:
            self.close()
            raise
        except Exception as error:  # a damaged file makes its reader fail in any way
            self.close()
            raise PixelsNotOnDisk(f"the file cannot be read ({_reason(error)})") from error
        self._offset = self._series.dataoffset
        self.dtype = np.dtype(self._tiff.byteorder + self._series.dtype.char)

    def read(self, t: int, c: int, z0: int, z1: int, y0: int, y1: int) -> np.ndarray:
        """Voxels (z1 - z0, y1 - y0, X) of one channel at one time point; all numbers count from 0.

        Raises
        ------
        PixelsNotOnDisk
            If the file cannot be read.
        """
        slab = np.empty((z1 - z0, y1 - y0, self._width), self.dtype)
        step_t, step_c, step_z = self._strides
        try:
            for z in range(z0, z1):
                self._read_rows(slab[z - z0], t * step_t + c * step_c + z * step_z, y0)
        except Exception as error:  # as above
            place = f"T{t + 1} C{c + 1} Z{z + 1}"
            raise PixelsNotOnDisk(f"the file cannot be read at {place} ({_reason(error)})") from error
        return slab

    def close(self) -> None:
        """Close all files."""
        if self._tiff is not None:
            self._tiff.close()
        while self._handles:
            os.close(self._handles.popitem()[1])

    def _read_rows(self, rows: np.ndarray, plane: int, y0: int) -> None:
        """Fill `rows` from row `y0` of a plane on."""
        if self._offset is not None:
            row_bytes = rows.shape[1] * rows.itemsize
            start = self._offset + (plane * self._series.keyframe.imagelength + y0) * row_bytes
            data = self._bytes(self._series.keyframe, start, rows.nbytes)
            rows[:] = np.frombuffer(data, self.dtype).reshape(rows.shape)
            return
        page = self._series.pages[plane]
        keyframe = page.keyframe
        height, across = keyframe.rowsperstrip, 1
        if keyframe.is_tiled:
            height, across = keyframe.tilelength, -(-keyframe.imagewidth // keyframe.tilewidth)
        y1 = y0 + len(rows)
        for index in range(y0 // height * across, ((y1 - 1) // height + 1) * across):
            size = page.databytecounts[index]
            stored = self._bytes(page, page.dataoffsets[index], size) if size else None
            segment, (_, _, y, x, _), shape = keyframe.decode(stored, index, jpegtables=page.jpegtables)
            top, bottom, right = max(y, y0), min(y + shape[1], y1), min(x + shape[2], rows.shape[1])
            if segment is None:  # an empty segment of a sparse file
                rows[top - y0 : bottom - y0, x:right] = keyframe.nodata
            else:
                rows[top - y0 : bottom - y0, x:right] = segment[0, top - y : bottom - y, : right - x, 0]

    def _bytes(self, page: Any, offset: int, size: int) -> bytes:
        path = page.parent.filehandle.path
        if path not in self._handles:
            self._handles[path] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        parts = []
        while size:
            part = os.pread(self._handles[path], size, offset)
            if not part:
                raise OSError("it ends too early")
            parts.append(part)
            size -= len(part)
            offset += len(part)
        return b"".join(parts)


def _files(conn: BlitzGateway, image: ImageWrapper, settings: Settings) -> list[Path]:
    """The image's files as this machine sees them."""
    if image.getFileset() is None:
        raise PixelsNotOnDisk("the image was not imported from a file")
    if not image.canDownload():
        raise PixelsNotOnDisk("downloading its file is restricted")
    proxy, description = conn.c.getManagedRepository(description=True)
    if proxy is None:
        raise PixelsNotOnDisk("the server has no managed repository")
    root = f"{description.path.val.rstrip('/')}/{description.name.val}"
    return [settings.local_path(f"{root}/{path}") for path in image.getImportedImageFilePaths()["server_paths"]]


def _first_tiff(files: list[Path]) -> Path:
    for file in files:
        if file.suffix.lower() in TIFF_SUFFIXES:
            if not file.is_file():
                raise PixelsNotOnDisk(f"the file {file.name} is not to be found on this machine")
            if not os.access(file, os.R_OK):
                raise PixelsNotOnDisk(f"the file {file.name} may not be read on this machine")
            return file
    raise PixelsNotOnDisk("the image's file is not a TIFF")


def _series(tiff: tifffile.TiffFile, number: int, allowed: set[str]) -> Any:
    """Image `number` of a file, all of whose planes are there and in files that belong to the image."""
    if number >= len(tiff.series):
        raise PixelsNotOnDisk(f"the file has no image {number + 1}")
    series: Any = tiff.series[number]
    missing = sum(page is None for page in series.pages)
    if missing:
        raise PixelsNotOnDisk(f"{missing} of {len(series.pages)} planes are missing in the file")
    # OME-XML may name any file of the machine as the place of a plane.
    if not {os.path.realpath(page.parent.filehandle.path) for page in series.pages} <= allowed:
        raise PixelsNotOnDisk("the file refers to files that do not belong to the image")
    return series


def _plane_strides(series: Any, shape: tuple[int, int, int, int, int]) -> tuple[int, int, int]:
    """How many planes further the next time point, channel and section are."""
    sizes = dict(zip("TCZ", shape[:3], strict=True))
    page = series.keyframe
    if (page.imagelength, page.imagewidth) != shape[3:] or page.imagedepth > 1:
        raise PixelsNotOnDisk("the planes of the file have another size")
    # Some versions of tifffile leave out axes of length 1, others do not.
    found = zip(series.axes, series.shape, strict=True)
    outer = [(axis, size) for axis, size in found if axis not in "YX" and size > 1]
    if any(axis == "S" for axis, _ in outer):
        raise PixelsNotOnDisk("its channels are interleaved in the file")
    if len(outer) == 1 and outer[0][0] not in sizes:  # a stack of pages without a name, where only one name fits
        outer = [(axis, size) for axis, size in sizes.items() if size == outer[0][1]][:1]
    if dict(outer) != {axis: size for axis, size in sizes.items() if size > 1}:
        raise PixelsNotOnDisk("the planes of the file are not those of the image")
    strides = dict.fromkeys("TCZ", 0)
    step = 1
    for axis, size in reversed(outer):
        strides[axis] = step
        step *= size
    return strides["T"], strides["C"], strides["Z"]


def _reason(error: Exception) -> str:
    """What an error says, in one line."""
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).splitlines()[0].rstrip(".")

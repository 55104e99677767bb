"""Voxels of an OMERO image from the fastest source that can be trusted."""

from __future__ import annotations

import logging
from typing import Protocol

import numpy as np
from omero.gateway import BlitzGateway, ImageWrapper

from openhcs_core.omero.disk import DiskPixels, PixelsNotOnDisk, candidates
from openhcs_core.omero.errors import OmeroError
from openhcs_core.omero.raw_pixels import RawPixels
from openhcs_core.settings import Settings

logger = logging.getLogger(__name__)

PROBE = (16, 8192)
"""Rows and pixels of a row that are compared, at most: wide images are asked for in tiles."""


class PixelSource(Protocol):
    """Where voxels come from.

    Attributes
    ----------
    shape : (T, C, Z, Y, X)
    dtype : dtype
        Of any byte order.
    chunk : (z, y)
        Of what is stored together, see `openhcs_core.imaris.chunkrows`.
    source : str
        For people: where they come from.
    """

    shape: tuple[int, int, int, int, int]
    dtype: np.dtype
    chunk: tuple[int, int]
    source: str

    def read(self, t: int, c: int, z0: int, z1: int, y0: int, y1: int) -> np.ndarray:
        """Voxels (z1 - z0, y1 - y0, X) of one channel at one time point; all numbers count from 0."""

    def check(self) -> None:
        """Raise OmeroError if a file that was read has changed or vanished in the meantime."""

    def close(self) -> None:
        """Release what is held."""


class ImagePixels:
    """Voxels of an image: from its file where that can be read and holds the same, else through the API.

    A file is trusted only after some of its pixels were compared with what the API gives. When reading it
    fails later on, the API takes over.

    Parameters
    ----------
    conn : BlitzGateway
    image : ImageWrapper
    settings : Settings
        Its `path_map` tells where this machine sees the files of the server.

    Attributes
    ----------
    shape : (T, C, Z, Y, X)
    dtype : dtype
    chunk : (z, y)
        Of what is stored together, see `openhcs_core.imaris.chunkrows`.
    source : str
        For people: where the voxels come from, and why not from the file.

    Raises
    ------
    OmeroError
        If the server has no pixels for the image.
    """

    def __init__(self, conn: BlitzGateway, image: ImageWrapper, settings: Settings) -> None:
        self._api = RawPixels(conn, image)
        self._file: DiskPixels | None = None
        self._changed = False
        self.shape, self.dtype = self._api.shape, self._api.dtype
        self.source = "the image's file"
        reasons = []
        try:
            try:
                for open_file in candidates(conn, image, settings, self.shape):
                    try:
                        self._file = open_file()
                        self._compare(self._file)
                        self.chunk = self._file.chunk
                        return
                    except PixelsNotOnDisk as reason:
                        reasons.append(str(reason))
                        self._close_file()
            except PixelsNotOnDisk as reason:
                reasons.append(str(reason))
            self._use_api("; ".join(reasons))
            self.chunk = self._api.chunk
        except BaseException:
            self.close()
            raise

    def read(self, t: int, c: int, z0: int, z1: int, y0: int, y1: int) -> np.ndarray:
        """Voxels (z1 - z0, y1 - y0, X) of one channel at one time point; all numbers count from 0.

        Raises
        ------
        OmeroError
            If the server cannot deliver them.
        """
        if self._file is not None:
            try:
                return self._file.read(t, c, z0, z1, y0, y1)
            except PixelsNotOnDisk as reason:
                self._changed = self._file.has_changed()
                self._use_api(str(reason))
        return self._api.read(t, c, z0, z1, y0, y1)

    def check(self) -> None:
        """Raise OmeroError if the file has changed or vanished since it was opened, also if the API took over since."""
        if self._changed or (self._file is not None and self._file.has_changed()):
            raise OmeroError("its file was changed or removed while it was read. Export it again.")

    def close(self) -> None:
        """Close the file and the service of the server."""
        self._close_file()
        self._api.close()

    def _close_file(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _use_api(self, reason: str) -> None:
        self._close_file()
        self.source = f"the OMERO API, because {reason}"
        logger.info("Pixels from %s", self.source)

    def _compare(self, file: DiskPixels) -> None:
        """Compare the middle of the first plane, of the next one along each axis, and of the last."""
        t, c, z, *plane = self.shape
        if file.dtype.newbyteorder("=") != self.dtype.newbyteorder("="):
            raise PixelsNotOnDisk(f"the file holds {file.dtype.name}, the image {self.dtype.name}")
        y0, x0 = (max(0, (size - part) // 2) for size, part in zip(plane, PROBE, strict=True))
        y1, x1 = (min(size, first + part) for size, first, part in zip(plane, (y0, x0), PROBE, strict=True))
        planes = {(0, 0, 0), (min(1, t - 1), 0, 0), (0, min(1, c - 1), 0), (0, 0, min(1, z - 1)), (t - 1, c - 1, z - 1)}
        for at_t, at_c, at_z in sorted(planes):
            region = (at_t, at_c, at_z, at_z + 1, y0, y1)
            found, shown = file.read(*region)[..., x0:x1], self._api.read(*region, x0, x1)
            if not np.array_equal(found, shown, equal_nan=self.dtype.kind in "fc"):
                raise PixelsNotOnDisk(
                    f"the file holds other voxels than OMERO shows at T{at_t + 1} C{at_c + 1} Z{at_z + 1}"
                )

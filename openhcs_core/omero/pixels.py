"""Voxels of an OMERO image from the fastest source that can be trusted."""

from __future__ import annotations

import logging
from typing import Protocol

import numpy as np
from omero.gateway import BlitzGateway, ImageWrapper

from openhcs_core.omero.disk import DiskPixels, PixelsNotOnDisk
from openhcs_core.omero.raw_pixels import RawPixels
from openhcs_core.settings import Settings

logger = logging.getLogger(__name__)

PROBE_ROWS = 16


class PixelSource(Protocol):
    """Where voxels come from.

    Attributes
    ----------
    shape : (T, C, Z, Y, X)
    dtype : dtype
        Of any byte order.
    """

    shape: tuple[int, int, int, int, int]
    dtype: np.dtype

    def read(self, t: int, c: int, z0: int, z1: int, y0: int, y1: int) -> np.ndarray:
        """Voxels (z1 - z0, y1 - y0, X) of one channel at one time point; all numbers count from 0."""

    def close(self) -> None:
        """Release what is held."""


class ImagePixels:
    """Voxels of an image: from its file where that can be read and holds the same, else through the API.

    A file is trusted only after some of its rows were compared with what the API gives. When reading it
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
        self.shape, self.dtype = self._api.shape, self._api.dtype
        try:
            self._file = DiskPixels(conn, image, settings, self.shape)
            self._compare()
            self.source = "the image's file"
        except PixelsNotOnDisk as reason:
            self._use_api(str(reason))
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
                self._use_api(str(reason))
        return self._api.read(t, c, z0, z1, y0, y1)

    def close(self) -> None:
        """Close the file and the service of the server."""
        if self._file is not None:
            self._file.close()
        self._api.close()

    def _use_api(self, reason: str) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
        self.source = f"the OMERO API, because {reason}"
        logger.info("Pixels from %s", self.source)

    def _compare(self) -> None:
        """Compare the middle rows of the first plane, the next one along each axis, and the last."""
        assert self._file is not None
        t, c, z, y, _ = self.shape
        if self._file.dtype.newbyteorder("=") != self.dtype.newbyteorder("="):
            raise PixelsNotOnDisk(f"the file holds {self._file.dtype.name}, the image {self.dtype.name}")
        y0 = max(0, y // 2 - PROBE_ROWS // 2)
        y1 = min(y, y0 + PROBE_ROWS)
        planes = {(0, 0, 0), (min(1, t - 1), 0, 0), (0, min(1, c - 1), 0), (0, 0, min(1, z - 1)), (t - 1, c - 1, z - 1)}
        for at_t, at_c, at_z in sorted(planes):
            region = (at_t, at_c, at_z, at_z + 1, y0, y1)
            if not np.array_equal(self._file.read(*region), self._api.read(*region), equal_nan=self.dtype.kind in "fc"):
                raise PixelsNotOnDisk(
                    f"the file holds other voxels than OMERO shows at T{at_t + 1} C{at_c + 1} Z{at_z + 1}"
                )

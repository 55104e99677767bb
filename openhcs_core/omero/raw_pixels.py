"""Voxels through the OMERO API."""

from __future__ import annotations

import itertools

import Ice
import numpy as np
import omero
from omero.gateway import BlitzGateway, ImageWrapper

from openhcs_core.omero.errors import OmeroError
from openhcs_core.omero.session import in_group, session_is_over

# Far below Ice.MessageSizeMax of the server (64 MB as installed), which a client cannot ask for.
PIECE_BYTES = 16 << 20
TILE = 1024

DTYPES = {
    "bit": np.dtype("?"),
    "int8": np.dtype(">i1"),
    "uint8": np.dtype(">u1"),
    "int16": np.dtype(">i2"),
    "uint16": np.dtype(">u2"),
    "int32": np.dtype(">i4"),
    "uint32": np.dtype(">u4"),
    "float": np.dtype(">f4"),
    "double": np.dtype(">f8"),
    "complex": np.dtype(">c8"),
    "double-complex": np.dtype(">c16"),
}
"""OMERO's pixel types as the API delivers them."""


class RawPixels:
    """Voxels of one image from a raw pixels store: whole planes, or tiles where planes are large.

    Parameters
    ----------
    conn : BlitzGateway
    image : ImageWrapper

    Attributes
    ----------
    shape : (T, C, Z, Y, X)
    dtype : dtype
        Big-endian.

    Raises
    ------
    OmeroError
        If the server has no pixels for the image.
    """

    def __init__(self, conn: BlitzGateway, image: ImageWrapper) -> None:
        pixels = image.getPrimaryPixels()
        if pixels is None:
            raise OmeroError("the image has no pixels in OMERO; its import may have failed. Import it again.")
        self.shape = (
            pixels.getSizeT(),
            pixels.getSizeC(),
            pixels.getSizeZ(),
            pixels.getSizeY(),
            pixels.getSizeX(),
        )
        kind = pixels.getPixelsType().value
        if kind not in DTYPES:
            raise OmeroError(f"pixels of type '{kind}' are unknown to this version of OpenHCS.")
        self.dtype = DTYPES[kind]
        self._context = in_group(conn, image.getDetails().getGroup().getId())
        self._store = conn.c.sf.createRawPixelsStore(self._context)
        try:
            self._store.setPixelsId(pixels.getId(), False, self._context)
        except (omero.ServerError, Ice.Exception) as error:
            self.close()
            if session_is_over(error):
                raise
            raise OmeroError(f"the server has no pixels for it: {_text(error)}.") from error

    def read(self, t: int, c: int, z0: int, z1: int, y0: int, y1: int) -> np.ndarray:
        """Voxels (z1 - z0, y1 - y0, X) of one channel at one time point; all numbers count from 0.

        Raises
        ------
        OmeroError
            If the server cannot deliver a plane.
        """
        slab = np.empty((z1 - z0, y1 - y0, self.shape[4]), self.dtype)
        for z in range(z0, z1):
            try:
                self._read_rows(slab[z - z0], t, c, z, y0)
            except (omero.ServerError, Ice.Exception) as error:
                if session_is_over(error):
                    raise
                raise OmeroError(f"plane T{t + 1} C{c + 1} Z{z + 1} cannot be read: {_text(error)}.") from error
        return slab

    def _read_rows(self, rows: np.ndarray, t: int, c: int, z: int, y0: int) -> None:
        """Fill `rows` from row `y0` of a plane on: in one piece, or in tiles if that would be too large."""
        height, width = rows.shape
        if height == self.shape[3] and rows.nbytes <= PIECE_BYTES:
            rows[:] = self._decode(self._store.getPlane(z, c, t, self._context), height, width)
            return
        step_y, step_x = rows.shape if rows.nbytes <= PIECE_BYTES else (TILE, TILE)
        for y, x in itertools.product(range(0, height, step_y), range(0, width, step_x)):
            h, w = min(step_y, height - y), min(step_x, width - x)
            tile = self._store.getTile(z, c, t, x, y0 + y, w, h, self._context)
            rows[y : y + h, x : x + w] = self._decode(tile, h, w)

    def _decode(self, data: bytes, height: int, width: int) -> np.ndarray:
        if self.dtype.kind == "b" and len(data) < height * width:  # eight voxels in a byte, the first one highest
            return np.unpackbits(np.frombuffer(data, "u1"), count=height * width).view("?").reshape(height, width)
        return np.frombuffer(data, self.dtype).reshape(height, width)

    def close(self) -> None:
        """Free the store on the server."""
        try:
            self._store.close()
        except (omero.ServerError, Ice.Exception) as error:
            if not session_is_over(error):
                raise


def _text(error: Exception) -> str:
    """What the server said, in one line."""
    return (getattr(error, "message", None) or type(error).__name__).strip().splitlines()[0].rstrip(".")

"""Voxels through the OMERO API."""

from __future__ import annotations

import functools
import logging
import queue
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, wait
from contextlib import suppress
from typing import Any, NamedTuple

import Ice
import numpy as np
import omero
from omero.gateway import BlitzGateway, ImageWrapper

from openhcs_core.omero.connections import Connections
from openhcs_core.omero.errors import OmeroError, said_by_server
from openhcs_core.omero.session import session_is_over

_log = logging.getLogger(__name__)

PIECE_BYTES = 2 << 20
"""About what is asked for at a time: little enough to be passed on quickly, and far below Ice.MessageSizeMax."""

LARGEST_BYTES = 16 << 20
"""Of one answer. Ice.MessageSizeMax of servers, which a client cannot ask for, is 64 MB as installed."""

PARALLEL_FROM = 32 << 20
"""Bytes of an image from which more than one connection pays."""

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


class _Piece(NamedTuple):
    """Part of a plane."""

    z: int
    y: int
    x: int
    height: int
    width: int


class RawPixels:
    """Voxels of one image from raw pixels stores, at full resolution; larger images through several connections.

    Parameters
    ----------
    conn : BlitzGateway
    image : ImageWrapper

    Attributes
    ----------
    shape : (T, C, Z, Y, X)
    dtype : dtype
        Big-endian.
    tile : (y, x)
        Of pixels that the server reads at a time.

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
        self._id = pixels.getId()
        self._group = str(image.getDetails().getGroup().getId())
        self._client = conn.c
        self._free: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._connections: Connections | None = None
        self._openings: list[Future[None]] = []
        self._stores: list[Any] = []
        try:
            self._stores.append(self._opened(conn.c))
            self.tile = self._tile(self._stores[0])
        except (omero.ServerError, Ice.Exception) as error:
            self.close()
            if session_is_over(error):
                raise
            if isinstance(error, omero.ConcurrencyException):
                raise OmeroError(f"the server still prepares it: {_text(error)}. Try again in some minutes.") from error
            raise OmeroError(f"the server has no pixels for it: {_text(error)}.") from error
        self._free.put(self._stores[0])
        self._step = piece_size(self.shape[3:], self.tile, self.dtype.itemsize)

    @functools.cached_property
    def chunk(self) -> tuple[int, int]:
        """Sections and rows that are best read together, since the server decodes them together.

        Of large images without tiles this is found out by asking for some; from then on they are read that way.
        """
        plane = self.shape[3:]
        if self.tile[0] < plane[0] or self._step == plane or not self._large:
            return 1, self.tile[0] if self.tile[0] < plane[0] else 1
        if plane[0] * plane[1] * self.dtype.itemsize > LARGEST_BYTES:
            return 1, 1
        section = self.shape[2] // 2
        seconds = []
        for size in (self._step, self._step, plane):  # the first does not count: it also opens the file
            begin = time.perf_counter()
            self._fetch(0, 0, _Piece(section, 0, 0, *size))
            seconds.append(time.perf_counter() - begin)
        pieces = -(-plane[0] // self._step[0]) * -(-plane[1] // self._step[1])
        if pieces * seconds[1] < 2 * seconds[2]:
            return 1, 1
        self._step = plane  # for every piece the server decodes the whole plane
        return 1, plane[0]

    @property
    def _large(self) -> bool:
        return int(np.prod(self.shape, dtype=object)) * self.dtype.itemsize >= PARALLEL_FROM

    def read(
        self, t: int, c: int, z0: int, z1: int, y0: int, y1: int, x0: int = 0, x1: int | None = None
    ) -> np.ndarray:
        """Voxels (z1 - z0, y1 - y0, x1 - x0) of one channel at one time point; all numbers count from 0.

        Raises
        ------
        OmeroError
            If the server cannot deliver a plane.
        """
        x1 = self.shape[4] if x1 is None else x1
        slab = np.empty((z1 - z0, y1 - y0, x1 - x0), self.dtype)
        pieces = list(self._pieces(z0, z1, y0, y1, x0, x1))

        def fill(piece: _Piece) -> None:
            z, y, x, height, width = piece
            slab[z - z0, y - y0 : y - y0 + height, x - x0 : x - x0 + width] = self._fetch(t, c, piece)

        if len(pieces) == 1 or not self._large:
            for piece in pieces:
                fill(piece)
            return slab
        tasks = [self._parallel().pool.submit(fill, piece) for piece in pieces]
        _, pending = wait(tasks, return_when=FIRST_EXCEPTION)
        for task in pending:
            task.cancel()
        wait(pending)
        for task in tasks:
            if not task.cancelled():
                task.result()
        return slab

    def close(self) -> None:
        """Free the stores on the server."""
        wait(self._openings)
        while self._stores:
            try:
                self._stores.pop().close()
            except (omero.ServerError, Ice.Exception) as error:  # the server frees it when the session ends
                _log.debug("A store was not closed: %s", _text(error))
        if self._connections is not None:
            self._connections.release()
            self._connections = None

    def _opened(self, client: omero.client) -> Any:
        """A store of the image at full resolution, on the connection of a client."""
        # The rest of the context says whose connection it is.
        context = {**client.getImplicitContext().getContext(), "omero.group": self._group}
        store = client.getSession().createRawPixelsStore(context).ice_context(context)
        try:
            store.setPixelsId(self._id, False)
            levels = store.getResolutionLevels()
            if levels > 1:
                store.setResolutionLevel(levels - 1)
        except BaseException:
            with suppress(omero.ServerError, Ice.Exception):
                store.close()
            raise
        return store

    def _tile(self, store: Any) -> tuple[int, int]:
        """Height and width of a tile of the server, at most those of the image."""
        try:
            width, height = store.getTileSize()
        except omero.ServerError as error:  # some kinds of storage have none
            _log.debug("No size of tiles: %s", _text(error))
            return self.shape[3], self.shape[4]
        return max(1, min(height, self.shape[3])), max(1, min(width, self.shape[4]))

    def _pieces(self, z0: int, z1: int, y0: int, y1: int, x0: int, x1: int) -> Iterator[_Piece]:
        """What to ask for one by one; the pieces of neighbouring slabs meet where tiles of the server do."""
        step_y, step_x = self._step
        for z in range(z0, z1):
            for top in range(y0 // step_y * step_y, y1, step_y):
                for left in range(x0 // step_x * step_x, x1, step_x):
                    y, x = max(top, y0), max(left, x0)
                    yield _Piece(z, y, x, min(top + step_y, y1) - y, min(left + step_x, x1) - x)

    def _parallel(self) -> Connections:
        """The connections; their stores are opened while the first one reads already."""
        if self._connections is None:
            self._connections = Connections.of(self._client)
            self._openings = [self._connections.pool.submit(self._add, client) for client in self._connections.clients]
        return self._connections

    def _add(self, client: omero.client) -> None:
        try:
            store = self._opened(client)
        except (omero.ServerError, omero.ClientError, Ice.Exception) as error:
            _log.warning("Reading without a further connection: %s", _text(error))
            return
        self._stores.append(store)
        self._free.put(store)

    def _fetch(self, t: int, c: int, piece: _Piece) -> np.ndarray:
        """One piece, from whichever store is free."""
        z, y, x, height, width = piece
        while True:
            store = self._free.get()
            usable = True
            try:
                if (height, width) == self.shape[3:]:
                    data = store.getPlane(z, c, t)
                else:
                    data = store.getTile(z, c, t, x, y, width, height)
                return self._decoded(data, height, width)
            except (omero.ServerError, Ice.Exception) as error:
                usable = store is self._stores[0]
                if not usable:  # the first one will tell whether it is the connection or the voxels
                    _log.warning("Going on without a connection: %s", _text(error))
                    continue
                if session_is_over(error):
                    raise
                raise OmeroError(f"plane T{t + 1} C{c + 1} Z{z + 1} cannot be read: {_text(error)}.") from error
            finally:
                if usable:
                    self._free.put(store)

    def _decoded(self, data: bytes, height: int, width: int) -> np.ndarray:
        if self.dtype.kind == "b" and len(data) < height * width:  # eight voxels in a byte, the first one highest
            return np.unpackbits(np.frombuffer(data, "u1"), count=height * width).view("?").reshape(height, width)
        return np.frombuffer(data, self.dtype).reshape(height, width)


def piece_size(plane: tuple[int, int], tile: tuple[int, int], itemsize: int) -> tuple[int, int]:
    """Height and width of the pieces in which a plane is asked for: whole tiles, about `PIECE_BYTES`.

    Parameters
    ----------
    plane, tile : (y, x)
    itemsize : int
        Bytes per pixel.
    """
    height, width = (min(side, size) for side, size in zip(tile, plane, strict=True))
    if height * width * itemsize > (PIECE_BYTES if (height, width) == plane else LARGEST_BYTES):
        # No tiles, or such that do not fit a message: rows.
        width = min(width, LARGEST_BYTES // itemsize)
        height = max(1, PIECE_BYTES // (width * itemsize))
    # Wider first: the rows of a piece are then few runs of memory.
    width = min(plane[1], width * max(1, PIECE_BYTES // (height * width * itemsize)))
    height = min(plane[0], height * max(1, PIECE_BYTES // (height * width * itemsize)))
    return height, width


def _text(error: Exception) -> str:
    return said_by_server(error).rstrip(".")

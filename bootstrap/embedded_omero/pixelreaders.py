"""Planes of images, from TIFF files or from files of raw pixels, read piece by piece."""

from __future__ import annotations

import functools
import os
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import tifffile

from .imports.errors import ImportFailed
from .imports.tiff import Layout

BAND_BYTES = 16 << 20
_OPEN_FILES = 48
_PAGES_KEPT = 512


class Level(NamedTuple):
    """One resolution: size of the image and of its tiles, in pixels."""

    size_x: int
    size_y: int
    tile_x: int
    tile_y: int


class Planes:
    """Pixels of one image.

    Attributes
    ----------
    dtype : numpy.dtype
        In native byte order.
    size_x, size_y, size_z, size_c, size_t : int
    levels : list of Level
        Resolutions, the largest first.
    byteorder : {">", "<"}
        How the file stores its values, which is also how their digest is made (recorded from a server).
    """

    byteorder: Literal["<", ">"] = ">"
    dtype: np.dtype
    size_x: int
    size_y: int
    size_z: int
    size_c: int
    size_t: int
    levels: list[Level]

    def read(self, z: int, c: int, t: int, x: int, y: int, w: int, h: int, level: int = 0) -> np.ndarray:
        """Region of a plane, shape (h, w), in any byte order; the caller keeps to the bounds of the level.

        Raises
        ------
        OSError
            If the file cannot be read.
        """
        raise NotImplementedError

    def plane(self, z: int, c: int, t: int, level: int = 0) -> np.ndarray:
        """A whole plane, shape (Y, X)."""
        size_x, size_y = self.levels[level][:2]
        return self.read(z, c, t, 0, 0, size_x, size_y, level)

    def bands(self, c: int, t: int) -> Iterator[np.ndarray]:
        """The stack of a channel and time point in pieces of full width, in order."""
        rows = max(1, BAND_BYTES // (self.size_x * self.dtype.itemsize))
        for z in range(self.size_z):
            for y in range(0, self.size_y, rows):
                yield self.read(z, c, t, 0, y, self.size_x, min(rows, self.size_y - y))

    def stored(self, array: np.ndarray) -> bytes:
        """Pixels in the byte order of the file."""
        return np.ascontiguousarray(array, array.dtype.newbyteorder(self.byteorder)).tobytes()


def wire(array: np.ndarray) -> bytes:
    """Pixels as clients get them: big-endian, row by row."""
    return np.ascontiguousarray(array, array.dtype.newbyteorder(">")).tobytes()


class RawPlanes(Planes):
    """Pixels in a file of their own: big-endian, X varying fastest, then Y, Z, C and T.

    The file is read and written with offsets rather than mapped into memory: a full disk or a truncated file is then
    an error of one call instead of the end of the process.
    """

    def __init__(self, path: Path, sizes: tuple[int, int, int, int, int], dtype: np.dtype) -> None:
        self.path = path
        self.dtype = dtype
        self.size_x, self.size_y, self.size_z, self.size_c, self.size_t = sizes
        self.levels = [Level(self.size_x, self.size_y, self.size_x, self.size_y)]
        self._stored = dtype.newbyteorder(">")
        self.row = self.size_x * dtype.itemsize
        self.nbytes = self.row * self.size_y * self.size_z * self.size_c * self.size_t
        if not path.exists():
            self._create()
        self._file = os.open(path, os.O_RDWR)
        self._finalizer = weakref.finalize(self, os.close, self._file)
        actual = os.fstat(self._file).st_size
        if actual != self.nbytes:
            raise OSError(f"{path} has {actual} bytes instead of {self.nbytes}")

    def _create(self) -> None:
        part = self.path.with_name(self.path.name + ".part")
        with part.open("wb") as file:
            file.truncate(self.nbytes)  # sparse: takes no room until planes are written
        part.replace(self.path)

    def offset(self, y: int, z: int, c: int, t: int) -> int:
        """Position of a row in the file."""
        return self.row * (y + self.size_y * (z + self.size_z * (c + self.size_c * t)))

    def read_bytes(self, offset: int, count: int) -> bytes:
        """Bytes from a position."""
        pieces = []
        while count > 0:  # one call of the system moves 2 GiB at most
            piece = os.pread(self._file, count, offset)
            if not piece:
                raise OSError(f"{self.path} ends early")
            pieces.append(piece)
            offset, count = offset + len(piece), count - len(piece)
        return b"".join(pieces) if len(pieces) != 1 else pieces[0]

    def write_bytes(self, offset: int, data: bytes | memoryview) -> None:
        """Write bytes at a position."""
        view = memoryview(data)
        while view:
            written = os.pwrite(self._file, view, offset)
            view, offset = view[written:], offset + written

    def read(self, z: int, c: int, t: int, x: int, y: int, w: int, h: int, level: int = 0) -> np.ndarray:
        data = self.read_bytes(self.offset(y, z, c, t), h * self.row)
        return np.frombuffer(data, self._stored).reshape(h, self.size_x)[:, x : x + w]

    def close(self) -> None:
        self._finalizer()


class TiffPlanes(Planes):
    """Pixels of one image in TIFF files; only the strips or tiles which are asked for are read."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.dtype = layout.dtype
        self.size_x, self.size_y = layout.size_x, layout.size_y
        self.size_t, self.size_c, self.size_z = layout.page.shape
        self.levels = self._levels()

    def _levels(self) -> list[Level]:
        present = np.argwhere(self.layout.page >= 0)
        if not len(present):
            raise ImportFailed(f"{self.layout.files[0]} holds no plane of an image which it describes.")
        t, c, z = present[0]
        self.byteorder = opened(self._name(z, c, t)).byteorder
        found: list[Level] = []
        while (page := self._page(z, c, t, len(found))) is not None:
            tiles = (page.tilewidth, page.tilelength) if page.is_tiled else (page.imagewidth, page.imagelength)
            if found and page.imagewidth >= found[-1].size_x:
                break  # a sub-page which is no smaller version
            found.append(Level(page.imagewidth, page.imagelength, *tiles))
        if found[0][:2] != (self.size_x, self.size_y):
            raise ImportFailed(
                f"{self._name(z, c, t)}: the metadata say {self.size_x} x {self.size_y} pixels, "
                f"the page has {found[0].size_x} x {found[0].size_y}."
            )
        return found

    def _name(self, z: int, c: int, t: int) -> str:
        return str(self.layout.files[self.layout.file[t, c, z]])

    def _page(self, z: int, c: int, t: int, level: int) -> tifffile.TiffPage | None:
        """Page of a plane; None where the file has no such level."""
        number = int(self.layout.page[t, c, z])
        page = opened(self._name(z, c, t)).page(0 if self.layout.contiguous else number, level, self.layout.reduced)
        if page is None and level == 0:
            raise ImportFailed(f"{self._name(z, c, t)} has no page {number}, which the metadata name.")
        return page

    def read(self, z: int, c: int, t: int, x: int, y: int, w: int, h: int, level: int = 0) -> np.ndarray:
        number = int(self.layout.page[t, c, z])
        if number < 0:  # a plane which the file does not hold is black
            return np.zeros((h, w), self.dtype)
        page = self._page(z, c, t, level)
        file = opened(self._name(z, c, t))
        sample = c % self.layout.samples
        if (page.imagewidth, page.imagelength) != self.levels[level][:2]:
            others = self.levels[level]
            raise ImportFailed(
                f"Page {number} of {file.path} is {page.imagewidth} x {page.imagelength} pixels, "
                f"other planes are {others.size_x} x {others.size_y}."
            )
        try:
            if page.is_final and not page.is_tiled:
                skip = number * page.nbytes if self.layout.contiguous else 0
                region = _plain_region(file, page, sample, skip, x, y, w, h)
            else:
                region = _decoded_region(file, page, sample, x, y, w, h)
        except (ValueError, NotImplementedError, RuntimeError, tifffile.TiffFileError) as exc:
            raise ImportFailed(f"Cannot decode {file.path}: {exc}.") from exc
        if region.dtype.newbyteorder("=") == self.dtype:
            return region
        if region.dtype in (np.dtype(bool), np.dtype("float16")):
            return region.astype(self.dtype)
        raise ImportFailed(f"{file.path}: the metadata say {self.dtype}, the page holds {region.dtype}.")


class GeneratedPyramid(Planes):
    """Smaller versions of a large image which has none: a server makes files of them, here they are read on demand."""

    LEVELS = 6
    TILE = 256

    def __init__(self, base: Planes) -> None:
        self.base = base
        self.dtype, self.byteorder = base.dtype, base.byteorder
        self.size_x, self.size_y = base.size_x, base.size_y
        self.size_z, self.size_c, self.size_t = base.size_z, base.size_c, base.size_t
        sizes = [(int(self.size_x / 2**n + 0.5), int(self.size_y / 2**n + 0.5)) for n in range(self.LEVELS)]
        self.levels = [Level(x, y, min(x, self.TILE), min(y, self.TILE)) for x, y in sizes]

    def read(self, z: int, c: int, t: int, x: int, y: int, w: int, h: int, level: int = 0) -> np.ndarray:
        step = 2**level
        if step == 1:
            return self.base.read(z, c, t, x, y, w, h)
        width = min(w * step, self.size_x - x * step)
        rows = max(1, BAND_BYTES // (self.size_x * self.dtype.itemsize * step))
        out = np.empty((h, w), self.dtype)
        for top in range(0, h, rows):
            end = min(top + rows, h)
            height = min((end - top) * step, self.size_y - (y + top) * step)
            band = self.base.read(z, c, t, x * step, (y + top) * step, width, height)
            out[top:end] = band[::step, ::step][: end - top, :w]
        return out


def _plain_region(file: OpenTiff, page, sample: int, skip: int, x: int, y: int, w: int, h: int) -> np.ndarray:
    """Region of a page which is stored as it is, without compression."""
    stored = page.dtype.newbyteorder(page.parent.byteorder)
    width, samples = page.imagewidth, page.samplesperpixel
    offset = page.dataoffsets[0] + skip
    if page.planarconfig == 2:
        offset += sample * width * page.imagelength * stored.itemsize
        samples, sample = 1, 0
    row = width * samples * stored.itemsize
    data = file.read(offset + y * row, h * row)
    return np.frombuffer(data, stored).reshape(h, width, samples)[:, x : x + w, sample]


def _decoded_region(file: OpenTiff, page, sample: int, x: int, y: int, w: int, h: int) -> np.ndarray:
    """Region of a page in compressed strips or in tiles."""
    width = page.tilewidth if page.is_tiled else page.imagewidth
    length = page.tilelength if page.is_tiled else page.rowsperstrip
    across = -(-page.imagewidth // width)
    first = 0
    if page.planarconfig == 2 and page.samplesperpixel > 1:
        first, sample = sample * across * -(-page.imagelength // length), 0
    out = np.zeros((h, w), page.dtype)
    for row in range(y // length, -(-(y + h) // length)):
        for column in range(x // width, -(-(x + w) // width)):
            index = first + row * across + column
            count = page.databytecounts[index]
            data = file.read(page.dataoffsets[index], count) if count else None
            segment = page.decode(data, index, jpegtables=page.jpegtables)[0]
            if segment is None:
                continue
            segment = segment[0, :, :, sample]
            top, left = row * length, column * width
            y0, x0 = max(y, top), max(x, left)
            y1, x1 = min(y + h, top + segment.shape[0]), min(x + w, left + segment.shape[1])
            out[y0 - y : y1 - y, x0 - x : x1 - x] = segment[y0 - top : y1 - top, x0 - left : x1 - left]
    return out


class OpenTiff:
    """A TIFF file which stays open as long as somebody uses it."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._tiff = tifffile.TiffFile(path)
        self.byteorder = self._tiff.byteorder
        self._file = self._tiff.filehandle.fileno()
        self._lock = threading.Lock()
        self._pages: dict[tuple[int, int], tifffile.TiffPage | None] = {}
        weakref.finalize(self, self._tiff.close)

    def page(self, number: int, level: int, reduced: int) -> tifffile.TiffPage | None:
        """A page or one of its reduced versions; None if there is none."""
        with self._lock:  # finding a page moves the position in the file
            if (number, level) not in self._pages:
                if len(self._pages) >= _PAGES_KEPT:
                    self._pages.clear()
                self._pages[number, level] = self._find(number, level, reduced)
            return self._pages[number, level]

    def _find(self, number: int, level: int, reduced: int) -> tifffile.TiffPage | None:
        try:
            if level == 0:
                return self._tiff.pages[number]  # type: ignore[return-value]
            if reduced:
                return self._tiff.pages[number + level] if level <= reduced else None  # type: ignore[return-value]
            below = self._tiff.pages[number].pages
            return below[level - 1] if below is not None else None  # type: ignore[return-value]
        except IndexError:
            return None

    def read(self, offset: int, count: int) -> bytes:
        """Bytes from a position; any number of threads may do this."""
        data = os.pread(self._file, count, offset)
        if len(data) != count:
            raise OSError(f"{self.path} ends early")
        return data


def opened(path: str) -> OpenTiff:
    """The open file of a path; the files used last stay open."""
    status = os.stat(path)
    return _opened(path, status.st_ino, status.st_size, status.st_mtime_ns)


@functools.lru_cache(maxsize=_OPEN_FILES)
def _opened(path: str, inode: int, size: int, modified: int) -> OpenTiff:
    return OpenTiff(path)

"""The pixels of an image, wherever they are: made through the API or imported."""

from __future__ import annotations

import functools
import hashlib
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from . import errors
from .imports.errors import ImportFailed
from .imports.tiff import Structure, dtype_of, read_structure
from .pixelreaders import GeneratedPyramid, Planes, RawPlanes, TiffPlanes
from .store import Record

if TYPE_CHECKING:
    from .core import Core

log = logging.getLogger(__name__)
MAX_PLANE = 3192  # larger planes (this by this) are served in tiles, as omero.pixeldata.max_plane_width says
NOT_WRITTEN = "Pending..."  # what Pixels.sha1 says until planes were saved


def requires_pyramid(size_x: int, size_y: int, pixels_type: str) -> bool:
    """Whether planes of this size are only served in tiles; floating point never is."""
    return size_x * size_y > MAX_PLANE**2 and pixels_type not in ("float", "double")


def new_digest():
    """SHA-1 as it is used for pixels: to recognise them, not to protect them."""
    return hashlib.sha1(usedforsecurity=False)


class PixelData:
    """Pixels of one image.

    Attributes
    ----------
    planes : Planes
    raw : RawPlanes or None
        The file of an image which was made through the API, and which can be written.
    path : Path
    large : bool
        Whether the planes are too large to be served as a whole.
    generated : bool
        Whether the smaller resolutions do not come from the file.
    """

    def __init__(self, planes: Planes, raw: RawPlanes | None, path: Path, large: bool) -> None:
        self.raw, self.path, self.large = raw, path, large
        self.generated = large and len(planes.levels) == 1
        self.planes = GeneratedPyramid(planes) if self.generated else planes

    def digest(self) -> bytes:
        """SHA-1 of all pixels in the order XYZCT."""
        sha1 = new_digest()
        planes = self.planes
        for t in range(planes.size_t):
            for c in range(planes.size_c):
                for band in planes.bands(c, t):
                    sha1.update(planes.stored(band))
        return sha1.digest()


def open_pixels(core: Core, pixels: Record) -> PixelData:
    """The pixels of a ``Pixels`` record.

    Raises
    ------
    omero.ResourceError
        If the file is missing or cannot be read.
    """
    with core.store.lock:
        sizes = tuple(pixels[n] for n in ("sizeX", "sizeY", "sizeZ", "sizeC", "sizeT"))
        pixels_type = pixels["pixelsType"]["value"]
        image = pixels["image"]
        fileset = image["fileset"]
        if fileset is None:
            path = core.repositories.pixels_path(pixels)
            written = (pixels["sha1"] or NOT_WRITTEN) != NOT_WRITTEN
        else:
            entries = core.store.collection(fileset, fileset.entity.fields["usedFiles"])
            # The first file describes the others.
            path = core.repositories.path_of(entries[0]["originalFile"]) if entries else core.repositories.managed
        series = image["series"] or 0
    large = requires_pyramid(sizes[0], sizes[1], pixels_type)
    try:
        if fileset is None:
            if written and not path.exists():
                raise FileNotFoundError(path)
            with core.store.lock:  # two clients may be the first ones
                raw = RawPlanes(path, sizes, dtype_of(pixels_type))
            return PixelData(raw, raw, path, large)
        planes = imported_planes(path, series)
        if (planes.size_x, planes.size_y, planes.size_z, planes.size_c, planes.size_t) != sizes:
            raise ImportFailed(f"Series {series} of {path} no longer has the size of the image.")
        return PixelData(planes, None, path, large)
    except (OSError, ImportFailed) as exc:
        log.error("Pixels:%d: %s", pixels.id, exc)
        raise errors.resource(f"Error instantiating pixel buffer: {path}") from exc


def imported_planes(path: Path, series: int) -> TiffPlanes:
    """Planes of one image of an imported file.

    Raises
    ------
    ImportFailed, OSError
    """
    found = structure(path).series
    if not 0 <= series < len(found):
        raise ImportFailed(f"{path} has no series {series}.")
    return TiffPlanes(found[series].layout)


def structure(path: Path) -> Structure:
    """What a file holds; remembered until the file changes.

    Raises
    ------
    ImportFailed
    """
    try:
        status = path.stat()
    except OSError as exc:
        raise ImportFailed(f"Cannot read {path}: {exc.strerror}.") from exc
    return _structure(path, status.st_ino, status.st_size, status.st_mtime_ns)


@functools.lru_cache(maxsize=64)
def _structure(path: Path, inode: int, size: int, modified: int) -> Structure:
    return read_structure(path)

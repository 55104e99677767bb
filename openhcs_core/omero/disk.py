"""Voxels from the files an image was imported from, where this machine can read them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from omero.gateway import BlitzGateway, ImageWrapper
from omero.sys import ParametersI

from openhcs_core.local.bioformats import open_bioformats
from openhcs_core.local.errors import LocalError
from openhcs_core.local.image import TIFF_SUFFIXES, LocalImage, Shape5, reason
from openhcs_core.local.ome_zarr import open_zarr
from openhcs_core.local.tiff import open_tiff
from openhcs_core.settings import Settings

OpenFile = Callable[[Path, int, Shape5], LocalImage]
"""Opens image `series` of a file; the size in OMERO tells what an axis without a name is."""


class PixelsNotOnDisk(Exception):
    """Why the file of an image is not used; the API has to deliver."""


class DiskPixels:
    """Voxels of one image out of its files in the managed repository.

    Parameters
    ----------
    files : list of Path
        Of the image. No other is read.
    path : Path
        The one to open.
    opener : callable
    series : int
        Number of the image in the files.
    shape : (T, C, Z, Y, X)
        Size of the image in OMERO.

    Attributes
    ----------
    dtype : dtype
        Of the byte order in the file.
    chunk : (z, y)
        Of what is stored together.

    Raises
    ------
    PixelsNotOnDisk
        If the file may not or cannot be read, or its planes are not those of the image.
    """

    def __init__(self, files: list[Path], path: Path, opener: OpenFile, series: int, shape: Shape5) -> None:
        if not path.exists():
            raise PixelsNotOnDisk(f"the file {path.name} is not to be found on this machine")
        if not os.access(path, os.R_OK):
            raise PixelsNotOnDisk(f"the file {path.name} may not be read on this machine")
        try:
            self._image = opener(path, series, shape)
        except Exception as error:  # a damaged file makes its reader fail in any way
            raise PixelsNotOnDisk(reason(error).replace(str(path), f"the file {path.name}")) from error
        self.dtype, self.chunk = self._image.dtype, self._image.chunk
        try:
            # What a file says of itself may name any file of the machine as the place of a plane.
            allowed = {os.path.realpath(file) for file in [path, *files]}
            if not {os.path.realpath(file) for file in self._image.files} <= allowed:
                raise PixelsNotOnDisk("the file refers to files that do not belong to the image")
            if self._image.shape != shape:
                found, wanted = (" × ".join(map(str, size)) for size in (self._image.shape, shape))
                raise PixelsNotOnDisk(f"the file holds {found} voxels (T × C × Z × Y × X), the image {wanted}")
            self._state = self._image.fingerprint()
        except BaseException:
            self.close()
            raise

    def read(self, t: int, c: int, z0: int, z1: int, y0: int, y1: int) -> np.ndarray:
        """Voxels (z1 - z0, y1 - y0, X) of one channel at one time point; all numbers count from 0.

        Raises
        ------
        PixelsNotOnDisk
            If the file cannot be read.
        """
        try:
            return self._image.read(t, c, z0, z1, y0, y1)
        except Exception as error:  # as above
            place = f"T{t + 1} C{c + 1} Z{z0 + 1} to Z{z1}"
            raise PixelsNotOnDisk(f"the file cannot be read at {place} ({reason(error)})") from error

    def has_changed(self) -> bool:
        """Whether a file has another size or time than when it was opened, or is gone."""
        try:
            return self._image.fingerprint() != self._state
        except LocalError:
            return True

    def close(self) -> None:
        """Close all files."""
        self._image.close()


def candidates(
    conn: BlitzGateway, image: ImageWrapper, settings: Settings, shape: Shape5
) -> Iterator[Callable[[], DiskPixels]]:
    """Ways to read an image's files, the most direct one first.

    Parameters
    ----------
    conn : BlitzGateway
    image : ImageWrapper
        As the gateway gave it: whoever may not see an image, or download its file, does not get the file.
    settings : Settings
        Its `path_map` tells where this machine sees the repository, `bioformats_jar` whether there is Bio-Formats.
    shape : (T, C, Z, Y, X)
        Size of the image in OMERO.

    Yields
    ------
    callable
        Opens the file that way.

    Raises
    ------
    PixelsNotOnDisk
        If there is no file that could be read.
    """
    files = _files(conn, image, settings)
    series = image._obj.series.val

    def way(path: Path, opener: OpenFile) -> Callable[[], DiskPixels]:
        return lambda: DiskPixels(files, path, opener, series, shape)

    zarr = next((folder for folder in map(_zarr_folder, files) if folder is not None), None)
    tiff = next((file for file in files if file.suffix.lower() in TIFF_SUFFIXES), None)
    if zarr is not None:
        yield way(zarr, lambda path, series, _: open_zarr(path, None, series))
    elif tiff is not None:
        yield way(tiff, _open_tiff)
    if files and settings.bioformats_jar is not None:
        yield way(files[0], lambda path, series, _: open_bioformats(path, None, series, settings))
    elif zarr is None and tiff is None:
        raise PixelsNotOnDisk("the image's file is neither TIFF nor OME-Zarr, and bioformats_jar is not set")


def _open_tiff(path: Path, series: int, shape: Shape5) -> LocalImage:
    found = open_tiff(path, None, series)
    longer = [axis for axis, size in zip("TCZ", shape, strict=False) if size > 1]
    if found.shape == shape or sorted(found.shape[:3]) != sorted(shape[:3]) or len(longer) != 1:
        return found
    found.close()  # perhaps a stack of pages without a name: it has the only one that fits
    return open_tiff(path, f"{longer[0]}YX", series)


def _zarr_folder(file: Path) -> Path | None:
    """The folder of the Zarr image that a file is part of."""
    return next((folder for folder in file.parents if folder.suffix.lower() == ".zarr"), None)


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
    rows = conn.getQueryService().projection(
        "select file.path, file.name from FilesetEntry entry join entry.originalFile file join entry.fileset fileset "
        "join fileset.images image where image.id = :id order by entry.id",  # what describes the others comes first
        ParametersI().addId(image.getId()),
        conn.SERVICE_OPTS,
    )
    return [settings.local_path(f"{root}/{folder.val}{name.val}") for folder, name in rows]

"""Images in local files, whatever their format."""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from openhcs_core.imaris import ImsMetadata
from openhcs_core.local.errors import LocalError
from openhcs_core.settings import Settings, load_settings

AXES = "TCZYX"

TIFF_SUFFIXES = {".tif", ".tiff", ".btf", ".tf2", ".tf8", ".lsm", ".stk"}
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

Shape5 = tuple[int, int, int, int, int]


@dataclass(frozen=True)
class LocalImage:
    """One image of a file; a context manager that closes it.

    Attributes
    ----------
    shape : (T, C, Z, Y, X)
    dtype : dtype
        Of any byte order.
    read : callable
        ``read(t, c, z0, z1, y0, y1)`` gives voxels (z1 - z0, y1 - y0, X); all numbers count from 0. From one
        thread at a time. Raises LocalError if they are damaged, OSError if the system cannot deliver them.
    metadata : ImsMetadata
    files : sequence of Path
        What it is read from; of a folder, everything in it counts.
    chunk : (z, y)
        Of what is stored together.
    statements : sequence of str
        What of the metadata could not be taken over, for people.
    selection : str
        Which of all that the files hold is the image.
    close : callable
    """

    shape: Shape5
    dtype: np.dtype
    read: Callable[[int, int, int, int, int, int], np.ndarray]
    metadata: ImsMetadata
    files: Sequence[Path]
    chunk: tuple[int, int] = (1, 1)
    statements: Sequence[str] = ()
    selection: str = ""
    close: Callable[[], object] = field(default=lambda: None)

    def __enter__(self) -> LocalImage:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def fingerprint(self) -> str:
        """A digest of the selection and of names, sizes and times of the files.

        Another one means that something has changed.

        Raises
        ------
        LocalError
            If a file has vanished.
        """
        digest = hashlib.sha256(f"{self.selection}\0{self.shape}\0{self.dtype.str}\n".encode())
        try:
            for file in self.files:
                for path in sorted(file.rglob("*")) if file.is_dir() else [file]:
                    known = path.stat()
                    digest.update(f"{path}\0{known.st_size}\0{known.st_mtime_ns}\n".encode("utf-8", "surrogateescape"))
        except OSError as error:
            raise LocalError(f"{error.filename} cannot be found any more: {error.strerror}.") from error
        return digest.hexdigest()


def open_image(
    path: str | os.PathLike[str], *, axes: str | None = None, series: int = 0, settings: Settings | None = None
) -> LocalImage:
    """Open an image of a TIFF, OME-TIFF, OME-Zarr or NumPy (.npy) file, others by Bio-Formats where it is set up.

    Parameters
    ----------
    path : path
    axes : str, optional
        One letter of "TCZYX" per axis, in their order, where the file does not name them or is wrong.
    series : int
        Number of the image in a file with several, from 0.
    settings : Settings, optional
        Say where Java and Bio-Formats are; those of the site (`load_settings`) unless given.

    Returns
    -------
    LocalImage

    Raises
    ------
    LocalError
        If there is no such file or image, or it cannot be read.
    """
    path = Path(path)
    if axes is not None:
        axes = axes.upper()
        if len(set(axes)) != len(axes) or not {"Y", "X"} <= set(axes) <= set(AXES):
            raise LocalError(f"The axes {axes!r} must hold Y and X, and may hold T, C and Z, each once.")
    if not path.exists():
        raise LocalError(f"{path} does not exist.")
    try:
        return replace(_opener(path, settings)(path, axes, series), selection=f"{series} {axes}")
    except LocalError:
        raise
    except ImportError as error:
        raise LocalError(f'{path} cannot be read: {error}. Install it: pip install "openhcs-omero[local]".') from error
    except Exception as error:  # a damaged file makes its reader fail in any way
        raise LocalError(f"{path} cannot be read: {reason(error)}.") from error


def _opener(path: Path, settings: Settings | None) -> Callable[[Path, str | None, int], LocalImage]:
    """What opens a file or folder; the packages that it needs are imported only here."""
    if path.is_dir():
        from openhcs_core.local.ome_zarr import open_zarr

        return open_zarr
    if path.suffix.lower() == ".npy":
        from openhcs_core.local.npy import open_npy

        return open_npy
    with path.open("rb") as file:
        begin = file.read(4)
    if begin in _TIFF or path.suffix.lower() in TIFF_SUFFIXES:
        from openhcs_core.local.tiff import open_tiff

        return open_tiff
    from openhcs_core.local.bioformats import open_bioformats

    return functools.partial(open_bioformats, settings=settings or load_settings())


def named_axes(found: str, size: Sequence[int], axes: str | None, path: Path) -> dict[str, int]:
    """Position of each of T, C, Z, Y, X among the axes of an array.

    Parameters
    ----------
    found : str
        What the file calls its axes, one letter each.
    size : sequence of int
        Their lengths; an axis of length 1 may have any name.
    axes : str, optional
        What the user calls them; of the file's axes those count which are longer than 1, unless all are named.
    path : Path
        For messages.

    Raises
    ------
    LocalError
        If an axis has no name that fits.
    """
    places = list(range(len(size)))
    if axes is not None:
        if len(axes) != len(size):
            places = [place for place in places if size[place] > 1 or found[place] in "YX"]
        if len(axes) != len(places):
            raise LocalError(
                f"{path} has axes {found} of lengths {tuple(size)}, but {axes!r} names {len(axes)}. Name every axis."
            )
        return dict(zip(axes, places, strict=True))
    unknown = [place for place in places if size[place] > 1 and found[place] not in AXES]
    free = [axis for axis in "ZTC" if axis not in found or size[found.index(axis)] == 1]
    names = dict(zip(found, places, strict=True))
    if len(unknown) > 1 or (unknown and found[unknown[0]] not in "QI") or (unknown and not free):
        raise LocalError(
            f"{path} has axes {found} of lengths {tuple(size)}, of which only T, C, Z, Y and X can be exported. "
            'If they are something else, name them, for example with --axes "TZYX".'
        )
    if unknown:  # a stack of pages without a name: sections, unless there are some already
        names[free[0]] = unknown[0]
    return {axis: place for axis, place in names.items() if axis in AXES}


def reason(error: BaseException) -> str:
    """What an error says, in one line."""
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).splitlines()[0].rstrip(".")

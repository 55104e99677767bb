"""One image of OMERO into one Imaris file."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import itertools
import json
import math
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from omero.gateway import BlitzGateway, ImageWrapper
from omero.rtypes import unwrap
from omero.sys import ParametersI

from openhcs_core._version import __version__
from openhcs_core.imaris import ImsCancelled, ImsError, ImsWriteError, ImsWriter
from openhcs_core.omero.errors import OmeroError
from openhcs_core.omero.metadata import Crop, ImageMetadata
from openhcs_core.omero.pixels import ImagePixels
from openhcs_core.settings import Settings

NAME_BYTES = 100


def write_image(
    conn: BlitzGateway,
    image: ImageWrapper,
    crop: Crop,
    metadata: ImageMetadata,
    path: Path,
    *,
    settings: Settings,
    preset: str,
    progress: Callable[[int, int], object],
    cancelled: Callable[[], bool],
) -> tuple[str, list[str]]:
    """Write the wanted part of an image.

    Parameters
    ----------
    conn : BlitzGateway
    image : ImageWrapper
    crop : Crop
    metadata : ImageMetadata
        Of that part.
    path : Path
        Of the file; it exists only if all went well.
    settings : Settings
    preset : str
        See `openhcs_core.imaris.compression`.
    progress, cancelled : callable
        See `ImsWriter`.

    Returns
    -------
    source : str
        For people: where the voxels came from.
    statements : list of str
        What was converted, and what had to be assumed.

    Raises
    ------
    OpenHCSError
        If OMERO cannot deliver, the image cannot become an Imaris file, or the disk refuses it.
    """
    pixels = ImagePixels(conn, image, settings)
    try:
        shape = (len(crop.t), len(crop.channels), len(crop.z), pixels.shape[3], pixels.shape[4])
        _check_space(path.parent, math.prod(shape) * pixels.dtype.itemsize, preset)

        def write(value_range: tuple[float, float] | None) -> list[str]:
            with ImsWriter(
                path,
                shape,
                pixels.dtype,
                metadata.ims,
                preset=preset,
                value_range=value_range,
                progress=progress,
                cancelled=cancelled,
                threads=settings.threads,
            ) as writer:
                for t, c in itertools.product(range(shape[0]), range(shape[1])):
                    writer.write_volume(t, c, functools.partial(_read, pixels, crop, t, c))
            return writer.statements

        # Only of small signed integers the range decides how they are stored, and there the writer checks it.
        small = pixels.dtype.kind == "i" and pixels.dtype.itemsize <= 2
        try:
            statements = write(metadata.value_range if small else None)
        except ImsError as error:
            if not small or metadata.value_range is None or isinstance(error, (ImsWriteError, ImsCancelled)):
                raise
            statements = write(None)
        return pixels.source, statements
    finally:
        pixels.close()


def _read(pixels: ImagePixels, crop: Crop, t: int, c: int, z0: int, z1: int, y0: int, y1: int) -> np.ndarray:
    return pixels.read(crop.t[t], crop.channels[c], crop.z[z0], crop.z[z1 - 1] + 1, y0, y1)


def fingerprint(conn: BlitzGateway, image: ImageWrapper, crop: Crop, metadata: ImageMetadata, preset: str) -> str:
    """Sixteen hexadecimal digits for everything that the content of a file depends on.

    The pixels count by their identity in OMERO, their checksum there and the event of their last change.
    """
    pixels = conn.getQueryService().projection(
        "select p.id, p.sha1, p.details.updateEvent.id from Pixels p where p.id = :id",
        ParametersI().addLong("id", image.getPixelsId()),
        conn.SERVICE_OPTS,
    )
    content = [
        __version__,
        unwrap(pixels),
        [list(crop.channels), [crop.z[0], len(crop.z)], [crop.t[0], len(crop.t)]],
        dataclasses.asdict(metadata.ims),
        metadata.value_range,
        preset,
    ]
    return hashlib.sha256(json.dumps(content, default=str, sort_keys=True).encode()).hexdigest()[:16]


def file_stem(name: str, label: str) -> str:
    """Name for a file, without its ending, fit for every file system.

    Parameters
    ----------
    name : str
        Of the image.
    label : str
        Of the wanted part; empty for the whole image.
    """
    name = re.sub(r"(\.ome)?\.tiff?$", "", name, flags=re.IGNORECASE)
    name = re.sub(r'[\x00-\x1f\x7f/\\:*?"<>|]+', "_", name).strip(" .")
    # The limit is in bytes and leaves room for what is added to the name.
    name = name.encode("utf-8", "replace")[:NAME_BYTES].decode("utf-8", "ignore").rstrip(" .")
    return f"{name or 'image'} {label}".rstrip()


def size_text(size: int) -> str:
    """A number of bytes for people."""
    value, unit = float(size), "bytes"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return f"{value:.3g} {unit}"


def _check_space(folder: Path, size: int, preset: str) -> None:
    """Refuse early what cannot fit: the lower levels add a seventh, compression rarely saves three quarters."""
    needed = size * 8 // 7 if preset == "uncompressed" else size // 4
    try:
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise OmeroError(f"the folder {folder} cannot be used: {error.strerror}.") from error
    if free < needed:
        raise OmeroError(
            f"there is too little space in {folder}: {size_text(free)} are free, at least {size_text(needed)} needed. "
            "Free some, choose fewer planes, or ask the administrator for another folder (openhcs.toml)."
        )

"""What is wanted of OMERO into one Imaris file."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import itertools
import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from openhcs_core._version import __version__
from openhcs_core.imaris import ImsCancelled, ImsError, ImsWriteError, ImsWriter
from openhcs_core.imaris.chunkrows import ReadVoxels, by_whole_chunks
from openhcs_core.omero.errors import OmeroError, Stopped
from openhcs_core.omero.metadata import Crop, ImageMetadata
from openhcs_core.omero.names import size_text
from openhcs_core.omero.pixels import PixelSource
from openhcs_core.omero.subject import Subject
from openhcs_core.progress import ProgressMeter
from openhcs_core.settings import Settings

WAITING = "waiting for another export of the same file"


def write_subject(
    subject: Subject,
    crop: Crop,
    metadata: ImageMetadata,
    path: Path,
    *,
    identity: list[Any],
    resume: str,
    settings: Settings,
    preset: str,
    meter: ProgressMeter,
    cancelled: Callable[[], bool],
) -> tuple[str, list[str]]:
    """Write the wanted part of an image or mosaic.

    An interrupted export goes on where it was. While another one writes the same file, this one waits and
    then shares what the other has made.

    Parameters
    ----------
    subject : Subject
    crop : Crop
    metadata : ImageMetadata
        Of that part.
    path : Path
        Of the file; it exists only if all went well.
    identity : list
        Of the voxels, from `subject`, before the export.
    resume : str
        Of everything that the content of the file depends on, see `fingerprint`.
    settings : Settings
    preset : str
        See `openhcs_core.imaris.compression`.
    meter : ProgressMeter
    cancelled : callable
        See `ImsWriter`.

    Returns
    -------
    source : str
        For people: where the voxels came from; empty if none were read.
    statements : list of str
        What was converted, what had to be assumed, what was found.

    Raises
    ------
    OpenHCSError
        If OMERO cannot deliver, the image cannot become an Imaris file, or the disk refuses it. What is
        complete is kept only where another attempt may succeed.
    """
    pixels = subject.pixels(settings)
    writer: ImsWriter | None = None
    try:
        shape = (len(crop.t), len(crop.channels), len(crop.z), pixels.shape[3], pixels.shape[4])
        _check_space(path, math.prod(shape) * pixels.dtype.itemsize, preset)

        def ends() -> bool:
            if writer is None:
                meter.tell(WAITING)
            return cancelled()

        def write(value_range: tuple[float, float] | None) -> ImsWriter:
            nonlocal writer
            writer = None
            writer = ImsWriter(
                path,
                shape,
                pixels.dtype,
                metadata.ims,
                preset=preset,
                value_range=value_range,
                progress=meter.report,
                cancelled=ends,
                threads=settings.threads,
                resume=resume,
                wait=True,
            )
            meter.begin("export", writer.resumed * math.prod(shape[2:]) * pixels.dtype.itemsize)
            with writer:
                _fill(writer, subject, pixels, crop, identity)
            return writer

        # Only of small signed integers the range decides how they are stored, and there the writer checks it.
        small = pixels.dtype.kind == "i" and pixels.dtype.itemsize <= 2
        try:
            writer = write(metadata.value_range if small else None)
        except ImsError as error:
            if not small or metadata.value_range is None or isinstance(error, (ImsWriteError, ImsCancelled)):
                raise
            writer = write(None)
    finally:
        pixels.close()
    statements = list(writer.statements)
    if writer.shared:
        return "", [*statements, "another export made the same file at the same time; it was not made again"]
    volumes = shape[0] * shape[1]
    if writer.resumed:
        statements.append(f"went on after {writer.resumed} of {volumes} volumes of an interrupted export")
    return pixels.source if writer.resumed < volumes else "", statements


def _fill(writer: ImsWriter, subject: Subject, pixels: PixelSource, crop: Crop, identity: list[Any]) -> None:
    """Write all volumes. What was read of a source that fails or changes is not kept to be gone on with."""
    first, end = crop.z[0], crop.z[-1] + 1
    regions = [(first + z0, first + z1, y0, y1) for z0, z1, y0, y1 in writer.regions()]
    read = by_whole_chunks(pixels.read, regions, (end, pixels.shape[3]), pixels.chunk)
    try:
        for (number, t), (index, c) in itertools.product(enumerate(crop.t), enumerate(crop.channels)):
            writer.write_volume(number, index, functools.partial(_read, read, first, t, c))
        pixels.check()
        if subject.identity() != identity:
            raise OmeroError("it was changed in OMERO while it was exported. Export it again.")
    except OmeroError as error:
        if not isinstance(error, Stopped):
            writer.abort()
        raise


def _read(read: ReadVoxels, first: int, t: int, c: int, z0: int, z1: int, y0: int, y1: int) -> np.ndarray:
    return read(t, c, first + z0, first + z1, y0, y1)


def fingerprint(identity: list[Any], crop: Crop, metadata: ImageMetadata, preset: str) -> str:
    """Sixteen hexadecimal digits for everything that the content of a file depends on.

    Parameters
    ----------
    identity : list
        Of the voxels, see `Subject`.
    crop : Crop
    metadata : ImageMetadata
    preset : str
    """
    content = [
        __version__,
        identity,
        [list(crop.channels), [crop.z[0], len(crop.z)], [crop.t[0], len(crop.t)]],
        dataclasses.asdict(metadata.ims),
        metadata.value_range,
        preset,
    ]
    return hashlib.sha256(json.dumps(content, default=str, sort_keys=True).encode()).hexdigest()[:16]


def _check_space(path: Path, size: int, preset: str) -> None:
    """Refuse early what cannot fit: the lower levels add a seventh, compression rarely saves three quarters.

    What an interrupted export has left there already counts as space.
    """
    needed = size * 8 // 7 if preset == "uncompressed" else size // 4
    folder, part = path.parent, path.with_name(f"{path.name}.part")
    try:
        free = shutil.disk_usage(folder).free
        there = part.stat().st_blocks * 512 if part.exists() else 0
    except OSError as error:
        raise OmeroError(f"the folder {folder} cannot be used: {error.strerror}.") from error
    if free + there < needed:
        raise OmeroError(
            f"there is too little space in {folder}: {size_text(free)} are free, at least "
            f"{size_text(needed - there)} needed. "
            "Free some, choose fewer planes, or ask the administrator for another folder (openhcs.toml)."
        )

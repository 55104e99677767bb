"""Export of local images to Imaris files."""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from openhcs_core.imaris import ImsError, ImsMetadata, ImsWriter
from openhcs_core.imaris.chunkrows import by_whole_chunks
from openhcs_core.local.errors import LocalError
from openhcs_core.local.image import LocalImage, reason
from openhcs_core.progress import ProgressMeter


def export_image(
    image: LocalImage,
    path: str | os.PathLike[str],
    *,
    metadata: ImsMetadata | None = None,
    preset: str = "fast",
    meter: ProgressMeter | None = None,
    cancelled: Callable[[], bool] | None = None,
    threads: int | None = None,
) -> list[str]:
    """Write an image as an Imaris file.

    An export that was interrupted goes on when it is started again, unless the source has changed in the
    meantime. While another one writes the same file, this one waits.

    Parameters
    ----------
    image : LocalImage
    path : path
        Target, ending in ``.ims``. An existing file is replaced once the new one is complete.
    metadata : ImsMetadata, optional
        Instead of those of the image.
    meter : ProgressMeter, optional
        Told of the progress.
    preset, cancelled, threads : optional
        See `ImsWriter`.

    Returns
    -------
    list of str
        What was converted or assumed, for people.

    Raises
    ------
    LocalError
        If the source cannot be read, or changes or vanishes while it is; nothing is left then.
    ImsError
        If the image cannot become an Imaris file, or the disk refuses it.
    """
    metadata = metadata or image.metadata
    source = ", ".join(str(file.absolute()) for file in image.files[:20]) + (", …" if len(image.files) > 20 else "")
    metadata = replace(metadata, sections={**metadata.sections, "Source": {"File": source}})
    before = image.fingerprint()
    writer = ImsWriter(
        path,
        image.shape,
        image.dtype,
        metadata,
        preset=preset,
        progress=None if meter is None else meter.report,
        cancelled=cancelled,
        threads=threads,
        resume=before,
        wait=True,
    )
    if meter is not None:
        meter.begin("export", writer.resumed * math.prod(image.shape[2:]) * image.dtype.itemsize)
    try:
        with writer:
            try:
                _write(image, writer)
                if image.fingerprint() != before:
                    raise LocalError(f"{_names(image)} has changed while it was read. Export it again.")
            except LocalError:
                writer.abort()  # what was read of a source like that is not to be gone on with
                raise
    except ImsError:
        raise
    except OSError as error:
        raise LocalError(
            f"{_names(image)} cannot be read any more: {reason(error)}. What is complete is kept beside "
            f"{Path(path).name}; the same export goes on there."
        ) from error
    return [*image.statements, *writer.statements]


def _write(image: LocalImage, writer: ImsWriter) -> None:
    _, _, z, y, _ = image.shape
    read = by_whole_chunks(image.read, list(writer.regions()), (z, y), image.chunk)
    for t, c in np.ndindex(image.shape[:2]):
        writer.write_volume(t, c, functools.partial(read, t, c))


def _names(image: LocalImage) -> str:
    first = str(image.files[0])
    return first if len(image.files) == 1 else f"{first} or another of {len(image.files)} files"

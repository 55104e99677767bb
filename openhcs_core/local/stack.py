"""Several files that are one image."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from openhcs_core.imaris import ImsChannel
from openhcs_core.local.errors import LocalError
from openhcs_core.local.image import AXES, LocalImage


def stacked(images: Sequence[LocalImage], axis: str) -> LocalImage:
    """One image of several, one after the other along T, C or Z.

    Parameters
    ----------
    images : sequence of LocalImage
        Of one type, and of one size but for that axis. They are closed with the result.
    axis : {"T", "C", "Z"}

    Returns
    -------
    LocalImage
        With the calibration of the first.

    Raises
    ------
    LocalError
        If they do not fit together.
    """
    place = AXES.index(axis)
    first = images[0]
    for image in images[1:]:
        if image.dtype.newbyteorder("=") != first.dtype.newbyteorder("="):
            raise LocalError(f"{image.files[0]} has pixels of type {image.dtype}, {first.files[0]} of {first.dtype}.")
        if any(a != b for n, (a, b) in enumerate(zip(image.shape, first.shape, strict=True)) if n != place):
            raise LocalError(
                f"{image.files[0]} has size {image.shape} (T, C, Z, Y, X), {first.files[0]} {first.shape}: "
                f"they cannot be stacked along {axis}."
            )
    ends = np.cumsum([image.shape[place] for image in images]).tolist()
    shape = (*first.shape[:place], ends[-1], *first.shape[place + 1 :])

    def read(t: int, c: int, z0: int, z1: int, y0: int, y1: int) -> np.ndarray:
        if axis != "Z":
            number = {"T": t, "C": c}[axis]
            which = int(np.searchsorted(ends, number, side="right"))
            number -= ends[which] - images[which].shape[place]
            t, c = (number, c) if axis == "T" else (t, number)
            return images[which].read(t, c, z0, z1, y0, y1)
        parts = []
        for image, end in zip(images, ends, strict=True):
            begin = end - image.shape[2]
            low, high = max(z0, begin), min(z1, end)
            if low < high:
                parts.append(image.read(t, c, low - begin, high - begin, y0, y1))
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    metadata = first.metadata
    if axis == "C":
        channels = [channel for image in images for channel in _channels(image)]
        metadata = replace(metadata, channels=tuple(channels))
    elif axis == "T":
        times = [time for image in images for time in image.metadata.times or ()]
        metadata = replace(metadata, times=tuple(times) if len(times) == ends[-1] else None)
    with contextlib.ExitStack() as stack:
        for image in images:
            stack.callback(image.close)
        close = stack.pop_all().close
    return LocalImage(
        (shape[0], shape[1], shape[2], shape[3], shape[4]),
        first.dtype,
        read,
        metadata,
        [file for image in images for file in image.files],
        first.chunk,
        list(dict.fromkeys(statement for image in images for statement in image.statements)),
        f"{axis} {[image.selection for image in images]}",
        close,
    )


def _channels(image: LocalImage) -> Sequence[ImsChannel]:
    """Channels of a file that is a channel: without names of their own they have that of the file."""
    number, name = image.shape[1], image.files[0].name.split(".")[0]
    channels = image.metadata.channels or (ImsChannel(),) * number
    return [replace(channel, name=channel.name or (name if number == 1 else "")) for channel in channels]

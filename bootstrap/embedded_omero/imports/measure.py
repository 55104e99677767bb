"""Limits and digests of imported pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .. import pixeldata
from ..pixelreaders import Planes


@dataclass
class Measured:
    """Limits of each channel (None: unknown) and SHA-1 of an image."""

    limits: list[tuple[float, float] | None]
    sha1: str


def measure(planes: Planes, pixels_type: str) -> Measured:
    """Read all pixels of an image once; large ones with resolutions of their own are not read."""
    large = pixeldata.requires_pyramid(planes.size_x, planes.size_y, pixels_type)
    if large and len(planes.levels) > 1:
        planes.plane(0, 0, 0, len(planes.levels) - 1)  # at least the smallest can be read
        return Measured([None] * planes.size_c, pixeldata.NOT_WRITTEN)
    sha1 = pixeldata.new_digest()
    limits: list[tuple[float, float] | None] = [None] * planes.size_c
    for t in range(planes.size_t):
        for c in range(planes.size_c):
            for band in planes.bands(c, t):
                sha1.update(planes.stored(band))
                limits[c] = _wider(limits[c], band)
    return Measured(limits, pixeldata.NOT_WRITTEN if large else sha1.hexdigest())


def _wider(limits: tuple[float, float] | None, band: np.ndarray) -> tuple[float, float] | None:
    if band.dtype.kind == "c":
        return None  # complex numbers have no order
    if band.dtype.kind == "f":
        band = band[np.isfinite(band)]
    if not band.size:
        return limits
    low, high = float(band.min()), float(band.max())
    return (low, high) if limits is None else (min(low, limits[0]), max(high, limits[1]))

"""Sizes of pixels, from what a function is told about its planes."""

from __future__ import annotations

from openhcs_core.functions import GroupContext
from openhcs_functions._arrays import require


def z_step(context: GroupContext | None, given: float | None = None) -> float:
    """Distance of planes in units of the width of a pixel: what is given, else what is known, else 1.

    Raises
    ------
    FunctionError
        If what is given is not positive.
    """
    if given is not None:
        require(given > 0, f"'z_step' must be more than 0, not {given}.")
        return given
    z, _, x = context.voxel_size_um if context else (None, None, None)
    return z / x if z and x else 1.0


def pixel_area_um2(context: GroupContext | None) -> float | None:
    """Area of a pixel in square micrometres; None where unknown."""
    _, y, x = context.voxel_size_um if context else (None, None, None)
    return y * x if y and x else None


def voxel_volume_um3(context: GroupContext | None) -> float | None:
    """Volume of a voxel in cubic micrometres; None where unknown."""
    z, area = context.voxel_size_um[0] if context else None, pixel_area_um2(context)
    return z * area if z and area else None

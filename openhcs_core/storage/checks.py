"""What every backend asks of results before it takes them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from openhcs_core.plate import PlaneAddress
from openhcs_core.storage.backend import RESULT_KINDS, StorageError

_STEP = re.compile(r"[^\W.][^/\\\0-\x1f]{0,199}")


def checked_planes(
    data_list: Sequence[np.ndarray], file_paths: Sequence[str], step_name: str, kind: str
) -> list[tuple[PlaneAddress, np.ndarray]]:
    """Address and pixels of each plane that is to be saved; see `ResultWriter.save_batch`.

    Truth values become 0 and 1 of type uint8.

    Raises
    ------
    StorageError
        If they make no sense; it names step and plane.
    PlateError
        If a path is no name of a plane.
    """
    checked_step(step_name)
    if kind not in RESULT_KINDS:
        raise StorageError(f"Step '{step_name}' saves '{kind}'; planes are one of: {', '.join(RESULT_KINDS)}.")
    if len(data_list) != len(file_paths):
        raise StorageError(f"Step '{step_name}' saves {len(data_list)} planes under {len(file_paths)} names.")
    planes = []
    for data, path in zip(data_list, file_paths, strict=True):
        address, plane = PlaneAddress.from_path(path), np.asarray(data)
        if plane.ndim != 2 or not plane.size:
            raise StorageError(f"Step '{step_name}', {path}: a plane has two axes (Y, X), not the shape {plane.shape}.")
        if plane.dtype.kind not in "biuf":
            raise StorageError(f"Step '{step_name}', {path}: pixels of type {plane.dtype} cannot be saved.")
        if kind == "labels" and plane.dtype.kind not in "biu":
            raise StorageError(f"Step '{step_name}', {path}: labels are integers, not {plane.dtype}.")
        planes.append((address, plane.astype(np.uint8) if plane.dtype == bool else plane))
    if len({address for address, _ in planes}) < len(planes):
        raise StorageError(f"Step '{step_name}' saves two planes of one name.")
    if len({address.well for address, _ in planes}) > 1:
        raise StorageError(f"Step '{step_name}' saves planes of several wells at once. Save well by well.")
    return planes


def checked_table(table: Mapping[str, Sequence[Any]], step_name: str) -> dict[str, list[Any]]:
    """Columns of a table as lists of plain values.

    Raises
    ------
    StorageError
        If the columns differ in length.
    """
    checked_step(step_name)
    columns = {
        str(name): [value.item() if isinstance(value, np.generic) else value for value in values]
        for name, values in table.items()
    }
    if len({len(values) for values in columns.values()}) > 1:
        lengths = ", ".join(f"{name}: {len(values)}" for name, values in columns.items())
        raise StorageError(f"Step '{step_name}': the columns of its table differ in length ({lengths}).")
    return columns


def checked_step(step_name: str) -> None:
    """Raise StorageError if the name of a step cannot be that of a folder."""
    if _STEP.fullmatch(step_name) is None or step_name.endswith((" ", ".")):
        raise StorageError(
            f"The step name {step_name!r} cannot name results. It begins with a letter or digit, and has no slash."
        )

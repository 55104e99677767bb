"""What the inputs of several scripts have in common: what is selected."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from openhcs_core.omero.errors import OmeroError
from openhcs_core.omero.selection import DATA_TYPES


def selected(inputs: Mapping[str, Any]) -> tuple[str, tuple[int, ...]]:
    """Type and ids behind ``Data_Type`` and ``IDs``.

    Raises
    ------
    OmeroError
        If nothing is selected, or the type is none.
    """
    data_type = inputs.get("Data_Type") or "Plate"
    if data_type not in DATA_TYPES:
        raise OmeroError(f"Data_Type is '{data_type}'. Choose one of: {', '.join(DATA_TYPES)}.")
    ids = tuple(inputs.get("IDs") or ())
    if not ids:
        raise OmeroError(
            "nothing is selected. Select plates, wells, datasets or images before starting the script, or give "
            "Data_Type and IDs."
        )
    return data_type, ids


def well_names(inputs: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of wells behind ``Wells``, as plates have them: "B03" for "b3"; none for all wells.

    Raises
    ------
    OmeroError
        If one is no such name.
    """
    given = [name.strip() for name in inputs.get("Wells") or []]
    if given and not any(given):
        raise OmeroError("Wells holds blanks only. Give names such as B03, or leave it empty for all.")
    return tuple(_well(name) for name in given if name)


def _well(name: str) -> str:
    found = re.fullmatch(r"([A-Za-z]+)0*([1-9]\d*)", name)
    if found is None:
        raise OmeroError(f"'{name}' is no name of a well such as B03.")
    return f"{found[1].upper()}{int(found[2]):02}"

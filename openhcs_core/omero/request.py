"""What a person asks of an Imaris export: the parameters of the script ``IMS_Export.py``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from openhcs_core.imaris.compression import PRESETS
from openhcs_core.omero.errors import OmeroError
from openhcs_core.omero.part import Part
from openhcs_core.omero.selection import DATA_TYPES, LAYOUTS

DELIVERIES = ("Attach to image", "Server folder", "Both")


@dataclass(frozen=True)
class ExportRequest:
    """One request for Imaris files.

    Attributes
    ----------
    data_type, ids
        What is selected, see `openhcs_core.omero.selection`.
    part : Part
        What of each image is wanted.
    attach, publish : bool
        Whether the file is attached to the image, and whether it is put into the server's folder.
    reuse : bool
        Whether an export that is still valid is used again.
    preset : str
        Compression, see `openhcs_core.imaris.compression`.
    layout : str
        What becomes one file, a key of `openhcs_core.omero.selection.LAYOUTS`.
    """

    data_type: str
    ids: tuple[int, ...]
    part: Part = field(default_factory=Part)
    attach: bool = True
    publish: bool = False
    reuse: bool = True
    preset: str = "fast"
    layout: str = "One file per image"

    @classmethod
    def from_inputs(cls, inputs: Mapping[str, Any]) -> ExportRequest:
        """The request behind the inputs of a script, unwrapped.

        Raises
        ------
        OmeroError
            If an input makes no sense by itself; the image is not looked at yet.
        """
        data_type = inputs.get("Data_Type") or "Image"
        if data_type not in DATA_TYPES:
            raise OmeroError(f"Data_Type is '{data_type}'. Choose one of: {', '.join(DATA_TYPES)}.")
        ids = list(inputs.get("IDs") or [])
        if inputs.get("Image_ID") is not None:
            if ids:
                raise OmeroError("Give either Image_ID, or Data_Type and IDs, not both.")
            data_type, ids = "Image", [inputs["Image_ID"]]
        if not ids:
            raise OmeroError(
                "Nothing is selected. Select images, datasets, wells or plates before starting the script, "
                "or give Data_Type and IDs, or Image_ID."
            )
        layout = inputs.get("Layout") or next(iter(LAYOUTS))
        if layout not in LAYOUTS:
            raise OmeroError(f"Layout is '{layout}'. Choose one of: {', '.join(LAYOUTS)}.")
        if LAYOUTS[layout] and data_type == "Dataset":
            raise OmeroError(
                f"'{layout}' is made of the fields of wells, but a dataset is selected. Select plates, wells or "
                "images of wells, or choose the layout 'One file per image'."
            )
        delivery = inputs.get("Delivery") or DELIVERIES[0]
        if delivery not in DELIVERIES:
            raise OmeroError(f"Delivery is '{delivery}'. Choose one of: {', '.join(DELIVERIES)}.")
        preset = inputs.get("Compression") or PRESETS[0]
        if preset not in PRESETS:
            raise OmeroError(f"Compression is '{preset}'. Choose one of: {', '.join(PRESETS)}.")
        return cls(
            data_type,
            tuple(ids),
            Part.from_inputs(inputs),
            attach=delivery != "Server folder",
            publish=delivery != "Attach to image",
            reuse=bool(inputs.get("Reuse_Export", True)),
            preset=preset,
            layout=layout,
        )

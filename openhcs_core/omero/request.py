"""What a person asks of an Imaris export: the parameters of the script ``IMS_Export.py``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from openhcs_core.imaris.compression import PRESETS
from openhcs_core.omero.errors import OmeroError
from openhcs_core.omero.metadata import Crop
from openhcs_core.omero.selection import DATA_TYPES, LAYOUTS

DELIVERIES = ("Attach to image", "Server folder", "Both")


@dataclass(frozen=True)
class ExportRequest:
    """One request for Imaris files.

    Attributes
    ----------
    data_type, ids
        What is selected, see `openhcs_core.omero.selection`.
    channels : tuple of str
        Numbers from 1, or names; all channels if empty.
    first_z, last_z, first_t, last_t : int or None
        Sections and time points from 1, both ends included; None means the end of the image.
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
    channels: tuple[str, ...] = ()
    first_z: int | None = None
    last_z: int | None = None
    first_t: int | None = None
    last_t: int | None = None
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
        channels = tuple(text.strip() for text in inputs.get("Channels") or [] if text.strip())
        if inputs.get("Channels") and not channels:
            raise OmeroError("Channels holds blanks only. Give numbers from 1 or names, or leave it empty for all.")
        ends = {name.lower(): inputs.get(name) for name in ("First_Z", "Last_Z", "First_T", "Last_T")}
        return cls(
            data_type,
            tuple(ids),
            channels,
            **ends,
            attach=delivery != "Server folder",
            publish=delivery != "Attach to image",
            reuse=bool(inputs.get("Reuse_Export", True)),
            preset=preset,
            layout=layout,
        )

    def crop(self, sizes: Mapping[str, int], names: Sequence[str]) -> Crop:
        """The wanted part of an image.

        Parameters
        ----------
        sizes : mapping
            Of the axes "T" and "Z" of the image.
        names : sequence of str
            Of its channels.

        Raises
        ------
        OmeroError
            If the image does not have what is wanted.
        """
        channels = [_channel(text, names) for text in self.channels] or list(range(len(names)))
        for number in channels:
            if channels.count(number) > 1:
                raise OmeroError(f"channel {number + 1} is wanted twice. Name each channel once.")
        return Crop(
            channels,
            z=_range("Z", self.first_z, self.last_z, sizes["Z"]),
            t=_range("T", self.first_t, self.last_t, sizes["T"]),
        )


def crop_label(crop: Crop, sizes: Mapping[str, int]) -> str:
    """What a crop leaves of an image, such as ``C1+3 Z2-5``; empty if everything.

    Parameters
    ----------
    crop : Crop
    sizes : mapping
        Of the axes "T", "C" and "Z" of the image.
    """
    parts = []
    if list(crop.channels) != list(range(sizes["C"])):
        parts.append("C" + "+".join(str(number + 1) for number in crop.channels))
    for axis, wanted in (("Z", crop.z), ("T", crop.t)):
        if len(wanted) < sizes[axis]:
            parts.append(f"{axis}{wanted[0] + 1}-{wanted[-1] + 1}" if len(wanted) > 1 else f"{axis}{wanted[0] + 1}")
    return " ".join(parts)


def _channel(text: str, names: Sequence[str]) -> int:
    """Index of a channel by number from 1, else by name."""
    if text.isdecimal() and 1 <= int(text) <= len(names):
        return int(text) - 1
    found = [number for number, name in enumerate(names) if name.casefold() == text.casefold()]
    if len(found) != 1:
        listed = ", ".join(f"{number} ({name})" if name else str(number) for number, name in enumerate(names, start=1))
        problem = "has no channel" if not found else f"has {len(found)} channels"
        raise OmeroError(f"the image {problem} '{text}'. Its channels: {listed}. Give a number, or a name.")
    return found[0]


def _range(axis: str, first: int | None, last: int | None, size: int) -> range:
    first = 1 if first is None else first
    last = size if last is None else last
    if not 1 <= first <= last <= size:
        raise OmeroError(
            f"the image has {axis} 1 to {size}, but {first} to {last} is wanted. Correct First_{axis} and Last_{axis}."
        )
    return range(first - 1, last)

"""``Index.idx.xml`` and ``Index.xml``, which Harmony writes beside the images of Opera Phenix and Operetta."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from openhcs_backends.plate_file import PlateFile
from openhcs_core.local.units import micrometres
from openhcs_core.plate import PlateChannel, well_name
from openhcs_core.storage.backend import StorageError

_PLACES = ("Index.idx.xml", "Index.xml", "Images/Index.idx.xml", "Images/Index.xml")


def read_index(folder: Path) -> PlateFile:
    """Channels, calibration and positions of the plate in a folder; nothing if it has no such file.

    Raises
    ------
    StorageError
        If the file cannot be read.
    """
    for path in (folder / place for place in _PLACES):
        if path.is_file():
            try:
                return _parsed(path)
            except (OSError, ElementTree.ParseError, ValueError) as error:
                raise StorageError(f"{path} cannot be read: {error}. Remove it to do without.") from error
    return PlateFile()


def _parsed(path: Path) -> PlateFile:
    names: dict[int, str] = {}
    y: float | None = None
    x: float | None = None
    positions: dict[tuple[str, int], tuple[float, float]] = {}
    heights: dict[tuple[str, int], dict[str, float]] = {}
    for _, element in ElementTree.iterparse(path):
        kind = _tag(element)
        if kind not in ("Image", "Entry"):
            continue
        known = {_tag(child): child for child in element}
        channel = element.get("ChannelID") or _text(known, "ChannelID")
        if channel and "ChannelName" in known:
            names.setdefault(int(channel), _text(known, "ChannelName"))
        y, x = y or _um(known, "ImageResolutionY"), x or _um(known, "ImageResolutionX")
        if kind == "Image" and {"Row", "Col", "FieldID"} <= known.keys():
            well = well_name(int(_text(known, "Row")) - 1, int(_text(known, "Col")) - 1)
            key = well, int(_text(known, "FieldID"))
            up, left, height = (_um(known, f"Position{axis}") for axis in "YXZ")
            if up is not None and left is not None:
                positions[key] = -up, left  # Y of the stage grows upwards
            if height is not None:
                heights.setdefault(key, {})[_text(known, "PlaneID")] = height
        element.clear()
    first = next(iter(heights.values()), {})
    z = abs(first["2"] - first["1"]) if {"1", "2"} <= first.keys() else None
    most = max(names, default=0)
    channels = [PlateChannel(names.get(number) or str(number)) for number in range(1, most + 1)]
    return PlateFile(channels=channels, voxel_size_um=(z or None, y, x), positions_um=positions)


def _tag(element: Element) -> str:
    """Name without the namespace, which is another in every version."""
    return element.tag.rpartition("}")[2]


def _text(known: Mapping[str, Element], name: str) -> str:
    return (known[name].text or "").strip() if name in known else ""


def _um(known: Mapping[str, Element], name: str) -> float | None:
    text = _text(known, name)
    return micrometres(float(text), known[name].get("Unit", "m")) if text else None

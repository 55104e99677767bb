"""OME-Zarr 0.4 (https://ngff.openmicroscopy.org/0.4/): the metadata that the backend "zarr" reads and writes.

Every image has the axes T, C, Z, Y, X. What the format has no place for lies under "openhcs": numbers of site,
channels, sections and time points, since a result need not have all of its plate, and planes that are missing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from openhcs_backends.plate_file import hex_color, parsed_color
from openhcs_backends.run_folder import write_text
from openhcs_core.plate import PlateChannel, PlateLayout
from openhcs_core.storage.backend import StorageError

VERSION = "0.4"
OWN = "openhcs"
_PALETTE = ("FFFFFF", "00FF00", "FF00FF", "00FFFF", "FFFF00", "FF0000", "0000FF")


def is_zarr(folder: Path) -> bool:
    """Whether a folder is one of Zarr, or wants to be."""
    return folder.is_dir() and (
        folder.suffix.lower() == ".zarr"
        or any((folder / name).is_file() for name in (".zgroup", ".zattrs", ".zarray", "zarr.json"))
    )


def attributes(group: Path) -> dict[str, Any]:
    """Attributes of a group of OME-Zarr 0.4 or 0.5; none if there is none.

    Raises
    ------
    StorageError
        If they cannot be read.
    """
    for name in (".zattrs", "zarr.json"):
        try:
            known = json.loads((group / name).read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            continue
        except (OSError, ValueError) as error:
            raise StorageError(f"{group / name} cannot be read: {error}.") from error
        if name == "zarr.json":
            known = known.get("attributes", {}) if isinstance(known, dict) else {}
            known = {**known, **known.get("ome", {})}
        if isinstance(known, dict):
            return known
    return {}


def array_facts(array: Path) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and type of an array of Zarr version 2 or 3, without opening it.

    Raises
    ------
    StorageError
        If there is none, or its type is no number.
    """
    for name, key in ((".zarray", "dtype"), ("zarr.json", "data_type")):
        try:
            known = json.loads((array / name).read_text(encoding="utf-8"))
            dtype = np.dtype(str(known[key]))
            if dtype.kind not in "biuf":
                raise ValueError(f"type {dtype}")
            return tuple(int(size) for size in known["shape"]), dtype.newbyteorder("=")
        except FileNotFoundError:
            continue
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise StorageError(f"{array} is no array that can be read: {error}.") from error
    raise StorageError(f"{array} is no Zarr array: the plate is not complete.")


def write_group(group: Path, known: Mapping[str, Any] | None = None) -> None:
    """Make a group of Zarr version 2, with attributes if there are any."""
    group.mkdir(parents=True, exist_ok=True)
    if known is not None:
        write_text(group / ".zattrs", json.dumps(known, indent=1))
    write_text(group / ".zgroup", '{"zarr_format": 2}')


def write_array(
    array: Path, shape: Sequence[int], chunks: Sequence[int], dtype: np.dtype, compressor: Mapping[str, Any]
) -> None:
    """Make the metadata of an array of Zarr version 2; its chunks are there, or 0."""
    known = {
        "zarr_format": 2,
        "shape": list(shape),
        "chunks": list(chunks),
        "dtype": dtype.newbyteorder("<").str,
        "compressor": dict(compressor),
        "fill_value": 0,
        "order": "C",
        "filters": None,
        "dimension_separator": "/",
    }
    (array / ".zarray").write_text(json.dumps(known), encoding="utf-8")


def multiscales(
    name: str,
    paths: Sequence[str],
    voxel_size_um: tuple[float | None, float | None, float | None],
    position_um: tuple[float, float] | None,
) -> list[dict[str, Any]]:
    """Metadata of an image of which every level has half the height and width of the one before.

    Parameters
    ----------
    name : str
    paths : sequence of str
        Of the levels, the finest first.
    voxel_size_um : (z, y, x)
        Axes whose size is not known have no unit, and pixels as measure.
    position_um : (y, x), optional
        Told where the size of the pixels is known.
    """
    kinds = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}
    units = dict(zip("zyx", voxel_size_um, strict=True))
    axes = [
        {"name": axis, "type": kind} | ({"unit": "micrometer"} if units.get(axis) else {})
        for axis, kind in kinds.items()
    ]
    z, y, x = (size or 1.0 for size in voxel_size_um)
    datasets = []
    for level, path in enumerate(paths):
        changes: list[dict[str, Any]] = [{"type": "scale", "scale": [1.0, 1.0, z, y * 2**level, x * 2**level]}]
        if position_um is not None and None not in voxel_size_um[1:]:
            changes.append({"type": "translation", "translation": [0.0, 0.0, 0.0, *map(float, position_um)]})
        datasets.append({"path": path, "coordinateTransformations": changes})
    return [{"version": VERSION, "name": name, "axes": axes, "datasets": datasets}]


def omero(
    name: str, channels: Sequence[PlateChannel], ranges: Sequence[tuple[float, float]], dtype: np.dtype
) -> dict[str, Any]:
    """How viewers show an image.

    Parameters
    ----------
    name : str
    channels : sequence of PlateChannel
    ranges : sequence of (low, high)
        Values that occur in each channel; shown black and full where the channel has no window.
    dtype : dtype
    """
    described = []
    for place, (channel, (low, high)) in enumerate(zip(channels, ranges, strict=True)):
        start, end = channel.window or (low, high)
        whole = np.iinfo(dtype) if dtype.kind in "iu" else None
        described.append(
            {
                "label": channel.name,
                "color": hex_color(channel.color) if channel.color else _PALETTE[place % len(_PALETTE)],
                "window": {
                    "start": start,
                    "end": max(end, start),
                    "min": int(whole.min) if whole else low,
                    "max": int(whole.max) if whole else high,
                },
                "active": True,
            }
        )
    return {"name": name, "version": VERSION, "channels": described, "rdefs": {"model": "color"}}


def plate(name: str, wells: Sequence[tuple[str, str]], fields: int, layout: PlateLayout) -> dict[str, Any]:
    """Metadata of a plate.

    Parameters
    ----------
    name : str
    wells : sequence of (row, column)
        Names of the rows and columns of the wells that are there.
    fields : int
        The most that a well has.
    layout : PlateLayout
        Whose channels are those of the plate.
    """
    rows = sorted({row for row, _ in wells}, key=lambda row: (len(row), row))
    columns = sorted({column for _, column in wells}, key=int)
    return {
        "plate": {
            "version": VERSION,
            "name": name,
            "field_count": fields,
            "rows": [{"name": row} for row in rows],
            "columns": [{"name": column} for column in columns],
            "wells": [
                {"path": f"{row}/{column}", "rowIndex": rows.index(row), "columnIndex": columns.index(column)}
                for row, column in wells
            ],
        },
        OWN: {
            "channels": [
                {
                    "name": channel.name,
                    "color": hex_color(channel.color) if channel.color else None,
                    "window": channel.window,
                }
                for channel in layout.channels
            ]
        },
    }


def own_channels(known: Sequence[Mapping[str, Any]]) -> list[PlateChannel]:
    """Channels as `plate` keeps them."""
    return [
        PlateChannel(
            str(item["name"]),
            parsed_color(item["color"]) if item.get("color") else None,
            (float(item["window"][0]), float(item["window"][1])) if item.get("window") else None,
        )
        for item in known
    ]

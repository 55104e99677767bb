"""OME-Zarr images (versions 0.4 and 0.5), and Zarr arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from openhcs_core.imaris import ImsChannel, ImsMetadata
from openhcs_core.local.errors import LocalError
from openhcs_core.local.image import AXES, LocalImage, named_axes
from openhcs_core.local.units import micrometres, seconds
from openhcs_core.local.voxels import array_reader


def open_zarr(path: Path, axes: str | None, series: int) -> LocalImage:
    """Open an image; see `openhcs_core.local.image.open_image`.

    Of a folder that bioformats2raw made, `series` chooses the image; of a plate the paths of its images
    are to be given one by one.
    """
    import zarr

    try:
        node = zarr.open(path, mode="r")
    except Exception as error:
        raise LocalError(f"{path} is a folder, but no OME-Zarr image.") from error
    if isinstance(node, zarr.Array):
        if series:
            raise LocalError(f"{path} has no image {series + 1}.")
        return _opened(path, node, axes, axes or AXES[-node.ndim :], ImsMetadata())
    attributes = _attributes(node)
    if "plate" in attributes or "well" in attributes:
        raise LocalError(f"{path} is a plate or well. Give the path of one of its images, such as {path}/A/1/0.")
    if "multiscales" not in attributes:
        if str(series) not in node:
            raise LocalError(f"{path} has no image {series + 1}, or is no OME-Zarr image.")
        return open_zarr(path / str(series), axes, 0)
    if series:
        raise LocalError(f"{path} has no image {series + 1}.")
    scales = attributes["multiscales"][0]
    full = scales["datasets"][0]
    array = node[full["path"]]
    if not isinstance(array, zarr.Array):
        raise LocalError(f"{path}: {full['path']} is no array.")
    described = scales.get("axes") or [{"name": axis.lower()} for axis in AXES[-array.ndim :]]
    described = [axis if isinstance(axis, dict) else {"name": axis} for axis in described]
    names = "".join(str(axis["name"]).upper() if len(str(axis["name"])) == 1 else "?" for axis in described)
    metadata, statements = _metadata(attributes, scales, described, names, array)
    return _opened(path, array, axes, names, metadata, statements)


def _opened(
    path: Path,
    array: Any,
    axes: str | None,
    names: str,
    metadata: ImsMetadata,
    statements: Sequence[str] = (),
) -> LocalImage:
    _refuse_programs(path, array)
    places = named_axes(names, array.shape, axes, path)
    shape, read = array_reader(array, places)
    chunk_z, chunk_y = (int(array.chunks[places[axis]]) if axis in places else 1 for axis in "ZY")
    metadata = replace(metadata, name=metadata.name or path.name.split(".")[0])
    if len(metadata.channels) not in (0, shape[1]):
        statements = [*statements, f"{len(metadata.channels)} channels are described, {shape[1]} are there: not used"]
        metadata = replace(metadata, channels=())
    return LocalImage(shape, np.dtype(array.dtype), read, metadata, [path], (chunk_z, chunk_y), statements)


def _refuse_programs(path: Path, array: Any) -> None:
    """Refuse what older versions of zarr would unpickle: that is to run what the file says."""
    packers = getattr(array, "compressors", None) or [getattr(array, "compressor", None)]
    packers = [*packers, *(getattr(array, "filters", None) or ())]
    if array.dtype.hasobject or any("pickle" in str(getattr(packer, "codec_id", "")) for packer in packers):
        raise LocalError(f"{path} holds Python objects, which are never loaded.")


def _attributes(node: Any) -> Mapping[str, Any]:
    """Version 0.5 has them under "ome"."""
    attributes = dict(node.attrs)
    nested = attributes.get("ome")
    return nested if isinstance(nested, dict) else attributes


def _metadata(
    attributes: Mapping[str, Any], scales: Mapping[str, Any], axes: list[dict], names: str, array: Any
) -> tuple[ImsMetadata, list[str]]:
    statements: list[str] = []
    factors, offsets = np.ones(len(axes)), np.zeros(len(axes))
    for change in [
        *scales["datasets"][0].get("coordinateTransformations", ()),
        *scales.get("coordinateTransformations", ()),
    ]:
        if change.get("type") == "scale" and "scale" in change:
            factors, offsets = factors * change["scale"], offsets * change["scale"]
        elif change.get("type") == "translation" and "translation" in change:
            offsets = offsets + change["translation"]

    def in_um(axis: str, values: np.ndarray) -> float | None:
        place = names.find(axis)
        if place < 0 or "unit" not in axes[place]:
            return None
        length = micrometres(float(values[place]), axes[place]["unit"])
        if length is None:
            statements.append(f"{axis.lower()} in {axes[place]['unit']} is no measure: ignored")
        return length

    z, y, x = (in_um(axis, factors) for axis in "ZYX")
    origin = [in_um(axis, offsets) or 0.0 for axis in "ZYX"]
    place = names.find("T")
    step = seconds(float(factors[place]), axes[place].get("unit", "")) if place >= 0 else None
    channels = tuple(_channel(channel) for channel in (attributes.get("omero") or {}).get("channels", ()))
    metadata = ImsMetadata(
        name=str(scales.get("name") or (attributes.get("omero") or {}).get("name") or "").strip("/"),
        voxel_size_um=(z, y, x),
        origin_um=(origin[0], origin[1], origin[2]),
        channels=channels,
        time_increment_s=step,
    )
    return metadata, list(dict.fromkeys(statements))


def _channel(known: Mapping[str, Any]) -> ImsChannel:
    text, window = str(known.get("color", "")).lstrip("#"), known.get("window") or {}
    color = None
    if len(text) == 6:
        color = (int(text[:2], 16) / 255, int(text[2:4], 16) / 255, int(text[4:], 16) / 255)
    limits = (float(window["start"]), float(window["end"])) if {"start", "end"} <= window.keys() else None
    return ImsChannel(str(known.get("label", "")), color, limits)

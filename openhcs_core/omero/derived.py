"""Images that a pipeline made, in OMERO: their pixels, and the plates and datasets that hold them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from omero.gateway import BlitzGateway
from omero.model import (
    ChannelI,
    ImageI,
    LengthI,
    LogicalChannelI,
    MapAnnotationI,
    PixelsI,
    StatsInfoI,
)
from omero.model.enums import UnitsLength
from omero.rtypes import rdouble, rint, rstring, rtime, unwrap
from omero.sys import ParametersI

from openhcs_core.omero.errors import OmeroError
from openhcs_core.omero.raw_pixels import DTYPES
from openhcs_core.plate import PlateChannel

SENT_BYTES = 16 << 20
"""Of one message, at most: far below Ice.MessageSizeMax."""

Context = Mapping[str, str]


@dataclass(frozen=True)
class NewImage:
    """An image that is to be made.

    Attributes
    ----------
    name, description : str
    shape : (T, C, Z, Y, X)
    dtype : dtype
        One of `storable`.
    channels : sequence of PlateChannel
    ranges : sequence of (low, high)
        Extremes of each channel.
    voxel_size_um : (z, y, x)
        None where unknown.
    read : callable
        ``read(t, c, z)`` gives a plane (Y, X), or None where there is none: 0 then.
    acquired : int or None
        Milliseconds since 1970.
    """

    name: str
    description: str
    shape: tuple[int, int, int, int, int]
    dtype: np.dtype
    channels: Sequence[PlateChannel]
    ranges: Sequence[tuple[float, float]]
    voxel_size_um: tuple[float | None, float | None, float | None]
    read: Callable[[int, int, int], np.ndarray | None]
    acquired: int | None = None


def storable(dtypes: Sequence[np.dtype]) -> np.dtype:
    """The type of pixels of OMERO that holds values of all these types.

    Raises
    ------
    OmeroError
        If there is none.
    """
    wanted = np.result_type(*dtypes)
    if wanted.kind == "b":
        return np.dtype("u1")
    if wanted.kind in "iu" and wanted.itemsize == 8:  # OMERO has none
        return np.dtype("f8")
    if wanted == np.float16:
        return np.dtype("f4")
    if wanted.newbyteorder(">") not in DTYPES.values():
        raise OmeroError(f"OMERO has no images of type {wanted.name}. Convert it in the pipeline.")
    return wanted


def save_images(conn: BlitzGateway, images: Sequence[NewImage], annotation_id: int, context: Context) -> list[int]:
    """Make images, all in one call, linked to an annotation from the start; then their pixels.

    Returns
    -------
    list of int
        Ids.
    """
    if not images:
        return []
    enums = _Enums(conn)
    annotation = MapAnnotationI(annotation_id, False)
    ids = conn.getUpdateService().saveAndReturnIds([_graph(image, enums, annotation) for image in images], context)
    pixels = dict(
        unwrap(
            conn.getQueryService().projection(
                "select p.image.id, p.id from Pixels p where p.image.id in (:ids)",
                ParametersI().addLongs("ids", ids),
                context,
            )
        )
    )
    for number, image in zip(ids, images, strict=True):
        _write(conn, pixels[number], image, context)
    return list(ids)


def source_facts(conn: BlitzGateway, image_ids: Sequence[int], context: Context) -> dict[int, tuple[str, int | None]]:
    """Name and time of acquisition (milliseconds since 1970, None if unknown) of images."""
    rows = conn.getQueryService().projection(
        "select i.id, i.name, i.acquisitionDate from Image i where i.id in (:ids)",
        ParametersI().addLongs("ids", list(image_ids) or [-1]),
        context,
    )
    return {number: (name, acquired or None) for number, name, acquired in unwrap(rows)}


def image_ids_of(conn: BlitzGateway, annotation_id: int, beginning: str, context: Context) -> list[int]:
    """Ids of images linked to an annotation whose description begins with a text."""
    rows = conn.getQueryService().projection(
        "select i.id, i.description from ImageAnnotationLink l join l.parent i where l.child.id = :id "
        "and i.description like :text",
        ParametersI().addId(annotation_id).addString("text", f"{beginning}%"),
        context,
    )
    return [number for number, text in unwrap(rows) if text.startswith(beginning)]


def well_ids_of(conn: BlitzGateway, image_ids: Sequence[int], context: Context) -> list[int]:
    """Ids of the wells that images are fields of: such images can only be deleted with their wells."""
    rows = conn.getQueryService().projection(
        "select distinct s.well.id from WellSample s where s.image.id in (:ids)",
        ParametersI().addLongs("ids", list(image_ids) or [-1]),
        context,
    )
    return [row[0] for row in unwrap(rows)]


class _Enums:
    """Enumerations of the server, each asked for once."""

    def __init__(self, conn: BlitzGateway) -> None:
        self._service, self._known = conn.getTypesService(), {}  # type: ignore[var-annotated]

    def __call__(self, kind: str, value: str) -> Any:
        if (kind, value) not in self._known:
            found = self._service.getEnumeration(kind, value)
            self._known[kind, value] = type(found)(found.id.val, False)
        return self._known[kind, value]


def _graph(image: NewImage, enums: _Enums, annotation: MapAnnotationI) -> ImageI:
    """An image with its pixels and channels, unsaved."""
    made = ImageI()
    made.name, made.description = rstring(image.name), rstring(image.description)
    made.series = rint(0)
    if image.acquired is not None:
        made.acquisitionDate = rtime(image.acquired)
    pixels = PixelsI()
    kind = next(name for name, dtype in DTYPES.items() if dtype == image.dtype.newbyteorder(">"))
    pixels.pixelsType, pixels.dimensionOrder = enums("PixelsType", kind), enums("DimensionOrder", "XYZCT")
    for axis, size in zip("TCZYX", image.shape, strict=True):
        setattr(pixels, f"size{axis}", rint(size))
    for axis, length in zip("ZYX", image.voxel_size_um, strict=True):
        if length is not None:
            setattr(pixels, f"physicalSize{axis}", LengthI(length, UnitsLength.MICROMETER))
    pixels.sha1 = rstring("Pending...")  # what the server itself says of pixels without planes
    for known, (low, high) in zip(image.channels, image.ranges, strict=True):
        channel, logical, stats = ChannelI(), LogicalChannelI(), StatsInfoI()
        logical.name = rstring(known.name)
        stats.globalMin, stats.globalMax = rdouble(low), rdouble(high)
        channel.logicalChannel, channel.statsInfo = logical, stats
        if known.color is not None:
            channel.red, channel.green, channel.blue = (rint(round(part * 255)) for part in known.color)
            channel.alpha = rint(255)
        pixels.addChannel(channel)
    made.addPixels(pixels)
    made.linkAnnotation(annotation)
    return made


def _write(conn: BlitzGateway, pixels_id: int, image: NewImage, context: Context) -> None:
    sizes_t, sizes_c, sizes_z, height, width = image.shape
    wire = image.dtype.newbyteorder(">")
    store = conn.c.sf.createRawPixelsStore(context)
    try:
        store.setPixelsId(pixels_id, False, context)
        tile = store.getTileSize(context) if store.requiresPixelsPyramid(context) else None
        for t in range(sizes_t):
            for c in range(sizes_c):
                for z in range(sizes_z):
                    plane = image.read(t, c, z)
                    data = np.zeros((height, width), wire) if plane is None else np.ascontiguousarray(plane, wire)
                    _send(store, data, (z, c, t), tile, context)
    finally:
        store.close()  # which also saves the checksum


def _send(store: Any, plane: np.ndarray, place: tuple[int, int, int], tile: Any, context: Context) -> None:
    """One plane, in pieces that fit a message."""
    height, width = plane.shape
    if tile is not None:
        step_x, step_y = tile
        for y in range(0, height, step_y):
            for x in range(0, width, step_x):
                piece = plane[y : y + step_y, x : x + step_x]
                store.setTile(piece.tobytes(), *place, x, y, piece.shape[1], piece.shape[0], context)
    elif plane.nbytes <= SENT_BYTES:
        store.setPlane(plane.tobytes(), *place, context)
    else:
        data, start = plane.tobytes(), store.getPlaneOffset(*place, context)
        for first in range(0, len(data), SENT_BYTES):
            part = data[first : first + SENT_BYTES]
            store.setRegion(len(part), start + first, part, context)

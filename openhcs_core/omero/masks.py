"""Label images as regions of interest: one per object, with a mask on each of its planes."""

from __future__ import annotations

import colorsys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from omero.gateway import BlitzGateway
from omero.model import ImageI, MaskI, RoiI
from omero.rtypes import rdouble, rint, rstring, unwrap
from omero.sys import ParametersI

from openhcs_core.omero.errors import OmeroError

BATCH_BYTES = 4 << 20
BATCH_ROIS = 500
"""What is saved in one call, at most: far below Ice.MessageSizeMax."""

SHAPE_BYTES = 1000
"""About what a mask takes in a message beside its pixels."""

ALPHA = 128


class ObjectMask(NamedTuple):
    """The pixels of one object in a plane.

    Attributes
    ----------
    label : int
    y, x : int
        Upper left corner of its bounding box.
    height, width : int
    bits : bytes
        The box row by row, a bit per pixel, the first one highest; rows follow each other without gaps.
    """

    label: int
    y: int
    x: int
    height: int
    width: int
    bits: bytes


def object_masks(labels: np.ndarray) -> Iterator[ObjectMask]:
    """The objects of a label image, by label.

    Parameters
    ----------
    labels : ndarray, (Y, X)
        Integers; 0 is background.

    Raises
    ------
    OmeroError
        If a label is negative, or they are no integers.
    """
    if labels.dtype.kind not in "iub":
        raise OmeroError(f"labels have to be integers, not {labels.dtype.name}.")
    ys, xs = np.nonzero(labels)
    if not len(ys):
        return
    values = labels[ys, xs].astype(np.int64)
    if values.min() < 0:
        raise OmeroError(f"labels have to be positive: {values.min()} is not.")
    order = np.argsort(values, kind="stable")
    values, ys, xs = values[order], ys[order], xs[order]
    starts = np.flatnonzero(np.diff(values, prepend=values[0] - 1))
    stops = np.append(starts[1:], len(values))
    tops, lefts = np.minimum.reduceat(ys, starts), np.minimum.reduceat(xs, starts)
    bottoms, rights = np.maximum.reduceat(ys, starts) + 1, np.maximum.reduceat(xs, starts) + 1
    for start, stop, top, left, bottom, right in zip(starts, stops, tops, lefts, bottoms, rights, strict=True):
        box = np.zeros((bottom - top, right - left), bool)
        box[ys[start:stop] - top, xs[start:stop] - left] = True
        height, width = box.shape
        yield ObjectMask(int(values[start]), int(top), int(left), height, width, np.packbits(box).tobytes())


def mask_rois(
    planes: Mapping[tuple[int | None, int], np.ndarray], image_id: int, name: str, description: str
) -> Iterator[RoiI]:
    """Regions of interest of one channel: one per time point and label, with a mask on each section it is in.

    Parameters
    ----------
    planes : mapping of (z, t) to ndarray, (Y, X)
        Label images; z and t count from 0. A z of None, then the only one, means all sections.
    image_id : int
        What they are put on.
    name : str
        What the objects are; each region gets its label besides.
    description : str
    """
    for time in sorted({t for _, t in planes}):
        shapes: dict[int, list[MaskI]] = {}
        for z in sorted((z for z, t in planes if t == time), key=lambda z: z or 0):
            for found in object_masks(planes[z, time]):
                shapes.setdefault(found.label, []).append(_shape(found, z, time))
        for label in sorted(shapes):
            roi = RoiI()
            roi.name, roi.description = rstring(f"{name} {label}"), rstring(description)
            roi.image = ImageI(image_id, False)
            for shape in shapes[label]:
                roi.addShape(shape)
            yield roi


def save_rois(conn: BlitzGateway, rois: Iterator[RoiI], context: Mapping[str, str]) -> int:
    """Save regions of interest, many in a call; return how many."""
    service = conn.getUpdateService()
    batch: list[RoiI] = []
    size = count = 0
    for roi in rois:
        batch.append(roi)
        size += sum(SHAPE_BYTES + len(shape.bytes) for shape in roi.copyShapes())
        if size >= BATCH_BYTES or len(batch) >= BATCH_ROIS:
            count += len(service.saveAndReturnIds(batch, context))
            batch, size = [], 0
    if batch:
        count += len(service.saveAndReturnIds(batch, context))
    return count


def roi_ids_of(conn: BlitzGateway, image_ids: Sequence[int], description: str, context: Mapping[str, str]) -> list[int]:
    """Ids of the regions of interest on images that have a description."""
    rows = conn.getQueryService().projection(
        "select r.id from Roi r where r.image.id in (:ids) and r.description = :text",
        ParametersI().addLongs("ids", list(image_ids) or [-1]).addString("text", description),
        context,
    )
    return [row[0] for row in unwrap(rows)]


def mask_pixels(mask: Any) -> np.ndarray:
    """The pixels of a mask of OMERO within its box, bool (Y, X)."""
    height, width = int(mask.height.val), int(mask.width.val)
    bits = np.unpackbits(np.frombuffer(bytes(mask.bytes), "u1"), count=height * width)
    return bits.astype(bool).reshape(height, width)


def label_image(masks: Sequence[Any], shape: tuple[int, int]) -> np.ndarray:
    """The label image (Y, X) behind masks whose texts are the labels."""
    labels = np.zeros(shape, np.int64)
    for mask in masks:
        y, x, pixels = int(mask.y.val), int(mask.x.val), mask_pixels(mask)
        part = labels[y : y + pixels.shape[0], x : x + pixels.shape[1]]
        part[pixels] = int(mask.textValue.val)
    return labels


def _shape(found: ObjectMask, z: int | None, t: int) -> MaskI:
    mask = MaskI()
    mask.x, mask.y = rdouble(found.x), rdouble(found.y)
    mask.width, mask.height = rdouble(found.width), rdouble(found.height)
    mask.theT = rint(t)
    if z is not None:
        mask.theZ = rint(z)
    mask.textValue = rstring(str(found.label))
    mask.fillColor = rint(_color(found.label))
    mask.bytes = found.bits
    return mask


def _color(label: int) -> int:
    """RGBA as a signed number; labels beside each other differ in hue."""
    parts = [round(part * 255) for part in colorsys.hsv_to_rgb(label * 0.618034 % 1, 0.8, 1.0)]
    return int.from_bytes(bytes([*parts, ALPHA]), "big", signed=True)

"""The plain JSON of OpenHCS's first viewers, flat or in batches, as the messages of today. No sockets here."""

from __future__ import annotations

import math
import re
from typing import Any, NamedTuple

from openhcs_core.plate import PlaneAddress, PlateError
from openhcs_core.streaming.errors import MessageError
from openhcs_core.streaming.messages import DTYPES, Begin, Image, Slot
from openhcs_core.streaming.wire import MAX_HEADER_BYTES, MAX_TEXT, Buffer, read_json

_MAX_IMAGES = 4096


class SeedBatch(NamedTuple):
    """What such a message says; the segments are for the receiver to remove."""

    begins: list[Begin]
    images: list[Image]
    segments: list[str]


def read_seed(text: Buffer, next_seq: int) -> SeedBatch:
    """The images of a flat message ``{shm_name, shape, dtype, name, metadata}``, or a batch of such.

    Parameters
    ----------
    text : buffer
    next_seq : int
        Number of the first image.

    Raises
    ------
    MessageError
        If it is neither, or makes no sense.
    """
    if len(text) > 16 * MAX_HEADER_BYTES:
        raise MessageError("A message is too large.")
    table = read_json(text)
    items = table.get("images", [table])
    if not isinstance(items, list) or not 0 < len(items) <= _MAX_IMAGES:
        raise MessageError("A batch has no list of images.")
    config = table.get("display_config")
    modes = config.get("component_modes", config) if isinstance(config, dict) else {}
    display = {
        name.removesuffix("_mode"): mode.lower()
        for name, mode in (modes.items() if isinstance(modes, dict) else ())
        if isinstance(mode, str) and name.removesuffix("_mode") in PlaneAddress._fields
    }
    batch = SeedBatch([], [], [])
    for item in items:
        if not isinstance(item, dict):
            raise MessageError("An image of a batch is no JSON object.")
        _add(batch, item, display, next_seq + len(batch.images))
    return batch


def _add(batch: SeedBatch, item: dict[str, Any], display: dict[str, str], seq: int) -> None:
    segment, dtype, shape = item.get("shm_name"), item.get("dtype"), item.get("shape")
    facts = item.get("component_metadata", item.get("metadata"))
    if not isinstance(segment, str) or not isinstance(dtype, str) or dtype not in DTYPES:
        raise MessageError("An image lacks shm_name or dtype, or its dtype is unknown.")
    if not isinstance(facts, (dict, type(None))):
        raise MessageError("The metadata of an image is no JSON object.")
    sizes = shape if isinstance(shape, list) else []
    if not 2 <= len(sizes) <= 3 or not all(type(size) is int and 0 < size < 2**31 for size in sizes):
        raise MessageError("The shape of an image is not two or three sizes.")
    facts = facts or {}
    address = _address(facts, item.get("name"))
    step = facts.get("step_name")
    step = step if isinstance(step, str) and len(step) <= MAX_TEXT else ""
    stream = f"seed/{step}/{dtype}/{'x'.join(map(str, sizes[-2:]))}"
    size_yx = sizes[-2], sizes[-1]
    if all(begin.stream != stream for begin in batch.begins):
        batch.begins.append(Begin(stream=stream, title=step, step=step, dtype=dtype, size_yx=size_yx, display=display))
    planes, nbytes = (sizes[0] if len(sizes) == 3 else 1), math.prod(sizes[-2:]) * DTYPES[dtype].itemsize
    if planes > _MAX_IMAGES:
        raise MessageError("A stack has too many planes.")
    segment = segment.lstrip("/")
    batch.segments.append(segment)
    for plane in range(planes):
        batch.images.append(
            Image(
                stream=stream,
                seq=seq + plane,
                **address._replace(z_index=address.z_index + plane)._asdict(),
                shape=size_yx,
                dtype=dtype,
                nbytes=nbytes,
                slot=Slot(segment=segment, offset=plane * nbytes, ticket=0),
            )
        )


def _address(facts: dict[str, Any], name: object) -> PlaneAddress:
    """From the metadata, such as ``{"well": "A01", "site": "s1", "z_index": "z003"}``, else from the name."""
    if isinstance(name, str) and len(name) < MAX_TEXT:
        try:
            base = PlaneAddress.from_path(name)
        except PlateError:
            base = PlaneAddress("")
    else:
        base = PlaneAddress("")
    well = facts.get("well")
    changes: dict[str, Any] = {"well": well} if isinstance(well, str) and len(well) <= 64 else {}
    for component in ("site", "channel", "z_index", "timepoint"):
        found = re.fullmatch(r"[a-z]?(\d{1,9})", str(facts.get(component))[:16])
        if found:
            changes[component] = int(found[1])
    return base._replace(**changes)

"""Mosaics of the fields of a well."""

from __future__ import annotations

import logging
from typing import Any

from openhcs_core.functions import GroupContext, processing_function
from openhcs_core.placement import place_fields
from openhcs_functions._arrays import modules, require

logger = logging.getLogger(__name__)


@processing_function(axes="SYX", planes="one", context=True)
def stitch_fields(image: Any, context: GroupContext | None = None) -> Any:
    """One plane of all fields of a well, laid out by the positions of the stage.

    Fields are placed to the nearest pixel; where they overlap the later one covers the earlier. Where positions or the
    size of pixels are unknown, they are laid out in a grid in their order, with a warning. A step with
    ``variable_components=("site",)``.

    Parameters
    ----------
    image : array, axes SYX

    Returns
    -------
    array, axes YX, same type
        0 where no field lies.
    """
    context = context or GroupContext()
    require(
        len(context.addresses) in (0, len(image)),
        f"stitch_fields: {len(context.addresses)} addresses are given for {len(image)} fields.",
    )
    positions = [context.positions_um.get((one.well, one.site), (None, None)) for one in context.addresses]
    placement = place_fields(
        positions or [(None, None)] * len(image), [image.shape[1:]] * len(image), context.voxel_size_um[1:]
    )
    where = f"{context.plate} {context.addresses[0].well}" if context.addresses else "a well"
    for statement in placement.statements:
        logger.warning("Mosaic of %s: %s", where.strip(), statement)
    xp, _ = modules(image)
    mosaic = xp.zeros(placement.shape, image.dtype)
    for field, (y, x) in zip(image, placement.offsets, strict=True):
        mosaic[y : y + field.shape[0], x : x + field.shape[1]] = field
    return mosaic

"""Fields of wells: which image lies where on a plate, and whether fields fit together."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

from omero.gateway import BlitzGateway
from omero.sys import ParametersI

from openhcs_core.omero.errors import OmeroError
from openhcs_core.omero.metadata import micrometres, usable
from openhcs_core.plate import well_name

SIZE_TOLERANCE = 1e-3
"""Relative difference of voxel sizes that does not count: an error of one pixel in a thousand."""
LISTED = 3
"""Fields, or what is said of them, that a message names one by one."""

Position = tuple[float | None, float | None]


@dataclass(frozen=True, eq=False)
class Field:
    """One field of a well.

    Attributes
    ----------
    row, column : int
        Of the well on its plate, from 0.
    index : int
        Of the field in its well, from 0.
    image_id, well_id : int
    pixels : omero.model.Pixels or None
        With its type; None if the server has none for the image.
    sample_um, stage_um : (y, x)
        Micrometres: the field's position in the well, and that of the stage; None where unknown.
    """

    row: int
    column: int
    index: int
    image_id: int
    well_id: int
    pixels: Any
    sample_um: Position
    stage_um: Position

    @property
    def name(self) -> str:
        """Such as ``B03 field 2``."""
        return f"{well_name(self.row, self.column)} field {self.index + 1}"

    @property
    def label(self) -> str:
        """For people: ``B03 field 2 (Image:12)``."""
        return f"{self.name} (Image:{self.image_id})"

    @cached_property
    def sizes(self) -> dict[str, int]:
        """Of the axes "T", "C", "Z", "Y" and "X"."""
        return {axis: getattr(self.pixels, f"size{axis}").val for axis in "TCZYX"}


def load_fields(conn: BlitzGateway, well_ids: Sequence[int], image_ids: Sequence[int]) -> list[Field]:
    """Those fields of some wells that are one of some images, by row, column and place in the well.

    Parameters
    ----------
    conn : BlitzGateway
        Reading in all groups.
    well_ids, image_ids : sequence of int
    """
    if not well_ids or not image_ids:  # no query may ask for nothing
        return []
    query = conn.getQueryService()
    parameters = ParametersI().addLongs("wells", list(well_ids)).addLongs("images", list(image_ids))
    where = "where w.id in (:wells) and s.image.id in (:images)"
    places = query.projection(
        f"select s.id, index(s) from Well w join w.wellSamples s {where}", parameters, conn.SERVICE_OPTS
    )
    index = {sample.val: place.val for sample, place in places}
    samples = query.findAllByQuery(
        "select distinct s from WellSample s join fetch s.well w join fetch s.image i left outer join fetch i.pixels p "
        f"left outer join fetch p.pixelsType {where}",
        parameters,
        conn.SERVICE_OPTS,
    )
    planes = query.findAllByQuery(
        "select p from PlaneInfo p where p.pixels.image.id in (:images) and p.theZ = 0 and p.theC = 0 and p.theT = 0",
        ParametersI().addLongs("images", list(image_ids)),
        conn.SERVICE_OPTS,
    )
    stage = {plane.pixels.id.val: (_position(plane.positionY), _position(plane.positionX)) for plane in planes}
    fields = []
    for sample in samples:
        well, image = sample.well, sample.image
        pixels = image.getPrimaryPixels() if image.sizeOfPixels() > 0 else None
        fields.append(
            Field(
                row=well.row.val,
                column=well.column.val,
                index=index[sample.id.val],
                image_id=image.id.val,
                well_id=well.id.val,
                pixels=pixels,
                sample_um=(_position(sample.posY), _position(sample.posX)),
                stage_um=stage.get(pixels.id.val, (None, None)) if pixels is not None else (None, None),
            )
        )
    return sorted(fields, key=lambda field: (field.row, field.column, field.index))


def _position(length: Any) -> float | None:
    """In µm; where the unit is no measure, the layout tells that positions are unknown."""
    return micrometres(length, "position", [])


def positions(fields: Sequence[Field]) -> list[Position]:
    """Positions (y, x) in µm of the fields of one well: all of the same kind.

    Those in the well if these are known and tell the fields apart, else those of the stage if these do, else
    those in the well as far as they are known.
    """
    kinds: list[list[Position]] = [[field.sample_um for field in fields], [field.stage_um for field in fields]]
    for known in kinds:
        parts = [part for position in known for part in position]
        if len(set(known)) == len(known) and all(part is not None and math.isfinite(part) for part in parts):
            return known
    return kinds[0]


def check_alike(fields: Sequence[Field]) -> list[str]:
    """Statements about differences that do no harm: fewer time points or sections.

    Raises
    ------
    OmeroError
        If the fields differ in anything else; the message names those that are in the minority.
    """
    for what, value in _MUST_BE_EQUAL.items():
        values = {field: found for field in fields if (found := value(field)) is not None}
        usual = Counter(values.values()).most_common(1)[0][0] if values else ""
        odd = [field for field, found in values.items() if not _is_same(found, usual)]
        if odd:
            listed = ", ".join(f"{_text(values[field])} in {field.label}" for field in odd[:LISTED])
            more = f" and {len(odd) - LISTED} more" if len(odd) > LISTED else ""
            raise OmeroError(
                f"its fields differ in {what}: {_text(usual)} in most, but {listed}{more}. "
                "Choose fields that are alike, or the layout 'One file per image'."
            )
    statements = []
    for axis, what in (("T", "time points"), ("Z", "sections")):
        sizes = [field.sizes[axis] for field in fields]
        short = sum(size < max(sizes) for size in sizes)
        if short:
            statements.append(f"{short} of {len(fields)} fields have fewer than {max(sizes)} {what}: filled with 0")
    return statements


def _lengths(field: Field, *axes: str) -> tuple[float, ...]:
    """Sizes of a voxel in µm; none where one is unknown or absurd."""
    sizes = [usable(micrometres(getattr(field.pixels, f"physicalSize{axis}"), axis, [])) for axis in axes]
    known = tuple(size for size in sizes if size is not None)
    return known if len(known) == len(axes) else ()


def _is_same(value: Any, other: Any) -> bool:
    if not isinstance(value, tuple):
        return bool(value == other)
    return len(value) == len(other) and all(map(partial(math.isclose, rel_tol=SIZE_TOLERANCE), value, other))


def _text(value: Any) -> str:
    if not isinstance(value, tuple):
        return str(value)
    return " x ".join(f"{size:g}" for size in value) + " µm" if value else "unknown"


# What does not count for a field is None.
_MUST_BE_EQUAL: dict[str, Callable[[Field], Any]] = {
    "pixel type": lambda field: field.pixels.pixelsType.value.val,
    "number of channels": lambda field: field.sizes["C"],
    "pixel size": lambda field: _lengths(field, "X", "Y"),
    "z step": lambda field: _lengths(field, "Z") if field.sizes["Z"] > 1 else None,
}


def value_range(conn: BlitzGateway, fields: Sequence[Field], channels: Sequence[int]) -> tuple[float, float] | None:
    """Extremes of some channels of all fields; None unless OMERO knows them all."""
    rows = conn.getQueryService().projection(
        "select index(c), s.globalMin, s.globalMax from Pixels p join p.channels c join c.statsInfo s "
        "where p.id in (:ids)",
        ParametersI().addLongs("ids", [field.pixels.id.val for field in fields]),
        conn.SERVICE_OPTS,
    )
    known = [(low.val, high.val) for channel, low, high in rows if channel.val in channels]
    if len(known) < len(fields) * len(channels):
        return None
    return min(low for low, _ in known), max(high for _, high in known)

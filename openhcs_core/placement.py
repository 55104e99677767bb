"""Where fields of view lie beside each other: positions in micrometres become pixels of one canvas.

Conventions
-----------
- Pairs are ``(y, x)``. x grows to the right, y **downwards**, as rows of an image do and as OMERO and OME
  give positions: a field with the larger position lies further down. A stage whose y grows upwards gives a
  mosaic whose rows of fields are in reverse order; negate its y before placing.
- The position of a field is taken for that of its upper left corner. Where all fields are of one size it
  makes no difference if it is that of their centres.
- The smallest y and the smallest x of all positions become pixel 0. Distances are rounded to the nearest
  pixel, each from there, so that errors do not add up; halves are rounded up. Nothing is rotated or scaled.
- Fields may overlap; who puts them together lets later fields cover earlier ones.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

MAX_EMPTINESS = 50
"""How many times larger than all its parts together a canvas may be."""

MAX_SIDE = 1 << 18
"""Largest width and height, in pixels, of a canvas laid out by position."""

Pixels2 = tuple[int, int]


@dataclass(frozen=True)
class Placement:
    """Where rectangles lie on a canvas.

    Attributes
    ----------
    offsets : tuple of (y, x)
        Pixels: first row and column of each rectangle, in the order in which they were given.
    shape : (height, width)
        Pixels of the canvas: the smallest that holds all of them.
    origin_um : (y, x) or None
        Position of the canvas' upper left corner; None where the layout is not one by position.
    statements : tuple of str
        What people should know: why the layout is not the expected one.
    """

    offsets: tuple[Pixels2, ...]
    shape: Pixels2
    origin_um: tuple[float, float] | None = None
    statements: tuple[str, ...] = ()


def place_fields(
    positions_um: Sequence[tuple[float | None, float | None]],
    shapes: Sequence[Pixels2],
    pixel_um: tuple[float | None, float | None],
) -> Placement:
    """Lay out fields by their positions, or in a grid where these cannot be used.

    A grid is used, and the reason stated, if a position or the pixel size is missing or no finite number, if
    two fields are at the same place (one would hide the other), or if the canvas would be absurd: larger than
    `MAX_SIDE` or than `MAX_EMPTINESS` times the area of all fields.

    Parameters
    ----------
    positions_um : sequence of (y, x)
        Micrometres, one pair per field; None where unknown.
    shapes : sequence of (height, width)
        Pixels, one pair per field; all at least 1.
    pixel_um : (y, x)
        Size of a pixel in micrometres, the same for all fields; None where unknown.

    Returns
    -------
    Placement
        Without `origin_um` if it is a grid.

    Raises
    ------
    ValueError
        If there are no fields, not one shape per position, or a shape without pixels.
    """
    _check(shapes, len(positions_um))
    if len(shapes) == 1:
        y, x = positions_um[0]
        origin = (y, x) if y is not None and x is not None and math.isfinite(y) and math.isfinite(x) else None
        return Placement(((0, 0),), shapes[0], origin)
    unknown = sum(not all(part is not None and math.isfinite(part) for part in position) for position in positions_um)
    if unknown:
        return place_grid(shapes, f"positions are unknown for {unknown} of {len(shapes)} fields")
    if not all(size is not None and math.isfinite(size) and size > 0 for size in pixel_um):
        return place_grid(shapes, "the pixel size is unknown")
    known: list[tuple[float, float]] = [(y, x) for y, x in positions_um if y is not None and x is not None]
    pixel_y, pixel_x = (float(size or 0) for size in pixel_um)
    top, left = min(y for y, _ in known), min(x for _, x in known)
    exact = [((y - top) / pixel_y, (x - left) / pixel_x) for y, x in known]
    if max(max(pair) for pair in exact) > MAX_SIDE:
        return place_grid(shapes, f"their positions are more than {MAX_SIDE} pixels apart")
    offsets = tuple((math.floor(y + 0.5), math.floor(x + 0.5)) for y, x in exact)
    shape = _canvas(offsets, shapes)
    doubles = sum(count for count in Counter(offsets).values() if count > 1)
    if doubles:
        return place_grid(shapes, f"{doubles} of {len(shapes)} fields are at the place of another one")
    if max(shape) > MAX_SIDE or _is_empty(shape, shapes):
        return place_grid(
            shapes, f"their positions would need {shape[1]} x {shape[0]} pixels, which are nearly all empty"
        )
    return Placement(offsets, shape, (top, left))


def place_grid(shapes: Sequence[Pixels2], reason: str = "") -> Placement:
    """Lay out fields in rows of a grid, in their order, as square as possible, without margins.

    Every cell is as large as the largest field.

    Parameters
    ----------
    shapes : sequence of (height, width)
        Pixels.
    reason : str
        Why it is a grid, for people.
    """
    _check(shapes, len(shapes))
    columns = math.ceil(math.sqrt(len(shapes)))
    height, width = (max(shape[axis] for shape in shapes) for axis in (0, 1))
    offsets = tuple((index // columns * height, index % columns * width) for index in range(len(shapes)))
    rows = -(-len(shapes) // columns)
    statement = f"fields are laid out in a grid of {rows} x {columns} in their order, because {reason}"
    return Placement(offsets, _canvas(offsets, shapes), None, (statement,) if reason else ())


def place_wells(places: Sequence[Pixels2], shapes: Sequence[Pixels2], margin: int) -> Placement:
    """Lay out wells as on their plate.

    The canvas begins with the first row and column that hold a well. Every cell is as large as the largest
    well. Rows and columns without wells stay empty, unless the canvas would then be more than `MAX_EMPTINESS`
    times as large as the wells, or larger than `MAX_SIDE`: then they are left out, and that is stated.

    Parameters
    ----------
    places : sequence of (row, column)
        Of each well on the plate, from 0; each place once.
    shapes : sequence of (height, width)
        Pixels of each well.
    margin : int
        Empty pixels between neighbours.

    Raises
    ------
    ValueError
        If there are no wells, two at one place, not one shape per place, or a shape without pixels.
    """
    _check(shapes, len(places))
    if len(set(places)) < len(places):
        raise ValueError(f"Two wells are at one place: {sorted(places)}.")
    height, width = (max(shape[axis] for shape in shapes) + margin for axis in (0, 1))
    top, left = (min(place[axis] for place in places) for axis in (0, 1))
    offsets = tuple(((row - top) * height, (column - left) * width) for row, column in places)
    shape = _canvas(offsets, shapes)
    if max(shape) <= MAX_SIDE and not _is_empty(shape, shapes):
        return Placement(offsets, shape)
    rows, columns = (sorted({place[axis] for place in places}) for axis in (0, 1))
    squeezed = tuple((rows.index(row) * height, columns.index(column) * width) for row, column in places)
    if squeezed == offsets:
        return Placement(offsets, shape)
    return Placement(
        squeezed, _canvas(squeezed, shapes), None, ("rows and columns of the plate without wells are left out",)
    )


def _check(shapes: Sequence[Pixels2], expected: int) -> None:
    if not shapes or len(shapes) != expected:
        raise ValueError(f"{len(shapes)} shapes are given for {expected} places. Give one for each, at least one.")
    if any(min(shape) < 1 for shape in shapes):
        raise ValueError(f"A shape has no pixels: {min(shapes, key=min)}.")


def _canvas(offsets: Sequence[Pixels2], shapes: Sequence[Pixels2]) -> Pixels2:
    """The smallest shape that holds all rectangles."""
    height, width = (
        max(offset[axis] + shape[axis] for offset, shape in zip(offsets, shapes, strict=True)) for axis in (0, 1)
    )
    return height, width


def _is_empty(shape: Pixels2, shapes: Sequence[Pixels2]) -> bool:
    return math.prod(shape) > MAX_EMPTINESS * sum(math.prod(part) for part in shapes)

"""Which pixels a shape of a ROI covers.

As on the server a shape is probed at points one apart, beginning at the upper left corner of its bounding box, and the
pixel of each point inside counts; a line counts the pixels it passes at steps of one.
"""

from __future__ import annotations

import math
import re

import numpy as np

from . import errors
from .store import Record

_PROBE = 0.001  # a point stands for a square of this side
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
Points = np.ndarray
"""Coordinates, shape (n, 2): x, y."""


def pixels_of(shape: Record) -> Points:
    """Pixels of a shape, each once, as int64 of shape (n, 2): x, y.

    Raises
    ------
    omero.ApiUsageException
        If the shape has no area or line, or lacks coordinates.
    """
    kind = shape.entity.name
    if kind == "Point":
        found = _affine(shape, np.array([_values(shape, "x", "y")]))
    elif kind in ("Line", "Polyline"):
        found = _along(_affine(shape, _vertices(shape)))
    elif kind in ("Rectangle", "Mask", "Ellipse", "Polygon"):
        found = _inside(shape)
    else:
        raise errors.api_usage(f"{kind} covers no pixels")
    return np.unique(np.trunc(found).astype(np.int64), axis=0)


def _values(shape: Record, *names: str) -> list:
    found = [shape[n] for n in names]
    if None in found:
        raise errors.api_usage(f"{shape!r} lacks one of {', '.join(names)}")
    return found


def _vertices(shape: Record) -> Points:
    """Corners of what is made of straight lines."""
    kind = shape.entity.name
    if kind == "Line":
        x1, y1, x2, y2 = _values(shape, "x1", "y1", "x2", "y2")
        return np.array([(x1, y1), (x2, y2)])
    if kind in ("Polyline", "Polygon"):
        text = _values(shape, "points")[0]
        # "points[1,2, 3,4] points1[...] ..." is how older clients write it.
        bracket = re.match(r"\s*points\[([^\]]*)\]", text)
        numbers = [float(n) for n in _NUMBER.findall(bracket[1] if bracket else text)]
        if len(numbers) < 4 or len(numbers) % 2:
            raise errors.api_usage(f"{shape!r} has no list of points: {text!r}")
        return np.array(numbers).reshape(-1, 2)
    x, y, w, h = _values(shape, "x", "y", "width", "height")
    return np.array([(x, y), (x + w, y), (x + w, y + h), (x, y + h)])


def _matrix(shape: Record) -> np.ndarray:
    """Transform of the shape, shape (2, 3)."""
    t = shape["transform"]
    if t is None:
        return np.eye(2, 3)
    return np.array([[t["a00"], t["a01"], t["a02"]], [t["a10"], t["a11"], t["a12"]]], float)


def _affine(shape: Record, points: Points) -> Points:
    matrix = _matrix(shape)
    return points @ matrix[:, :2].T + matrix[:, 2]


def _along(corners: Points) -> Points:
    pieces = [corners[-1:]]
    for start, end in zip(corners[:-1], corners[1:], strict=True):
        length = math.dist(start, end)
        steps = np.arange(0, length)[:, None] / (length or 1)
        pieces.append(start + steps * (end - start))
    return np.concatenate(pieces)


def _inside(shape: Record) -> Points:
    """Probed points within a shape which has an area."""
    if shape.entity.name == "Ellipse":
        x, y, rx, ry = _values(shape, "x", "y", "radiusX", "radiusY")
        angle = np.linspace(0, 2 * np.pi, 721)
        outline = _affine(shape, np.stack([x + rx * np.cos(angle), y + ry * np.sin(angle)], axis=1))
    else:
        outline = _affine(shape, _vertices(shape))
    low, high = outline.min(axis=0), outline.max(axis=0)
    grid = np.meshgrid(np.arange(low[0], high[0]), np.arange(low[1], high[1]))
    points = np.stack(grid, axis=-1).reshape(-1, 2)
    if shape.entity.name == "Ellipse":
        matrix = _matrix(shape)
        local = np.linalg.solve(matrix[:, :2], (points + _PROBE / 2 - matrix[:, 2]).T).T
        return points[(((local - (x, y)) / (rx, ry)) ** 2).sum(axis=1) < 1]
    if shape["transform"] is None and shape.entity.name != "Polygon":
        return points
    return points[_within(points + _PROBE / 2, outline)]


def _within(points: Points, outline: Points) -> np.ndarray:
    """Which points lie inside a polygon; where it overlaps itself, the overlap is outside."""
    inside = np.zeros(len(points), bool)
    x, y = points.T
    for (x1, y1), (x2, y2) in zip(outline, np.roll(outline, -1, axis=0), strict=True):
        if y1 != y2:
            inside ^= ((y1 > y) != (y2 > y)) & (x < (x2 - x1) * (y - y1) / (y2 - y1) + x1)
    return inside

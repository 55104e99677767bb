"""Layers of points and outlines. napari takes long to add them: outlines come in portions, points not too often."""

from __future__ import annotations

import time
from collections import deque
from typing import Any

import numpy as np

from openhcs_napari.colours import channel_of
from openhcs_napari.layers import DIMENSIONS, StackLayer
from openhcs_napari.planes import Place
from openhcs_napari.streams import Fresh

_COLOR = (1.0, 0.9, 0.2)
_PORTION = 50
_REST = 4
"""After work of some length, so many times as long is left to everything else."""


class _VectorLayer(StackLayer):
    """What comes is added with `go_on`."""

    _next = 0.0

    @property
    def _color(self) -> list[float]:
        return [*(channel_of(self.stack.begin, self.stack.channel).color or _COLOR), 1.0]

    def _coordinates(self, place: Place, yx: np.ndarray) -> np.ndarray:
        indices = self._axes.indices(self.stack.arrangement, place)
        return np.column_stack([np.tile(np.array(indices, dtype=float), (len(yx), 1)), yx])

    def go_on(self, now: float) -> bool:
        if not self.is_busy or now < self._next:
            return False
        begin = time.monotonic()
        self._work()
        self._next = now + _REST * (time.monotonic() - begin)
        return True

    def _work(self) -> None:
        raise NotImplementedError


class PointsLayer(_VectorLayer):
    """Points, each in its plane."""

    _changed = False

    def _add(self) -> Any:
        return self._viewer.add_points(
            np.empty((0, DIMENSIONS)),
            ndim=DIMENSIONS,
            size=12,
            face_color="transparent",
            border_color=self._color,
            border_width=0.15,
            **self._common(DIMENSIONS),
        )

    def grow(self, fresh: Fresh | None, moved: bool) -> None:
        super().grow(fresh, moved)
        self._changed = self._changed or moved

    def update(self, fresh: Fresh) -> bool:
        self._changed = True
        return super().update(fresh)

    @property
    def is_busy(self) -> bool:
        return self._changed

    def _work(self) -> None:
        planes = self.stack.planes
        parts = [self._coordinates(place, planes[place]) for place in self.held if place in planes]
        self.layer.data = np.concatenate(parts) if parts else np.empty((0, DIMENSIONS))
        self._changed = False


class ShapesLayer(_VectorLayer):
    """Outlines, each in its plane."""

    def _add(self) -> Any:
        self._waiting: deque[np.ndarray] = deque()
        return self._viewer.add_shapes(ndim=DIMENSIONS, **self._look, **self._common(DIMENSIONS))

    @property
    def _look(self) -> dict[str, Any]:
        return {"face_color": "transparent", "edge_color": self._color, "edge_width": 2}

    def grow(self, fresh: Fresh | None, moved: bool) -> None:
        super().grow(fresh, moved)
        if moved:
            self._make_anew()

    def update(self, fresh: Fresh) -> bool:
        again = not self.held.isdisjoint(fresh.places)
        super().update(fresh)
        if again:
            self._make_anew()
        else:
            for place in fresh.places:
                self._outline(place)
        return False

    @property
    def is_busy(self) -> bool:
        return bool(self._waiting)

    def _make_anew(self) -> None:
        self._waiting.clear()
        self.layer.selected_data = set(range(self.layer.nshapes))
        self.layer.remove_selected()
        for place in sorted(self.held):
            self._outline(place)

    def _outline(self, place: Place) -> None:
        rows = self.stack.planes.get(place, np.empty((0, 3)))
        numbers, first = np.unique(rows[:, 0], return_index=True)
        for number in numbers[np.argsort(first)]:
            yx = rows[rows[:, 0] == number][:, 1:]
            if np.isfinite(yx).all() and len(np.unique(yx, axis=0)) > 2:
                self._waiting.append(self._coordinates(place, yx))

    def _work(self) -> None:
        portion = [self._waiting.popleft() for _ in range(min(_PORTION, len(self._waiting)))]
        self.layer.add(
            portion,
            shape_type="polygon",
            **self._look,
        )

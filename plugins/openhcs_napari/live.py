"""Lets a viewer of napari follow what comes. All of it for the thread of the window; needs no window itself."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from napari.components import ViewerModel

from openhcs_napari.arrangement import SLIDERS, Axes, label
from openhcs_napari.layers import ImageLayer, LabelsLayer, StackLayer
from openhcs_napari.outlines import PointsLayer, ShapesLayer
from openhcs_napari.planes import Place, Tick
from openhcs_napari.streams import Fresh, Stack, Streams

logger = logging.getLogger(__name__)

_KINDS: Mapping[str, type[StackLayer]] = {
    "image": ImageLayer,
    "labels": LabelsLayer,
    "points": PointsLayer,
    "shapes": ShapesLayer,
}
_GROW_S = 0.2
_THUMBNAILS_S = 1.0


class LiveView:
    """The layers of what has come to a viewer.

    Parameters
    ----------
    viewer : ViewerModel
    streams : Streams

    Attributes
    ----------
    layers : list of StackLayer
    shown : Counter of str
        By stream: how many images can be seen by now.
    following : bool
        Whether the sliders go where the newest image is; ends as soon as the user moves one.
    """

    def __init__(self, viewer: ViewerModel, streams: Streams) -> None:
        self.viewer, self._streams = viewer, streams
        self.layers: list[StackLayer] = []
        self.shown: Counter[str] = Counter()
        self.following = True
        self._known: set[Stack] = set()
        self._axes = Axes()
        self._busy = False
        self._waiting: dict[StackLayer, int] = {}
        self._stale: set[StackLayer] = set()
        self._next_growth = self._next_thumbnails = 0.0
        self._sliders: tuple[Any, ...] = ()
        viewer.dims.events.current_step.connect(self._moved)
        viewer.layers.events.removed.connect(self._removed)

    def tick(self, now: float) -> bool:
        """Take what has come since the last time; whether the picture has changed.

        Parameters
        ----------
        now : float
            Seconds of a clock that goes evenly.
        """
        self._busy = True
        try:
            changed = self._add_layer()  # takes as long as a picture: one at a time
            return changed or self._take(now)
        finally:
            self._busy = False
            self._sliders = self._where()

    def clear(self) -> None:
        """Remove all layers and free their planes."""
        self._busy = True
        try:
            for layer in self.layers:
                self.viewer.layers.remove(layer.layer)
        finally:
            self._busy = False
        self._streams.clear()
        self.layers.clear()
        self._known.clear()
        self._waiting.clear()
        self._stale.clear()
        self._axes = Axes()

    def close(self) -> None:
        """Leave the viewer as it is."""
        self.viewer.dims.events.current_step.disconnect(self._moved)
        self.viewer.layers.events.removed.disconnect(self._removed)

    def place(self) -> str:
        """What is in the picture, for people."""
        for layer in self.layers:
            place = layer.shown_place() if layer.layer.visible else None
            if place is not None:
                missing = layer.stack.begin.kind in ("image", "labels") and place not in layer.stack.planes
                return label(layer.stack.arrangement, place) + (" (not there yet)" if missing else "")
        return ""

    def _add_layer(self) -> bool:
        for stack in self._streams.stacks():
            if stack in self._known or not stack.is_known:
                continue
            self._known.add(stack)
            try:
                fresh = stack.take()
                self._make_room(stack, stack.arrangement.ticks(stack.begin))
                self._make_room(stack, _ticks(fresh))
                self.layers.append(_KINDS[stack.begin.kind](self.viewer, stack, self._axes, fresh))
                if fresh:
                    stack.put_back(fresh)
            except Exception as error:
                self._give_up(stack, error)
            return True
        return False

    def _take(self, now: float) -> bool:
        changed, newest = False, None
        grows = now >= self._next_growth
        for layer in list(self.layers):
            stack = layer.stack
            try:
                fresh = stack.take()
                if fresh is not None:
                    fits = layer.fits(fresh)
                    if not fits and not grows:
                        stack.put_back(fresh)
                        continue
                    if not fits:
                        self._next_growth = now + _GROW_S
                        self._make_room(stack, _ticks(fresh), layer, fresh)
                    changed |= layer.update(fresh) or not fits
                    self._stale.add(layer)
                    self._waiting[layer] = self._waiting.get(layer, 0) + fresh.images
                    newest = layer, fresh.places[-1]
                changed |= layer.go_on(now)
                if not layer.is_busy and layer in self._waiting:
                    self.shown[stack.begin.stream] += self._waiting.pop(layer)
            except Exception as error:
                self._give_up(stack, error)
        if newest and self.following:
            changed |= self._go_to(*newest)
        if not changed:
            self._thumbnail(now)
        return changed

    def _make_room(
        self, stack: Stack, ticks: Sequence[Iterable[Tick]], layer: StackLayer | None = None, fresh: Fresh | None = None
    ) -> None:
        """Add positions to the sliders, without leaving the place that is shown."""
        here = next(((shown, place) for shown in self.layers if (place := shown.shown_place())), None)
        moved = self._axes.add(stack.arrangement, ticks)
        if layer is not None:
            layer.grow(fresh, moved)
        if moved:
            for other in self.layers:
                if other is not layer:
                    other.grow(None, moved)
            if here:
                self._go_to(*here)

    def _go_to(self, layer: StackLayer, place: Place) -> bool:
        """Move the sliders; whether they were elsewhere."""
        dims = self.viewer.dims
        world = layer.world(place)
        count = min(len(world), dims.ndim - 2)
        axes = [dims.ndim - 2 - count + number for number in range(count)]
        wanted = world[len(world) - count :]
        if any(abs(dims.point[axis] - value) > 1e-9 for axis, value in zip(axes, wanted, strict=True)):
            dims.set_point(axes, wanted)
            return True
        return False

    def _thumbnail(self, now: float) -> None:
        """Draw that of one layer, if nothing else is to be drawn."""
        if self._stale and now >= self._next_thumbnails:
            layer = self._stale.pop()
            if layer.layer.visible:
                layer.layer.refresh(data_displayed=False, highlight=False, extent=False)
            if not self._stale:
                self._next_thumbnails = now + _THUMBNAILS_S

    def _give_up(self, stack: Stack, error: Exception) -> None:
        logger.exception("A layer fails.")
        self._streams.notes.append(f"{stack.begin.title or stack.begin.stream}: {error}")
        stack.drop()
        self.layers = [layer for layer in self.layers if layer.stack is not stack]

    def _where(self) -> tuple[Any, ...]:
        dims = self.viewer.dims
        return dims.ndim, dims.nsteps, dims.current_step

    def _moved(self, event: Any = None) -> None:
        """The user has moved a slider, or what there is has changed."""
        now = self._where()
        if not self._busy and self.layers and now[:2] == self._sliders[:2] and now != self._sliders:
            self.following = False
        self._sliders = now

    def _removed(self, event: Any) -> None:
        """The user has removed a layer: what comes for it is not kept."""
        if self._busy:
            return
        for layer in self.layers:
            if layer.layer is event.value:
                layer.stack.drop()
                self._waiting.pop(layer, None)
                self._stale.discard(layer)
        self.layers = [layer for layer in self.layers if layer.layer is not event.value]


def _ticks(fresh: Fresh | None) -> list[set[Tick]]:
    """The positions of what has come, for each slider."""
    return [{place[slider] for place in (fresh.places if fresh else ())} for slider in range(len(SLIDERS))]

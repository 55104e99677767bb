"""Layers of napari that grow with what comes; for the thread of the window."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.components import ViewerModel

from openhcs_napari.arrangement import NAMES, SLIDERS, Axes
from openhcs_napari.colours import channel_of, colormap, limits_of, window_of
from openhcs_napari.planes import Place, PlaneStore, Tick
from openhcs_napari.streams import Fresh, Stack

DIMENSIONS = len(SLIDERS) + 2
"""Most axes that a layer has: sliders, y and x."""

_RANKS = {"Image": 0, "Labels": 1, "Points": 2, "Shapes": 2}

_AXES = (*(NAMES[slider] for slider in SLIDERS), "y", "x")


class StackLayer:
    """The layer of a stack. What all kinds have in common: axes, place in the viewer, what is shown.

    Parameters
    ----------
    viewer : ViewerModel
    stack : Stack
    axes : Axes
        Has all positions that were announced, and those of what has come.
    fresh : Fresh, optional
        What has come; the layer has room for it, but it is not yet in.

    Attributes
    ----------
    layer : napari.layers.Layer
    held : set of Place
        What is in it.
    """

    def __init__(self, viewer: ViewerModel, stack: Stack, axes: Axes, fresh: Fresh | None = None) -> None:
        self._viewer, self.stack, self._axes = viewer, stack, axes
        self.held: set[Place] = set()
        self._ticks: list[set[Tick]] = [set(ticks) for ticks in stack.arrangement.ticks(stack.begin)]
        self._add_ticks(fresh)
        selected = set(viewer.layers.selection)
        self.layer = self._add()
        self._name_axes()
        self._sink()
        if selected:  # what the user works with
            viewer.layers.selection = selected

    def _add(self) -> Any:
        """Add the layer to the viewer."""
        raise NotImplementedError

    def grow(self, fresh: Fresh | None, moved: bool) -> None:
        """Make room for what has come, if anything; positions have other indices now, if they moved."""
        self._add_ticks(fresh)

    def _add_ticks(self, fresh: Fresh | None) -> None:
        for place in fresh.places if fresh else ():
            for ticks, tick in zip(self._ticks, place, strict=True):
                ticks.add(tick)

    def fits(self, fresh: Fresh) -> bool:
        """Whether there is room for what has come."""
        return all(tick in ticks for place in fresh.places for ticks, tick in zip(self._ticks, place, strict=True))

    def update(self, fresh: Fresh) -> bool:
        """Add what has come; whether the picture has changed."""
        self.held.update(fresh.places)
        self.layer.metadata["omero"]["images"] = dict(self.stack.sources)
        return False

    @property
    def is_busy(self) -> bool:
        """Whether something waits for `go_on`."""
        return False

    def go_on(self, now: float) -> bool:
        """Add some of what cannot be added all at once; whether the picture has changed."""
        return False

    def shown(self) -> tuple[int, ...]:
        """Where each slider is, as an index of this layer."""
        point, scale, offset = np.zeros(DIMENSIONS), np.ones(DIMENSIONS), np.zeros(DIMENSIONS)
        there = self._viewer.dims.point[-DIMENSIONS:]
        point[DIMENSIONS - len(there) :] = there
        scale[-self.layer.ndim :], offset[-self.layer.ndim :] = self.layer.scale, self.layer.translate
        return tuple(int(index) for index in np.rint((point - offset) / scale)[: len(SLIDERS)])

    def is_shown(self, place: Place) -> bool:
        """Whether a place is in the picture."""
        dims = self._viewer.dims
        if not self.layer.visible:
            return False
        beside = {axis - dims.ndim + DIMENSIONS for axis in dims.displayed}
        wanted, there = self._axes.indices(self.stack.arrangement, place), self.shown()
        return any(dims.thickness) or all(
            slider in beside or wanted[slider] == there[slider]
            for slider in range(max(0, DIMENSIONS - self.layer.ndim), len(SLIDERS))
        )

    def shown_place(self) -> Place | None:
        """The place in the picture; None if the sliders are beyond this layer."""
        place = []
        for slider, index in enumerate(self.shown()):
            table = list(self._axes.table(self.stack.arrangement, slider))
            if len(table) > 1 and not 0 <= index < len(table) or not table:
                return None
            place.append(table[index] if len(table) > 1 else table[0])
        return tuple(place)

    def world(self, place: Place) -> tuple[float, ...]:
        """Where the sliders have to be to show a place, in the viewer's coordinates."""
        indices = np.array(self._axes.indices(self.stack.arrangement, place), dtype=float)
        count = self.layer.ndim - 2
        used = slice(len(SLIDERS) - count, None)
        indices[used] = indices[used] * self.layer.scale[:count] + self.layer.translate[:count]
        return tuple(indices)

    def _common(self, ndim: int) -> dict[str, Any]:
        begin = self.stack.begin
        metadata = {"omero": {**begin.source, "images": {}}, "stream": begin.stream, "step": begin.step}
        return {"name": self._name(), "metadata": {**metadata, "plate": begin.plate}, **self._axes_of(ndim)}

    def _axes_of(self, ndim: int) -> dict[str, Any]:
        z, y, x = self.stack.voxel_size_um
        unit = "um" if x or y else "pixel"
        scale = (1.0, 1.0, 1.0, z or 1.0, y or x or 1.0, x or y or 1.0)
        units = ("pixel", "pixel", "pixel", "um" if z else "pixel", unit, unit)
        return {"scale": scale[-ndim:], "units": units[-ndim:], "axis_labels": _AXES[-ndim:]}

    def _sink(self) -> None:
        """Images lie below labels, these below points and outlines."""
        layers = self._viewer.layers
        ranks = [_RANKS.get(type(layer).__name__, len(_RANKS)) for layer in layers]
        above = next(place for place, rank in enumerate(ranks) if rank > ranks[-1] or place == len(ranks) - 1)
        if above < len(layers) - 1:
            layers.move(len(layers) - 1, above)

    def _name_axes(self) -> None:
        """Older versions of napari do not name the sliders after the axes of a layer."""
        labels = list(self._viewer.dims.axis_labels)
        labels[-self.layer.ndim :] = _AXES[-self.layer.ndim :]
        if tuple(labels) != tuple(self._viewer.dims.axis_labels):
            self._viewer.dims.axis_labels = tuple(labels)

    def _name(self) -> str:
        begin, arrangement = self.stack.begin, self.stack.arrangement
        values = dict(zip(arrangement.separate, self.stack.layer, strict=True))
        parts = [f"{NAMES[name]} {value}" for name, value in values.items() if name != "channel" and value != ""]
        if "channel" in values:
            several = values["channel"] != 1 or len(begin.values.get("channel", ())) > 1
            name = channel_of(begin, self.stack.channel).name
            parts += [name] if name else [f"channel {values['channel']}"] if several else []
        return ": ".join(filter(None, (begin.title or begin.step or begin.stream, ", ".join(parts))))


class _StoreLayer(StackLayer):
    """Of images or labels: an array that is refreshed only where it is seen."""

    def __init__(self, viewer: ViewerModel, stack: Stack, axes: Axes, fresh: Fresh | None = None) -> None:
        size_yx, dtype = (fresh.size_yx, fresh.dtype) if fresh else (stack.size_yx, stack.dtype)
        assert dtype is not None
        self._size_yx, self._dtype = size_yx, dtype
        self._store = PlaneStore(stack.planes)
        super().__init__(viewer, stack, axes, fresh)

    def fits(self, fresh: Fresh) -> bool:
        return (self._size_yx, self._dtype) == (fresh.size_yx, fresh.dtype) and super().fits(fresh)

    def grow(self, fresh: Fresh | None, moved: bool) -> None:
        super().grow(fresh, moved)
        if fresh is not None:
            self._size_yx, self._dtype = fresh.size_yx, fresh.dtype
        before = self._store.ndim
        self._arrange()
        self.layer.data = self._store
        if self._store.ndim != before:
            for name, value in self._axes_of(self._store.ndim).items():
                setattr(self.layer, name, value)
            self._name_axes()

    def update(self, fresh: Fresh) -> bool:
        super().update(fresh)
        seen = any(map(self.is_shown, fresh.places))
        if seen:
            self.layer.refresh(thumbnail=False, highlight=False, extent=False)
        return seen

    def _arrange(self) -> None:
        first, axes = self._axes.first, []
        for slider, used in enumerate(self._ticks):
            table = self._axes.table(self.stack.arrangement, slider)
            last = max((table[tick] for tick in used), default=0)
            axes.append(list(table)[: last + 1] or [()])
        self._store.arrange(tuple(ticks[0] for ticks in axes[:first]), axes[first:], self._size_yx, self._dtype)


class ImageLayer(_StoreLayer):
    """Pixels of one channel, added to those of the others."""

    def _add(self) -> Any:
        self._arrange()
        stack = self.stack
        channel = channel_of(stack.begin, stack.channel)
        window = channel.window if channel.window and channel.window[0] < channel.window[1] else self._estimate()
        self._provisional = None if window else self._provisional_window()
        layer = self._viewer.add_image(
            self._store,
            **self._common(self._store.ndim),
            rgb=False,
            multiscale=False,
            contrast_limits=window or self._provisional,
            colormap=colormap(stack.begin, stack.channel),
            blending="additive",
        )
        if window:
            layer.contrast_limits_range = limits_of(self._dtype, window)
        return layer

    def update(self, fresh: Fresh) -> bool:
        if self._provisional is not None:
            window = self._estimate()
            if window is not None:
                if tuple(self.layer.contrast_limits) == self._provisional:  # else the user has changed it
                    self.layer.contrast_limits_range = limits_of(self._dtype, window)
                    self.layer.contrast_limits = window
                self._provisional = None
        return super().update(fresh)

    def _estimate(self) -> tuple[float, float] | None:
        """From the first plane that is not all alike."""
        return next(filter(None, (window_of(plane) for plane in list(self.stack.planes.values())[:4])), None)

    def _provisional_window(self) -> tuple[float, float]:
        whole = self._dtype.kind in "iu"
        return (0.0, float(np.iinfo(self._dtype).max) if whole else 1.0)


class LabelsLayer(_StoreLayer):
    """Numbered objects."""

    def _add(self) -> Any:
        self._arrange()
        layer = self._viewer.add_labels(self._store, **self._common(self._store.ndim), opacity=0.5)
        layer.editable = False
        return layer

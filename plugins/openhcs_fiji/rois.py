"""Points and outlines, as ROIs over the images that they belong to."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from openhcs_core.plate import PlaneAddress
from openhcs_core.streaming.messages import Begin, End, Image
from openhcs_fiji.window import HyperstackWindow

PATIENCE_S = 1.0
"""So long they wait for an image to lie over."""

COLORS = ((1.0, 1.0, 0.0), (0.0, 1.0, 1.0), (1.0, 0.0, 1.0), (1.0, 0.5, 0.0))
"""Of channels that come without."""


class RoiSink:
    """Takes the points or outlines of one stream.

    They go over the window of the same plate with the same coordinates: the one of the same step, else the one that
    came last. Where there is none they get a blank window of their own. Those of a stream which has one z (or time)
    are seen in all slices (or frames).

    Parameters
    ----------
    jpype : module
    begin : Begin

    Attributes
    ----------
    displayed : int
        Images of this stream whose ROIs are over a window that is open.
    """

    def __init__(self, jpype: Any, begin: Begin) -> None:
        self.begin = begin
        self._jpype = jpype
        self._everywhere = tuple(name for name, values in begin.values.items() if len(values) == 1)
        self._incoming = np.empty((0, 2))
        self._waiting: list[tuple[float, PlaneAddress, np.ndarray]] = []
        self._placed: dict[PlaneAddress, tuple[HyperstackWindow, list[Any]]] = {}
        self._taken: dict[HyperstackWindow, int] = {}
        self._lock = threading.Lock()

    # The receiver's thread

    def target(self, image: Image) -> np.ndarray:
        self._incoming = np.empty(image.shape, image.dtype)
        return self._incoming

    def received(self, image: Image) -> None:
        with self._lock:
            self._waiting.append((time.monotonic(), image.address, self._incoming))

    def end(self, end: End) -> None:
        pass

    # The main thread

    @property
    def displayed(self) -> int:
        return sum(count for window, count in self._taken.items() if window.state == "open")

    def place(
        self, windows: Iterable[HyperstackWindow], own: Callable[[Begin, PlaneAddress], HyperstackWindow]
    ) -> None:
        """Put what has come over the windows it belongs to.

        Parameters
        ----------
        windows : iterable of HyperstackWindow
            All there are, the oldest first.
        own : callable
            ``own(begin, address)`` gives a blank window.
        """
        with self._lock:
            waiting, self._waiting = self._waiting, []
        known = list(windows) if waiting else []
        for since, address, array in waiting:
            window = self._owner(known, address)
            if window is None and time.monotonic() < since + PATIENCE_S:
                with self._lock:
                    self._waiting.append((since, address, array))
                continue
            if window is None:
                window = own(self._blank(array), address)
                known.append(window)
            old_window, old = self._placed.pop(address, (window, []))
            if old:
                old_window.overlay = [entry for entry in old_window.overlay if entry[0] not in old]
                old_window.overlay_changed = True
            rois = self._rois(array, address)
            window.overlay += [(roi, address, self._everywhere) for roi in rois]
            window.overlay_changed = True
            self._placed[address] = window, rois
            self._taken[window] = self._taken.get(window, 0) + 1

    def forget(self) -> None:
        """All windows are gone."""
        self._placed.clear()
        self._taken.clear()

    def _owner(self, windows: Iterable[HyperstackWindow], address: PlaneAddress) -> HyperstackWindow | None:
        fitting = [
            window
            for window in windows
            if window.begin.plate == self.begin.plate
            and (window.begin.kind != self.begin.kind or window.begin.stream == self.begin.stream)
            and window.begin.kind in ("image", "labels", self.begin.kind)
            and all(getattr(address, name) == value for name, value in window.key.items() if name != "channel")
        ]
        same_step = [window for window in fitting if window.begin.step == self.begin.step]
        images = [window for window in same_step or fitting if window.begin.kind == "image"]
        best = images or same_step or fitting
        return best[-1] if best else None

    def _blank(self, array: np.ndarray) -> Begin:
        high = np.nanmax(array[:, -2:], axis=0, initial=0)
        height, width = (int(min(max(value, 63), 16383)) + 1 for value in high)
        return replace(self.begin, dtype="uint8", size_yx=(height, width), channels=(), images=None, values={})

    def _rois(self, array: np.ndarray, address: PlaneAddress) -> list[Any]:
        points = array[np.isfinite(array).all(axis=1)].astype(np.float64)
        if not len(points):
            return []
        if self.begin.kind == "points":
            rois = [self._points(points)]
        else:
            numbers = points[:, 0]
            order = np.argsort(numbers, kind="stable")
            cuts = np.flatnonzero(np.diff(numbers[order])) + 1
            rois = [self._outline(part) for part in np.split(points[order], cuts)]
        channels = self.begin.channels
        color = channels[address.channel - 1].color if 0 < address.channel <= len(channels) else None
        made = self._jpype.JClass("java.awt.Color")(*(color or COLORS[(address.channel - 1) % len(COLORS)]))
        for roi in rois:
            roi.setStrokeColor(made)
        return rois

    def _points(self, points: np.ndarray) -> Any:
        kind = self._jpype.JClass("ij.gui.PointRoi")
        roi = kind(*self._xy(points), len(points))
        roi.setPointType(3)  # a circle
        roi.setSize(2)
        return roi

    def _outline(self, part: np.ndarray) -> Any:
        roi = self._jpype.JClass("ij.gui.PolygonRoi")
        made = roi(*self._xy(part), len(part), self._jpype.JClass("ij.gui.Roi").POLYGON)
        made.setName(f"{part[0, 0]:g}")
        return made

    def _xy(self, points: np.ndarray) -> tuple[Any, Any]:
        """Positions for ImageJ, where a whole number is the corner of a pixel and not its centre."""
        floats = self._jpype.JArray(self._jpype.JFloat)
        return floats((points[:, -1] + 0.5).astype(np.float32)), floats((points[:, -2] + 0.5).astype(np.float32))

"""One window of ImageJ, which shows a hyperstack while it grows. All of it belongs to the main thread."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Any

from openhcs_core.plate import PlaneAddress
from openhcs_core.streaming.messages import Begin, Channel, Value
from openhcs_fiji.awt import PATIENCE_S, on_screen
from openhcs_fiji.hyperstack import Blanks, Hyperstack
from openhcs_fiji.luts import Luts
from openhcs_fiji.mapping import Dimensions, Place, text_of
from openhcs_fiji.pixels import Copier, Heap

logger = logging.getLogger(__name__)

GROWTH_S = 0.2
"""A window grows at most so often, and takes at most a tenth of the time for it."""

Bounds = tuple[int, int, int, int]


class HyperstackWindow:
    """A window, open or not.

    What the user does in it is kept: contrast, colours, position, zoom. "Follow newest" ends when the user moves a
    slider. A window that is closed stays in memory, takes images and can be opened again.

    Parameters
    ----------
    jpype : module
    begin : Begin
    dimensions : Dimensions
    key : sequence
        Values of the components that make windows.
    copier : Copier
        Of the main thread.
    heap : Heap
    blanks : Blanks

    Attributes
    ----------
    title : str
    hyperstack : Hyperstack
    imp : ij.ImagePlus or None
        While it is open.
    state : {"in memory", "open", "closed"}
    follow : bool
    overlay : list of (ij.gui.Roi, PlaneAddress, names of components)
        What lies over it, where, and the components that do not matter for where.
    overlay_changed : bool
        Whether it must be drawn anew.
    displayed : int
        Images that have been drawn, or are behind the one that is.
    """

    def __init__(
        self,
        jpype: Any,
        begin: Begin,
        dimensions: Dimensions,
        key: Sequence[Value],
        copier: Copier,
        heap: Heap,
        blanks: Blanks,
    ) -> None:
        self._jpype, self.begin, self.key = jpype, begin, dict(zip(dimensions.separate, key, strict=True))
        self.hyperstack = Hyperstack(jpype, begin, dimensions, heap)
        self.title = _title(begin, self.key)
        self.state = "in memory"
        self.follow = True
        self.displayed = 0
        self.imp: Any = None
        self.overlay: list[tuple[Any, PlaneAddress, Sequence[str]]] = []
        self.overlay_changed = False
        self._copier, self._blanks, self._luts = copier, blanks, Luts(jpype)
        self._ij = jpype.JClass("ij.IJ")
        self._ranges: list[tuple[float, float]] = []
        self._at = Place(1, 1, 1)
        self._drawn_overlay: list[Any] = []
        self._bounds: Bounds | None = None
        self._next_layout = 0.0
        self._sources = 0

    def open(self, bounds: Bounds | None = None) -> None:
        """Show it, with what has come so far.

        Parameters
        ----------
        bounds : (x, y, width, height), optional
            Where, else where ImageJ likes.
        """
        if self.hyperstack.count == 0 or self.imp is not None:
            return
        if self.hyperstack.stale:
            self.hyperstack.lay_out(self._copier, self._blanks)
        self._bounds = bounds
        self._show()

    def bring(self) -> None:
        """Open it, or bring it to the front."""
        imp = self.imp
        if imp is not None and imp.getWindow() is not None:
            imp.getWindow().toFront()
            return
        if imp is not None:
            self._part()
        self.open()

    def tick(self, may_draw: bool = True) -> None:
        """Draw what is new, if it can be seen. Called 25 times a second."""
        if self.imp is None:
            return
        if self.imp.getWindow() is None:
            self._part()
            return
        if not self._untouched():
            self.hyperstack.notes.append(
                "It was changed by hand and is yours now. What still comes can be opened from the list."
            )
            self._part()
            return
        if not may_draw:
            return
        at = self._position()
        if (at.z, at.t) != (self._at.z, self._at.t):
            self.follow = False
        self._at = at
        stack = self.hyperstack
        if stack.stale:
            if time.monotonic() < self._next_layout:
                return
            self._grow()
        received, changed = stack.received, stack.changes()
        if changed:
            self._adjust_ranges()
            self._draw(changed)
        if self.overlay_changed:
            self._draw_overlay()
        self.displayed = received

    def close(self) -> None:
        """Close it and drop the pixels."""
        if self.imp is not None:
            imp, self.imp = self.imp, None
            imp.changes = False
            on_screen(self._jpype, imp.close, PATIENCE_S)

    def _part(self) -> None:
        """Let go of the image: its stack is the user's, or emptied by ImageJ."""
        self.hyperstack.stale = True
        self.imp, self.state, self._drawn_overlay = None, "closed", []

    def _untouched(self) -> bool:
        """Whether the image is still the one that was shown: no crop, no other type, no slice deleted."""
        imp, shape, stack = self.imp, self.hyperstack.laid_out.shape, self.hyperstack.stack
        if shape == (1, 1, 1):  # no stack for ImageJ
            return bool(imp.getStackSize() == 1 and imp.getProcessor().getPixels() == stack.getPixels(1))
        size = (int(imp.getNChannels()), int(imp.getNSlices()), int(imp.getNFrames()))
        return size == shape and bool(imp.getStack() == stack)

    def _position(self) -> Place:
        return Place(int(self.imp.getC()), int(self.imp.getZ()), int(self.imp.getT()))

    def _show(self) -> None:
        shape = self.hyperstack.laid_out.shape
        imp = self._jpype.JClass("ij.ImagePlus")(self._unique(self.title), self.hyperstack.stack)
        imp.setDimensions(*shape)
        if shape.c > 1:
            composite = self._jpype.JClass("ij.CompositeImage")
            imp = composite(imp, composite.COMPOSITE if shape.c <= int(composite.MAX_CHANNELS) else composite.COLOR)
        imp.setOpenAsHyperStack(shape.c * shape.z * shape.t > 1)
        self._set_calibration(imp)
        self.imp = imp
        self._set_info()
        styles = [self._style(c) for c in range(shape.c)]
        self._ranges = [(style.min, style.max) for style in styles]
        self._set_luts(styles)
        imp.show()
        if self._bounds is not None:
            imp.getWindow().setLocationAndSize(*self._bounds)
        self.state = "open"
        changed = self.hyperstack.changes()
        self._at = self._position()
        if changed:
            self._draw(changed)
        self.overlay_changed = True
        self._draw_overlay()
        self.displayed = self.hyperstack.received

    def _unique(self, title: str) -> str:
        return str(self._jpype.JClass("ij.WindowManager").makeUniqueName(title))

    def _grow(self) -> None:
        """Lay the stack out anew; the window, its position and what the user chose stay."""
        begun = time.monotonic()
        before, channels = self.hyperstack.laid_out.address(self._position()), self.hyperstack.laid_out.shape.c
        styles = self._styles_now()
        self.hyperstack.lay_out(self._copier, self._blanks)
        shape = self.hyperstack.laid_out.shape
        if shape.c == channels:
            self.imp.setOpenAsHyperStack(True)
            self.imp.setStack(self.hyperstack.stack, *shape)
            self._set_luts(styles)
        else:
            old, place = self.imp, self.imp.getWindow().getLocation()
            old.changes = False
            on_screen(self._jpype, old.hide, PATIENCE_S)
            self._show()
            if self._bounds is None:
                self.imp.getWindow().setLocation(place)
            if channels > 1:
                self._set_luts([*styles, *map(self._style, range(channels, shape.c))])
        now = self.hyperstack.laid_out.place(before)
        if now is not None:
            self.imp.setPosition(*now)
        self._at = self._position()
        self.overlay_changed = True
        self._next_layout = time.monotonic() + max(GROWTH_S, 10 * (time.monotonic() - begun))

    def _draw(self, changed: Sequence[PlaneAddress]) -> None:
        """Draw what is shown, if it changed; go to the newest, if that is wanted."""
        imp = self.imp
        places = {place for address in changed if (place := self.hyperstack.laid_out.place(address)) is not None}
        newest = self.hyperstack.laid_out.place(changed[-1])
        composite = self.hyperstack.laid_out.shape.c > 1
        if composite:
            imp.reset()
        if self.follow and newest is not None and (newest.z, newest.t) != (self._at.z, self._at.t):
            imp.setPosition(self._at.c, newest.z, newest.t)
            self._at = self._position()
        elif any((place.z, place.t) == (self._at.z, self._at.t) for place in places):
            imp.updateAndDraw()
        if len(self.hyperstack.sources) != self._sources:
            self._set_info()

    # Colours and contrast

    def _channel(self, c: int) -> tuple[int | None, Channel | None]:
        """The channel that is shown as the one at an index from 0: its number, and what is known of it."""
        values = self.hyperstack.laid_out.values("channel") if self.hyperstack.laid_out.axes["C"] else []
        value = values[c] if c < len(values) else self.key.get("channel")
        if value is None:
            return None, None
        known = self.begin.channels
        return int(value), known[int(value) - 1] if 0 < int(value) <= len(known) else None

    def _style(self, c: int) -> Any:
        """The lookup table with the range of values for an index from 0."""
        number, channel = self._channel(c)
        if self.hyperstack.labels:
            lut = self._luts.labels()
        else:
            lut = self._luts.of(channel, c, self.hyperstack.laid_out.shape.c)
            if channel is not None and channel.lut and self._luts.named(channel.lut) is None:
                note = f"ImageJ has no lookup table {channel.lut!r}; the colour of the channel is shown."
                if note not in self.hyperstack.notes:
                    self.hyperstack.notes.append(note)
        return self._luts.with_range(lut, *self._wanted(number, channel))

    def _wanted(self, number: int | None, channel: Channel | None) -> tuple[float, float]:
        if channel is not None and channel.window is not None and not self.hyperstack.labels:
            return channel.window
        measured = dict(self.hyperstack.limits)
        found = [measured[number]] if number in measured else list(measured.values()) if number is None else []
        low, high = min((low for low, _ in found), default=0.0), max((high for _, high in found), default=255.0)
        return low, high if high > low else low + 1

    def _styles_now(self) -> list[Any]:
        """Tables and ranges as they are on the screen."""
        if self.hyperstack.laid_out.shape.c > 1:
            return [lut.clone() for lut in self.imp.getLuts()]
        lut = self.imp.getProcessor().getLut()
        return [self._luts.with_range(lut, self.imp.getDisplayRangeMin(), self.imp.getDisplayRangeMax())]

    def _set_luts(self, styles: Sequence[Any]) -> None:
        if len(styles) > 1:
            self.imp.setLuts(self._jpype.JArray(self._jpype.JClass("ij.process.LUT"))(list(styles)))
        else:
            self.imp.setLut(styles[0])
            self.imp.setDisplayRange(styles[0].min, styles[0].max)

    def _adjust_ranges(self) -> None:
        """Follow values that are brighter or darker than before, where the user has not chosen the range."""
        wanted = [self._wanted(*self._channel(c)) for c in range(len(self._ranges))]
        if wanted == self._ranges:
            return
        styles = self._styles_now()
        for c, (style, last, now) in enumerate(zip(styles, self._ranges, wanted, strict=True)):
            if (style.min, style.max) == last:
                styles[c] = self._luts.with_range(style, *now)
        self._ranges = wanted
        self._set_luts(styles)

    # What the image is

    def _set_calibration(self, imp: Any) -> None:
        calibration = imp.getCalibration()
        z, y, x = self.begin.voxel_size_um
        if x is not None and y is not None:
            calibration.pixelWidth, calibration.pixelHeight = x, y
            calibration.pixelDepth = z if z is not None else 1.0
            calibration.setUnit("micron")

    def _set_info(self) -> None:
        begin, sources = self.begin, sorted(self.hyperstack.sources)
        self._sources = len(sources)
        facts = {
            "Plate": begin.plate,
            "Step": begin.step,
            "Title": begin.title,
            **{name.replace("_", " ").capitalize(): value for name, value in self.key.items()},
            "Stream": begin.stream,
            **{f"OMERO {kind}": value for kind, value in begin.source.items()},
            "OMERO images": ", ".join(map(str, sources)),
            "Pixels": " ".join(self.hyperstack.conversions),
        }
        self.imp.setProperty("Info", "".join(f"{name}: {value}\n" for name, value in facts.items() if value != ""))

    # Points and outlines

    def _draw_overlay(self) -> None:
        """Put ROIs over the image; those that the user has put there stay."""
        overlay = self.imp.getOverlay()
        if overlay is None:
            if not self.overlay:
                self.overlay_changed = False
                return
            overlay = self._jpype.JClass("ij.gui.Overlay")()
        for roi in self._drawn_overlay:
            overlay.remove(roi)
        laid_out, shape = self.hyperstack.laid_out, self.hyperstack.laid_out.shape
        for roi, address, everywhere in self.overlay:
            place = laid_out.place(address)
            z = place.z if place is not None and shape.z > 1 and "z_index" not in everywhere else 0
            t = place.t if place is not None and shape.t > 1 and "timepoint" not in everywhere else 0
            if sum(size > 1 for size in shape) > 1:
                roi.setPosition(0, z, t)
            else:
                roi.setPosition(max(z, t))  # of what ImageJ calls a stack, not a hyperstack
            overlay.add(roi)
        self._drawn_overlay = [entry[0] for entry in self.overlay]
        self.overlay_changed = False
        self.imp.setOverlay(overlay)


def _title(begin: Begin, key: dict[str, Value]) -> str:
    """Title of a window, such as "Plate 1 B03 s2 - Threshold"."""
    where = " ".join(part for part in (begin.plate, text_of(key, begin)) if part)
    what = begin.step or begin.title
    return " - ".join(part for part in (where, what) if part) or begin.stream

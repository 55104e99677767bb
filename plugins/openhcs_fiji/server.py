"""The viewer: what comes, in windows of ImageJ."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from openhcs_core.plate import PlaneAddress
from openhcs_core.streaming.errors import StreamingError
from openhcs_core.streaming.messages import Begin, End, Image, Progress, Value
from openhcs_core.streaming.receiver import Receiver, Sink
from openhcs_fiji.hyperstack import Blanks
from openhcs_fiji.mapping import Dimensions, Places
from openhcs_fiji.panel import PANEL, Panel, Row
from openhcs_fiji.pixels import Copier, Heap
from openhcs_fiji.rois import RoiSink
from openhcs_fiji.window import Bounds, HyperstackWindow

logger = logging.getLogger(__name__)

TICK_S = 0.04
STATUS_S = 0.25
MAX_OPEN = 12
"""So many windows open by themselves; more stay in memory until they are asked for."""

TOP = 110
"""Pixels at the top of the screen that are left to ImageJ's own window, where windows stand in a grid."""

WindowKey = tuple[str, tuple[Value, ...]]
"""A stream, and the values of its components that make windows."""


class FijiViewerServer:
    """Shows streams in ImageJ.

    The methods of a `Viewer` and its sinks are called in the receiver's thread, everything else in the main thread,
    and what the user asks for in the panel reaches it through a queue.

    Parameters
    ----------
    jpype : module
        With Java started.
    title : str
        Of the panel.

    Attributes
    ----------
    hyperstacks : dict of WindowKey to HyperstackWindow
    stopping : threading.Event
        Set once this program is asked to end.
    """

    def __init__(self, jpype: Any, title: str = "") -> None:
        self._jpype = jpype
        self._title = title
        self._ij = jpype.JClass("ij.IJ")
        self._heap, self._copier, self._arriving = Heap(jpype), Copier(jpype), Copier(jpype)
        self._blanks = Blanks(self._heap)
        self._rois: list[RoiSink] = []
        self._notes: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._wishes: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self._told: dict[str, int] = {}
        self._gone: dict[str, int] = {}
        self._panel: Panel | None = None
        self._progress = ""
        self._status = ""
        self._speed = _Speed()
        self._paused = False
        self._full = False
        self.hyperstacks: dict[WindowKey, HyperstackWindow] = {}
        self.stopping = threading.Event()

    # The receiver's thread

    def begin(self, begin: Begin) -> Sink:
        """A stream begins."""
        thread = self._jpype.JClass("java.lang.Thread")
        if not thread.isAttached():
            thread.attachAsDaemon()
        if begin.kind in ("points", "shapes"):
            sink = RoiSink(self._jpype, begin)
            self._rois.append(sink)
            return sink
        return _ImageSink(self, begin)

    def progress(self, progress: Progress) -> None:
        """How far a run is."""
        count = f" {progress.done} of {progress.total} {progress.unit}".rstrip() if progress.total else ""
        self._progress = " ".join(part for part in (progress.subject, progress.what + count) if part)

    def shutdown(self, reason: str) -> None:
        """Somebody asks this program to end."""
        logger.info("Asked to end: %s", reason)
        self.stopping.set()

    def window(self, begin: Begin, dimensions: Dimensions, address: PlaneAddress) -> HyperstackWindow:
        """The window of an image, made if there is none yet."""
        key = begin.stream, dimensions.window(address)
        window = self.hyperstacks.get(key)
        if window is None:
            window = HyperstackWindow(self._jpype, begin, dimensions, key[1], self._copier, self._heap, self._blanks)
            self.hyperstacks[key] = window
        return window

    def take(self, window: HyperstackWindow, image: Image) -> None:
        """The pixels of an image are where `place_for` said."""
        window.hyperstack.take(image, self._arriving)

    def place_for(self, image: Image) -> np.ndarray:
        """The array for the pixels of the next image."""
        return self._arriving.array(image.shape, image.dtype)

    def note(self, text: str) -> None:
        """Tell the user, in the Log window. Any thread."""
        self._notes.put(text)

    # The main thread

    def open(self) -> None:
        """Open ImageJ and the panel."""
        imagej = self._jpype.JClass("ij.ImageJ")
        main = imagej(imagej.EMBEDDED)  # quitting it leaves this process alive
        if self._title:
            main.setTitle(f"ImageJ - {self._title}")
        self._panel = Panel(self._jpype, self._wishes, self._title)

    def run(self, receiver: Receiver) -> None:
        """Show what comes until ImageJ is quit or somebody asks for the end."""
        failures: set[str] = set()
        while not self.stopping.wait(TICK_S) and self._ij.getInstance() is not None:
            try:
                self.tick(receiver)
            except Exception as error:  # one window must not take the others along
                if self._ij.getInstance() is not None and str(error) not in failures:  # else it was just being quit
                    failures.add(str(error))
                    logger.exception("The viewer fails.")
                    self.note(f"Something is not shown as it should be: {error}")

    def tick(self, receiver: Receiver) -> None:
        """Draw what is new."""
        while not self._wishes.empty():
            self._grant(*self._wishes.get(), receiver)
        for sink in self._rois:
            sink.place(list(self.hyperstacks.values()), self._blank_window)
        for window in list(self.hyperstacks.values()):
            if window.state == "in memory" and window.hyperstack.count and not self._paused:
                self._open_by_itself(window)
            window.tick(may_draw=not self._paused)
            while window.hyperstack.notes:
                self.note(f"{window.title}: {window.hyperstack.notes.pop(0)}")
        self._tell_displayed(receiver)
        self._log()
        if self._speed.is_due():
            self._show_status(receiver)

    def _log(self) -> None:
        manager, name = self._jpype.JClass("ij.WindowManager"), "Log"
        while not self._notes.empty():
            is_new = manager.getWindow(name) is None
            self._ij.log(f"OpenHCS: {self._notes.get()}")
            window = manager.getWindow(name)
            if is_new and window is not None and self._jpype.JClass("ij.Prefs").getLocation("log.loc") is None:
                screen, (width, height) = self._ij.getScreenSize(), PANEL
                window.setBounds(screen.width - width, screen.height - height - 200, width - 10, 190)

    def _open_by_itself(self, window: HyperstackWindow) -> None:
        count = sum(other.state == "open" for other in self.hyperstacks.values())
        if count < MAX_OPEN:
            window.open(self._bounds(window, count))
        elif not self._full:
            self._full = True
            self.note(
                f"{count} windows are open. What else comes is kept in memory: choose it in the list of the window "
                "'Live images' and press Open."
            )

    def _bounds(self, window: HyperstackWindow, count: int) -> Bounds | None:
        """Where a window goes if there are going to be several: its cell of a grid, left of the panel."""
        expected = Dimensions(window.begin).windows(window.begin.values)
        if expected == 1 or (expected is None and count == 0):
            return None
        cells = MAX_OPEN if expected is None else min(MAX_OPEN, max(expected, count + 1))
        screen = self._ij.getScreenSize()
        across, down = max(screen.width - PANEL[0], screen.width // 2), screen.height - TOP
        columns = 1
        while columns * columns * down < cells * across:
            columns += 1
        width, height = across // columns, down // -(-cells // columns)
        row, column = divmod(count, columns)
        return column * width, TOP + row * height, width - 4, height - 4

    def _blank_window(self, begin: Begin, address: PlaneAddress) -> HyperstackWindow:
        assert begin.size_yx is not None
        window = self.window(begin, Dimensions(begin), address)
        array = self._copier.array(begin.size_yx, "uint8")
        array[:] = 0
        image = Image(
            stream=begin.stream, seq=1, shape=begin.size_yx, dtype="uint8", nbytes=array.size, **address._asdict()
        )
        window.hyperstack.take(image, self._copier)
        return window

    def _tell_displayed(self, receiver: Receiver) -> None:
        displayed = dict(self._gone)
        for (stream, _), window in list(self.hyperstacks.items()):
            if window.begin.kind in ("image", "labels"):
                displayed[stream] = displayed.get(stream, 0) + window.displayed
        for sink in self._rois:
            displayed[sink.begin.stream] = displayed.get(sink.begin.stream, 0) + sink.displayed
        for stream, count in displayed.items():
            if self._told.get(stream, 0) != count:
                self._told[stream] = count
                receiver.displayed(stream, count)

    def _show_status(self, receiver: Receiver) -> None:
        state = receiver.state()
        total = sum(stream.images or 0 for stream in state.streams)
        done = f"{state.received} of {total} images" if total >= state.received else f"{state.received} images"
        speed = self._speed.of(state.nbytes)
        parts = [done, f"{state.displayed} displayed"]
        parts += [f"{speed:.0f} MB/s"] if speed else []
        parts += [f"{state.failed} failed"] if state.failed else []
        parts += [self._progress] if self._progress else []
        parts += ["drawing is paused"] if self._paused else []
        status = ", ".join(parts)
        if status != self._status and state.received:
            self._status = status
            self._ij.showStatus(status)
            if total:
                self._ij.showProgress(min(1.0, state.received / total))
        if self._panel is not None:
            address = receiver.endpoint or "nowhere"
            windows = list(self.hyperstacks.values())
            self._panel.update(
                f"Listening at {address}. Publishers: {state.publishers}",
                status,
                [
                    Row(window.title, f"{window.hyperstack.count} / {window.hyperstack.total}", window.state)
                    for window in windows
                ],
                all(window.follow for window in windows),
            )

    def _grant(self, wish: str, what: Any, receiver: Receiver) -> None:
        """Do what the user asks for in the panel."""
        windows = list(self.hyperstacks.values())
        if wish == "open":
            for row in what:
                if row < len(windows):
                    windows[row].bring()
        elif wish == "follow":
            for window in windows:
                window.follow = what
        elif wish == "pause":
            self._paused = what
        elif wish == "clear":
            self._clear()
        elif wish == "replay":
            self._clear()
            self._gone.clear()
            self._told.clear()
            receiver.replay()

    def _clear(self) -> None:
        """Close all windows and drop their images; what comes later opens windows again."""
        self._full = False
        self._blanks = Blanks(self._heap)
        windows, self.hyperstacks = self.hyperstacks, {}
        for sink in self._rois:
            self._gone[sink.begin.stream] = self._gone.get(sink.begin.stream, 0) + sink.displayed
            sink.forget()
        for (stream, _), window in windows.items():
            if window.begin.kind in ("image", "labels"):
                self._gone[stream] = self._gone.get(stream, 0) + window.displayed
            window.close()


class _ImageSink:
    """Takes the images or labels of one stream, in the receiver's thread."""

    def __init__(self, server: FijiViewerServer, begin: Begin) -> None:
        self._server, self._begin = server, begin
        self._dimensions = Dimensions(begin)
        Places(self._dimensions, begin.values)  # refuses what is too much
        self._failed: set[str] = set()

    def target(self, image: Image) -> np.ndarray:
        if 0 in image.shape:
            raise StreamingError("It has no pixels.")
        return self._server.place_for(image)

    def received(self, image: Image) -> None:
        try:
            self._server.take(self._server.window(self._begin, self._dimensions, image.address), image)
        except Exception as error:
            if str(error) not in self._failed:
                self._failed.add(str(error))
                self._server.note(f"{image.address.stem} of {self._begin.stream} is not shown: {error}")
            raise

    def end(self, end: End) -> None:
        if end.undelivered or end.aborted:
            how = "broke off" if end.aborted else "ended"
            self._server.note(f"{end.stream} {how}: {end.delivered} of {end.images} images were delivered.")


@dataclass
class _Speed:
    """Megabytes per second, between two looks."""

    seen: float = 0.0
    nbytes: int = 0
    clock: Callable[[], float] = time.monotonic

    def is_due(self) -> bool:
        return self.clock() >= self.seen + STATUS_S

    def of(self, nbytes: int) -> float:
        now = self.clock()
        speed = (nbytes - self.nbytes) / (now - self.seen) / 1e6
        self.seen, self.nbytes = now, nbytes
        return speed

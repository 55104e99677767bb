"""A viewer of napari that takes results: receiver, timer, and what the window shows of them."""

from __future__ import annotations

import logging
import time
import weakref
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from qtpy.QtCore import QTimer
from qtpy.QtOpenGLWidgets import QOpenGLWidget
from qtpy.QtWidgets import QApplication

from openhcs_core.streaming.messages import State
from openhcs_core.streaming.receiver import Receiver
from openhcs_core.streaming.security import CurveKeys, key_from_text
from openhcs_core.streaming.sockets import Server
from openhcs_core.streaming.viewer_process import ViewerOptions, address_of, make_receiver
from openhcs_napari.activity import Activity
from openhcs_napari.live import LiveView
from openhcs_napari.streams import Streams

if TYPE_CHECKING:
    from napari.viewer import Viewer

logger = logging.getLogger(__name__)

TICK_MS = 33
_PAINT_S = 0.5
"""After so long without a picture the window is taken for hidden."""
_REST = 3
"""After a picture, so many times as long as it took is left to what comes: images arrive faster with fewer pictures."""
_MOST_REST_S = 0.15
_FACTS_S = 0.25
_RATE_S = 2.0

_sessions: weakref.WeakKeyDictionary[Viewer, Session] = weakref.WeakKeyDictionary()


def session_of(viewer: Viewer) -> Session:
    """The session of a viewer, made by the first call."""
    viewer = getattr(viewer, "__wrapped__", viewer)  # napari gives widgets a proxy
    if viewer not in _sessions:
        _sessions[viewer] = Session(viewer)
    return _sessions[viewer]


class Session:
    """Results in one window. All methods are for the thread of the window.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    streams : Streams, optional
        Of a receiver that there is already; see `adopt`.
    end : callable, optional
        For a window of our own: called with the reason when somebody asks this viewer to end. Without it, asked so,
        the session stops to receive.

    Attributes
    ----------
    live : LiveView
    streams : Streams
    receiver : Receiver or None
    keys : CurveKeys or None
        Of the receiver.
    paused : bool
    rate : float
        Bytes per second, lately.
    """

    def __init__(
        self, viewer: Viewer, streams: Streams | None = None, end: Callable[[str], None] | None = None
    ) -> None:
        self._viewer, self._end = viewer, end
        self._own_window = end is not None
        self.streams = streams or Streams()
        self.live = LiveView(viewer, self.streams)
        self.receiver: Receiver | None = None
        self.keys: CurveKeys | None = None
        self.paused = False
        self.rate = 0.0
        self._state = State()
        self._facts_at = 0.0
        self._history: deque[tuple[float, int]] = deque()
        self._activity = Activity()
        self._undrawn: tuple[float, dict[str, int]] | None = None
        self._rest_until = 0.0
        self._notes = _Notes(self.streams)
        self._window = viewer.window._qt_window
        for canvas in self._window.findChildren(QOpenGLWidget):
            canvas.frameSwapped.connect(self._drawn)
        self._window.destroyed.connect(self.close)
        application = QApplication.instance()
        assert application is not None
        application.aboutToQuit.connect(self.close)
        self._timer: QTimer | None = QTimer()
        self._timer.setInterval(TICK_MS)
        self._timer.timeout.connect(self._tick)
        self._timer.start()
        _sessions[viewer] = self

    @property
    def address(self) -> str:
        """Where publishers come to, with the key; "" if it does not listen."""
        return (address_of(self.receiver, self.keys) if self.receiver else None) or ""

    @property
    def state(self) -> State:
        """Counts of what has come."""
        return self._state

    def start(self, options: ViewerOptions) -> None:
        """Begin to receive.

        Raises
        ------
        StreamingError
            If that cannot be: the port is taken, the address makes no sense.
        """
        self.stop()
        self.adopt(*make_receiver(self.streams, "napari", options, displays=True))

    def adopt(self, receiver: Receiver, keys: CurveKeys | None) -> None:
        """Go on with a receiver that fills the streams of this session."""
        self.receiver, self.keys = receiver, keys
        self.live.shown.clear()

    def stop(self) -> None:
        """Stop to receive; what has come stays."""
        if self.receiver is not None:
            self.receiver.close()
            self.receiver = self.keys = None
            self.paused = False

    def connect(self, text: str) -> None:
        """Connect to a publisher that listens, by its address with key.

        Raises
        ------
        StreamingError
            If it makes no sense, or needs keys that this viewer does not have.
        """
        server = Server.from_text(text)
        if self.receiver is None:
            self.start(ViewerOptions(listen=None, connect=[server]))
        else:
            self.receiver.connect(server.endpoint, server.public_key)

    def allow(self, text: str) -> None:
        """Let a publisher in by its public key.

        Raises
        ------
        SecurityError
            If it is none, or connections are not encrypted.
        """
        if self.receiver is not None:
            self.receiver.allow(key_from_text(text))

    def pause(self, paused: bool) -> None:
        """Take no more images until told otherwise."""
        if self.receiver is not None:
            self.receiver.pause(paused)
            self.paused = paused

    def clear(self) -> None:
        """Remove all layers of results."""
        self.live.clear()

    def replay(self) -> None:
        """Ask the publishers for everything again."""
        if self.receiver is not None:
            self.live.shown.clear()
            self.receiver.replay()

    def close(self, *_: object) -> None:
        """Stop everything; before the window is closed. Safe to call again."""
        if self._timer is not None:
            self._timer.stop()
            self._timer = None
            self._notes.close()
            self.live.close()
            self._activity.close()
            self._report(dict(self.live.shown))
            self.stop()
            _sessions.pop(self._viewer, None)

    def _tick(self) -> None:
        now = time.monotonic()
        if self.streams.asked_to_end is not None:
            reason, self.streams.asked_to_end = self.streams.asked_to_end, None
            if self._end is not None:
                self._end(reason)
            else:
                self.stop()
                self.streams.notes.append(f"Stopped: {reason}.")
            return
        if self._undrawn is not None and now - self._undrawn[0] > _PAINT_S:
            self._drawn()
        if self._undrawn is None and now >= self._rest_until:
            if self.live.tick(now):
                self._undrawn = now, dict(self.live.shown)
            else:
                self._report(dict(self.live.shown))
        if now - self._facts_at >= _FACTS_S:
            self._facts_at = now
            self._gather(now)

    def _drawn(self) -> None:
        """A picture is on the screen: tell so, and leave most of the time to everything else."""
        if self._undrawn is not None:
            now = time.monotonic()
            begin, counts = self._undrawn
            self._undrawn = None
            self._rest_until = now + min(_REST * (now - begin), _MOST_REST_S)
            self._report(counts)

    def _report(self, counts: dict[str, int]) -> None:
        if self.receiver is not None:
            for stream, count in counts.items():
                self.receiver.displayed(stream, count)

    def _gather(self, now: float) -> None:
        if self.receiver is not None:
            self._state = self.receiver.state()
        self._history.append((now, self._state.nbytes))
        while now - self._history[0][0] > _RATE_S:
            self._history.popleft()
        (first, before), (last, after) = self._history[0], self._history[-1]
        self.rate = max(0, after - before) / (last - first) if last > first else 0.0
        self._activity.show(self.streams.progresses, self._state)
        self._label()

    def _label(self) -> None:
        """In a window of our own, say what is shown."""
        if self._own_window:
            overlay, text = self._viewer.text_overlay, self.live.place()
            if overlay.text != text:
                overlay.position = "top_left"
                overlay.text, overlay.visible = text, bool(text)
                self._viewer.scale_bar.visible = bool(text)


class _Notes(logging.Handler):
    """Shows what goes wrong in the receiver."""

    def __init__(self, streams: Streams) -> None:
        super().__init__(logging.WARNING)
        self._streams = streams
        self._logger = logging.getLogger("openhcs_core.streaming")
        self._logger.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        self._streams.notes.append(record.getMessage())

    def close(self) -> None:
        self._logger.removeHandler(self)
        super().close()

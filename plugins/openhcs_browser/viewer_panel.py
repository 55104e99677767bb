"""Which viewers run, where what is selected is to go, and how far it is."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from qtpy.QtCore import Qt, QTimer, Signal
from qtpy.QtWidgets import (
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from openhcs_browser.sending import VIEWERS, Outcome, Request, Sending, start_another
from openhcs_browser.tasks import Tasks, error_text
from openhcs_core.errors import OpenHCSError
from openhcs_core.omero.login import Login
from openhcs_core.streaming.manager import Found, scan

logger = logging.getLogger(__name__)

SCAN_S = 4.0
_FOUND = Qt.ItemDataRole.UserRole + 1


class ViewerPanel(QWidget):
    """Viewers that run, buttons to view, progress and report.

    Parameters
    ----------
    tasks : Tasks
    ports : sequence of int, optional
        Where to look for viewers; the usual places unless given.
    """

    wanted = Signal(str)
    """Show what is selected in this viewer."""

    sent = Signal(object)
    """An `Outcome`."""

    def __init__(self, tasks: Tasks, ports: Sequence[int] | None = None, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._tasks, self._ports = tasks, ports
        self._threads = ThreadPoolExecutor(3, "openhcs-browser-viewers")
        self._scanning = self._possible = False
        self._sending: Sending | None = None

        self.list = QListWidget()
        self.list.setAccessibleName("Viewers that run on this machine")
        self.list.setToolTip("The viewer that you choose gets the images; else the first of its kind, or a new one.")
        self.list.setMaximumHeight(3 * self.fontMetrics().height() + 18)
        self.list.setMinimumWidth(150)
        self.summary = QLabel()
        self.summary.setWordWrap(True)
        self.report = QLabel()
        self.report.setWordWrap(True)
        self.report.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.progress = QProgressBar()
        self.progress.setFormat("%v of %m planes")
        self.cancel = QPushButton("Cancel")
        self.buttons = {name: QPushButton(f"View in {shown}") for name, shown in VIEWERS.items()}
        self.starters = {name: QPushButton(f"New {shown}") for name, shown in VIEWERS.items()}

        grid = QGridLayout()
        for row, (name, shown) in enumerate(VIEWERS.items()):
            view, start = self.buttons[name], self.starters[name]
            view.setToolTip(f"Send everything that is selected to {shown}, as one stack (Ctrl+{row + 1})")
            view.setShortcut(f"Ctrl+{row + 1}")
            view.setStyleSheet("font-weight: bold")
            view.clicked.connect(lambda _=False, name=name: self.wanted.emit(name))
            start.setToolTip(f"Open another window of {shown}")
            start.clicked.connect(lambda _=False, name=name: self._start(name))
            grid.addWidget(view, row, 0)
            grid.addWidget(start, row, 1)
        lines = QVBoxLayout()
        lines.addWidget(QLabel("Viewers that run on this machine"))
        lines.addWidget(self.list)
        lower = QHBoxLayout()
        lower.addLayout(lines, 1)
        lower.addLayout(grid)
        bar = QHBoxLayout()
        bar.addWidget(self.progress, 1)
        bar.addWidget(self.cancel)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.summary)
        layout.addLayout(lower)
        layout.addLayout(bar)
        layout.addWidget(self.report)

        self.cancel.clicked.connect(self._cancel)
        self._scan_timer = QTimer(self, interval=int(1000 * SCAN_S))
        self._scan_timer.timeout.connect(self.scan)
        self._scan_timer.start()
        self._watch = QTimer(self, interval=100)
        self._watch.timeout.connect(self._show_progress)
        self._show_found([])
        self._idle()

    def set_selection(self, text: str, possible: bool) -> None:
        """Say what is selected, and whether there is anything to send."""
        self.summary.setText(text)
        self._possible = possible
        self._enable()

    def scan(self) -> None:
        """Look for viewers, in another thread."""
        if self.isVisible() and not self._scanning:
            self._scanning = True
            self._tasks.watch(self._threads.submit(scan, self._ports), self._show_found, self._scan_failed)

    def send(self, login: Login, request: Request, viewer: str) -> None:
        """Send images to the chosen viewer of this kind, or to one that is found or started."""
        if self._sending is not None:
            return
        self._sending = Sending(login, request, viewer, self._endpoint(viewer))
        self.progress.setRange(0, request.planes)
        self.progress.setValue(0)
        self.progress.show()
        self.cancel.show()
        self._enable()
        self._watch.start()
        self._tasks.watch(
            self._threads.submit(self._sending.run),
            self._finished,
            lambda error: self._finished(Outcome(self._why(error), False)),
        )

    def say(self, text: str, good: bool) -> None:
        """Show a report; problems are red."""
        self.report.setStyleSheet("" if good else "color: #c62828")
        self.report.setText(text)
        self.report.setVisible(bool(text))

    def stop_timers(self) -> None:
        """Look for nothing any more."""
        self._scan_timer.stop()
        self._watch.stop()

    def release(self) -> None:
        """Stop what is going on in other threads. Qt may have deleted its part of this already."""
        if self._sending is not None:
            self._sending.cancel()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _endpoint(self, viewer: str) -> str | None:
        found = [self.list.item(row).data(_FOUND) for row in range(self.list.count())]
        chosen = [item.data(_FOUND) for item in self.list.selectedItems()]
        own = [entry for entry in found if entry is not None and entry.pid == os.getpid()]
        for entry in (*chosen, *own, *found):
            if entry is not None and entry.viewer == viewer and entry.ready:
                return entry.endpoint
        return None

    def _show_found(self, found: Sequence[Found]) -> None:
        self._scanning = False
        chosen = {item.data(_FOUND) for item in self.list.selectedItems()}
        shown = [self.list.item(row).data(_FOUND) for row in range(self.list.count())]
        if shown == (list(found) if found else [None]):
            return
        self.list.clear()
        for entry in found:
            name = VIEWERS.get(entry.viewer, entry.viewer)
            place = entry.endpoint.removeprefix("tcp://")
            item = QListWidgetItem(f"{name} at {place}{'' if entry.ready else ', starting'}")
            item.setData(_FOUND, entry)
            item.setToolTip(f"{entry.endpoint}, process {entry.pid}")
            self.list.addItem(item)
            item.setSelected(entry in chosen)
        if not found:
            item = QListWidgetItem("none; one is started when you view")
            item.setFlags(Qt.ItemFlag.NoItemFlags)
            self.list.addItem(item)

    def _scan_failed(self, error: BaseException) -> None:
        self._scanning = False
        self.say(f"Viewers cannot be looked for: {self._why(error)}", False)

    def _start(self, viewer: str) -> None:
        button = self.starters[viewer]
        button.setEnabled(False)
        self.say(f"Starting {VIEWERS[viewer]} ...", True)

        def ended(say: Callable[[], None]) -> None:
            button.setEnabled(True)
            say()
            self.scan()

        self._tasks.watch(
            self._threads.submit(start_another, viewer),
            lambda started: ended(lambda: self.say(f"{VIEWERS[viewer]} is ready at {started.endpoint}.", True)),
            lambda error: ended(lambda: self.say(self._why(error), False)),
        )

    @staticmethod
    def _why(error: BaseException) -> str:
        if not isinstance(error, OpenHCSError):
            logger.error("Something unexpected happened", exc_info=error)
        return error_text(error)

    def _cancel(self) -> None:
        if self._sending is not None:
            self._sending.cancel()
            self.cancel.setEnabled(False)

    def _show_progress(self) -> None:
        if self._sending is not None:
            self.progress.setValue(self._sending.delivered)
            self.say(self._sending.phase, True)

    def _finished(self, outcome: Outcome) -> None:
        self._watch.stop()
        self._sending = None
        self._idle()
        self.say(outcome.text, outcome.good)
        self.sent.emit(outcome)
        self.scan()

    def _idle(self) -> None:
        self.progress.hide()
        self.cancel.hide()
        self.cancel.setEnabled(True)
        self.say("", True)
        self._enable()

    def _enable(self) -> None:
        for button in self.buttons.values():
            button.setEnabled(self._possible and self._sending is None)

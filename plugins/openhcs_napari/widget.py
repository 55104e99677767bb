"""The dock widget: what comes from where, how much of it is here, and what can be done about it."""

from __future__ import annotations

from collections.abc import Callable

import napari.viewer
from qtpy.QtCore import Qt, QTimer
from qtpy.QtGui import QTextCursor
from qtpy.QtWidgets import (
    QAbstractItemView,
    QApplication,
    QCheckBox,
    QFormLayout,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QLineEdit,
    QPlainTextEdit,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from openhcs_core.errors import OpenHCSError
from openhcs_core.streaming.endpoints import NAPARI_PORT, tcp
from openhcs_core.streaming.viewer_process import ViewerOptions
from openhcs_napari.session import session_of

_REFRESH_MS = 250


class StreamWidget(QWidget):
    """Results that come to this viewer.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    """

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self._session = session_of(viewer)
        self.address = QLineEdit(tcp("127.0.0.1", NAPARI_PORT))
        self.address.setToolTip("Where this viewer listens: give it to the pipeline or script that sends")
        self.listening = _button("Listen", "Let publishers come to this address", self._listen)
        self.encrypted = QCheckBox("encrypted")
        self.encrypted.setToolTip("Needed for other machines: only publishers whose key you let in may come")
        self.publisher_key = _field("Public key of a publisher", "Let a publisher in that says this key", self._allow)
        self.publisher = _field("tcp://HOST:PORT/KEY", "Connect to a publisher that listens there", self._connect)
        self.state = QLabel()
        self.counts = QLabel()
        self.layers = QTableWidget(0, 2)
        self.following = QCheckBox("Follow newest")
        self.following.setToolTip("Move the sliders to the newest image; ends as soon as you move one")
        self.following.clicked.connect(self._follow)
        self.paused = QCheckBox("Pause")
        self.paused.setToolTip("Take no more images; the publishers keep them")
        self.paused.clicked.connect(lambda on: self._try(lambda: self._session.pause(on)))
        self.notes = QPlainTextEdit()
        self.notes.setReadOnly(True)
        self.notes.setPlaceholderText("No problems")
        self.notes.setMaximumBlockCount(100)
        self.notes.setFixedHeight(70)
        self._lay_out()
        self._timer = QTimer(self)
        self._timer.timeout.connect(self.refresh)
        self._timer.start(_REFRESH_MS)
        self.refresh()

    def refresh(self) -> None:
        """Show how things are."""
        session, state = self._session, self._session.state
        receiver = session.receiver
        if receiver is not None and session.address and self.address.text() != session.address:
            self.address.setText(session.address)
            self.address.setCursorPosition(0)
        self.address.setReadOnly(receiver is not None)
        self.listening.setText("Stop" if receiver is not None else "Listen")
        self.encrypted.setEnabled(receiver is None)
        self.encrypted.setChecked(session.keys is not None if receiver is not None else self.encrypted.isChecked())
        self._let_in.setEnabled(session.keys is not None)
        for box, on in ((self.following, session.live.following), (self.paused, session.paused)):
            box.setChecked(on)
        self.paused.setEnabled(receiver is not None)
        if receiver is None:
            text = "not listening"
        else:
            who = (
                f"{state.publishers} publisher{'' if state.publishers == 1 else 's'}" if state.publishers else "waiting"
            )
            text = "paused" if session.paused else who
        self.state.setText(f"<b>{text}</b>, {session.rate / 1e6:.1f} MB/s")
        failed = f"{state.failed + state.refused} failed"
        failed = f"<span style='color: #ff6b6b'>{failed}</span>" if state.failed + state.refused else failed
        self.counts.setText(f"{state.received} received, {state.displayed} displayed, {failed}")
        self._fill_table()
        notes = "\n".join(session.streams.notes)
        if notes != self.notes.toPlainText():
            self.notes.setPlainText(notes)
            self.notes.moveCursor(QTextCursor.MoveOperation.End)

    def _fill_table(self) -> None:
        layers = self._session.live.layers
        self.layers.setRowCount(len(layers))
        for row, layer in enumerate(layers):
            held, total = len(layer.held), layer.stack.total
            for column, text in enumerate((layer.layer.name, f"{held}/{total}" if total else str(held))):
                item = self.layers.item(row, column)
                if item is None:
                    item = QTableWidgetItem()
                    self.layers.setItem(row, column, item)
                    if column:
                        item.setTextAlignment(int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter))
                if item.text() != text:
                    item.setText(text)
                    item.setToolTip(text)

    def _lay_out(self) -> None:
        copy = _button("Copy", "Copy address and key", self._copy)
        self._let_in = _row(self.publisher_key, _button("Let in", self.publisher_key.toolTip(), self._allow))
        connect = _button("Connect", self.publisher.toolTip(), self._connect)
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.ExpandingFieldsGrow)
        form.addRow("Address", _row(self.address, copy))
        form.addRow("", _row(self.listening, self.encrypted))
        form.addRow("Key", self._let_in)
        form.addRow("Publisher", _row(self.publisher, connect))
        self.layers.setHorizontalHeaderLabels(["Layer", "Images"])
        header, numbers = self.layers.horizontalHeader(), self.layers.verticalHeader()
        assert header is not None
        assert numbers is not None
        numbers.hide()
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        header.setSectionResizeMode(1, QHeaderView.ResizeMode.ResizeToContents)
        self.layers.setShowGrid(False)
        self.layers.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.layers.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        clear = _button("Clear", "Remove all layers of results and free their memory", self._session.clear)
        replay = _button("Replay", "Ask the publishers for everything again", self._session.replay)
        layout = QVBoxLayout(self)
        layout.addLayout(form)
        for each in (self.state, self.counts, self.layers):
            layout.addWidget(each)
        layout.addWidget(_row(self.following, self.paused))
        layout.addWidget(_row(clear, replay))
        layout.addWidget(self.notes)

    def _copy(self) -> None:
        clipboard = QApplication.clipboard()
        assert clipboard is not None
        clipboard.setText(self.address.text())

    def _try(self, work: Callable[[], object]) -> None:
        """Do something; what is wrong with it is shown."""
        try:
            work()
        except OpenHCSError as error:
            self._session.streams.notes.append(str(error))
        self.refresh()

    def _listen(self) -> None:
        session = self._session
        if session.receiver is not None:
            session.stop()
        else:
            endpoint = self.address.text().strip().partition("://")
            place = endpoint[2].partition("/")[0]  # without the key of an earlier time
            options = ViewerOptions(listen=f"{endpoint[0]}://{place}", curve=self.encrypted.isChecked())
            self._try(lambda: session.start(options))
        self.refresh()

    def _allow(self) -> None:
        if self.publisher_key.text().strip():
            self._try(lambda: self._session.allow(self.publisher_key.text()))

    def _connect(self) -> None:
        if self.publisher.text().strip():
            self._try(lambda: self._session.connect(self.publisher.text()))

    def _follow(self, on: bool) -> None:
        self._session.live.following = on


def _button(text: str, tip: str, action: Callable[[], object]) -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(tip)
    button.clicked.connect(lambda *_: action())
    return button


def _field(placeholder: str, tip: str, action: Callable[[], object]) -> QLineEdit:
    field = QLineEdit()
    field.setPlaceholderText(placeholder)
    field.setToolTip(tip)
    field.returnPressed.connect(action)
    return field


def _row(*widgets: QWidget) -> QWidget:
    row = QWidget()
    layout = QHBoxLayout(row)
    layout.setContentsMargins(0, 0, 0, 0)
    for widget in widgets:
        layout.addWidget(widget)
    return row

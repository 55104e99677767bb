"""The images of one container: thumbnails, which field of the wells, how large, and what is selected."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future

from qtpy.QtCore import Qt, QTimer, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QSlider,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from openhcs_browser.gallery import LARGEST, SMALLEST, ImageList, PlateView
from openhcs_browser.model import IMAGES_PAGE, THUMBNAIL, ImageFacts, Node, Scope, describe, images
from openhcs_browser.sending import Request
from openhcs_browser.tasks import Tasks
from openhcs_browser.thumbnails import Thumbnails
from openhcs_browser.workers import Connection
from openhcs_core.omero.errors import OmeroError

MUCH = 8e9
"""Bytes from which people are told that it is much."""


class ImagesPanel(QWidget):
    """Shows the images of a container, and knows which of them are selected."""

    changed = Signal()
    """Something else is shown or selected."""

    def __init__(self, tasks: Tasks, thumbnails: Thumbnails, failed: Callable[[BaseException], object]) -> None:
        super().__init__()
        self._tasks, self._thumbnails, self._failed = tasks, thumbnails, failed
        self._node: Node | None = None
        self._loading: Future[list[ImageFacts]] | None = None
        self._shown = 0  # what comes of a question before the last `show_container` is of no use
        self.complete = False
        """Whether all images of the container are here."""

        self.plate, self.list = PlateView(thumbnails), ImageList(thumbnails)
        self.title = elastic_label()
        font = self.title.font()
        font.setBold(True)
        self.title.setFont(font)
        self.field, self.only_field = QComboBox(), QCheckBox("view only this field")
        self.field.setToolTip("Which field of each well is shown")
        self.field.setAccessibleName("Field")
        self.only_field.setToolTip("Send only the field that is shown, not all fields of the selected wells")
        self.all = QPushButton("Select all")
        self.all.setToolTip("Select everything that is shown (Ctrl+A)")
        self.zoom = QSlider(Qt.Orientation.Horizontal)
        self.zoom.setRange(SMALLEST, LARGEST)
        self.zoom.setValue(THUMBNAIL)
        self.zoom.setFixedWidth(110)
        self.zoom.setToolTip("Size of the thumbnails")
        self.zoom.setAccessibleName("Size of the thumbnails")
        self.hint = QLabel("Choose a plate or a dataset.")
        self.hint.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.views = QStackedWidget()
        self.views.setMinimumSize(200, 160)
        for view in (self.hint, self.plate, self.list):
            self.views.addWidget(view)

        head, fields = QHBoxLayout(), QHBoxLayout()
        head.addWidget(self.title, 1)
        head.addWidget(self.all)
        head.addWidget(self.zoom)
        fields.addWidget(self.field)
        fields.addWidget(self.only_field)
        fields.addStretch(1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(head)
        column.addLayout(fields)
        column.addWidget(self.views, 1)

        self._later = QTimer(self, singleShot=True, interval=30)
        self._later.timeout.connect(self.changed)
        for view in (self.plate, self.list):
            view.selected.connect(self._later.start)
        self.field.activated.connect(lambda _: self._show_field())
        self.only_field.toggled.connect(lambda _: self.changed.emit())
        self.all.clicked.connect(lambda: self.view.selectAll())
        self.zoom.valueChanged.connect(lambda side: self.view.set_side(side))

    @property
    def view(self) -> PlateView | ImageList:
        """What shows the images."""
        return self.plate if self._node is not None and self._node.is_plate else self.list

    def show_container(self, node: Node | None, connection: Connection | None, scope: Scope) -> None:
        """Show the images of a container; nothing if it is None, or holds only other containers."""
        self._node = node if node is not None and node.has_images else None
        self._shown += 1
        if self._loading is not None:
            self._loading.cancel()
        self.complete = False
        self._thumbnails.want([])
        self.plate.images_model.clear()
        self.list.images_model.clear()
        self.field.clear()
        self.title.setText(self._node.name if self._node else "")
        self.title.setToolTip(self.title.text())
        self.views.setCurrentWidget(self.view if self._node else self.hint)
        for widget in (self.all, self.zoom):
            widget.setVisible(self._node is not None)
        for widget in (self.field, self.only_field):
            widget.hide()
        if self._node is not None and connection is not None:
            self._load(self._node, connection, scope, 0)
        self.changed.emit()

    def selection(self) -> tuple[list[ImageFacts], bool]:
        """The images to view, all that are shown if none is selected; and whether these are all of the container."""
        every = self.view.images_model.images
        chosen = self.view.chosen() or list(every)
        if sites := self._only_sites():
            chosen = [image for image in chosen if image.field + 1 in sites]
        return chosen, self.complete and len(chosen) == len(every)

    def summary(self) -> tuple[str, bool]:
        """For people: what is selected; and whether there is anything to view."""
        if self._node is None:
            return "Nothing selected", False
        chosen, _ = self.selection()
        if not chosen:
            return ("No images here" if self.complete else "Loading ..."), False
        more = ". This is much for a viewer; select fewer" if sum(image.nbytes for image in chosen) > MUCH else ""
        if self.view.selectionModel().hasSelection():
            return f"Selected: {describe(chosen)}{more}", True
        coming = "" if self.complete else ", more is coming"
        return f"Nothing selected; all of it: {describe(chosen)}{coming}{more}", True

    def request(self) -> Request:
        """What is selected, to be sent.

        Raises
        ------
        OmeroError
            If there is nothing.
        """
        if self._node is None:
            raise OmeroError("There is nothing to show: choose a plate or a dataset.")
        chosen, complete = self.selection()
        return Request.of(self._node, chosen, complete=complete, sites=self._only_sites())

    def _load(self, node: Node, connection: Connection, scope: Scope, offset: int) -> None:
        """Ask for a page of images; the next one follows."""
        shown = self._shown

        def arrived(page: list[ImageFacts]) -> None:
            if shown != self._shown:
                return
            self.complete = len(page) < IMAGES_PAGE
            if not self.complete:
                self._load(node, connection, scope, offset + IMAGES_PAGE)
            self.view.images_model.append(page)
            self._offer_fields()
            if not offset:
                self.zoom.setValue(self.plate.fitting_side() if node.is_plate else THUMBNAIL)
                self.view.set_side(self.zoom.value())
            self.changed.emit()

        self._loading = connection.tree.submit(lambda conn: images(conn, scope, node, offset))
        self._tasks.watch(self._loading, arrived, self._failed)

    def _offer_fields(self) -> None:
        fields = self.plate.images_model.fields
        if len(fields) == self.field.count():
            return
        shown = self.field.currentData()
        self.field.clear()
        for field in fields:
            self.field.addItem(f"Field {field + 1}", field)
        self.field.setCurrentIndex(max(self.field.findData(shown), 0))
        for widget in (self.field, self.only_field):
            widget.setVisible(len(fields) > 1)
        self._show_field()

    def _show_field(self) -> None:
        self.plate.images_model.show_field(self.field.currentData())
        self.changed.emit()

    def _only_sites(self) -> tuple[int, ...]:
        """The field that is shown, from 1, if only this one is wanted."""
        wanted = self.field.count() > 1 and self.only_field.isChecked()
        return (self.field.currentData() + 1,) if wanted else ()


def elastic_label() -> QLabel:
    """A label that does not make the window wider, however long its text is."""
    label = QLabel()
    label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
    return label

"""The images of a container as thumbnails: a plate by rows and columns, or a list."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Any

from qtpy.QtCore import (
    QAbstractListModel,
    QAbstractTableModel,
    QModelIndex,
    QPoint,
    QSize,
    Qt,
    QTimer,
    Signal,
)
from qtpy.QtWidgets import QAbstractItemView, QListView, QTableView, QWidget

from openhcs_browser.model import ImageFacts
from openhcs_browser.thumbnails import IMAGE, LABEL, ThumbnailDelegate, Thumbnails
from openhcs_core.plate import well_name

SMALLEST, LARGEST = 24, 192
"""Sides of thumbnails on the screen, in pixels."""

_NOWHERE = QModelIndex()


class ImageListModel(QAbstractListModel):
    """Images one after the other."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self.images: list[ImageFacts] = []

    def append(self, images: Sequence[ImageFacts]) -> None:
        """Add images at the end."""
        if images:
            self.beginInsertRows(QModelIndex(), len(self.images), len(self.images) + len(images) - 1)
            self.images.extend(images)
            self.endInsertRows()

    def clear(self) -> None:
        """Begin anew."""
        self.beginResetModel()
        self.images.clear()
        self.endResetModel()

    def at(self, index: QModelIndex) -> list[ImageFacts]:
        """The one image there."""
        return [self.images[index.row()]]

    def rowCount(self, parent: QModelIndex = _NOWHERE) -> int:  # noqa: N802
        return 0 if parent.isValid() else len(self.images)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        image = self.images[index.row()]
        if role == IMAGE:
            return image
        if role in (LABEL, Qt.ItemDataRole.AccessibleTextRole):
            return image.name
        if role == Qt.ItemDataRole.ToolTipRole:
            return _tip(image)
        return None


class PlateModel(QAbstractTableModel):
    """Wells by row and column; of each, one field is shown."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self.images: list[ImageFacts] = []
        self.field = 0
        self._wells: dict[tuple[int, int], list[ImageFacts]] = {}
        self._size = (0, 0)

    @property
    def fields(self) -> list[int]:
        """Numbers of the fields that there are, from 0."""
        return sorted({image.field for image in self.images})

    def append(self, images: Sequence[ImageFacts]) -> None:
        """Add fields of wells."""
        if not images:
            return
        rows, columns = self._size
        more_rows = max(rows, 1 + max(image.row for image in images))
        more_columns = max(columns, 1 + max(image.column for image in images))
        self.images.extend(images)
        for image in images:
            self._wells.setdefault((image.row, image.column), []).append(image)
        if more_rows > rows:
            self.beginInsertRows(QModelIndex(), rows, more_rows - 1)
            self._size = more_rows, columns
            self.endInsertRows()
        if more_columns > columns:
            self.beginInsertColumns(QModelIndex(), columns, more_columns - 1)
            self._size = more_rows, more_columns
            self.endInsertColumns()
        self._changed()

    def clear(self) -> None:
        """Begin anew."""
        self.beginResetModel()
        self.images.clear()
        self._wells.clear()
        self._size, self.field = (0, 0), 0
        self.endResetModel()

    def show_field(self, field: int) -> None:
        """Show another field."""
        self.field = field
        self._changed()

    def at(self, index: QModelIndex) -> list[ImageFacts]:
        """All fields of the well there."""
        return self._wells.get((index.row(), index.column()), [])

    def rowCount(self, parent: QModelIndex = _NOWHERE) -> int:  # noqa: N802
        return 0 if parent.isValid() else self._size[0]

    def columnCount(self, parent: QModelIndex = _NOWHERE) -> int:  # noqa: N802
        return 0 if parent.isValid() else self._size[1]

    def flags(self, index: QModelIndex) -> Any:
        return super().flags(index) if self.at(index) else Qt.ItemFlag.NoItemFlags

    def headerData(self, section: int, orientation: Any, role: int = Qt.ItemDataRole.DisplayRole) -> Any:  # noqa: N802
        if role == Qt.ItemDataRole.DisplayRole:
            across = orientation == Qt.Orientation.Horizontal
            return str(section + 1) if across else well_name(section, 0)[:-2]
        if role == Qt.ItemDataRole.ToolTipRole:
            return "Click to select all of it"
        return None

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        fields = self.at(index)
        if not fields:
            return None
        shown = next((image for image in fields if image.field == self.field), None)
        if role == IMAGE:
            return shown
        if role in (LABEL, Qt.ItemDataRole.AccessibleTextRole):
            return fields[0].well
        if role == Qt.ItemDataRole.ToolTipRole:
            return f"Well {fields[0].well}, {len(fields)} fields\n{_tip(shown)}" if shown else f"Well {fields[0].well}"
        return None

    def _changed(self) -> None:
        rows, columns = self._size
        self.dataChanged.emit(self.index(0, 0), self.index(rows - 1, columns - 1))


class Gallery:
    """What both views have in common; a mix-in of an item view that has a signal `selected`."""

    images_model: Any

    def set_up(self, model: ImageListModel | PlateModel, store: Thumbnails, below: bool) -> None:
        """Show a model, with thumbnails from a store."""
        self.images_model = model
        self._store = store
        view: Any = self
        view.setModel(model)
        self._delegate = ThumbnailDelegate(store, below, view)
        view.setItemDelegate(self._delegate)
        view.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        view.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        view.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        view.selectionModel().selectionChanged.connect(lambda *_: view.selected.emit())
        store.arrived.connect(view.viewport().update)
        self._later = QTimer(view, singleShot=True, interval=50)
        self._later.timeout.connect(self.ask)
        for signal in (
            view.verticalScrollBar().valueChanged,
            view.horizontalScrollBar().valueChanged,
            model.rowsInserted,
            model.dataChanged,
        ):
            signal.connect(lambda *_: self._later.start())

    def ask(self) -> None:
        """Ask for the thumbnails that are in sight."""
        view: Any = self
        if view.isVisible():
            shown = [self.images_model.data(index, IMAGE) for index in self.in_sight()]
            self._store.want([image.pixels_id for image in shown if image and image.pixels_id is not None])

    def in_sight(self) -> list[QModelIndex]:
        """Indexes that can be seen now."""
        raise NotImplementedError

    def chosen(self) -> list[ImageFacts]:
        """The selected images; of wells, all fields. In the order in which they are shown."""
        view: Any = self
        indexes = sorted(view.selectionModel().selectedIndexes(), key=lambda index: (index.row(), index.column()))
        return [image for index in indexes for image in self.images_model.at(index)]


class ImageList(Gallery, QListView):
    """Thumbnails with names, in as many columns as fit."""

    selected = Signal()
    images_model: ImageListModel

    def __init__(self, store: Thumbnails, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName("Images")
        self.setViewMode(QListView.ViewMode.IconMode)
        self.setResizeMode(QListView.ResizeMode.Adjust)
        self.setMovement(QListView.Movement.Static)
        self.setUniformItemSizes(True)
        self.set_up(ImageListModel(self), store, below=True)

    def set_side(self, side: int) -> None:
        """Side of a thumbnail on the screen, in pixels."""
        self._delegate.side = side
        self.setGridSize(QSize(side + 12, side + self.fontMetrics().height() + 12))
        self._later.start()

    def in_sight(self) -> list[QModelIndex]:
        model, height = self.images_model, self.viewport().height()
        count = model.rowCount()
        first = bisect_left(range(count), 0, key=lambda row: self.visualRect(model.index(row)).bottom())
        last = bisect_left(range(count), height, key=lambda row: self.visualRect(model.index(row)).top())
        return [model.index(row) for row in range(first, last)]

    def resizeEvent(self, event: Any) -> None:  # noqa: N802
        super().resizeEvent(event)
        self._later.start()


class PlateView(Gallery, QTableView):
    """A plate, with headers that select whole rows and columns."""

    selected = Signal()
    images_model: PlateModel

    def __init__(self, store: Thumbnails, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName("Wells")
        self.setShowGrid(False)
        self.setTabKeyNavigation(False)
        for header in (self.horizontalHeader(), self.verticalHeader()):
            header.setMinimumSectionSize(SMALLEST)
            header.setSectionResizeMode(header.ResizeMode.Fixed)
            header.setDefaultAlignment(Qt.AlignmentFlag.AlignCenter)
        self.set_up(PlateModel(self), store, below=False)

    def set_side(self, side: int) -> None:
        """Side of a thumbnail on the screen, in pixels."""
        for header in (self.horizontalHeader(), self.verticalHeader()):
            header.setDefaultSectionSize(side + 4)
        self._later.start()

    def fitting_side(self) -> int:
        """The largest side with which the whole plate can be seen, as far as that is of use."""
        model = self.images_model
        rows, columns = max(model.rowCount(), 1), max(model.columnCount(), 1)
        width, height = self.viewport().width() // columns - 4, self.viewport().height() // rows - 4
        return min(max(min(width, height), 44), 96)

    def in_sight(self) -> list[QModelIndex]:
        area, model = self.viewport().rect(), self.images_model
        corner = area.bottomRight() - QPoint(1, 1)
        rows, columns = model.rowCount(), model.columnCount()
        last_row, last_column = self.rowAt(corner.y()), self.columnAt(corner.x())
        return [
            model.index(row, column)
            for row in range(max(self.rowAt(0), 0), rows if last_row < 0 else last_row + 1)
            for column in range(max(self.columnAt(0), 0), columns if last_column < 0 else last_column + 1)
        ]

    def resizeEvent(self, event: Any) -> None:  # noqa: N802
        super().resizeEvent(event)
        self._later.start()


def _tip(image: ImageFacts) -> str:
    t, c, z, y, x = image.shape
    if image.pixels_id is None:
        return f"{image.name}\nImage:{image.id}\nits import failed: there are no pixels"
    return f"{image.name}\nImage:{image.id}\n{x} × {y} pixels, {c} channels, {z} Z, {t} T, {image.dtype}"

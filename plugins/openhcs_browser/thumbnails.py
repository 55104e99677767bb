"""Thumbnails: those in sight come in batches, what has gone out of sight is cancelled; and how one is painted."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

from qtpy.QtCore import QModelIndex, QObject, QRect, QSize, Qt, Signal
from qtpy.QtGui import QColor, QFont, QPainter, QPen, QPixmap
from qtpy.QtWidgets import QStyle, QStyledItemDelegate, QStyleOptionViewItem

from openhcs_browser.model import THUMBNAIL, ImageFacts, Scope, thumbnails
from openhcs_browser.tasks import Tasks
from openhcs_browser.workers import Connection

BATCH = 24
"""Thumbnails that are asked for at a time."""

KEPT = 3000
"""Thumbnails that are kept; 96 x 96 pixels take 37 KB."""

IMAGE = Qt.ItemDataRole.UserRole + 1
"""What the models of thumbnails give an `ImageFacts` for."""

LABEL = Qt.ItemDataRole.UserRole + 2
"""And for what stands below or on the thumbnail."""


class Thumbnails(QObject):
    """The thumbnails of images, as they come."""

    arrived = Signal()

    def __init__(self, tasks: Tasks, failed: Callable[[BaseException], object], parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._tasks, self._failed = tasks, failed
        self._connection: Connection | None = None
        self._scope = Scope(0, None)
        self._kept: OrderedDict[int, QPixmap | None] = OrderedDict()
        self._waiting: dict[Future[Any], list[int]] = {}

    def use(self, connection: Connection | None, scope: Scope) -> None:
        """Forget all; ask here from now on."""
        self.want([])
        self._kept.clear()
        self._waiting.clear()
        self._connection, self._scope = connection, scope

    def known(self, pixels_id: int) -> bool:
        """Whether it is known what to show."""
        return pixels_id in self._kept

    def pixmap(self, pixels_id: int) -> QPixmap | None:
        """The thumbnail; None if it is not there, or the server has none."""
        if pixels_id in self._kept:
            self._kept.move_to_end(pixels_id)
        return self._kept.get(pixels_id)

    def want(self, pixels_ids: Sequence[int]) -> None:
        """Those that are in sight now: what is missing comes, what is no longer wanted is cancelled."""
        wanted = set(pixels_ids)
        for future, batch in list(self._waiting.items()):
            if not wanted.intersection(batch) and future.cancel():
                del self._waiting[future]
        coming = {number for batch in self._waiting.values() for number in batch}
        missing = [number for number in pixels_ids if number not in self._kept and number not in coming]
        for first in range(0, len(missing), BATCH):
            self._ask(missing[first : first + BATCH])

    def _ask(self, batch: list[int]) -> None:
        if self._connection is None:
            return
        scope = self._scope
        future = self._connection.thumbnails.submit(lambda conn: thumbnails(conn, scope, batch))
        self._waiting[future] = batch

        def done(found: dict[int, bytes]) -> None:
            if self._waiting.pop(future, None) is None:
                return  # of before
            for number in batch:
                pixmap = QPixmap()
                self._kept[number] = pixmap if pixmap.loadFromData(found.get(number, b"")) else None
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
            self.arrived.emit()

        def failed(error: BaseException) -> None:
            if self._waiting.pop(future, None) is not None:
                self._kept.update(dict.fromkeys(batch))
                self.arrived.emit()
                self._failed(error)

        self._tasks.watch(future, done, failed)


class ThumbnailDelegate(QStyledItemDelegate):
    """Paints a thumbnail on black, with its label."""

    def __init__(self, store: Thumbnails, below: bool, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._store, self._below = store, below
        self.side = THUMBNAIL

    def sizeHint(self, option: QStyleOptionViewItem, index: QModelIndex) -> QSize:  # noqa: N802
        return QSize(self.side + 12, self.side + (option.fontMetrics.height() + 12 if self._below else 4))

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex) -> None:
        image: ImageFacts | None = index.data(IMAGE)
        if image is None:
            return
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        tile = QRect(option.rect).adjusted(2, 2, -2, -2)
        label = str(index.data(LABEL) or "")
        line = option.fontMetrics.height() + 2
        picture = tile.adjusted(0, 0, 0, -line) if self._below else tile
        selected = bool(option.state & QStyle.StateFlag.State_Selected)
        painter.fillRect(picture, QColor("black"))
        self._picture(painter, picture, image)
        if self._below:
            place = QRect(tile.left(), picture.bottom() + 1, tile.width(), line)
            if selected:
                painter.fillRect(place, option.palette.highlight())
            role = option.palette.highlightedText() if selected else option.palette.text()
            painter.setPen(role.color())
            text = option.fontMetrics.elidedText(label, Qt.TextElideMode.ElideMiddle, place.width() - 4)
            painter.drawText(place, Qt.AlignmentFlag.AlignCenter, text)
        elif picture.width() >= 40:
            self._tag(painter, picture, label, option.font)
        if selected:
            painter.setPen(QPen(option.palette.highlight().color(), 3))
            painter.drawRect(tile.adjusted(1, 1, -2, -2))
        elif option.state & QStyle.StateFlag.State_HasFocus:
            painter.setPen(QPen(option.palette.text().color(), 1, Qt.PenStyle.DotLine))
            painter.drawRect(tile.adjusted(0, 0, -1, -1))
        painter.restore()

    def _picture(self, painter: QPainter, place: QRect, image: ImageFacts) -> None:
        pixmap = self._store.pixmap(image.pixels_id) if image.pixels_id is not None else None
        if pixmap is not None:
            size = QSize(pixmap.size()).scaled(place.size(), Qt.AspectRatioMode.KeepAspectRatio)
            target = QRect(0, 0, size.width(), size.height())
            target.moveCenter(place.center())
            painter.drawPixmap(target, pixmap)
            return
        nothing = image.pixels_id is None or self._store.known(image.pixels_id)
        painter.setPen(QColor(150, 150, 150))
        painter.drawText(
            place, Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap, "no picture" if nothing else "…"
        )

    @staticmethod
    def _tag(painter: QPainter, place: QRect, label: str, font: QFont) -> None:
        """The label on the picture, top left."""
        small = QFont(font)
        small.setPointSizeF(max(font.pointSizeF() * 0.8, 6))
        painter.setFont(small)
        size = painter.fontMetrics().size(0, label)
        tag = QRect(place.left(), place.top(), size.width() + 6, size.height())
        painter.fillRect(tag, QColor(0, 0, 0, 150))
        painter.setPen(QColor("white"))
        painter.drawText(tag, Qt.AlignmentFlag.AlignCenter, label)

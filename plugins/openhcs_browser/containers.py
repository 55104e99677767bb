"""The tree of screens, plates, projects and datasets; what is below a branch is asked for when it is opened."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QModelIndex, Qt, Signal
from qtpy.QtGui import QStandardItem, QStandardItemModel
from qtpy.QtWidgets import QTreeView, QWidget

from openhcs_browser.model import PAGE, SECTIONS, Node, Scope, children, sections
from openhcs_browser.tasks import Tasks
from openhcs_browser.workers import Connection

_NODE = Qt.ItemDataRole.UserRole + 1
_COMPLETE = Qt.ItemDataRole.UserRole + 2
"""Whether all children are there, or on their way."""

_COUNTED = ("Dataset", "Project", "Screen", *SECTIONS)


class ContainerModel(QStandardItemModel):
    """The tree; page by page, as its view asks for more."""

    loaded = Signal(int)
    """The top level is there: how many parts it has."""

    def __init__(self, tasks: Tasks, failed: Callable[[BaseException], object], parent: Any = None) -> None:
        super().__init__(parent)
        self._tasks, self._failed = tasks, failed
        self._connection: Connection | None = None
        self._scope = Scope(0, None)
        self._shown = 0  # what comes of a question before the last `show` is of no use

    def show(self, connection: Connection | None, scope: Scope) -> None:
        """Begin anew, with the data of a group and owner; empty without a connection."""
        self.clear()
        self._connection, self._scope = connection, scope
        self._shown += 1
        shown = self._shown
        if connection is not None:
            self._tasks.watch(
                connection.tree.submit(lambda conn: sections(conn, scope)),
                lambda nodes: self._top(nodes) if shown == self._shown else None,
                self._failed,
            )

    def node(self, index: QModelIndex) -> Node | None:
        """What is shown at an index."""
        return index.data(_NODE) if index.isValid() else None

    def hasChildren(self, parent: QModelIndex = QModelIndex()) -> bool:  # noqa: B008, N802
        node = self.node(parent)
        return node.is_branch if node else super().hasChildren(parent)

    def canFetchMore(self, parent: QModelIndex) -> bool:  # noqa: N802
        node = self.node(parent)
        return bool(node and node.is_branch and not parent.data(_COMPLETE))

    def fetchMore(self, parent: QModelIndex) -> None:  # noqa: N802
        item, node, connection, scope = self.itemFromIndex(parent), self.node(parent), self._connection, self._scope
        if connection is None or item is None or node is None:
            return
        item.setData(True, _COMPLETE)  # until the page is here, nothing more is asked for
        offset, shown = item.rowCount(), self._shown

        def arrived(nodes: list[Node]) -> None:
            if shown == self._shown:
                item.appendRows([_item(node) for node in nodes])
                item.setData(len(nodes) < PAGE, _COMPLETE)

        def failed(error: BaseException) -> None:
            if shown == self._shown:
                item.setData(False, _COMPLETE)
            self._failed(error)

        self._tasks.watch(connection.tree.submit(lambda conn: children(conn, scope, node, offset)), arrived, failed)

    def _top(self, nodes: list[Node]) -> None:
        for node in nodes:
            self.appendRow(_item(node))
        self.loaded.emit(len(nodes))


class ContainerTree(QTreeView):
    """The view of it."""

    chosen = Signal(object)
    """Another container is shown: its `Node`."""

    def __init__(self, model: ContainerModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setModel(model)
        self._model = model
        self.setHeaderHidden(True)
        self.setUniformRowHeights(True)
        self.setAccessibleName("Screens, plates, projects and datasets")
        self.setEditTriggers(QTreeView.EditTrigger.NoEditTriggers)
        self.selectionModel().currentChanged.connect(lambda now, _: self.chosen.emit(model.node(now)))
        model.loaded.connect(self.expand_sections)

    def expand_sections(self) -> None:
        """Open the top level."""
        for row in range(self._model.rowCount()):
            self.expand(self._model.index(row, 0))


def _item(node: Node) -> QStandardItem:
    text = f"{node.name} ({node.count:,})" if node.kind in _COUNTED else node.name
    item = QStandardItem(text)
    item.setData(node, _NODE)
    item.setToolTip(node.name if node.kind in SECTIONS else f"{node.name}\n{node.kind}:{node.id}")
    if node.kind in SECTIONS and not node.has_images:
        font = item.font()
        font.setBold(True)
        item.setFont(font)
        item.setSelectable(False)
    return item

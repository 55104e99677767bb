"""The image browser: log in, walk through OMERO, select, view."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import (
    QApplication,
    QComboBox,
    QHBoxLayout,
    QPushButton,
    QSizePolicy,
    QSplitter,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from openhcs_browser.containers import ContainerModel, ContainerTree
from openhcs_browser.images_panel import ImagesPanel, elastic_label
from openhcs_browser.login_form import LoginForm
from openhcs_browser.model import Node, Scope
from openhcs_browser.tasks import Tasks, error_text
from openhcs_browser.thumbnails import Thumbnails
from openhcs_browser.viewer_panel import ViewerPanel
from openhcs_browser.workers import Connection, SessionLost
from openhcs_core.errors import OpenHCSError
from openhcs_core.omero.session import stored_session

logger = logging.getLogger(__name__)

CHECK_S = 30.0
"""So often the session is asked whether it is still there."""

EVERYONE = "All members"

NARROW = 560
"""Width in pixels below which things stand above each other."""


class ImageBrowser(QWidget):
    """Walks through OMERO, and sends what is selected to a viewer.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer, optional
        Of the napari that shows this as a dock, as napari hands it over. Images go the same way as elsewhere: to this
        napari first of all, if its live results are listening.
    server, user : str
        To log in. Without a server, the session of ``omero login`` is joined if there is one.
    port : int
        Of the server; 0 for the usual one.
    ports : sequence of int, optional
        Where to look for viewers; their usual ports unless given.
    """

    def __init__(
        self,
        napari_viewer: Any = None,
        *,
        server: str = "",
        port: int = 0,
        user: str = "",
        ports: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        self.setWindowTitle("OpenHCS image browser")
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self._tasks = Tasks(self)
        self._thread = ThreadPoolExecutor(1, "openhcs-browser-session")
        self._connection: Connection | None = None

        self.form = LoginForm(server, port, user)
        self.form.submitted.connect(self._log_in)
        self.thumbnails = Thumbnails(self._tasks, self._failed, self)
        self.model = ContainerModel(self._tasks, self._failed, self)
        self.tree = ContainerTree(self.model)
        self.images = ImagesPanel(self._tasks, self.thumbnails, self._failed)
        self.images.changed.connect(self._show_summary)
        self.tree.chosen.connect(lambda node: self._show(node))
        self.panel = ViewerPanel(self._tasks, ports)
        self.panel.wanted.connect(self.view_in)
        self.pages = QStackedWidget()
        self.pages.addWidget(self.form)
        self.pages.addWidget(self._browser())
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 6, 6, 6)
        layout.addWidget(self.pages)

        self._check = QTimer(self, interval=int(1000 * CHECK_S))
        self._check.timeout.connect(self._check_session)
        application = QApplication.instance()
        if application is not None:
            application.aboutToQuit.connect(self.close_down)
        self.destroyed.connect(lambda: self._release())  # a dock is not closed when it is taken away
        if not server:
            self._open("Looking for the session of `omero login` ...", _join_stored)
        else:
            self.form.focus()

    # -- what it looks like

    def _browser(self) -> QWidget:
        self.who = elastic_label()
        self.group, self.owner = QComboBox(), QComboBox()
        self.refresh, self.leave = QPushButton("Refresh"), QPushButton("Log out")
        self.refresh.setShortcut("F5")
        self.refresh.setToolTip("Ask OMERO again (F5)")
        for combo, tip in ((self.group, "Group"), (self.owner, "Whose data")):
            combo.setToolTip(tip)
            combo.setAccessibleName(tip)
            combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToContents)
        self.group.activated.connect(lambda _: self._show_group())
        self.owner.activated.connect(lambda _: self.reload())
        self.refresh.clicked.connect(self.reload)
        self.leave.clicked.connect(lambda: self._log_out(""))
        top = QHBoxLayout()
        top.addWidget(self.who, 1)
        for widget in (self.group, self.owner, self.refresh, self.leave):
            top.addWidget(widget)

        splitter = self.splitter = QSplitter()
        splitter.addWidget(self.tree)
        splitter.addWidget(self.images)
        splitter.setStretchFactor(1, 1)
        splitter.setSizes([250, 750])
        splitter.setChildrenCollapsible(False)
        self.tree.setMinimumWidth(140)

        page = QWidget()
        whole = QVBoxLayout(page)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.addLayout(top)
        whole.addWidget(splitter, 1)
        whole.addWidget(self.panel)
        return page

    def resizeEvent(self, event: Any) -> None:  # noqa: N802
        """In a narrow dock the tree is above the images."""
        narrow = self.width() < NARROW
        self.splitter.setOrientation(Qt.Orientation.Vertical if narrow else Qt.Orientation.Horizontal)
        super().resizeEvent(event)

    # -- the session

    def _log_in(self, server: str, port: int, user: str, password: str) -> None:
        self._open(f"Logging in to {server} ...", lambda: Connection(server, port, user=user, password=password))

    def _open(self, text: str, connect: Any) -> None:
        self.form.say(text, problem=False)
        self._tasks.watch(self._thread.submit(connect), self._opened, self._not_opened)

    def _opened(self, connection: Connection | None) -> None:
        self.form.say("")
        if connection is None:
            return
        self._connection = connection
        if self.form.server.text() == connection.host:
            self.form.remember()
        self.who.setText(f"{connection.account.user.name} at {connection.host}")
        self.group.clear()
        for group in connection.account.groups:
            self.group.addItem(group.name, group)
            if group.id == connection.account.group_id:
                self.group.setCurrentIndex(self.group.count() - 1)
        self.group.setVisible(self.group.count() > 1)
        self.pages.setCurrentIndex(1)
        self._show_group()
        self.tree.setFocus()
        self._check.start()
        self.panel.scan()

    def _not_opened(self, error: BaseException) -> None:
        if not isinstance(error, OpenHCSError):
            logger.error("The log-in failed", exc_info=error)
        self.form.say(error_text(error))

    def _log_out(self, reason: str) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        self._check.stop()
        self._thread.submit(connection.close)
        self._show(None)
        self.model.show(None, Scope(0, None))
        self.thumbnails.use(None, Scope(0, None))
        self.pages.setCurrentIndex(0)
        self.form.say(reason)

    def _check_session(self) -> None:
        if self._connection is not None:
            alive = self._connection.tree.submit(lambda conn: conn.c.sf.keepAlive(None))
            self._tasks.watch(alive, failed=self._failed)

    def _failed(self, error: BaseException) -> None:
        """Something that was asked of OMERO failed."""
        if isinstance(error, SessionLost):
            # It may be late, of a session before this one.
            if self._connection is not None and error.login is self._connection.login:
                self._log_out(f"The session has ended: {error}")
            return
        logger.warning("OMERO was asked and failed", exc_info=error)
        self.panel.say(f"OMERO: {error_text(error)}", False)

    def close_down(self) -> None:
        """End the session and all threads; nothing waits for them."""
        self._check.stop()
        self.panel.stop_timers()
        self._release()

    def _release(self) -> None:
        """Let go of what is not Qt's; Qt may have deleted its part of this already."""
        self._tasks.close()
        self.panel.release()
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                self._thread.submit(connection.close)
            except RuntimeError:  # the program is ending: there are no threads any more
                connection.close()
        self._thread.shutdown(wait=False)

    def closeEvent(self, event: Any) -> None:  # noqa: N802
        self.close_down()
        super().closeEvent(event)

    # -- what is shown

    @property
    def scope(self) -> Scope:
        """Whose data is shown."""
        return Scope(self.group.currentData().id, self.owner.currentData())

    def _show_group(self) -> None:
        """Offer the members of the group; show the user's own data first."""
        assert self._connection is not None
        me = self._connection.account.user
        members = self.group.currentData().members
        self.owner.clear()
        self.owner.addItem("My data", me.id)
        others = [member for member in members if member.id != me.id]
        if others:
            self.owner.addItem(EVERYONE, None)
            for member in others:
                self.owner.addItem(member.name, member.id)
        self.owner.setVisible(bool(others))
        self.reload()

    def _show(self, node: Node | None) -> None:
        """Show the images of a container."""
        self.images.show_container(node, self._connection, self.scope if self._connection else Scope(0, None))

    def reload(self) -> None:
        """Ask OMERO again."""
        self._show(None)
        self.thumbnails.use(self._connection, self.scope)
        self.model.show(self._connection, self.scope)

    # -- what is selected

    def _show_summary(self) -> None:
        self.panel.set_selection(*self.images.summary())

    def view_in(self, viewer: str) -> None:
        """Send what is selected to a viewer, all in one stream."""
        if self._connection is None:
            return
        try:
            request = self.images.request()
        except OpenHCSError as error:
            self.panel.say(str(error), False)
            return
        self.panel.send(self._connection.login, request, viewer)


def _join_stored() -> Connection | None:
    """A connection in the session of ``omero login``, None if there is none."""
    found = stored_session()
    if found is None:
        return None
    host, port, key = found
    return Connection(host, port, key=key)

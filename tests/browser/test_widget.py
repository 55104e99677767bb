"""The browser as people use it: on a screen, by mouse and keyboard."""

from contextlib import suppress

import numpy as np
import omero.model
import pytest
from omero.rtypes import rstring
from qtpy.QtCore import QCoreApplication, QEvent, QModelIndex, QPoint, QSettings, Qt
from qtpy.QtTest import QTest

from openhcs_browser import model, thumbnails
from openhcs_core.plate import PlaneAddress
from tests.browser.conftest import CORNERS
from tests.browser.test_model import brightest


@pytest.fixture
def browse(qapp, until, monkeypatch, tmp_path):
    """Function that opens a browser; closed after the test."""
    from openhcs_browser.widget import ImageBrowser

    monkeypatch.setenv("OMERO_USERDIR", str(tmp_path / "omero"))
    QSettings("OpenHCS", "browser").clear()
    opened = []

    def browse(**options):
        browser = ImageBrowser(**{"ports": [], **options})
        opened.append(browser)
        browser.resize(1180, 820)
        browser.show()
        browser.activateWindow()
        until(lambda: browser.isActiveWindow() and browser.form.button.isEnabled())
        return browser

    yield browse
    for browser in opened:
        with suppress(RuntimeError):  # deleted by the test
            browser.close()
            delete(browser)
    qapp.processEvents()


@pytest.fixture
def log_in(browse, until, omero_server, omero_user):
    """Function that opens a browser and logs the user in by keyboard."""

    def log_in(password=omero_user.password, **options):
        browser = browse(server=omero_server.host, port=omero_server.port, user=omero_user.name, **options)
        QTest.keyClicks(browser.form.password, password)
        QTest.keyClick(browser.form.password, Qt.Key.Key_Return)
        until(lambda: browser.form.button.isEnabled())
        return browser

    return log_in


@pytest.fixture
def walk(until):
    """Function that goes to a container, by its names from the top."""

    def walk(browser, *names):
        index = QModelIndex()
        for name in names:
            tree = browser.tree
            tree.expand(index)

            def child(parent=index, name=name):
                rows = range(browser.model.rowCount(parent))
                found = [browser.model.index(row, 0, parent) for row in rows]
                return next((index for index in found if browser.model.node(index).name == name), None)

            index = until(child)
        QTest.mouseClick(
            browser.tree.viewport(), Qt.MouseButton.LeftButton, pos=browser.tree.visualRect(index).center()
        )
        until(lambda: browser.images.complete)
        return browser

    return walk


@pytest.fixture
def on_plate(log_in, walk, plate):
    """Function that opens a browser at the plate."""
    return lambda **options: walk(log_in(**options), "Plates without a screen", "Kinase plate")


def cell(browser, well):
    row, column = ord(well[0]) - ord("A"), int(well[1:]) - 1
    return browser.images.plate.visualRect(browser.images.plate.images_model.index(row, column))


def click(browser, well, keys=Qt.KeyboardModifier.NoModifier):
    QTest.mouseClick(browser.images.plate.viewport(), Qt.MouseButton.LeftButton, keys, cell(browser, well).center())


def picture(widget, rectangle=None):
    """What a widget shows, (Y, X, RGB)."""
    image = (widget.grab(rectangle) if rectangle else widget.grab()).toImage()
    image = image.convertToFormat(image.Format.Format_RGB888)
    bits = image.constBits()
    if hasattr(bits, "setsize"):
        bits.setsize(image.sizeInBytes())
    flat = np.frombuffer(bits, "u1").reshape(image.height(), image.bytesPerLine())
    return flat[:, : 3 * image.width()].reshape(image.height(), image.width(), 3).copy()


def delete(widget):
    """Have Qt delete a widget, as a window does that is taken away."""
    widget.deleteLater()
    QCoreApplication.sendPostedEvents(widget, QEvent.Type.DeferredDelete)


def alive(server, key):
    """Whether a session is there; asked without joining it, which would keep it."""
    with server.core.store.lock:
        return key in server.core.sessions.open


def summary(browser):
    return browser.panel.summary.text()


def test_wrong_password(log_in, omero_user):
    browser = log_in(password="wrong")
    assert "wrong password, or no user" in browser.form.message.text()
    assert browser.pages.currentWidget() is browser.form
    assert browser.form.password.text() == ""


def test_nothing_is_asked_of_a_server_without_a_password(log_in):
    browser = log_in(password="")
    assert browser.form.message.text() == "Give server, user and password."


def test_server_and_user_are_remembered_and_the_password_is_not(log_in, browse, omero_server, omero_user):
    assert log_in().pages.currentIndex() == 1
    form = browse().form
    assert (form.server.text(), form.port.value(), form.user.text()) == (
        omero_server.host,
        omero_server.port,
        omero_user.name,
    )
    stored = QSettings("OpenHCS", "browser")
    assert {key: str(stored.value(key)) for key in stored.allKeys()} == {
        "server": omero_server.host,
        "port": str(omero_server.port),
        "user": omero_user.name,
    }


def test_the_session_of_the_command_line_is_joined(browse, omero_server, omero_conn, omero_user, tmp_path, monkeypatch):
    from omero.util.sessions import SessionsStore

    key = omero_conn.c.sf.getSessionService().createUserSession(60_000, 60_000, omero_user.group).uuid.val
    monkeypatch.setenv("OMERO_USERDIR", str(tmp_path / "omero"))
    store = SessionsStore()
    store.add(omero_server.host, omero_user.name, key, {"omero.port": str(omero_server.port)})
    store.set_current(omero_server.host, omero_user.name, key, {"omero.port": str(omero_server.port)})
    browser = browse()
    assert browser.pages.currentIndex() == 1
    assert browser.who.text() == f"Ada Number {omero_user.name.removeprefix('user')} at {omero_server.host}"


def test_thumbnails_of_a_plate_lie_where_their_wells_are(on_plate, until):
    browser = on_plate()
    images = browser.images.plate.images_model.images
    until(lambda: all(browser.thumbnails.known(image.pixels_id) for image in images if image.field == 0))
    for well, corner in CORNERS.items():
        assert brightest(picture(browser.images.plate.viewport(), cell(browser, well).adjusted(3, 3, -3, -3))) == corner
    assert browser.images.plate.images_model.headerData(1, Qt.Orientation.Vertical) == "B"
    assert browser.images.plate.images_model.headerData(2, Qt.Orientation.Horizontal) == "3"
    browser.images.field.setCurrentIndex(1)
    browser.images.field.activated.emit(1)
    until(lambda: all(browser.thumbnails.known(image.pixels_id) for image in images))
    channel, down, right = CORNERS["A02"]
    shown = brightest(picture(browser.images.plate.viewport(), cell(browser, "A02").adjusted(3, 3, -3, -3)))
    assert shown == (channel, 1 - down, 1 - right)


def test_selecting_wells_rows_and_columns(on_plate):
    browser = on_plate()
    assert summary(browser).startswith("Nothing selected; all of it: 4 wells, 8 images, 48 planes, 393.2 KB")
    click(browser, "A01")
    assert browser.images.selection()[0] == [
        image for image in browser.images.plate.images_model.images if image.well == "A01"
    ]
    click(browser, "B03", Qt.KeyboardModifier.ControlModifier)
    assert [image.well for image in browser.images.selection()[0]] == ["A01", "A01", "B03", "B03"]
    click(browser, "A01")
    click(browser, "B03", Qt.KeyboardModifier.ShiftModifier)
    assert len(browser.images.selection()[0]) == 8
    header = browser.images.plate.verticalHeader()
    place = QPoint(5, header.sectionViewportPosition(1) + 10)
    QTest.mouseClick(header.viewport(), Qt.MouseButton.LeftButton, pos=place)
    assert {image.well for image in browser.images.selection()[0]} == {"B01", "B03"}
    header = browser.images.plate.horizontalHeader()
    place = QPoint(header.sectionViewportPosition(0) + 10, 5)
    QTest.mouseClick(header.viewport(), Qt.MouseButton.LeftButton, pos=place)
    assert {image.well for image in browser.images.selection()[0]} == {"A01", "B01"}
    browser.images.only_field.setChecked(True)
    assert [(image.well, image.field) for image in browser.images.selection()[0]] == [("A01", 0), ("B01", 0)]


def test_the_line_below_says_what_is_selected(on_plate, until):
    browser = on_plate()
    click(browser, "A02")
    until(lambda: summary(browser).startswith("Selected: 1 well, 2 images, 12 planes, 98.3 KB (each 64 × 64"))
    browser.images.plate.setFocus()
    QTest.keyClick(browser.images.plate, Qt.Key.Key_A, Qt.KeyboardModifier.ControlModifier)
    until(lambda: summary(browser).startswith("Selected: 4 wells"))


@pytest.mark.parametrize("fields", ["all fields", "one field"])
def test_wells_go_to_the_viewer_in_one_stream(on_plate, until, viewer, plate, fields):
    recorder, _, port = viewer
    browser = on_plate(ports=[port])
    until(lambda: browser.panel.list.item(0).text() == f"napari at 127.0.0.1:{port}")
    click(browser, "A01")
    click(browser, "B03", Qt.KeyboardModifier.ControlModifier)
    browser.images.only_field.setChecked(fields == "one field")
    until(lambda: summary(browser).startswith("Selected"))
    outcomes = []
    browser.panel.sent.connect(outcomes.append)
    QTest.mouseClick(browser.panel.buttons["napari"], Qt.MouseButton.LeftButton)
    assert not browser.panel.buttons["napari"].isEnabled()
    until(lambda: outcomes)
    assert outcomes[0].good, outcomes
    assert browser.panel.report.text() == outcomes[0].text
    sites = (1, 2) if fields == "all fields" else (1,)
    (begin,) = recorder.begins
    wanted = {
        PlaneAddress(well, site, c + 1, z + 1): plate[1][well, site][0, c, z]
        for well in ("A01", "B03")
        for site in sites
        for c in range(2)
        for z in range(3)
    }
    assert {address for _, address in recorder.planes} == wanted.keys()
    assert all(np.array_equal(recorder.planes[begin.stream, address], wanted[address]) for address in wanted)
    assert browser.panel.buttons["napari"].isEnabled()
    assert browser.panel.progress.isHidden()


def test_images_of_a_dataset_by_keyboard(log_in, walk, until, dataset, viewer):
    recorder, _, port = viewer
    browser = walk(log_in(ports=[port]), "Datasets without a project", "Growth")
    until(lambda: all(browser.thumbnails.known(image.pixels_id) for image in browser.images.list.images_model.images))
    until(lambda: "napari" in browser.panel.list.item(0).text())
    browser.images.list.setFocus()
    QTest.keyClick(browser.images.list, Qt.Key.Key_Home)
    QTest.keyClick(browser.images.list, Qt.Key.Key_Right)
    QTest.keyClick(browser.images.list, Qt.Key.Key_Right, Qt.KeyboardModifier.ShiftModifier)
    until(lambda: summary(browser).startswith("Selected: 2 images, 2 planes"))
    outcomes = []
    browser.panel.sent.connect(outcomes.append)
    QTest.keyClick(browser, Qt.Key.Key_1, Qt.KeyboardModifier.ControlModifier)
    until(lambda: outcomes)
    assert outcomes[0].good, outcomes
    assert len(recorder.begins) == 1
    for plane, wanted in zip(recorder.planes.values(), list(dataset.values())[1:3], strict=True):
        np.testing.assert_array_equal(plane, wanted)


def test_cancel(on_plate, until, viewer):
    recorder, _, port = viewer
    recorder.receiver.pause()
    browser = on_plate(ports=[port])
    until(lambda: "napari" in browser.panel.list.item(0).text())
    outcomes = []
    browser.panel.sent.connect(outcomes.append)
    QTest.mouseClick(browser.panel.buttons["napari"], Qt.MouseButton.LeftButton)
    until(lambda: browser.panel.report.text() == "Waiting for napari ...")
    assert browser.panel.progress.isVisible()
    QTest.mouseClick(browser.panel.cancel, Qt.MouseButton.LeftButton)
    until(lambda: outcomes)
    assert browser.panel.report.text() == "napari: 0 of 48 planes arrived; stopped."
    assert browser.panel.cancel.isHidden()


def test_the_end_of_the_session_leads_back_to_the_form(on_plate, until, end_session, omero_user):
    browser = on_plate()
    end_session(browser._connection.login.key)
    QTest.keyClick(browser, Qt.Key.Key_F5)
    until(lambda: browser.pages.currentWidget() is browser.form)
    assert browser.form.message.text() == "The session has ended: the OMERO session is over. Log in again."
    assert browser.form.user.text() == omero_user.name
    QTest.keyClicks(browser.form.password, omero_user.password)
    QTest.mouseClick(browser.form.button, Qt.MouseButton.LeftButton)
    until(lambda: browser.pages.currentIndex() == 1)
    until(lambda: browser.model.rowCount() == 1)


def test_the_end_of_the_session_is_noticed_without_doing_anything(on_plate, until, end_session):
    browser = on_plate()
    end_session(browser._connection.login.key)
    browser._check.setInterval(50)
    until(lambda: "The session has ended" in browser.form.message.text())


def test_log_out_ends_the_session(log_in, until, omero_server):
    browser = log_in()
    key = browser._connection.login.key
    assert alive(omero_server, key)
    QTest.mouseClick(browser.leave, Qt.MouseButton.LeftButton)
    assert browser.pages.currentWidget() is browser.form
    until(lambda: not alive(omero_server, key))


def test_a_dock_that_is_taken_away_ends_the_session(log_in, until, omero_server, qapp):
    browser = log_in()
    key = browser._connection.login.key
    delete(browser)
    until(lambda: not alive(omero_server, key))


def test_pages_of_containers_come_as_the_tree_is_scrolled(log_in, until, save, monkeypatch):
    monkeypatch.setattr("openhcs_browser.containers.PAGE", 30)
    monkeypatch.setattr(model.children, "__defaults__", (0, 30))
    datasets = []
    for number in range(75):
        dataset = omero.model.DatasetI()
        dataset.name = rstring(f"set {number:02}")
        datasets.append(dataset)
    save(*datasets)
    browser = log_in()
    section = until(lambda: browser.model.rowCount() and browser.model.index(0, 0))
    until(lambda: browser.model.rowCount(section) >= 30)
    while browser.model.rowCount(section) < 75:
        before = browser.model.rowCount(section)
        browser.tree.scrollToBottom()
        until(lambda before=before: browser.model.rowCount(section) > before)
    assert [browser.model.index(row, 0, section).data() for row in (0, 74)] == ["set 00 (0)", "set 74 (0)"]


def test_only_what_is_in_sight_is_asked_for(log_in, walk, until, omero_conn, monkeypatch, save):
    """A plate of 384 wells that all show the same image."""
    image = omero_conn.createImageFromNumpySeq(iter([np.full((4, 4), 9, "u1")]), "one").getId()
    plate = omero.model.PlateI()
    plate.name = rstring("large")
    for number in range(384):
        well = omero.model.WellI()
        well.row, well.column = (omero.rtypes.rint(part) for part in divmod(number, 24))
        sample = omero.model.WellSampleI()
        sample.image = omero.model.ImageI(image, False)
        well.addWellSample(sample)
        plate.addWell(well)
    save(plate)
    asked = []
    monkeypatch.setattr(thumbnails, "thumbnails", lambda conn, scope, ids: asked.append(list(ids)) or {})
    browser = walk(log_in(), "Plates without a screen", "large")
    browser.images.zoom.setValue(150)
    browser.images.plate.scrollToTop()
    until(lambda: asked)
    shown = browser.images.plate.in_sight()
    assert 0 < len(shown) < 60
    browser.images.plate.scrollToBottom()
    assert {(index.row(), index.column()) for index in browser.images.plate.in_sight()}.isdisjoint(
        (index.row(), index.column()) for index in shown
    )


def test_thumbnails_out_of_sight_are_cancelled(qapp, until):
    from concurrent.futures import Future

    from openhcs_browser.tasks import Tasks

    class Connection:
        """Keeps what is asked of it."""

        def __init__(self):
            self.thumbnails, self.futures = self, []

        def submit(self, work):
            self.futures.append(Future())
            return self.futures[-1]

    connection, store = Connection(), thumbnails.Thumbnails(Tasks(), print)
    store.use(connection, model.Scope(0, None))
    store.want(range(30))
    store.want(range(24, 60))
    first, second, third, fourth = connection.futures
    assert first.cancelled()
    assert not second.cancelled()
    second.set_running_or_notify_cancel()
    second.set_result({})
    until(lambda: store.known(24))
    assert not store.known(0)
    assert third.cancel()
    assert fourth.cancel()


def test_a_viewer_that_does_not_start_is_told(on_plate, until, monkeypatch):
    from openhcs_core.streaming import manager
    from openhcs_core.streaming.errors import StreamingError

    def refuse(*_, **__):
        raise StreamingError("napari cannot be started: it is not installed.")

    monkeypatch.setattr(manager.ViewerManager, "get_or_create", refuse)
    browser = on_plate()
    QTest.mouseClick(browser.panel.buttons["napari"], Qt.MouseButton.LeftButton)
    until(lambda: browser.panel.report.text() == "napari cannot be started: it is not installed.")
    assert browser.panel.buttons["napari"].isEnabled()


def test_groups_and_owners(browse, log_in, until, make_user, connect, omero_user):
    other = make_user(group=omero_user.group)
    dataset = omero.model.DatasetI()
    dataset.name = rstring("not mine")
    connect(other).getUpdateService().saveObject(dataset)
    browser = log_in()
    assert browser.owner.currentText() == "My data"
    assert browser.model.rowCount() == 0
    browser.owner.setCurrentText("All members")
    browser.owner.activated.emit(browser.owner.currentIndex())
    section = until(lambda: browser.model.rowCount() and browser.model.index(0, 0))
    until(lambda: browser.model.rowCount(section) == 1)
    assert browser.model.index(0, 0, section).data() == "not mine (0)"

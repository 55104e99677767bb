"""Fixtures for the image browser: a screen of its own, a small world in OMERO, and a viewer to send to."""

import sys
import time

import numpy as np
import omero.model
import pytest
import tifffile
from omero.rtypes import rstring

from bootstrap._display import xvfb
from openhcs_browser.workers import Connection
from openhcs_core.streaming.endpoints import parse
from openhcs_core.streaming.receiver import Receiver
from tests.omero.plates import PlateField, write_plate
from tests.streaming.peers import Recorder

SIZE = 64
CORNERS = {"A01": (0, 0, 0), "A02": (1, 0, 1), "B01": (0, 1, 0), "B03": (1, 1, 1)}
"""Channel, and quadrant (down, right), that is bright in field 1 of each well; in field 2 the opposite quadrant is."""


def quadrant(channel: int, down: int, right: int) -> np.ndarray:
    """Voxels (T, C, Z, Y, X) that are bright in one quadrant of one channel; a little different in each section."""
    voxels = np.zeros((1, 2, 3, SIZE, SIZE), "u2")
    voxels += np.arange(SIZE, dtype="u2")
    voxels[0, :, :, :, 0] += np.arange(3, dtype="u2")[:, None]
    half = SIZE // 2
    voxels[0, channel, :, down * half : (down + 1) * half, right * half : (right + 1) * half] += 4000
    return voxels


@pytest.fixture
def plate(omero_server, omero_user, tmp_path):
    """Id of a plate with the wells of `CORNERS`, two fields each; and its voxels by well and site."""
    voxels = {}
    for well, (channel, down, right) in CORNERS.items():
        voxels[well, 1] = quadrant(channel, down, right)
        voxels[well, 2] = quadrant(channel, 1 - down, 1 - right)
    wells = {
        (ord(well[0]) - ord("A"), int(well[1:]) - 1): [
            PlateField(voxels[well, site], (0, 20 * site)) for site in (1, 2)
        ]
        for well in CORNERS
    }
    path = write_plate(tmp_path / "p.ome.tif", wells, name="Kinase plate")
    (result,) = omero_server.import_files([path], user=omero_user.name)
    return result.plate_id, voxels


@pytest.fixture
def dataset(omero_server, omero_user, tmp_path):
    """Images "growth 00.tif" to "growth 04.tif" in a dataset, by id."""
    paths, planes = [], []
    for number in range(5):
        planes.append(np.arange(number, number + 32 * 32, dtype="u2").reshape(32, 32))
        paths.append(tmp_path / f"growth {number:02}.tif")
        tifffile.imwrite(paths[-1], planes[-1])
    results = omero_server.import_files(paths, user=omero_user.name, dataset="Growth")
    return {result.image_ids[0]: plane for result, plane in zip(results, planes, strict=True)}


@pytest.fixture
def save(omero_conn):
    """Function that saves objects of OMERO; it gives their ids."""

    def save(*objects):
        return omero_conn.getUpdateService().saveAndReturnIds(list(objects))

    return save


@pytest.fixture
def link(save):
    """Function that puts something into a new container with a name, whose id it gives."""

    def link(kind, name, child_kind, child_id):
        container = getattr(omero.model, f"{kind}I")()
        container.name = rstring(name)
        joint = getattr(omero.model, f"{kind}{child_kind}LinkI")()
        joint.parent, joint.child = container, getattr(omero.model, f"{child_kind}I")(child_id, False)
        save(joint)
        return name

    return link


@pytest.fixture
def connection(omero_server, omero_user):
    """A connection of the user."""
    made = Connection(omero_server.host, omero_server.port, user=omero_user.name, password=omero_user.password)
    yield made
    made.close()


@pytest.fixture
def end_session(omero_server):
    """Function that ends a session on the server, as an administrator does."""

    def end(key):
        with omero_server.core.store.lock:
            omero_server.core.sessions.close(omero_server.core.sessions.get(key))

    return end


@pytest.fixture
def viewer():
    """A viewer that says it is napari and keeps all planes: (recorder, endpoint, port)."""
    recorder = Recorder()
    with Receiver(recorder, "napari", listen="tcp://127.0.0.1:0") as receiver:
        recorder.receiver = receiver
        yield recorder, receiver.endpoint, parse(receiver.endpoint).port


@pytest.fixture(scope="session")
def qapp(tmp_path_factory):
    """Qt on a screen of its own, for the whole run: no other program is there, so that nothing takes the focus.

    One application serves all tests, as Qt allows one in a process.
    """
    from qtpy.QtCore import QSettings
    from qtpy.QtWidgets import QApplication

    folder = str(tmp_path_factory.mktemp("settings"))
    QSettings.setPath(QSettings.Format.NativeFormat, QSettings.Scope.UserScope, folder)
    with xvfb("1400x1000x24") as display, pytest.MonkeyPatch.context() as patch:
        patch.setenv("DISPLAY", display)
        patch.delenv("QT_QPA_PLATFORM", raising=False)
        application = QApplication.instance() or QApplication(["tests"])
        yield application
        application.quit()


@pytest.fixture
def faults(monkeypatch):
    """Exceptions in what Qt calls; they fail the test that has this fixture."""
    found = []
    monkeypatch.setattr(sys, "excepthook", lambda kind, error, trace: found.append(error))
    yield found
    assert found == []


@pytest.fixture
def until(qapp, faults):
    """Function that lets Qt work until a condition holds."""

    def until(condition, timeout_s=20.0):
        deadline = time.monotonic() + timeout_s
        while not (found := condition()):
            assert faults == []
            assert time.monotonic() < deadline, "it did not happen in time"
            qapp.processEvents()
            time.sleep(0.005)
        return found

    return until

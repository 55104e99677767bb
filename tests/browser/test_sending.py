"""From what is selected to a viewer: one stream, all planes, and a report when something goes wrong."""

import threading
import time

import numpy as np
import pytest

from openhcs_browser import sending
from openhcs_browser.model import ImageFacts, Node, Scope, images
from openhcs_browser.sending import Request, Sending, start_another
from openhcs_core.errors import OpenHCSError
from openhcs_core.plate import PlaneAddress
from openhcs_core.streaming.manager import ViewerManager
from tests.streaming.peers import until


@pytest.fixture
def fields(connection, omero_user, plate):
    """The node of the plate, and its images."""
    node = Node("Plate", plate[0], "Kinase plate", 0)
    scope = Scope(omero_user.group_id, omero_user.id)
    return node, connection.tree.submit(lambda conn: images(conn, scope, node)).result()


def expected(voxels, keys):
    """Planes by address."""
    return {
        PlaneAddress(well, site, c + 1, z + 1, 1): voxels[well, site][0, c, z]
        for well, site in keys
        for c in range(2)
        for z in range(3)
    }


def assert_shown(recorder, wanted):
    """The recorder has these planes, in one stream, and nothing else."""
    (begin,) = recorder.begins
    assert {address for _, address in recorder.planes} == wanted.keys()
    for address, plane in wanted.items():
        np.testing.assert_array_equal(recorder.planes[begin.stream, address], plane)


def test_a_whole_plate(connection, fields, plate, viewer):
    recorder, endpoint, _ = viewer
    node, found = fields
    request = Request.of(node, found, complete=True)
    assert request == Request(f"Plate:{node.id}", (), 48, 48 * 64 * 64 * 2)
    outcome = Sending(connection.login, request, "napari", endpoint).run()
    assert outcome.good
    assert outcome.text.startswith("napari: 48 of 48 planes arrived, 393.2 KB in ")
    assert_shown(recorder, expected(plate[1], plate[1]))
    assert recorder.begins[0].title == "Kinase plate"
    assert [channel.name for channel in recorder.begins[0].channels] == ["DAPI", "GFP"]
    until(lambda: recorder.ends, len)


def test_one_field_of_some_wells(connection, fields, plate, viewer):
    recorder, endpoint, _ = viewer
    node, found = fields
    chosen = [image for image in found if image.well in ("A02", "B03") and image.field == 1]
    request = Request.of(node, chosen, sites=(2,))
    outcome = Sending(connection.login, request, "napari", endpoint).run()
    assert outcome.good, outcome
    assert_shown(recorder, expected(plate[1], [("A02", 2), ("B03", 2)]))


def test_images_of_a_dataset(connection, dataset, viewer):
    recorder, endpoint, _ = viewer
    two = list(dataset)[1:3]
    facts = [ImageFacts(number, "", number, (1, 1, 1, 32, 32), "uint16") for number in two]
    outcome = Sending(connection.login, Request.of(Node("Dataset", 1, "", 5), facts), "napari", endpoint).run()
    assert outcome.good, outcome
    (stream,) = {name for name, _ in recorder.planes}
    for number, plane in zip(two, recorder.planes.values(), strict=True):
        np.testing.assert_array_equal(plane, dataset[number])
    assert len(recorder.begins) == 1
    assert recorder.begins[0].stream == stream


def test_places_of_what_is_selected():
    def facts(number, well=None, field=0, pixels=1):
        return ImageFacts(number, "", pixels, (1, 2, 3, 10, 10), "uint8", well, field=field)

    dataset, orphans = Node("Dataset", 7, "", 2), Node("Orphaned images", 0, "", 2)
    run = Node("PlateAcquisition", 9, "", 2)
    assert Request.of(dataset, [facts(1), facts(2)], complete=True).place == "Dataset:7"
    assert Request.of(dataset, [facts(1)]).place == "Image:1"
    assert Request.of(dataset, [facts(1), facts(2, pixels=None)], complete=True) == Request("Image:1", (), 6, 600)
    assert Request.of(orphans, [facts(1), facts(2)], complete=True).place == "Image:1,2"
    assert Request.of(run, [facts(1, 5, 2), facts(2, 6, 2)], complete=True) == Request("Well:5,6", (3,), 12, 1200)
    with pytest.raises(OpenHCSError, match="There is nothing to show: select images that have pixels"):
        Request.of(dataset, [facts(1, pixels=None)])


def test_images_of_several_sizes_go_together(connection, omero_conn, viewer):
    recorder, endpoint, _ = viewer
    arrays = [np.full(shape, 7, "u1") for shape in ((4, 4), (5, 6))]
    numbers = [omero_conn.createImageFromNumpySeq(iter([array]), "image").getId() for array in arrays]
    facts = [ImageFacts(number, "", number, (1, 1, 1, 4, 4), "uint8") for number in numbers]
    request = Request.of(Node("Orphaned images", 0, "", 2), facts)
    outcome = Sending(connection.login, request, "napari", endpoint).run()
    assert outcome.good, outcome
    for plane, array in zip(recorder.planes.values(), arrays, strict=True):
        np.testing.assert_array_equal(plane, array)


def test_what_cannot_be_read_is_told(connection, viewer):
    gone = ImageFacts(10**9, "", 1, (1, 1, 1, 4, 4), "uint8")
    outcome = Sending(
        connection.login, Request.of(Node("Orphaned images", 0, "", 2), [gone]), "napari", viewer[1]
    ).run()
    assert not outcome.good
    assert outcome.text.startswith("napari: 0 of 1 planes arrived; Image:1000000000: ")
    assert "does not exist, or you may not see it" in outcome.text


class Waiting(threading.Thread):
    """A sending in a thread of its own."""

    def __init__(self, sending):
        super().__init__()
        self.sending, self.outcome = sending, None
        self.start()

    def run(self):
        self.outcome = self.sending.run()


def test_a_paused_viewer_is_waited_for_until_the_user_cancels(connection, fields, viewer, monkeypatch):
    monkeypatch.setattr(sending, "ALIVE_S", 0.1)
    recorder, endpoint, _ = viewer
    recorder.receiver.pause()
    waiting = Waiting(Sending(connection.login, Request.of(*fields, complete=True), "napari", endpoint))
    until(lambda: waiting.sending.phase, lambda phase: phase == "Waiting for napari ...")
    time.sleep(0.5)  # it is asked whether it is there
    assert waiting.is_alive()
    waiting.sending.cancel()
    waiting.join(20)
    assert waiting.outcome.text == "napari: 0 of 48 planes arrived; stopped."
    assert not waiting.outcome.good


def test_a_viewer_that_is_gone_is_told(connection, fields, monkeypatch):
    monkeypatch.setattr(sending, "ALIVE_S", 0.2)
    outcome = Sending(connection.login, Request.of(*fields, complete=True), "napari", "tcp://127.0.0.1:9").run()
    assert not outcome.good
    assert outcome.text.startswith("napari: 0 of 48 planes arrived; 48 images streamed;")


def test_no_free_port_for_another_viewer(monkeypatch):
    monkeypatch.setattr(sending, "is_taken", lambda endpoint: True)
    with pytest.raises(OpenHCSError, match="The ports 5555 to 5564 of napari are all taken; close a viewer"):
        start_another("napari")


def test_another_viewer_gets_the_first_free_port(monkeypatch):
    taken = {"tcp://127.0.0.1:5555", "tcp://127.0.0.1:6556"}  # of data; of control
    monkeypatch.setattr(sending, "is_taken", taken.__contains__)
    monkeypatch.setattr(ViewerManager, "get_or_create", lambda _, viewer, port, **options: (viewer, port, options))
    assert start_another("napari") == ("napari", 5557, {"persistent": True})

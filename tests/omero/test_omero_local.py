"""The backend omero_local: reading."""

import pickle
import subprocess
import sys

import numpy as np
import pytest
from omero.util.sessions import SessionsStore

from openhcs_backends import omero_local
from openhcs_backends.omero_local import OMEROLocalBackend
from openhcs_core.omero.login import Login
from openhcs_core.omero.session import gateway
from openhcs_core.plate import PlaneAddress
from openhcs_core.plugins import backend
from openhcs_core.storage.backend import StorageError
from tests.omero.plates import PlateField, write_plate


@pytest.fixture
def home(omero_conn):
    """The backend in the session of a fresh user."""
    return OMEROLocalBackend(Login.of(omero_conn.c))


@pytest.fixture
def images(import_tiff, voxels):
    """Ids and voxels (T, C, Z, Y, X) of several images."""
    found = {}
    for number in range(3):
        array = voxels(2, 3, 2, 40, 50) + number
        image = import_tiff(array, f"{number}.ome.tif", metadata={"axes": "TCZYX"})
        found[image.getId()] = array
    return found


def location_of(images):
    return f"Image:{','.join(map(str, images))}"


def check(plate, images):
    """Every plane is that of its image."""
    for (well, site), number in plate.layout.source_ids.items():
        addresses = [address for address in plate.layout.planes[well] if address.site == site]
        for address, plane in zip(addresses, plate.read(addresses), strict=True):
            wanted = images[number][address.timepoint - 1, address.channel - 1, address.z_index - 1]
            assert np.array_equal(plane, wanted)
            assert plane.dtype == plate.layout.dtype
            assert plane.dtype.isnative
            assert plane.flags.writeable


def test_planes_come_from_the_files(home, images):
    with home.open_plate(location_of(images)) as plate:
        check(plate, images)
        assert plate.source == "the image's file"
        first = PlaneAddress("A01")
        one, other = plate.read([first, first])
        one[:] = 0
        assert other.any()


def test_planes_come_through_the_api_where_there_is_no_file(home, make_image, voxels):
    array = voxels(2, 2, 3, 20, 30, dtype="i2")
    number = make_image(array).getId()
    with home.open_plate(f"Image:{number}") as plate:
        check(plate, {number: array})
        assert plate.source == "the OMERO API, because the image was not imported from a file"


def test_fields_of_a_plate(home, omero_server, omero_user, tmp_path, voxels):
    first = voxels(1, 2, 3, 40, 50)
    wells = {(0, 0): [PlateField(first), PlateField(first + 1)], (7, 11): [PlateField(first + 2)]}
    (result,) = omero_server.import_files([write_plate(tmp_path / "p.ome.tif", wells)], user=omero_user.name)
    with home.open_plate(f"Plate:{result.plate_id}") as plate:
        assert plate.layout.wells == ["A01", "H12"]
        number = plate.layout.source_ids["A01", 2]
        check(plate, {**dict.fromkeys(result.image_ids, first), number: first + 1} | {
            plate.layout.source_ids["H12", 1]: first + 2
        })  # fmt: skip


def test_few_images_are_open_at_a_time(home, images, monkeypatch):
    opened, closed = [], []
    monkeypatch.setattr(omero_local, "OPEN_IMAGES", 2)

    class Watched(omero_local.ImagePixels):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            opened.append(self)

        def close(self):
            closed.append(self)
            super().close()

    monkeypatch.setattr(omero_local, "ImagePixels", Watched)
    with home.open_plate(location_of(images)) as plate:
        for well in ("A01", "A02", "A03", "A03", "A02", "A01"):
            plate.read([PlaneAddress(well)])
            assert len(opened) - len(closed) <= 2
        assert len(opened) == 4
    assert len(closed) == 4


def test_a_changed_file_is_told(home, images, conn, stored_file, monkeypatch):
    monkeypatch.setattr(omero_local, "OPEN_IMAGES", 1)
    plate = home.open_plate(location_of(images))
    with plate:
        plate.read([PlaneAddress("A01")])
        path = stored_file(conn.getObject("Image", next(iter(images))))
        path.write_bytes(path.read_bytes() + b"\0")
        with pytest.raises(StorageError, match="its file was changed or removed while it was read"):
            plate.read([PlaneAddress("A02")])


def test_what_the_plate_does_not_have(home, images):
    with home.open_plate(location_of(images)) as plate, pytest.raises(StorageError, match="no field 2 in well A01"):
        plate.read([PlaneAddress("A01", 2)])


@pytest.mark.parametrize("location", ["Plate:999999", "somewhere"])
def test_what_is_not_there(home, location):
    with pytest.raises(StorageError, match="does not exist, or you may not see it|is no place in OMERO"):
        home.open_plate(location)


def test_an_image_removed_in_the_meantime(home, images, omero_conn):
    with home.open_plate(location_of(images)) as plate:
        omero_conn.deleteObjects("Image", [plate.layout.source_ids["A02", 1]], wait=True)
        with pytest.raises(StorageError, match=r"^A02 field 1 \(Image:\d+\): it does not exist any more"):
            plate.read([PlaneAddress("A02")])


READ = """
import sys, pickle
from openhcs_core.plate import PlaneAddress
backend, location = pickle.load(sys.stdin.buffer)
with backend.open_plate(location) as plate:
    print(plate.read([PlaneAddress("A01", 1, 2, 1, 2)])[0].sum())
"""


def test_another_process_joins_the_session(home, images, omero_conn):
    number = next(iter(images))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", READ],
        input=pickle.dumps((home, f"Image:{number}")),
        capture_output=True,
        check=True,
    )
    assert int(done.stdout) == images[number][1, 1, 0].sum()
    assert omero_conn.getObject("Image", number) is not None  # the session goes on


def test_a_plate_does_not_cross_into_another_process(home, images, monkeypatch):
    with home.open_plate(location_of(images)) as plate:
        monkeypatch.setattr(omero_local.os, "getpid", lambda: -1)
        with pytest.raises(StorageError, match="was opened in another process"):
            plate.read([PlaneAddress("A01")])
        monkeypatch.undo()
    with pytest.raises((TypeError, pickle.PicklingError, RuntimeError)):
        pickle.dumps(plate)


def test_no_secret_is_shown(home, omero_conn):
    key = omero_conn.c.getSessionId()
    assert key not in f"{home!r} {vars(home)!r} {Login.of(omero_conn.c)!r}"
    assert not any(key in value for value in Login.of(omero_conn.c).properties.values())


def test_a_session_that_is_over(omero_conn, connect, make_user):
    other = connect(make_user())
    home = OMEROLocalBackend(Login.of(other.c))
    other.close()
    with pytest.raises(StorageError, match="the OMERO session is over. Log in again"):
        home.open_plate("Plate:1")


def test_without_a_session_it_is_that_of_omero_login(images, omero_conn, omero_server, monkeypatch, tmp_path):
    monkeypatch.setenv("OMERO_USERDIR", str(tmp_path / "login"))
    with pytest.raises(StorageError, match="Not logged in to OMERO. Run `omero login` first"):
        OMEROLocalBackend().open_plate(location_of(images))
    store, properties = SessionsStore(), {"omero.port": str(omero_server.port)}
    store.add(omero_server.host, "me", omero_conn.c.getSessionId(), properties)
    store.set_current(omero_server.host, "me", omero_conn.c.getSessionId(), properties)
    with OMEROLocalBackend().open_plate(location_of(images)) as plate:
        check(plate, images)


def test_the_plugin_offers_it(images, omero_conn):
    made = backend("omero_local").factory()
    assert made.recognises("Plate:12")
    assert made.recognises("Image:1,2")
    assert not made.recognises("plates/12")
    with made.of(Login.of(omero_conn.c)).open_plate(location_of(images)) as plate:
        assert plate.layout.wells == ["A01", "A02", "A03"]
    assert gateway(omero_conn.c).getUserId() == omero_conn.getUserId()

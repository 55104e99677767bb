"""Stream_To_Viewer.py in a real processor, with viewers on real sockets."""

import signal

import numpy as np
import pytest

from openhcs_core.omero.plates import load_layout
from openhcs_core.omero.session import gateway
from openhcs_core.plate import PlaneAddress
from tests.omero.plates import PlateField, write_plate
from tests.scripts.runs import failed, processes, wait_for
from tests.scripts.viewer import LOOPBACK, Screen, own_address
from tests.streaming.peers import Peer

SETTINGS = f'viewer_targets = ["{LOOPBACK}", "{own_address()}"]\nviewer_listen = "{LOOPBACK}:5700-5799"'
FIRST = np.random.default_rng(6).integers(0, 4000, (1, 2, 3, 40, 50), "u2")


@pytest.fixture
def script(scripts_by_path):
    """Id of the registered script."""
    return scripts_by_path["/openhcs/viewer_scripts/Stream_To_Viewer.py"]


@pytest.fixture(autouse=True)
def _allowed(site):
    site(SETTINGS)


@pytest.fixture
def conn(omero_conn):
    return gateway(omero_conn.c)


@pytest.fixture
def plate(omero_server, omero_user, tmp_path):
    """Id of a plate: A01 with two fields, B03 with one; two channels, three sections."""
    wells = {(0, 0): [PlateField(FIRST, (0, 0)), PlateField(FIRST + 1, (0, 20))], (1, 2): [PlateField(FIRST + 2)]}
    (result,) = omero_server.import_files([write_plate(tmp_path / "p.ome.tif", wells)], user=omero_user.name)
    return result.plate_id


def expected(wells=("A01", "B03"), channels=(1, 2), sections=(1, 2, 3)):
    """Planes of the plate by address."""
    fields = {("A01", 1): FIRST, ("A01", 2): FIRST + 1, ("B03", 1): FIRST + 2}
    return {
        PlaneAddress(well, site, c, z): voxels[0, c - 1, z - 1]
        for (well, site), voxels in fields.items()
        for c in channels
        for z in sections
        if well in wells
    }


def assert_shown(screen, wanted):
    """All of one stream, and nothing else."""
    (begin,) = screen.begins
    shown = screen.of(begin.stream)
    assert shown.keys() == wanted.keys()
    assert all(np.array_equal(shown[address], plane) for address, plane in wanted.items())
    assert begin.images == len(wanted)
    (end,) = screen.ends
    assert (end.images, end.delivered, end.undelivered, end.aborted) == (len(wanted), len(wanted), 0, False)


def test_a_plate_as_omero_shows_it(export, plate, conn):
    """Pixels, names, colours, windows, sizes, ids."""
    image = conn.getObject("Plate", plate).listChildren().__next__().getImage(0)
    image.setActiveChannels([1, 2], [[100, 900], [200, 3000]], ["0000FF", "FF8000"])
    image.saveDefaults()
    with Screen() as screen:
        run = export(IDs=[plate], Viewer_Address=screen.address)
        assert run.code == 0, run.message
        assert_shown(screen, expected())
        (begin,) = screen.begins
    assert run.message.startswith(f"Plate:{plate} (P): 18 planes of 3 images, read from ")
    assert run.message.endswith("18 images streamed; screen: 18 images delivered.")
    layout = load_layout(conn, f"Plate:{plate}")
    assert [(channel.name, channel.window) for channel in begin.channels] == [
        ("DAPI", (100, 900)),
        ("GFP", (200, 3000)),
    ]
    assert np.allclose([channel.color for channel in begin.channels], [(0, 0, 1), (1, 128 / 255, 0)])
    assert begin.values == {
        "well": ("A01", "B03"),
        "site": (1, 2),
        "channel": (1, 2),
        "z_index": (1, 2, 3),
        "timepoint": (1,),
    }
    assert (begin.title, begin.dtype, begin.size_yx, begin.voxel_size_um) == ("P", "uint16", (40, 50), (2.0, 0.5, 0.5))
    assert begin.source == {"Plate": plate}
    assert screen.source_ids == {
        address: layout.source_ids[address.well, address.site]
        for address in layout.planes["A01"] + layout.planes["B03"]
    }


def test_encrypted_through_the_network(start, finish, messages, plate, omero_conn):
    """The viewer lets in the key that the message of the job tells; a part of the plate, to two viewers."""
    wanted = {"IDs": [plate], "Wells": ["b3"], "Channels": ["GFP"], "First_Z": 2}
    with Screen(own_address(), secured=True) as screen, Screen() as other:
        process = start(omero_conn, **wanted, Viewer_Address=f"{screen.address} {other.address}", Wait_Seconds=20)
        wait_for(lambda: screen.follow(messages(process)))
        run = finish(omero_conn, process)
        assert run.code == 0, run.message
        for each in (screen, other):
            assert_shown(each, expected(["B03"], [2], [2, 3]))


def test_viewers_come_to_the_script_with_their_key_only(start, finish, messages, plate, omero_conn):
    """The message of the job tells where it listens, before and beside how far it is."""
    with Screen("", secured=True) as screen, Screen("", secured=True) as stranger:
        process = start(omero_conn, IDs=[plate], Viewer_Address="listen", Viewer_Key=screen.key, Wait_Seconds=20)
        wait_for(lambda: stranger.follow(messages(process)))
        assert "\nWaiting for a viewer" in messages(process)
        screen.follow(messages(process))
        run = finish(omero_conn, process)
        assert run.code == 0, run.message
        assert_shown(screen, expected())
        assert stranger.begins == []
    stream, progress = messages(process).split("\n")
    assert stream.startswith(f"Stream: tcp://{LOOPBACK}:57")
    assert progress.startswith("18 planes were read")


def test_with_another_key_nothing_is_sent(start, finish, messages, plate, omero_conn):
    with Screen("", secured=True) as screen, Screen("", secured=True) as stranger:
        process = start(omero_conn, IDs=[plate], Viewer_Address="listen", Viewer_Key=screen.key, Wait_Seconds=2)
        wait_for(lambda: stranger.follow(messages(process)))
        run = finish(omero_conn, process)
        failed(run, "Nothing was streamed: no viewer came within 2 s. ", " attempts were refused: they had another key")
        assert stranger.begins == []
    assert screen.keys.secret.decode() not in run.message + run.stderr + run.stdout


def test_no_viewer(export, plate):
    with Screen() as gone:
        address = gone.address
    failed(export(IDs=[plate], Viewer_Address=address, Wait_Seconds=1), "no viewer came within 1 s.")
    failed(export(IDs=[plate]), "there is no viewer. Start one with `openhcs view napari`")


def test_places_that_the_site_does_not_allow(export, plate, site):
    site()
    run = export(IDs=[plate], Viewer_Address="tcp://10.0.0.1:5555")
    failed(
        run, "scripts may not connect to tcp://10.0.0.1:5555 here. Ask the administrator to add it to viewer_targets"
    )


def test_a_viewer_that_dies(start, finish, messages, plate, omero_conn):
    with Peer("viewer", listen=f"tcp://{LOOPBACK}:0", delay_s=0.1, credits=1) as viewer:
        process = start(omero_conn, IDs=[plate], Viewer_Address=viewer.hello["endpoint"])
        viewer.until(lambda got: got["images"] >= 3)
        viewer.kill()
        assert messages(process).startswith("18 planes were read")
        run = finish(omero_conn, process)
    assert run.code == 1
    assert " of 18 planes reached no viewer." in run.message
    assert "(viewer lost)" in run.message


def test_a_viewer_that_does_not_come_back(start, finish, omero_conn, site):
    """Nothing is read any more for nobody; there is room for a few planes only."""
    site(f"{SETTINGS}\nstream_memory_mb = 1\nstream_spool_mb = 0")
    planes = iter(np.zeros((24, 256, 256), "u2"))
    image = omero_conn.createImageFromNumpySeq(planes, "long", sizeT=24).getId()
    with Peer("viewer", listen=f"tcp://{LOOPBACK}:0", delay_s=0.2, credits=1) as viewer:
        inputs = {"Data_Type": "Image", "IDs": [image], "Viewer_Address": viewer.hello["endpoint"], "Wait_Seconds": 2}
        process = start(omero_conn, **inputs)
        viewer.until(lambda got: got["images"] >= 1)
        viewer.kill()
        run = finish(omero_conn, process)
    failed(run, "all viewers have gone, and none came back within 2 s: the rest was not read.", "(viewer lost)")


def test_cancel(start, finish, plate, omero_conn, tmp_path, left):
    with Peer("viewer", listen=f"tcp://{LOOPBACK}:0", delay_s=0.5, credits=1) as viewer:
        process = start(omero_conn, IDs=[plate], Viewer_Address=viewer.hello["endpoint"])
        viewer.until(lambda got: got["images"] >= 1)
        process.cancel()
        run = finish(omero_conn, process)
        (end,) = viewer.until(lambda got: got["ends"])["ends"]
    assert run.code == 128 + signal.SIGTERM
    assert run.message.startswith("Stopped from outside.")
    assert (end["aborted"], end["images"]) == (True, 18)
    assert end["delivered"] < 18
    wait_for(lambda: processes(tmp_path) == [])
    assert left() == []


def test_what_cannot_be_read_does_not_stop_the_rest(export, plate, conn):
    with Screen() as screen:
        run = export(IDs=[plate, 999999], Viewer_Address=screen.address)
        failed(run, "Plate:999999: Plate:999999", f"Plate:{plate} (P): 18 planes")
        assert_shown(screen, expected())

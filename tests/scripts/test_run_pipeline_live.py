"""Run_Pipeline.py in a real processor, watched by viewers while it runs."""

import numpy as np
import pytest

from openhcs_core.omero.raw_pixels import RawPixels
from openhcs_core.omero.session import gateway
from openhcs_core.plate import PlaneAddress
from tests.omero.plates import PlateField, write_plate
from tests.scripts.runs import wait_for
from tests.scripts.viewer import LOOPBACK, Screen, own_address

PIPELINE = """
from openhcs_core.pipeline import PLATE, FunctionStep, NapariStreamingConfig
from openhcs_functions.labelling import connected_components
from openhcs_functions.smoothing import gaussian
from openhcs_functions.thresholds import threshold
pipeline_steps = [
    FunctionStep(gaussian, name="smooth", save=True{stream_to}),
    FunctionStep([threshold, connected_components], name="objects", input_source=PLATE, select={{"channel": [1]}}),
]
"""
QUIET = PIPELINE.format(stream_to="")


@pytest.fixture
def script(scripts_by_path):
    """Id of the registered script."""
    return scripts_by_path["/openhcs/pipeline_scripts/Run_Pipeline.py"]


@pytest.fixture(autouse=True)
def _allowed(site):
    site(f'viewer_targets = ["{LOOPBACK}", "{own_address()}"]\nviewer_listen = "{LOOPBACK}:5800-5899"')


@pytest.fixture
def plate(omero_server, omero_user, tmp_path):
    """Id of a plate of two wells and two channels."""
    voxels = np.random.default_rng(6).integers(0, 4000, (1, 2, 1, 40, 50), "u2")
    wells = {(0, 0): [PlateField(voxels, (0, 0))], (1, 2): [PlateField(voxels + 9, (0, 0))]}
    (result,) = omero_server.import_files([write_plate(tmp_path / "p.ome.tif", wells)], user=omero_user.name)
    return result.plate_id


def saved(conn, plate_id):
    """Planes of a plate in OMERO."""
    conn = gateway(conn.c)
    found = {}
    for well in conn.getObject("Plate", plate_id).listChildren():
        pixels = RawPixels(conn, well.getImage(0))
        name = f"{well.getWellPos()[0]}{int(well.getWellPos()[1:]):02}"
        found |= {PlaneAddress(name, channel=c + 1): pixels.read(0, c, 0, 1, 0, 40)[0] for c in range(2)}
        pixels.close()
    return found


def test_all_that_is_saved_is_seen_where_no_step_says_otherwise(start, finish, messages, plate, omero_conn):
    """Encrypted; the viewer lets in the key that the message of the job tells."""
    with Screen(own_address(), secured=True) as screen:
        process = start(omero_conn, IDs=[plate], Pipeline_Text=QUIET, Viewer_Address=screen.address, Workers=2)
        wait_for(lambda: screen.follow(messages(process)))
        run = finish(omero_conn, process)
    assert run.code == 0, run.message
    begins = {begin.step: begin for begin in screen.begins}
    assert {(begin.step, begin.kind) for begin in screen.begins} == {("smooth", "image"), ("objects", "labels")}
    assert begins["smooth"].source == {"Plate": plate}
    assert [channel.name for channel in begins["smooth"].channels] == ["DAPI", "GFP"]
    assert [channel.color for channel in begins["smooth"].channels] == [(1, 0, 0), (0, 1, 0)]
    wanted = saved(omero_conn, run.outputs["Plate"].id.val)
    shown = screen.of(begins["smooth"].stream)
    assert len(wanted) == 4
    assert shown.keys() == wanted.keys()
    assert all(np.array_equal(shown[address], plane) for address, plane in wanted.items())
    objects = screen.of(begins["objects"].stream)
    assert {address.well for address in objects} == {"A01", "B03"}
    assert all(plane.any() for plane in objects.values())
    assert "6 images streamed; screen: 6 images delivered" in run.message


def test_the_text_decides_what_is_seen_but_not_where(start, finish, messages, plate, omero_conn):
    with Screen() as decoy, Screen("", secured=True) as screen:
        port = decoy.receiver.endpoint.rpartition(":")[2]
        text = PIPELINE.format(
            stream_to=f', stream_to=[NapariStreamingConfig(napari_port={port}, site_mode="separate")]'
        )
        process = start(
            omero_conn,
            IDs=[plate],
            Pipeline_Text=text,
            Viewer_Address="listen",
            Viewer_Key=screen.key,
            Save_Masks=False,
        )
        wait_for(lambda: screen.follow(messages(process)))
        run = finish(omero_conn, process)
        assert run.code == 0, run.message
        assert {(begin.step, begin.display.get("site")) for begin in screen.begins} == {("smooth", "separate")}
        assert len(screen.planes) == 4
        assert decoy.begins == []
        assert run.message.endswith("hosts and ports in the pipeline do not count on a server.")

        alone = start(omero_conn, IDs=[plate], Pipeline_Text=text, Resume=False, Save_Masks=False)
        run = finish(omero_conn, alone)
        assert run.code == 0, run.message
        assert "Nothing is shown in viewers, although steps ask for it" in run.message
        assert decoy.begins == []


def test_a_viewer_that_is_not_there_does_no_harm(export, plate):
    with Screen() as gone:
        address = gone.address
    run = export(IDs=[plate], Pipeline_Text=QUIET, Viewer_Address=address)
    assert run.code == 0, run.message
    assert "2 wells: 2 finished" in run.message
    assert "Nothing was shown; the results are saved all the same." in run.message


def test_a_place_that_is_not_allowed_is_told_before_anything_is_computed(export, plate, omero_conn):
    run = export(IDs=[plate], Pipeline_Text=QUIET, Viewer_Address=f"tcp://192.0.2.99:5555/{'0' * 64}")
    assert run.code == 1
    assert run.message.startswith("Nothing was run: scripts may not connect to tcp://192.0.2.99:5555 here.")
    assert [found.getId() for found in omero_conn.getObjects("Plate")] == [plate]

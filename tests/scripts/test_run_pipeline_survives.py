"""Run_Pipeline.py in a real processor when it is ended in the middle: the next one goes on."""

import contextlib
import os
import signal

import numpy as np
import pytest
import tifffile
from omero.rtypes import unwrap

from embedded_omero.services.shared_resources import SharedResources
from openhcs_core.omero.raw_pixels import RawPixels
from openhcs_core.omero.session import gateway
from tests.scripts.runs import pause, processes, wait_for

SLOW = """
from openhcs_core.pipeline import FunctionStep
from openhcs_functions.labelling import connected_components
from openhcs_functions.measurement import count_objects
from openhcs_functions.smoothing import median
from openhcs_functions.thresholds import threshold
pipeline_steps = [
    FunctionStep((median, {"size": 21}), name="smooth", save=True),
    FunctionStep([threshold, connected_components], name="objects"),
    FunctionStep(count_objects, name="count"),
]
"""
IMAGES, SIDE = 4, 160
TABLES_ONLY = {"Save_Images": False, "Save_Masks": False}


@pytest.fixture
def script(scripts_by_path):
    """Id of the registered script."""
    return scripts_by_path["/openhcs/pipeline_scripts/Run_Pipeline.py"]


@pytest.fixture
def dataset(omero_server, omero_user, omero_conn, tmp_path):
    """Id of a dataset of several images, each of which takes a while."""
    paths = []
    for number in range(IMAGES):
        paths.append(tmp_path / f"{number}.tif")
        tifffile.imwrite(paths[-1], np.random.default_rng(number).integers(0, 4000, (SIDE, SIDE), "u2"))
    omero_server.import_files(paths, user=omero_user.name, dataset="Many")
    (found,) = (found for found in omero_conn.getObjects("Dataset") if found.getName() == "Many")
    return found.getId()


@pytest.fixture
def inputs(dataset):
    return {"Data_Type": "Dataset", "IDs": [dataset], "Pipeline_Text": SLOW}


def count(conn, kind, where="1 = 1"):
    query = f"select count(o.id) from {kind} o where {where} and o.details.owner.id = {conn.getUserId()}"
    return unwrap(conn.getQueryService().projection(query, None, {"omero.group": "-1"}))[0][0]


def finished_wells(conn):
    return count(conn, "OriginalFile", "o.path like '/openhcs/runs/%' and o.hash is not null")


def results(conn, number):
    """Pixels by name, of the images of a dataset."""
    found = {}
    for image in gateway(conn.c).getObject("Dataset", number).listChildren():
        pixels = RawPixels(conn, image)
        found[image.getName()] = pixels.read(0, 0, 0, 1, 0, SIDE)
        pixels.close()
    return found


def test_killed_and_gone_on_with(start, finish, export, inputs, omero_conn, tmp_path, left):
    process = start(omero_conn, **inputs)
    wait_for(lambda: finished_wells(omero_conn) >= 1)
    for number in processes(tmp_path):
        with contextlib.suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)
    wait_for(lambda: process.poll() is not None)
    process.close(False)
    wait_for(lambda: processes(tmp_path) == [])
    before = finished_wells(omero_conn)
    assert 1 <= before < IMAGES
    assert count(omero_conn, "Dataset") == 1
    run = export(**inputs)
    assert f"{before} were finished before" in run.message
    rois = count(omero_conn, "Roi")
    assert left() == []
    undisturbed = export(**inputs, Resume=False, Workers=2)
    assert count(omero_conn, "Roi") == 2 * rois
    made, wanted = (results(omero_conn, each.outputs["Dataset"].id.val) for each in (run, undisturbed))
    assert made.keys() == {f"{number}.tif" for number in range(IMAGES)}
    assert all(np.array_equal(made[name], wanted[name]) for name in wanted)
    assert count(omero_conn, "Image") == 3 * IMAGES
    assert finished_wells(omero_conn) == 0


def test_cancelled_and_gone_on_with(start, finish, export, inputs, omero_conn, tmp_path, left):
    process = start(omero_conn, **inputs, Workers=2)
    wait_for(lambda: finished_wells(omero_conn) >= 1)
    with pause(tmp_path):
        process.cancel()
    run = finish(omero_conn, process)
    assert run.code == 128 + signal.SIGTERM
    assert run.message == (
        "Stopped from outside. Start the same pipeline on the same data again: it goes on after the wells that are "
        "complete."
    )
    wait_for(lambda: processes(tmp_path) == [])
    before = finished_wells(omero_conn)
    assert left() == []
    again = export(**inputs)
    assert again.code == 0, again.message
    assert f"{before} were finished before" in again.message
    assert len(results(omero_conn, again.outputs["Dataset"].id.val)) == IMAGES


def test_session_over(start, finish, export, inputs, omero_conn, omero_server, tmp_path):
    inputs |= TABLES_ONLY
    process = start(omero_conn, **inputs)
    wait_for(lambda: finished_wells(omero_conn) >= 1)
    with pause(tmp_path):
        (session,) = (session for session in omero_server.core.sessions.open.values() if "IDs" in session.inputs)
        session.started -= 2 * session.record["timeToLive"] / 1000
        assert session.expired()
    wait_for(lambda: process.poll() is not None)
    assert process.poll().val in (1, 128 + signal.SIGTERM, -signal.SIGTERM)
    wait_for(lambda: processes(tmp_path) == [])
    run = export(**inputs)
    assert run.code == 0, run.message
    assert " were finished before" in run.message


def test_two_at_once_make_it_once(start, finish, messages, inputs, omero_conn, tmp_path, left):
    inputs |= TABLES_ONLY
    first = start(omero_conn, **inputs)
    wait_for(lambda: finished_wells(omero_conn) >= 1)
    with pause(tmp_path):
        second = start(omero_conn, **inputs)
        wait_for(lambda: "waiting for another run of the same pipeline" in messages(second))
    runs = [finish(omero_conn, process) for process in (first, second)]
    assert [run.code for run in runs] == [0, 0]
    assert f"{IMAGES} were finished before" in runs[1].message
    assert len({run.outputs["File_Annotation"].id.val for run in runs}) == 1
    assert left() == []


def test_a_server_without_tables(export, inputs, omero_conn, monkeypatch):
    monkeypatch.setattr(SharedResources, "areTablesEnabled", lambda self, call: False)
    run = export(**inputs, **TABLES_ONLY, Workers=2)
    assert run.code == 0, run.message
    assert f"count.csv: {IMAGES} rows. no OMERO.table: this server has none." in run.message
    assert run.outputs["File_Annotation"].file.name.val == "count.csv"
    assert count(omero_conn, "Image") == IMAGES

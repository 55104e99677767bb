"""IMS_Export.py in a real processor when it is ended in the middle, or started twice: the next one goes on."""

import contextlib
import os
import random
import re
import signal
import time

import numpy as np
import pytest
import tifffile
from omero.rtypes import rstring

from tests.imaris.images import camera
from tests.imaris.test_resume import everything
from tests.scripts.runs import failed, pause, processes, wait_for

VOLUMES = 80


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """An image of many volumes, whose export takes a second."""
    path = tmp_path_factory.mktemp("survives") / "cells.ome.tif"
    volume = camera((2, 2, 4, 256, 256))
    voxels = np.concatenate([volume + number for number in range(VOLUMES // 4)])
    tifffile.imwrite(path, voxels, metadata={"axes": "TCZYX"})
    return path


@pytest.fixture
def image(omero_server, omero_user, file):
    """Id of that image in OMERO."""
    (result,) = omero_server.import_files([file], user=omero_user.name)
    return result.image_ids[0]


def attached(conn, image, folder):
    """Paths of the files attached to an image, downloaded."""
    paths = []
    for annotation in conn.getObject("Image", image).listAnnotations():
        paths.append(folder / f"{annotation.getId()}.ims")
        paths[-1].write_bytes(b"".join(annotation.getFileInChunks()))
    return paths


def journal(left):
    """Whether an export that has begun could go on."""
    return any(name.endswith(".ims.part.journal") for name in left())


def went_on(run):
    return int(re.search(rf"went on after (\d+) of {VOLUMES} volumes of an interrupted export", run.message)[1])


def test_killed_at_random_moments(start, export, image, omero_conn, site, tmp_path, left):
    """The last of several attempts gives what an undisturbed export gives, and nothing else is left."""
    site("threads = 1")
    moments = random.Random(4)
    for _ in range(3):
        process = start(omero_conn, IDs=[image])
        wait_for(lambda: journal(left))
        time.sleep(moments.random() * 0.05)
        for number in processes(tmp_path):
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        wait_for(lambda process=process: process.poll() is not None)
        assert process.poll().val == -signal.SIGKILL
        assert attached(omero_conn, image, tmp_path) == []
        assert [name for name in left() if name.endswith(".ims")] == []
        process.close(False)
    run = export(IDs=[image])
    assert run.code == 0, run.message
    assert went_on(run) > 0
    assert left() == []
    (path,) = attached(omero_conn, image, tmp_path)
    undisturbed = export(IDs=[image], Delivery="Server folder", Reuse_Export=False)
    assert everything(path) == everything(undisturbed.outputs["Export_Path"])


@pytest.mark.parametrize("delivery", ["Attach to image", "Server folder"])
def test_cancelled(delivery, start, finish, export, image, omero_conn, tmp_path, left):
    process = start(omero_conn, IDs=[image], Delivery=delivery)
    wait_for(lambda: journal(left))
    with pause(tmp_path):
        process.cancel()
    run = finish(omero_conn, process)
    assert run.code == 128 + signal.SIGTERM
    assert run.message.startswith("Stopped from outside. Start the same export again: it goes on after what is")
    wait_for(lambda: processes(tmp_path) == [])
    assert [name.rpartition("cells")[2].partition(".")[2] for name in left() if ".ims" in name] == [
        "ims.part", "ims.part.journal",
    ]  # fmt: skip
    again = export(IDs=[image], Delivery=delivery)
    assert again.code == 0, again.message
    assert went_on(again) > 0
    assert [name for name in left() if not name.startswith("exports/image_") or ".part" in name] == []


def test_session_over(start, export, image, omero_conn, omero_server, tmp_path, left):
    process = start(omero_conn, IDs=[image])
    wait_for(lambda: journal(left))
    with pause(tmp_path):
        (session,) = (session for session in omero_server.core.sessions.open.values() if "IDs" in session.inputs)
        session.started -= 2 * session.record["timeToLive"] / 1000
        assert session.expired()
    wait_for(lambda: process.poll() is not None)
    # Whichever comes first: the error or the server's signal, which may also find the script on its way out.
    assert process.poll().val in (1, 128 + signal.SIGTERM, -signal.SIGTERM)
    wait_for(lambda: processes(tmp_path) == [])
    assert journal(left)
    run = export(IDs=[image])
    assert run.code == 0, run.message
    assert went_on(run) > 0
    assert left() == []


def test_full_disk(export, python, image, left):
    """A limit for the size of files: to the program it is the same, and it needs no disk of its own."""
    python('ulimit -f 20000\nexec "$@"')
    run = export(IDs=[image])
    assert run.code == 1
    assert "the file grew too large. Free some space or choose another folder, then export again" in run.message
    assert "the same export goes on there" in run.message
    assert journal(left)
    python('exec "$@"')
    again = export(IDs=[image])
    assert again.code == 0, again.message
    assert went_on(again) > 0
    assert left() == []


def test_changed_in_omero_in_the_middle(start, finish, image, omero_conn, tmp_path, left):
    process = start(omero_conn, IDs=[image])
    wait_for(lambda: journal(left))
    with pause(tmp_path):
        pixels = omero_conn.getObject("Image", image).getPrimaryPixels()._obj
        pixels.sha1 = rstring("0" * 40)
        omero_conn.getUpdateService().saveObject(pixels)
    run = finish(omero_conn, process)
    failed(run, "it was changed in OMERO while it was exported. Export it again.")
    assert left() == []
    assert attached(omero_conn, image, tmp_path) == []


@pytest.mark.parametrize("removed", [False, True])
def test_source_file_changed_in_the_middle(
    removed, start, finish, image, omero_server, omero_user, omero_conn, tmp_path, left
):
    (stored,) = omero_server.core.repositories.managed.rglob(f"{omero_user.name}_*/**/cells.ome.tif")
    process = start(omero_conn, IDs=[image])
    wait_for(lambda: journal(left))
    with pause(tmp_path):
        if removed:
            stored.unlink()
        else:
            with stored.open("r+b") as changed:
                changed.seek(-1000, os.SEEK_END)
                changed.write(bytes(1000))
    run = finish(omero_conn, process)
    failed(run, "its file was changed or removed while it was read. Export it again.")
    assert left() == []
    assert attached(omero_conn, image, tmp_path) == []


def test_two_at_once_attach_one_file(start, finish, messages, image, omero_conn, tmp_path, left):
    first = start(omero_conn, IDs=[image])
    wait_for(lambda: journal(left))
    with pause(tmp_path):
        second = start(omero_conn, IDs=[image], Reuse_Export=False)
        wait_for(lambda: "waiting for another export of the same file" in messages(second))
    runs = [finish(omero_conn, process) for process in (first, second)]
    assert [run.code for run in runs] == [0, 0]
    assert len({run.outputs["File_Annotation"].id.val for run in runs}) == 1
    assert "another export has just attached the same file; it was not made again" in runs[1].message
    assert len(attached(omero_conn, image, tmp_path)) == 1
    assert left() == []


def test_two_at_once_share_the_file_on_the_server(start, finish, messages, image, omero_conn, tmp_path, left):
    first = start(omero_conn, IDs=[image], Delivery="Server folder")
    wait_for(lambda: journal(left))
    with pause(tmp_path):
        second = start(omero_conn, IDs=[image], Delivery="Server folder")
        wait_for(lambda: "waiting for another export of the same file" in messages(second))
    runs = [finish(omero_conn, process) for process in (first, second)]
    assert [run.code for run in runs] == [0, 0]
    assert runs[0].outputs["Export_Path"] == runs[1].outputs["Export_Path"]
    assert "another export made the same file at the same time; it was not made again" in runs[1].message
    assert len(left()) == 2


def test_the_waiting_one_goes_on_when_the_first_is_killed(start, finish, messages, image, omero_conn, tmp_path, left):
    first = start(omero_conn, IDs=[image])
    wait_for(lambda: journal(left))
    with pause(tmp_path) as paused:
        second = start(omero_conn, IDs=[image])
        wait_for(lambda: "waiting for another export of the same file" in messages(second))
        for number in paused:
            os.kill(number, signal.SIGKILL)
    wait_for(lambda: first.poll() is not None)
    run = finish(omero_conn, second)
    assert run.code == 0, run.message
    assert went_on(run) > 0
    assert left() == []

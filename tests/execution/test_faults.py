"""What can go wrong under an execution: it is told clearly, can be gone on with, and leaves the queue alive."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from embedded_omero import EmbeddedOmero
from openhcs_core.execution.child import SESSION_OVER
from openhcs_core.execution.places import Folders
from openhcs_core.execution.queue import CHILD
from openhcs_core.omero.login import Login
from openhcs_core.omero.provenance import find_run
from openhcs_core.streaming.identity import is_alive, process_start
from tests.execution.jobs_functions import installed, pipeline
from tests.execution.jobs_world import MANY, SESSION, World
from tests.execution.serving import ROOT, free_port
from tests.omero.plates import PlateField, write_plate
from tests.pipeline.functions import write_plate as write_folder
from tests.streaming.peers import until


class Marks:
    """What `jobs_functions.gated` leaves of the wells it works on."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder

    def count(self) -> Counter:
        return Counter(path.name.split()[0] for path in self.folder.iterdir() if path.name != "go")

    def wait_for(self, well: str) -> None:
        until(self.count, lambda found: found[well], 60)

    def go(self) -> None:
        (self.folder / "go").touch()


@pytest.fixture
def marks(tmp_path):
    return Marks(tmp_path / "marks")


@pytest.fixture
def text(marks):
    return pipeline(folder=str(marks.folder))


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    for name, value in installed(tmp_path / "site").items():
        monkeypatch.setenv(name, value)


def import_plate(server, user: str, folder: Path) -> str:
    """A plate with the wells A01, A02 and A03 as a place."""
    wells = {(0, column): [PlateField(np.full((1, 1, 1, 8, 9), 10 + column, "u2"))] for column in range(3)}
    (result,) = server.import_files([write_plate(folder / "p.ome.tif", wells)], user=user)
    return f"Plate:{result.plate_id}"


@pytest.fixture
def place(omero_server, omero_user, tmp_path):
    return import_plate(omero_server, omero_user.name, tmp_path)


@pytest.fixture
def world(tmp_path, plugin):
    """Function which opens a `World` with real processes on an embedded OMERO."""
    opened = []

    def make(server, session, **arguments):
        address = {"server_omero": f"{server.host}:{server.port}", "executor_workers": 1}
        opened.append(World(tmp_path, CHILD, session=session, **{**address, **arguments}))
        return opened[-1]

    yield make
    for each in opened:
        each.close()


def test_a_process_that_is_killed_can_be_gone_on_with(world, omero_server, omero_conn, place, text, marks):
    here = world(omero_server, omero_conn.c.getSessionId())
    made = here.submit(text, place=place)
    marks.wait_for("A02")
    here.until(made, lambda found: found.wells_processed == 1)
    os.kill(here.store.get(made.execution_id).pid, signal.SIGKILL)
    failed = here.ended(made)
    assert (failed.state, failed.wells_processed, failed.wells_total) == ("failed", 1, 3)
    assert "SIGKILL, perhaps for want of memory" in failed.message
    marks.go()
    here.resume(made)
    done = here.ended(made, 60)
    assert (done.state, done.wells_processed, done.wells_total) == ("completed", 3, 3), done
    assert "1 were finished before" in done.message
    assert marks.count()["A01"] == 1
    known = find_run(omero_conn, done.run)
    assert known.source == place
    assert set(known.wells) == {"A01", "A02", "A03"}
    assert "3 objects" in known.results.values()
    assert set(done.results) < set(known.results.values())
    kinds = [result.partition(":") for result in done.results]
    assert [omero_conn.getObject(kind, int(number)).getName() for kind, _, number in kinds] == ["P made"]
    assert omero_conn.c.getSessionId() not in here.log(made)


def test_a_server_that_is_killed_has_interrupted_it(
    serve, omero_server, omero_conn, place, text, marks, plugin, tmp_path
):
    server = serve(executor_workers=1)
    session = omero_conn.c.getSessionId()
    made = server.ask({"command": "execute", "session": session, "plate": place, "pipeline_code": text})
    status = {"command": "status", "session": session, "execution_id": made["execution_id"]}
    marks.wait_for("A02")
    server.until(status, lambda found: found["wells_processed"] == 1)
    server.kill()
    server.start()
    found = server.ask(status)
    assert (found["state"], found["wells_processed"]) == ("interrupted", 1)
    assert "server ended while it ran" in found["message"]
    marks.go()
    assert server.ask({**status, "command": "resume"})["state"] == "queued"
    done = server.until(status, lambda found: found["state"] not in ("queued", "running"), 60)
    assert (done["state"], done["wells_processed"], done["attempts"]) == ("completed", 3, 2)
    assert marks.count()["A01"] == 1


def test_two_of_the_same_do_not_disturb_each_other(world, omero_server, omero_conn, place, text, marks):
    here = world(omero_server, omero_conn.c.getSessionId(), server_jobs=2, server_jobs_per_user=2)
    first, second = here.submit(text, place=place), here.submit(text, place=place)
    marks.wait_for("A02")
    told = until(lambda: [here.queue.get(made.execution_id) for made in (first, second)], waits_for_the_other, 60)
    assert {found.state for found in told} == {"running"}
    marks.go()
    done = [here.ended(made, 60) for made in (first, second)]
    assert [found.state for found in done] == ["completed", "completed"]
    assert done[0].results == done[1].results
    assert set(marks.count().values()) == {1}


def waits_for_the_other(executions) -> bool:
    return any(found.message.startswith("Waiting for another run") for found in executions)


@pytest.fixture
def failing_omero():
    with EmbeddedOmero(processor=False) as server:
        yield server


def test_omero_is_lost_while_it_runs_and_comes_back(world, failing_omero, text, marks, tmp_path):
    from omero.gateway import BlitzGateway

    server = failing_omero
    conn = BlitzGateway(server.user, server.password, host=server.host, port=server.port)
    assert conn.connect()
    login = Login.of(conn.c)
    here = world(server, login.key, options={"retry_s": (1.0, 1.0, 2.0, 2.0, 5.0)})
    made = here.submit(text, place=import_plate(server, server.user, tmp_path))
    marks.wait_for("A02")
    here.until(made, lambda found: found.wells_processed == 1)
    server.go_away()
    marks.go()
    waits = here.until(made, lambda found: found.state == "queued" and found.attempts == 1, 60)
    assert waits.message == "OMERO.server cannot be reached; next try in 1 s (1 of 5)."
    server.come_back()
    done = here.ended(made, 60)
    assert (done.state, done.wells_processed, done.wells_total) == ("completed", 3, 3), done
    assert marks.count()["A01"] == 1
    with login.gateway() as again:
        assert set(find_run(again, done.run).wells) == {"A01", "A02", "A03"}
    conn.close()


def test_omero_is_not_there_at_the_start(tmp_path):
    options = {"retry_s": (0.05,)}
    with World(tmp_path, CHILD, options, server_omero=f"127.0.0.1:{free_port()}") as here:
        made = here.submit()
        failed = here.ended(made, 60)
        assert (failed.state, failed.attempts) == ("failed", 2)
        assert failed.message == (
            "OMERO.server could not be reached in 2 tries. Resume it: finished wells are skipped."
        )
        assert failed.can_resume
        assert "OMERO.server cannot be reached; next try in 0 s (1 of 1)" in here.log(made)


def test_a_session_that_is_over(world, omero_server, place, text):
    here = world(omero_server, SESSION)
    failed = here.ended(here.submit(text, place=place), 60)
    assert (failed.state, failed.message) == ("failed", SESSION_OVER)


def test_a_gpu_that_is_lost(tmp_path, plugin):
    plate = write_folder(tmp_path / "plate", wells=("A01",), sites=1, channels=1, sections=1)
    with World(tmp_path, CHILD, {"local": True}) as here:
        made = here.submit(pipeline("gpu_is_lost"), place=str(plate))
        failed = here.ended(made, 60)
        assert (failed.state, failed.can_resume) == ("failed", True)
        assert "A01 failed" in failed.message
        assert "cudaErrorDeviceUnavailable" in failed.message
        assert "CUDARuntimeError" in failed.traceback
        assert here.queue.counts() == (0, 0)


def test_a_full_disk_under_the_logs(tmp_path, monkeypatch):
    """The device that is always full stands for the disk."""
    monkeypatch.setattr(Folders, "execution_log", lambda *_: Path("/dev/full"))
    with World(tmp_path) as here:
        for text in ("# flood", "# crash", "# print"):
            assert here.ended(here.submit(text)).state == ("failed" if "crash" in text else "completed")


def test_500_that_wait_survive_a_kill_and_none_runs_twice(tmp_path):
    """The process that has the queue is killed while four run, of which one does not end by itself."""
    program = [sys.executable, "-m", "tests.execution.jobs_server", str(tmp_path), "500"]
    server = subprocess.Popen(program, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout.readline() == "ready\n"
        until(lambda: states(tmp_path)["waits for the kill"], lambda count: count == 4, 60)
    finally:
        server.kill()
        server.wait()
        server.stdout.close()
    before = states(tmp_path)
    ran = (tmp_path / "started").read_text().split()
    deaf = [int(path.read_text()) for path in tmp_path.glob("started.sleep")]
    with World(tmp_path, **MANY) as here:
        (tmp_path / "started.closed").unlink()
        assert sum(states(tmp_path)[state] for state in ("queued", "running", "completed", "interrupted")) == 500
        interrupted = here.queue.list(state="interrupted", limit=1000)
        assert {found.execution_id for found in interrupted} <= set(ran)
        until(here.queue.counts, lambda counts: counts == (0, 0), 60)
        assert Counter(found.state for found in here.queue.list(limit=1000)) == {"completed": 496, "interrupted": 4}
        assert len(here.started()) == len(set(here.started())) == 500
        for found in interrupted:
            here.queue.resume(found.execution_id, SESSION)
            assert here.ended(found).state == "completed"
        assert not any(is_alive(pid, process_start(pid)) for pid in deaf), "what a killed server left behind is ended"
    assert before["queued"] >= 396


def states(folder) -> Counter:
    """How many executions are in each state, and how many wait for the kill."""
    with sqlite3.connect(f"file:{folder}/state/executions.sqlite3?mode=ro", uri=True) as database:
        rows = database.execute("select state, json_extract(execution, '$.message') from executions").fetchall()
    database.close()
    return Counter([state for state, _ in rows] + ["waits for the kill" for _, said in rows if said == "ready"])

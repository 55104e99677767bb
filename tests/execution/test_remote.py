"""Pipelines handed over to real servers, with OMERO and without, whatever happens to the server meanwhile."""

from __future__ import annotations

import asyncio
import json
import traceback
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from openhcs_core.execution import client, waiting
from openhcs_core.execution.client import WrongKeyError
from openhcs_core.execution.errors import ExecutionError, UnreachableError
from openhcs_core.execution.receiving import CallbackSink
from openhcs_core.execution.record import Execution
from openhcs_core.execution.remote import RemoteOrchestrator
from openhcs_core.execution.sinks import opened
from openhcs_core.execution.waiting import wait_for_end
from openhcs_core.pipeline import (
    FunctionStep,
    GlobalPipelineConfig,
    LazyNapariStreamingConfig,
    PipelineConfig,
    read_config,
    read_pipeline,
)
from openhcs_functions.projection import max_projection
from tests.execution.peers import answering, with_functions
from tests.execution.serving import Serving
from tests.omero.plates import PlateField, write_plate
from tests.pipeline import functions
from tests.streaming.tiny import wait_for

VOXELS = np.arange(1 * 2 * 3 * 40 * 50, dtype="u4").reshape(1, 2, 3, 40, 50).astype("u2")
NOBODY = "00000000-0000-4000-8000-000000000000"
RUNNING = Execution(execution_id=NOBODY, state="running", plate="Plate:1", user_id=1, user="ada", created=0.0)


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    """A local server with functions for tests, which may listen for viewers."""
    folder = tmp_path_factory.mktemp("local")
    environment = with_functions(folder / "site")
    serving = Serving(folder / "server", True, environment, viewer_listen="127.0.0.1:5700-5799", server_jobs=2)
    yield serving
    serving.close()


@pytest.fixture
def remote(local, monkeypatch):
    """To the local server; the session is found as a user's is."""
    monkeypatch.setenv("OPENHCS_CONFIG", str(local.config))
    return RemoteOrchestrator(str(local.address))


@pytest.fixture
def plate(tmp_path):
    """A folder with three wells of one plane each."""
    return str(functions.write_plate(tmp_path / "plate", wells=("A01", "A02", "A03"), sites=1, channels=1, sections=1))


def slow(seconds):
    return [FunctionStep((functions.slow, {"seconds": seconds}))]


def test_a_pipeline_in_omero(server, omero_server, omero_user, omero_conn, tmp_path):
    """Text goes there, images come back while they are made, results are in OMERO."""
    wells = {(0, 0): [PlateField(VOXELS)], (1, 2): [PlateField(VOXELS + 1)]}
    (imported,) = omero_server.import_files([write_plate(tmp_path / "p.ome.tif", wells)], user=omero_user.name)
    got, events = {}, []
    sink = CallbackSink(lambda begin, array, address: got.update({(address.well, address.channel): array}))
    remote = RemoteOrchestrator(str(server.address), omero_conn=omero_conn)
    execution = remote.run_remote_pipeline(
        imported.plate_id, [FunctionStep(max_projection)], sink=sink, progress=events.append, request_key="the key"
    )
    assert (execution.state, execution.wells_processed, execution.user) == ("completed", 2, omero_user.name)
    expected = {
        (well, channel): (VOXELS + more)[0, channel - 1].max(axis=0)
        for well, more in (("A01", 0), ("B03", 1))
        for channel in (1, 2)
    }
    assert got.keys() == expected.keys()
    (place,) = (result for result in execution.results if result.startswith("Plate:"))
    made = omero_conn.getObject("Plate", int(place.removeprefix("Plate:")))
    for well in made.listChildren():
        name = f"{'AB'[well.row]}{well.column + 1:02}"
        for channel in (1, 2):
            stored = well.getImage().getPrimaryPixels().getPlane(0, channel - 1, 0)
            np.testing.assert_array_equal(stored, expected[name, channel])
            np.testing.assert_array_equal(got[name, channel], stored)
    assert (events[-1].percent, events[-1].item, events[-1].items, events[-1].subject) == (
        *(100, 2, 2),
        f"Plate:{imported.plate_id}",
    )
    # The same once more is no second run.
    again = remote.execute_remote(imported.plate_id, [FunctionStep(max_projection)], request_key="the key")
    assert again == execution.execution_id
    assert remote.list() == [replace(execution, traceback="")]
    assert remote.list("failed") == []
    assert "4 images delivered" in remote.logs(again)
    assert "".join(remote.log_parts(again, follow=True)) == remote.logs(again)


def test_the_session_of_somebody_else(server, omero_server, connect, make_user):
    """Who has logged in sees his own executions; without a session there is nothing."""
    conn = connect(make_user())
    remote = RemoteOrchestrator(str(server.address), omero_conn=conn.c)
    assert remote.list() == []
    with pytest.raises(ExecutionError) as caught:
        remote.status(NOBODY)
    assert caught.value.code == "unknown"
    conn.close()
    for closed in conn, _Closed():
        with pytest.raises(ExecutionError) as caught:
            RemoteOrchestrator(str(server.address), omero_conn=closed).list()
        assert caught.value.code == "no_session"


def test_an_execution_that_fails(remote, tmp_path):
    """It is raised, with the words and the traceback of the server; what is done is kept."""
    plate = functions.write_plate(tmp_path / "plate", wells=("A01", "A02"), sites=1, channels=1, sections=1)
    steps = [FunctionStep((functions.broken_at, {"value": 110}))]
    with pytest.raises(ExecutionError, match="has failed; it can be resumed. 2 wells: 1 finished, 1 failed") as caught:
        remote.run_remote_pipeline(str(plate), steps, sink=())
    assert "ValueError: a pixel of 110" in caught.value.traceback
    assert 'raise ValueError(f"a pixel of' in "".join(traceback.format_exception(caught.value))


def test_how_the_server_is_doing(local, remote):
    assert remote.ping()["ready"]
    assert remote.health(int(local.health.endpoint.rpartition(":")[2]))["problems"] == []


def test_what_the_server_refuses(remote):
    with pytest.raises(ExecutionError, match="plate is no folder") as caught:
        remote.execute_remote("/nowhere", "pipeline_steps = []")
    assert (caught.value.code, caught.value.field) == ("bad_request", "plate")


def test_the_server_crashes_and_is_started_again(serve, tmp_path, plate, monkeypatch):
    """Who waits goes on waiting, and hears of it; finished wells are not worked on again."""
    server = serve(local=True, environment=with_functions(tmp_path / "site"))
    monkeypatch.setenv("OPENHCS_CONFIG", str(server.config))
    monkeypatch.setattr(client, "BACK_OFF_S", 0.01)
    monkeypatch.setattr(waiting, "SILENT_MAX_S", 0.5)
    remote, events = RemoteOrchestrator(str(server.address)), []
    execution_id = remote.execute_remote(plate, slow(0.5), workers=1)
    with ThreadPoolExecutor(1) as threads:
        waiter = threads.submit(remote.wait, execution_id, events.append, 60)
        wait_for(lambda: remote.status(execution_id).wells_processed)
        server.kill()
        wait_for(lambda: any("connection refused" in event.what for event in events))
        server.start()
        interrupted = waiter.result(30)
    assert interrupted.state == "interrupted"
    images = []
    sink = CallbackSink(lambda begin, array, address: images.append(address.well))
    with opened([sink], remote.server_host) as told:
        assert remote.resume(execution_id, **told).execution_id == execution_id
        completed = remote.wait(execution_id, timeout_s=60, sinks=[sink])
    assert (completed.state, completed.wells_processed, completed.attempts) == ("completed", 3, 2)
    assert "A03" in images
    assert "A01" not in images  # finished before
    assert "were finished before" in completed.message


def test_waiting_ends_when_it_shall(remote, plate):
    """After a time, with the task, with the execution; only the last of these ends the execution."""

    async def watch():
        execution_id = await remote.execute_async(plate, slow(60))
        task = asyncio.create_task(remote.wait_async(execution_id))
        await asyncio.sleep(0.2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not (await asyncio.to_thread(remote.status, execution_id)).has_ended
        return execution_id, await asyncio.gather(remote.wait_async(execution_id), cancel(execution_id))

    async def cancel(execution_id):
        return await asyncio.to_thread(remote.cancel, execution_id)

    execution_id, (waited, _) = asyncio.run(watch())
    assert waited.state == remote.status(execution_id).state == "cancelled"
    assert remote.cancel(execution_id).state == "cancelled"


def test_the_time_is_up(remote, plate):
    execution_id = remote.execute_remote(plate, slow(60))
    with pytest.raises(TimeoutError, match=f"Execution {execution_id} goes on after 0.1 s"):
        remote.wait(execution_id, timeout_s=0.1)
    assert not remote.status(execution_id).has_ended
    remote.cancel(execution_id)


def test_images_come_both_ways(remote, plate):
    """The server connects to one sink, and listens for the other; where, is known once the execution runs."""
    there, here = [], []
    sinks = [
        CallbackSink(lambda *arguments: there.append(arguments)),
        CallbackSink(lambda *arguments: here.append(arguments), from_server=True),
    ]
    execution = remote.run_remote_pipeline(plate, [FunctionStep(functions.plus)], sink=sinks)
    for got in there, here:
        assert sorted(address.well for _, _, address in got) == ["A01", "A02", "A03"]
    assert execution.stream.startswith("tcp://127.0.0.1:57")


def asked(*arguments, **named):
    """What the server is asked for."""
    with answering(json.dumps(RUNNING.table()).encode()) as (server, heard):
        remote = RemoteOrchestrator(str(server), omero_conn=_Closed())
        assert remote.execute_remote(*arguments, **named) == NOBODY
    return heard[0]


class _Closed:
    """What knows the key of a session that is over."""

    def getSessionId(self):  # noqa: N802
        return NOBODY


def test_the_pipeline_travels_as_text():
    """However it is given; of its configuration what differs from the defaults."""
    steps = [FunctionStep(max_projection, stream_to=LazyNapariStreamingConfig(napari_port=5556))]
    question = asked(12, steps, PipelineConfig(num_workers=3), wells=["A01"], workers=2, outputs=["masks"])
    assert read_pipeline(question["pipeline_code"]).steps == tuple(steps)
    assert read_config(question["config_code"], PipelineConfig) == PipelineConfig(num_workers=3)
    assert (question["plate_id"], question["wells"], question["workers"], question["outputs"]) == (
        *(12, ["A01"]),
        *(2, ["masks"]),
    )
    assert question["session"] == NOBODY
    text = question["pipeline_code"]
    assert asked("Image:5,6", read_pipeline(text))["pipeline_code"] == text
    assert asked(12, text)["pipeline_code"] == text
    whole = asked(12, text, GlobalPipelineConfig(retries=2), resume=False)
    assert whole["config_code"].endswith("config = GlobalPipelineConfig(retries=2)\n")
    assert (whole["resume"], "wells" in whole) == (False, False)


def test_every_run_has_a_key_of_its_own():
    assert asked(1, "x")["request_key"] != asked(1, "x")["request_key"]


def test_an_answer_of_another_version():
    with answering(b'{"status":"accepted"}') as (server, _):
        remote = RemoteOrchestrator(str(server), omero_conn=_Closed())
        with pytest.raises(ExecutionError, match="Is it another version"):
            remote.status(NOBODY)


def waited(*answers):
    """Wait where these are the answers; give the end and what is told of progress."""
    told, left = [], iter(answers)

    def ask():
        answer = next(left)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return wait_for_end(RUNNING, ask, lambda event: told.append((event.what, event.percent))), told


def test_what_is_told_meanwhile(monkeypatch):
    monkeypatch.setattr(waiting, "POLL_S", 0.001)
    monkeypatch.setattr(waiting, "SILENT_MAX_S", 0.001)
    half = replace(RUNNING, wells_total=4, wells_processed=2, percent=52)
    end, told = waited(
        replace(RUNNING, state="queued", ahead=3),
        replace(RUNNING, state="queued", message="OMERO.server cannot be reached; next try in 20 s (2 of 5)"),
        half,
        UnreachableError("Nothing listens."),
        ExecutionError("The server is ending.", "closing"),
        replace(half, state="completed", wells_processed=4, percent=100),
    )
    assert end.state == "completed"
    assert told == [
        ("running", 100),
        ("waiting, 3 before it", 100),
        ("OMERO.server cannot be reached; next try in 20 s (2 of 5)", 100),
        ("wells", 52),
        ("No news; the server is asked again and again. Nothing listens.", 100),
        ("No news; the server is asked again and again. The server is ending.", 100),
        ("wells", 100),
    ]


@pytest.mark.parametrize("error", [WrongKeyError("another"), ExecutionError("The session is over.", "no_session")])
def test_what_waiting_does_not_help(error, monkeypatch):
    monkeypatch.setattr(waiting, "POLL_S", 0.001)
    with pytest.raises(type(error)):
        waited(RUNNING, error)

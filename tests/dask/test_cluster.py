"""Runs in OMERO on clusters of dask: what workers somewhere else leave there, and who may be given a session."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from distributed import Client, LocalCluster

from openhcs_core.execution.remote import RemoteOrchestrator
from openhcs_core.omero.login import Login
from openhcs_core.omero.session import gateway
from openhcs_core.pipeline import FunctionStep, PipelineError
from openhcs_core.pipeline.source import read_pipeline
from openhcs_core.plugins import executor
from tests.dask.in_omero import TEXT, WELLS, import_plate, pipeline, results_of, run
from tests.execution.serving import Serving
from tests.pipeline.functions import deadly
from tests.streaming.peers import until

ROOT = Path(__file__).parents[2]
PATIENCE_S = 60.0


@pytest.fixture(scope="module")
def cluster():
    with LocalCluster(n_workers=2, threads_per_worker=1, memory_limit=0, dashboard_address="127.0.0.1:0") as cluster:
        yield cluster


@pytest.fixture
def conn(omero_conn):
    return gateway(omero_conn.c)


@pytest.fixture
def plate(omero_server, omero_user, tmp_path):
    return import_plate(omero_server, tmp_path, user=omero_user.name)


def test_results_are_those_of_processes(conn, plate, cluster, tmp_path):
    """A worker that is killed costs a retry, no more; no session stays behind."""
    step = FunctionStep((deadly, {"value": 20, "mark": str(tmp_path / "mark"), "times": 1}))
    address = {"executor": "dask", "executor_address": cluster.scheduler_address}
    there = run(conn, plate, pipeline(step), **address)
    assert (tmp_path / "mark0").exists()
    here = run(conn, plate, pipeline(step))
    assert there.complete, [well.error for well in there.wells.values()]
    assert here.complete
    assert results_of(conn, there.run) == results_of(conn, here.run)
    with Client(cluster.scheduler_address, set_as_default=False) as client:
        until(lambda: left_on(client), lambda left: not left)


def test_a_run_whose_program_dies_is_ended(conn, plate, cluster, tmp_path):
    """Neither its session nor a well stays on the workers."""
    steps = f"FunctionStep((held, {{'folder': {str(tmp_path)!r}}}))"
    program = f"""
import json, sys
from openhcs_core.execution.remote import RemoteOrchestrator
from openhcs_core.omero.login import Login
from openhcs_core.omero.pipeline_run import run_in_omero
from openhcs_core.pipeline import FunctionStep
from tests.dask.in_omero import held, pipeline
login = Login(**json.loads(sys.stdin.readline()))
run_in_omero(login, "Plate:{plate}", pipeline({steps}), executor="dask", executor_address={cluster.scheduler_address!r})
"""
    login = Login.of(conn.c)
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, text=True, cwd=ROOT) as process:
        process.stdin.write(json.dumps({"properties": dict(login.properties), "key": login.key}) + "\n")
        process.stdin.flush()
        until(lambda: list(tmp_path.glob("[0-9]*")), bool, PATIENCE_S)
        with Client(cluster.scheduler_address, set_as_default=False) as client:
            assert len(left_on(client)) == 1
        process.kill()
    (tmp_path / "go").touch()
    with Client(cluster.scheduler_address, set_as_default=False) as client:
        until(lambda: left_on(client), lambda left: not left, PATIENCE_S)
        until(lambda: sum(map(len, client.processing().values())), lambda tasks: not tasks, PATIENCE_S)


def test_a_server_is_the_front_of_a_cluster(omero_server, conn, plate, cluster, tmp_path):
    """Its settings say so; who asks it notices nothing."""
    settings = {"executor": "dask", "executor_address": cluster.scheduler_address, "executor_workers": 2}
    serving = Serving(tmp_path / "server", server_omero=f"{omero_server.host}:{omero_server.port}", **settings)
    try:
        execution = RemoteOrchestrator(str(serving.address), omero_conn=conn).run_remote_pipeline(plate, TEXT, sink=[])
    finally:
        serving.close()
    assert (execution.state, execution.wells_processed) == ("completed", 4)
    tasks = [str(key) for key, *_ in cluster.scheduler.transition_log]
    assert all(any(task.endswith(f"-{well}-1") for task in tasks) for well in WELLS)
    here = run(conn, plate, read_pipeline(TEXT))
    assert results_of(conn, execution.run) == results_of(conn, here.run)


def left_on(client):
    """Plugins of runs that workers hold."""

    def plugins(dask_worker):
        return [name for name, plugin in dask_worker.plugins.items() if type(plugin).__name__ == "RunPlugin"]

    return sorted({name for names in client.run(plugins).values() for name in names})


def test_certificates_are_asked_for(conn, plate):
    with (
        LocalCluster(n_workers=0, security=True, dashboard_address="127.0.0.1:0") as encrypted,
        pytest.raises(PipelineError, match=r"No scheduler of dask answers at tls:.*distributed\.comm\.tls\.ca-file"),
    ):
        run(conn, plate, pipeline(), executor="dask", executor_address=encrypted.scheduler_address)


@pytest.mark.parametrize("address", ["tcp://10.1.2.3:8786", "scheduler.example.org:8786", "ws://10.1.2.3:8786"])
def test_no_session_goes_where_others_could_read_it(address):
    with pytest.raises(PipelineError, match=r"without encryption.* tls://HOST:PORT.*distributed\.comm\.tls\.ca-file"):
        executor("dask").factory(1, address)


@pytest.mark.parametrize("address", ["tls://10.1.2.3:8786", "tcp://127.0.0.1:8786", "localhost:8786", "[::1]:8786"])
def test_where_a_session_may_go(address):
    with executor("dask").factory(1, address):
        pass

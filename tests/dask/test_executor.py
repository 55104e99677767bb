"""Runs on dask.distributed: of processes that are started for the run, and of a scheduler that is there."""

import threading
import time

import psutil
import pytest
from distributed import LocalCluster

from openhcs_core.pipeline import FunctionStep, PipelineConfig, PipelineError
from openhcs_core.pipeline.orchestrator import PipelineOrchestrator
from tests.pipeline.functions import broken_at, deadly, plus, slow, statistics_of, write_plate

STEPS = [FunctionStep(plus), FunctionStep(statistics_of, name="sums")]


@pytest.fixture(scope="module")
def plate(tmp_path_factory):
    wells = ("A01", "A02", "A03")
    return write_plate(tmp_path_factory.mktemp("dask") / "plate", wells=wells, sites=1, channels=1, sections=2)


@pytest.fixture(scope="module")
def scheduler():
    """Address of a scheduler with two workers."""
    with LocalCluster(n_workers=2, threads_per_worker=1, memory_limit=0, dashboard_address="127.0.0.1:0") as cluster:
        yield cluster.scheduler_address


def run(plate, output, steps, address=None, cancelled=None, progress=None):
    config = PipelineConfig(
        output=str(output), read_from="disk", executor="dask", num_workers=2, executor_address=address
    )
    return PipelineOrchestrator(plate, config).run_pipeline(steps, cancelled=cancelled, progress=progress)


def children():
    """Processes of ours, without the one that Python itself keeps for all that were spawned."""
    found = psutil.Process().children(recursive=True)
    return {child.pid for child in found if "resource_tracker" not in " ".join(child.cmdline())}


def test_a_worker_that_is_killed_costs_a_retry(plate, tmp_path):
    before = children()
    steps = [FunctionStep((deadly, {"value": 210, "mark": str(tmp_path / "mark"), "times": 1})), *STEPS]
    events = []
    result = run(plate, tmp_path / "out", steps, progress=events.append)
    assert result.complete, [well.error for well in result.wells.values()]
    assert result.wells["A02"].attempts == 2
    assert (tmp_path / "mark0").exists()
    assert len((tmp_path / "out" / "sums.csv").read_text().splitlines()) == 7
    assert {event.subject for event in events} == {"A01", "A02", "A03"}
    assert {event.what for event in events} > {"finished; plate"}
    assert not children() - before


def test_cancelled_while_a_function_works(plate, tmp_path):
    marks = tmp_path / "marks"
    marks.mkdir()
    steps = [FunctionStep((slow, {"seconds": 60.0, "mark": str(marks)}))]
    before, stop, stopped = children(), threading.Event(), []

    def cancel():
        while not any(marks.iterdir()):
            time.sleep(0.02)
        stopped.append(time.monotonic())
        stop.set()

    threading.Thread(target=cancel).start()
    result = run(plate, tmp_path / "out", steps, cancelled=stop)
    assert time.monotonic() - stopped[0] < 20  # the function takes a minute
    assert result.in_state("cancelled") == ["A01", "A02", "A03"]
    assert not children() - before


def test_a_scheduler_that_is_there_is_used_and_left_alone(plate, tmp_path, scheduler):
    workers = children()
    steps = [FunctionStep((broken_at, {"value": 210})), *STEPS]
    result = run(plate, tmp_path / "out", steps, scheduler)
    assert (result.in_state("failed"), result.in_state("finished")) == (["A02"], ["A01", "A03"])
    assert result.wells["A02"].error == "step 'broken_at': ValueError: a pixel of 210"
    assert "raise ValueError" in result.wells["A02"].traceback
    assert run(plate, tmp_path / "more", STEPS, scheduler).complete
    assert children() == workers


def test_a_scheduler_that_goes_ends_the_run(plate, tmp_path):
    """Finished wells stay, and the run goes on with another one."""
    marks = tmp_path / "marks"
    marks.mkdir()
    steps = [FunctionStep((slow, {"seconds": 60.0, "mark": str(marks)}))]
    with LocalCluster(n_workers=1, threads_per_worker=1, memory_limit=0, dashboard_address="127.0.0.1:0") as cluster:

        def end():
            while not any(marks.iterdir()):
                time.sleep(0.02)
            cluster.close()

        ending = threading.Thread(target=end)
        ending.start()
        with pytest.raises(PipelineError, match="run again to go on"):
            run(plate, tmp_path / "out", steps, cluster.scheduler_address)
        ending.join()


def test_a_scheduler_that_is_not_there_is_named(plate, tmp_path, monkeypatch):
    monkeypatch.setattr("openhcs_dask.executor.CONNECT_S", 1)
    with pytest.raises(PipelineError, match="No scheduler of dask answers at tcp://127.0.0.1:1"):
        run(plate, tmp_path / "out", STEPS, "tcp://127.0.0.1:1")

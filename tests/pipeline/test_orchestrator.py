"""Whole runs with worker processes, from files to files."""

import json
import os
import threading
import time

import numpy as np
import psutil
import pytest
import tifffile

from openhcs_core.pipeline import CompileError, FunctionStep, Pipeline, PipelineConfig, PipelineError
from openhcs_core.pipeline.config import GlobalPipelineConfig
from openhcs_core.pipeline.orchestrator import PipelineOrchestrator
from openhcs_core.storage.memory import MemoryBackend
from tests.pipeline.functions import (
    addresses,
    broken_at,
    deadly,
    highest,
    pixels,
    plus,
    slow,
    statistics_of,
    undeclared,
    write_plate,
)

WELLS = ("A01", "A02", "A03")
STEPS = [FunctionStep(plus), FunctionStep(highest), FunctionStep(statistics_of, name="sums")]


@pytest.fixture(scope="module")
def plate(tmp_path_factory):
    return write_plate(tmp_path_factory.mktemp("here") / "plate", wells=WELLS, sites=1, channels=1)


def orchestrator(plate, output, **settings):
    return PipelineOrchestrator(plate, PipelineConfig(output=str(output), read_from="disk", **settings))


def files_of(folder):
    """All results, by name, without what tells of the run itself."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".openhcs" not in path.parts and path.name not in ("run.json", "pipeline.py")
    }


def children():
    return {child.pid for child in psutil.Process().children(recursive=True)}


def test_a_run_makes_results_tables_and_a_record(plate, tmp_path):
    events = []
    before = children()
    result = orchestrator(plate, tmp_path / "out", num_workers=2).run_pipeline(STEPS, progress=events.append)
    assert result.complete
    assert result.in_state("finished") == list(WELLS)
    assert result.locations == {"disk": str(tmp_path / "out")}
    assert children() == before
    for well in WELLS:
        stack = [pixels(address) + 1 for address in addresses([well], sites=1, channels=1)]
        path = tmp_path / "out" / "highest" / f"{well}_s001_w1_z001_t001.tif"
        assert not path.exists()  # a later step takes it up
        assert result.wells[well].seconds > 0
        line = f"plate,{well},1,1,1,1,{np.max(stack, axis=0).sum()}"
        assert line in (tmp_path / "out" / "sums.csv").read_text().splitlines()
    facts = json.loads((tmp_path / "out" / "run.json").read_text())
    assert facts["run"] == result.run
    assert facts["metadata"]["version of tests"]
    assert "statistics_of" in (tmp_path / "out" / "pipeline.py").read_text()
    assert {event.subject for event in events} == set(WELLS)
    assert {event.item for event in events} == {1, 2, 3}
    assert all(event.items == 3 for event in events)
    assert [event.done for event in events] == sorted(event.done for event in events)
    assert events[-1].percent == 100
    assert events[-1].seconds_left == 0


def test_a_finished_run_is_not_done_again_unless_asked(plate, tmp_path):
    first = orchestrator(plate, tmp_path / "out").run_pipeline(STEPS, axis_filter=["A01", "A02"])
    again = orchestrator(plate, tmp_path / "out").run_pipeline(STEPS)
    assert (again.in_state("skipped"), again.in_state("finished")) == (["A01", "A02"], ["A03"])
    assert again.run == first.run
    assert len((tmp_path / "out" / "sums.csv").read_text().splitlines()) == 4
    anew = orchestrator(plate, tmp_path / "out", resume=False).run_pipeline(STEPS, axis_filter=["A01"])
    assert anew.in_state("finished") == ["A01"]


def test_other_parameters_are_another_run(plate, tmp_path):
    run = orchestrator(plate, tmp_path / "out").run_pipeline([FunctionStep(plus)], axis_filter=["A01"])
    other = orchestrator(plate, tmp_path / "out").run_pipeline([FunctionStep((plus, {"amount": 2}))])
    assert other.run != run.run
    assert other.in_state("finished") == list(WELLS)
    made = tifffile.imread(tmp_path / "out" / "plus" / "A01_s001_w1_z001_t001.tif")
    assert made[5, 5] == pixels(addresses()[0])[5, 5] + 2


def test_a_well_that_fails_does_not_stop_the_others_and_is_done_by_the_next_run(plate, tmp_path):
    steps = [FunctionStep((broken_at, {"value": 210}), name="check"), *STEPS]
    result = orchestrator(plate, tmp_path / "out", num_workers=2).run_pipeline(steps)
    assert (result.in_state("failed"), result.in_state("finished")) == (["A02"], ["A01", "A03"])
    failed = result.wells["A02"]
    assert failed.error == "step 'check': ValueError: a pixel of 210"
    assert 'raise ValueError(f"a pixel of {value}")' in failed.traceback
    assert failed.attempts == 1
    assert "A02" not in (tmp_path / "out" / "sums.csv").read_text()
    assert not result.complete
    again = orchestrator(plate, tmp_path / "out").run_pipeline(steps)
    assert (again.in_state("skipped"), again.in_state("failed")) == (["A01", "A03"], ["A02"])


def test_a_killed_worker_costs_its_well_which_is_tried_again(plate, tmp_path):
    mark = tmp_path / "mark"
    steps = [FunctionStep((deadly, {"value": 210, "mark": str(mark), "times": 1})), *STEPS]
    result = orchestrator(plate, tmp_path / "out", num_workers=2).run_pipeline(steps)
    assert result.complete
    assert [result.wells[well].attempts for well in WELLS] == [1, 2, 1]
    assert (tmp_path / "mark0").exists()


def test_a_well_whose_workers_die_is_reported_and_a_later_run_completes_the_plate(plate, tmp_path):
    mark = tmp_path / "mark"
    steps = [FunctionStep((deadly, {"value": 210, "mark": str(mark), "times": 2})), *STEPS]
    result = orchestrator(plate, tmp_path / "out", num_workers=2).run_pipeline(steps)
    assert (result.in_state("failed"), result.in_state("finished")) == (["A02"], ["A01", "A03"])
    assert result.wells["A02"].attempts == 2
    assert "died 2 times (SIGKILL" in result.wells["A02"].error
    again = orchestrator(plate, tmp_path / "out").run_pipeline(steps)  # it lives now
    assert again.complete
    assert again.in_state("finished") == ["A02"]
    undisturbed = orchestrator(plate, tmp_path / "undisturbed").run_pipeline(steps)
    assert undisturbed.complete
    assert files_of(tmp_path / "out") == files_of(tmp_path / "undisturbed")


def test_cancelled_in_mid_function_and_nothing_is_left(plate, tmp_path):
    marks = tmp_path / "marks"
    marks.mkdir()
    steps = [FunctionStep((slow, {"seconds": 60.0, "mark": str(marks)}))]
    stop, begun = threading.Event(), threading.Event()
    before = children()

    def cancel():
        while not any(marks.iterdir()):
            time.sleep(0.02)
        begun.set()
        stop.set()

    threading.Thread(target=cancel).start()
    ended = []
    threading.Thread(target=lambda: (begun.wait(), ended.append(time.monotonic()))).start()
    result = orchestrator(plate, tmp_path / "out", num_workers=2).run_pipeline(steps, cancelled=stop)
    assert time.monotonic() - ended[0] < 20  # the function itself takes a minute
    assert result.cancelled
    assert set(result.in_state("cancelled")) == set(WELLS)
    assert children() == before
    assert not list((tmp_path / "out").rglob("*.tif"))


def test_what_a_listener_raises_ends_the_run(plate, tmp_path):
    class Stop(Exception):
        pass

    def listen(_event):
        raise Stop

    before = children()
    with pytest.raises(Stop):
        orchestrator(plate, tmp_path / "out").run_pipeline(STEPS, progress=listen)
    assert children() == before


def test_everything_is_checked_before_anything_is_written(plate, tmp_path):
    steps = [FunctionStep((plus, {"amont": 1}), save_to=["disk", "tape"])]
    with pytest.raises(CompileError, match="no parameter 'amont'") as caught:
        orchestrator(plate, tmp_path / "out", wells=["H12"]).run_pipeline(steps)
    assert len(caught.value.problems) == 3
    assert not (tmp_path / "out").exists()


def test_backends_that_refuse_are_all_named_before_anything_is_computed(plate, tmp_path):
    (tmp_path / "out").write_text("a file")
    steps = [FunctionStep(plus, save_to=["disk", "zarr"])]
    with pytest.raises(CompileError, match="save_to 'disk'") as caught:
        orchestrator(plate, tmp_path / "out").run_pipeline(steps)
    assert len(caught.value.problems) == 2


def test_results_cannot_stay_in_memory(plate):
    with pytest.raises(CompileError, match="keeps results in one process only"):
        PipelineOrchestrator(plate).run_pipeline([FunctionStep(plus, save_to=["memory"])])


def test_a_plate_in_memory_can_be_worked_on(tmp_path):
    from openhcs_core.storage.registry import create_storage_registry

    memory = MemoryBackend()
    memory.add("cells", {address: pixels(address) for address in addresses(["A01"], sites=1, channels=1)})
    registry = {**{name: create_storage_registry()[name] for name in ("disk",)}, "memory": memory}
    config = PipelineConfig(output=str(tmp_path / "out"))
    result = PipelineOrchestrator("cells", config, storage_registry=registry).run_pipeline(STEPS)
    assert result.complete
    assert (tmp_path / "out" / "sums.csv").exists()


def test_steps_of_the_interface_one_by_one(plate, tmp_path):
    pipeline = Pipeline(tuple(STEPS), PipelineConfig(num_workers=2, wells=["A03", "A01"]), "the text")
    running = PipelineOrchestrator(plate, None, GlobalPipelineConfig(output=str(tmp_path / "out")))
    with pytest.raises(PipelineError, match="initialize"):
        running.compile_pipelines(pipeline)
    contexts = running.initialize().compile_pipelines(pipeline)
    assert list(contexts) == ["A01", "A03"]
    assert list(running.compile_pipelines(pipeline, axis_filter=["A02"])) == ["A02"]
    with pytest.raises(PipelineError, match="max_workers must be at least 1"):
        running.execute_compiled_plate(pipeline, contexts, max_workers=0)
    with pytest.raises(PipelineError, match="workers need about"):
        running.execute_compiled_plate(pipeline, contexts, max_workers=100_000)
    result = running.execute_compiled_plate(pipeline, contexts, max_workers=1)
    assert result.in_state("finished") == ["A01", "A03"]
    assert (tmp_path / "out" / "pipeline.py").read_text() == "the text"


def test_results_lie_beside_the_plate_unless_said(tmp_path):
    plate = write_plate(tmp_path / "plate", wells=["A01"], sites=1, channels=1, sections=1)
    result = PipelineOrchestrator(plate).run_pipeline([FunctionStep(plus)])
    assert result.locations == {"disk": str(tmp_path / "plate_results")}
    assert os.listdir(tmp_path / "plate_results" / "plus")


def test_functions_that_cannot_be_sent_are_refused(plate, tmp_path):
    with pytest.raises(CompileError, match="no processing function"):
        orchestrator(plate, tmp_path / "out").run_pipeline([FunctionStep(undeclared)])

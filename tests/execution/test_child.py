"""The process of an execution: what it makes of a request, on folders and in OMERO."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from openhcs_core.execution.inputs import pipeline_of, viewer_request
from openhcs_core.execution.queue import CHILD
from openhcs_core.execution.requests import Execute
from openhcs_core.pipeline import PipelineSourceError
from openhcs_core.streaming.identity import is_alive, process_start
from openhcs_core.streaming.security import CurveKeys, key_text
from tests.execution.jobs_functions import installed, pipeline
from tests.execution.jobs_world import SESSION, World
from tests.pipeline.functions import write_plate
from tests.streaming.peers import until

STEPS = "from openhcs_core.pipeline import *\npipeline_steps = []\n"
EMPTY = "pipeline_steps = []\n"
CONFIG = "from openhcs_core.pipeline import PipelineConfig\nconfig = PipelineConfig(retries=5)\n"


def asked(code=EMPTY, **fields):
    return Execute(pipeline_code=code, **fields)


def test_the_configuration_becomes_part_of_the_text():
    read = pipeline_of(asked(config_code=CONFIG))
    assert read.config.retries == 5
    assert pipeline_of(asked(read.text)) == read
    whole = pipeline_of(asked(config_code=CONFIG.replace("PipelineConfig", "GlobalPipelineConfig")))
    assert type(whole.config).__name__ == "GlobalPipelineConfig"
    assert pipeline_of(asked(config_code=" \n")).config is None


@pytest.mark.parametrize(
    ("code", "config", "said"),
    [
        (CONFIG + EMPTY, CONFIG, "Give the configuration once"),
        (EMPTY, "import os", "config_code: line 1, column 1"),
        (EMPTY, "config = 5", "config_code: line 1"),
        ("import os\nos.system('id')", "", "line 1, column 1"),
        ("x = 1", "", "sets no pipeline_steps"),
    ],
)
def test_texts_that_are_none(code, config, said):
    with pytest.raises(Exception, match=said) as caught:
        pipeline_of(asked(code, config_code=config))
    assert isinstance(caught.value, PipelineSourceError) or "once" in said


def test_addresses_of_viewers_with_and_without_tcp():
    key = CurveKeys.new().public
    text = key_text(key)
    for address in ("10.0.0.5:5555", "tcp://10.0.0.5:5555"):
        found = viewer_request(asked(client_address=address, client_key=text))
        assert [(server.endpoint, server.public_key) for server in found.servers] == [("tcp://10.0.0.5:5555", key)]
    several = viewer_request(asked(client_address=f"10.0.0.5:5555/{text}, tcp://10.0.0.6:5556/{text}"))
    assert [server.endpoint for server in several.servers] == ["tcp://10.0.0.5:5555", "tcp://10.0.0.6:5556"]
    assert viewer_request(asked(client_address="Listen", client_key=text)).listen
    assert viewer_request(asked()) is None


@pytest.fixture
def local(tmp_path, monkeypatch):
    """A queue of a server without OMERO, with real processes."""
    for name, value in installed(tmp_path / "site").items():
        monkeypatch.setenv(name, value)
    with World(tmp_path, CHILD, {"local": True}) as world:
        yield world


def output(folder: Path) -> str:
    return f"from openhcs_core.pipeline import PipelineConfig\nconfig = PipelineConfig(output={str(folder)!r})"


def test_a_folder_without_omero(local, tmp_path):
    plate = write_plate(tmp_path / "plate", wells=("A01", "A02"), sites=1, channels=1, sections=1)
    config = output(tmp_path / "out")
    marks = tmp_path / "marks"
    marks.mkdir()
    (marks / "go").touch()
    made = local.submit(pipeline(folder=str(marks)), place=str(plate), config_code=config, wells=("A02",))
    done = local.ended(made)
    assert done.state == "completed", (done, local.log(made))
    assert (done.wells_processed, done.wells_total, done.percent) == (1, 1, 100)
    assert done.results == (str(tmp_path / "out"),)
    assert done.run
    assert any(path.suffix == ".tif" for path in (tmp_path / "out").rglob("*"))
    assert [name.split()[0] for name in os.listdir(marks) if name != "go"] == ["A02"]
    assert "1 wells: 1 finished" in local.log(made)


HOSTILE = {
    "import": "import os\nos.system('touch {mark}')\npipeline_steps = []",
    "builtin": "pipeline_steps = [__import__('os').system('touch {mark}')]",
    "comprehension": "pipeline_steps = [open('{mark}', 'w') for _ in 'a']",
    "deep": "pipeline_steps = " + "[" * 5000 + "]" * 5000,
    "no function": "from os import system\npipeline_steps = []",
}


def test_hostile_texts_are_refused_and_cost_nothing(local, tmp_path):
    plate = write_plate(tmp_path / "plate", wells=("A01",), sites=1, channels=1, sections=1)
    mark = tmp_path / "mark"
    before = sorted(path for path in tmp_path.rglob("*") if tmp_path / "state" not in path.parents)
    made = {name: local.submit(code.replace("{mark}", str(mark)), place=str(plate)) for name, code in HOSTILE.items()}
    for name, execution in made.items():
        failed = local.ended(execution, 60)
        assert failed.state == "failed", name
        assert failed.message.startswith("line "), (name, failed.message)
        assert "PipelineSourceError" in failed.traceback
    assert not mark.exists()
    after = {path for path in tmp_path.rglob("*") if tmp_path / "state" not in path.parents}
    assert {path.parent.name for path in after - set(before)} == {"executions"}


def test_it_ends_with_all_it_has_started_when_the_server_is_gone(tmp_path):
    """As a server that is killed leaves it: its standard input is closed, and nobody reads what it tells."""
    plate = write_plate(tmp_path / "plate", wells=("A01", "A02"), sites=1, channels=1, sections=1)
    (marks := tmp_path / "marks").mkdir()
    config = output(tmp_path / "out")
    request = {"pipeline_code": pipeline(folder=str(marks)), "config_code": config, "session": SESSION}
    job = {"execution_id": "x", "place": str(plate), "local": True, "request": request}
    reading, events = os.pipe()
    process = subprocess.Popen(
        [*CHILD, str(events), "x"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=[events],
        env={**os.environ, **installed(tmp_path / "site")},
        start_new_session=True,
    )
    os.close(events)
    process.stdin.write(json.dumps(job).encode() + b"\n")
    process.stdin.flush()
    until(lambda: [path.name for path in marks.iterdir()], lambda names: any("A02" in name for name in names), 60)
    workers = {int(path.name.split()[1]): process_start(int(path.name.split()[1])) for path in marks.iterdir()}
    os.close(reading)
    process.stdin.close()
    assert process.wait(60) != 0
    until(lambda: [pid for pid, start in workers.items() if is_alive(pid, start)], lambda alive: not alive)


def test_it_ends_at_once_without_a_job(tmp_path):
    done = subprocess.run([*CHILD, "1", "x"], stdin=subprocess.DEVNULL, capture_output=True, timeout=60, cwd="/")
    assert (done.returncode, done.stdout, done.stderr) == (1, b"", b"")


def test_cancelled_with_all_its_workers(local, tmp_path):
    plate = write_plate(tmp_path / "plate", wells=("A01", "A02"), sites=1, channels=1, sections=1)
    (marks := tmp_path / "marks").mkdir()
    made = local.submit(pipeline(folder=str(marks)), place=str(plate), config_code=output(tmp_path / "out"))
    until(lambda: [path.name for path in marks.iterdir()], lambda names: any("A02" in name for name in names), 60)
    workers = {int(path.name.split()[1]): process_start(int(path.name.split()[1])) for path in marks.iterdir()}
    assert any(is_alive(pid, start) for pid, start in workers.items())
    local.queue.cancel(made.execution_id)
    assert local.ended(made).state == "cancelled"
    until(lambda: [pid for pid, start in workers.items() if is_alive(pid, start)], lambda alive: not alive)
    (marks / "go").touch()
    local.resume(made)
    assert local.ended(made).state == "completed"

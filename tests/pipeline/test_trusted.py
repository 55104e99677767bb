"""Pipelines that are code: run only where allowed, in a process that keeps nothing and gives only text."""

import os
import time

import pytest

from openhcs_core.pipeline import PipelineConfig, PipelineError, read_pipeline
from openhcs_core.pipeline.trusted import read_trusted_pipeline

CODE = """
from openhcs_core.pipeline import FunctionStep, PipelineConfig
from openhcs_functions.smoothing import gaussian

pipeline_steps = [
    FunctionStep((gaussian, {"sigma": 2 ** n}), name=f"smooth {n}") for n in range(3)
]
config = PipelineConfig(num_workers=max(1, 2))
"""


def test_not_unless_allowed(tmp_path):
    with pytest.raises(PipelineError, match="trusted_pipelines = true"):
        read_trusted_pipeline(f"open({str(tmp_path / 'canary')!r}, 'w')", allowed=False)
    assert not (tmp_path / "canary").exists()


def test_code_becomes_a_declarative_text():
    pipeline = read_trusted_pipeline(CODE, allowed=True)
    assert [(step.name, step.func[1]["sigma"]) for step in pipeline.steps] == [
        ("smooth 0", 1),
        ("smooth 1", 2),
        ("smooth 2", 4),
    ]
    assert pipeline.config == PipelineConfig(num_workers=2)
    assert read_pipeline(pipeline.text) == pipeline


def test_the_code_gets_nothing_of_this_process(tmp_path, monkeypatch):
    monkeypatch.setenv("OMERO_SESSION", "a-secret")
    seen = tmp_path / "seen"
    code = f"import os, sys\nopen({str(seen)!r}, 'w').write(repr((dict(os.environ), sys.argv, os.getcwd())))\n" + CODE
    with (tmp_path / "open").open("w") as stream:
        os.set_inheritable(stream.fileno(), True)
        read_trusted_pipeline(
            code + f"\nimport os\ntry:\n    os.fstat({stream.fileno()})\nexcept OSError:\n    pass\n"
            "else:\n    raise SystemExit('inherited')",
            allowed=True,
        )
    assert "a-secret" not in seen.read_text()
    assert os.getcwd() not in seen.read_text()


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("1 / 0", "exit status 1.*ZeroDivisionError"),
        ("import sys; sys.exit(3)", "exit status 3"),
        ("import os; os._exit(0)", "exit status 0"),
        ("import os; os.kill(os.getpid(), 9)", "exit status -9"),
        ("steps = []", "sets no pipeline_steps"),
        ("pipeline_steps = 3", "must be a list of FunctionSteps, not int"),
        ("pipeline_steps = [3]", "a int is none"),
        ("pipeline_steps = []; config = 3", "config must be"),
        ("import (", "SyntaxError"),
        ("import sys; sys.stderr.write('x' * 10**7); sys.exit(1)", "exit status 1"),
    ],
)
def test_code_that_fails(code, said):
    with pytest.raises(PipelineError, match=f"(?s){said}") as caught:
        read_trusted_pipeline(code, allowed=True)
    assert len(str(caught.value)) < 3000


def test_code_that_takes_too_long_is_stopped_with_what_it_has_started(tmp_path):
    pid = tmp_path / "pid"
    code = f"""
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
open({str(pid)!r}, "w").write(str(child.pid))
time.sleep(600)
"""
    with pytest.raises(PipelineError, match="not finished within 2 s"):
        read_trusted_pipeline(code, allowed=True, timeout=2)
    for _ in range(500):
        if not _lives(int(pid.read_text())):
            return
        time.sleep(0.01)
    pytest.fail("the child of the code still lives")


def _lives(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stream:
            return stream.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False

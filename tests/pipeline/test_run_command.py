"""``openhcs run``, ``openhcs compile`` and ``openhcs plugins``, as programs."""

import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import tifffile

from openhcs_core import plugins
from openhcs_core.cli import main
from openhcs_core.hookspecs import hookimpl
from tests.pipeline.functions import addresses, pixels, write_plate

PIPELINE = """\
from openhcs_core.pipeline import FunctionStep, PipelineConfig
from tests.pipeline.functions import broken_at, highest, plus, slow

config = PipelineConfig(read_from="disk")
pipeline_steps = [{steps}]
"""
FINE = 'FunctionStep((plus, {"amount": 2})), FunctionStep(highest)'
#: The command in a program in which the functions of the tests are a plugin.
PROGRAM = """
import sys
sys.path.insert(0, {root!r})
from openhcs_core.cli import main
from tests.pipeline.test_run_command import registered
registered()
sys.exit(main())
"""
ROOT = Path(__file__).resolve().parents[2]


class TestFunctions:
    """A plugin with the functions of the tests."""

    __test__ = False

    @hookimpl
    def openhcs_functions(self):
        from tests.pipeline import functions

        return [functions.broken_at, functions.highest, functions.plus, functions.slow]


def registered():
    manager = plugins.get_plugin_manager()
    manager.register(TestFunctions(), "functions of the tests")
    return manager


@pytest.fixture(autouse=True)
def _plugin():
    manager = registered()
    yield
    manager.unregister(name="functions of the tests")


@pytest.fixture(scope="module")
def plate(tmp_path_factory):
    return write_plate(tmp_path_factory.mktemp("command") / "plate", sites=1, channels=1, sections=2)


def written(folder, steps):
    path = folder / "pipeline.py"
    path.write_text(PIPELINE.format(steps=steps))
    return str(path)


def test_run(plate, tmp_path, capsys):
    out = tmp_path / "out"
    text = written(tmp_path, FINE)
    assert main(["run", str(plate), text, "-o", str(out), "--wells", "A02", "--workers", "1"]) == 0
    said = capsys.readouterr().out
    assert "1 wells: 1 finished, " in said
    assert f"disk: {out}" in said
    made = tifffile.imread(out / "highest" / "A02_s001_w1_z001_t001.tif")
    assert made[5, 5] == pixels(addresses(["A02"])[1])[5, 5] + 2
    assert main(["run", str(plate), text, "-o", str(out)]) == 0
    assert "2 wells: 1 finished, 1 were finished before" in capsys.readouterr().out
    assert main(["run", str(plate), text, "-o", str(out), "--no-resume", "--save-to", "disk", "--save-to", "zarr"]) == 0
    said = capsys.readouterr().out
    assert "2 wells: 2 finished" in said
    assert f"zarr: {out}" in said


def test_run_with_a_well_that_fails(plate, tmp_path, capsys):
    text = written(tmp_path, 'FunctionStep((broken_at, {"value": 210}))')
    arguments = ["run", str(plate), text, "-o", str(tmp_path / "out"), "--memory", "4000", "--tracebacks"]
    assert main(arguments) == 1
    said = capsys.readouterr()
    assert "openhcs: A02 failed in step 'broken_at': ValueError: a pixel of 210" in said.err
    assert "Traceback" in said.err
    assert "2 wells: 1 finished, 1 failed" in said.out


@pytest.mark.parametrize(
    ("plate_name", "steps", "said"),
    [
        ("plate", 'FunctionStep((plus, {"amont": 2}))', "did you mean 'amount'"),
        ("plate", "FunctionStep(lambda: 0)", "line 5, column"),
        ("nothing", FINE, "/nothing"),
    ],
)
@pytest.mark.parametrize("command", ["run", "compile"])
def test_what_cannot_run(plate, tmp_path, capsys, command, plate_name, steps, said):
    assert main([command, str(plate.with_name(plate_name)), written(tmp_path, steps)]) == 2
    assert said in capsys.readouterr().err


def test_neither_a_file_nor_a_preset(plate, capsys):
    assert main(["compile", str(plate), "no such thing"]) == 2
    assert "no such thing is neither a file nor a preset. Presets: " in capsys.readouterr().err


def test_a_preset_by_name(plate, capsys):
    names = list(plugins.presets())
    assert names
    assert main(["compile", str(plate), names[0], "--read-from", "disk"]) in (0, 2)
    assert "neither a file" not in capsys.readouterr().err


def test_compile(plate, tmp_path, capsys):
    text = written(tmp_path, FINE)
    assert main(["compile", str(plate), text]) == 0
    assert capsys.readouterr().out == "The pipeline can run: 2 steps, 2 wells.\n"
    assert main(["compile", str(plate), text, "--explain", "--workers", "2"]) == 0
    said = capsys.readouterr().out
    assert "calls   tests.pipeline.functions.plus(amount=2) on YX, numpy" in said
    assert "read_from by the pipeline; num_workers by the run" in said
    assert not plate.with_name("plate_results").exists()


def test_plugins(capsys):
    assert main(["plugins"]) == 0
    said = capsys.readouterr().out
    assert "functions of the tests" in said
    assert "executor processes" in said
    assert "executor dask" in said


def program(*arguments):
    return [sys.executable, "-c", PROGRAM.format(root=str(ROOT)), *map(str, arguments)]


def started(plate, folder, count, **options):
    """A run that takes for ever, and its workers at work."""
    marks = folder / "marks"
    marks.mkdir()
    text = written(folder, f'FunctionStep((slow, {{"seconds": 60.0, "mark": {str(marks)!r}}}))')
    command = program("run", plate, text, "-o", folder / "out", "--workers", count)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)
    while len(list(marks.iterdir())) < count:
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.02)
    return process, [psutil.Process(int(path.name)) for path in marks.iterdir()]


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_stopped_by_a_signal(plate, tmp_path, number, status):
    process, workers = started(plate, tmp_path, 2)
    process.send_signal(number)
    said = process.communicate(timeout=3)[0]
    assert process.returncode == status
    assert "2 wells: 2 cancelled" in said
    assert not psutil.wait_procs(workers, 0.1)[1]


def test_no_worker_outlives_a_run_that_is_killed(plate, tmp_path):
    process, workers = started(plate, tmp_path, 2)
    process.kill()
    process.communicate(timeout=3)
    assert not psutil.wait_procs(workers, 2)[1]


def test_progress_in_a_terminal(plate, tmp_path):
    text = written(tmp_path, FINE)
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    command = program("run", plate, text, "-o", tmp_path / "out")
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=theirs, env=environment)
    os.close(theirs)
    said = b""
    try:
        while more := os.read(ours, 4096):
            said += more
    except OSError:  # the other end is closed
        pass
    os.close(ours)
    assert process.wait() == 0
    assert b"of 2)" in said
    assert b"100%" in said

"""Whatever goes wrong: a clear error, nothing half-made in sight, and the run can be gone on with."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from openhcs_core.plate import PlaneAddress
from openhcs_core.storage import StorageError
from tests.storage.plates import BACKENDS, plate, results, save

ROOT = Path(__file__).parents[2]


@pytest.fixture(params=["disk", "zarr"])
def name(request):
    return request.param


def run(code: str, *arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)


LIMITED = """
import resource, sys
from pathlib import Path
import numpy as np
from openhcs_core.storage import StorageError
from tests.storage.plates import BACKENDS, plate, results
folder, backend = Path(sys.argv[1]), BACKENDS[sys.argv[2]]()
source = plate()
noise = np.random.default_rng(0).integers(0, 65535, (300, 300), np.uint16)
for limit in (0, 10, 1000, 50_000):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        with backend.open_results(results(folder, source.layout)) as writer:
            writer.save_batch([noise], ["B03_s001_w1_z001_t001.tif"], step_name="a")
            writer.save_table({"n": range(30_000)}, "B03", step_name="a")
            writer.finish_well("B03")
    except StorageError as error:
        assert "the file grew too large" in str(error) or "the disk is full" in str(error), error
        assert "Free some space" in str(error), error
    else:
        raise SystemExit(f"no error with a limit of {limit}")
    assert [path.name for path in folder.iterdir() if path.name != ".openhcs"] == [], limit
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
with backend.open_results(results(folder, source.layout)) as writer:
    assert writer.finished_wells() == set()
    writer.save_batch([noise], ["B03_s001_w1_z001_t001.tif"], step_name="a")
    writer.finish_well("B03")
    writer.finish(["B03"])
assert list(folder.glob("a*"))
"""


def test_a_full_disk_at_any_stage(name, tmp_path):
    done = run(LIMITED, tmp_path, name)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@contextlib.contextmanager
def without_rights():
    """As a user to whom rights apply."""
    user = os.geteuid()
    if not user:
        os.seteuid(65534)
    try:
        yield
    finally:
        if not user:
            os.seteuid(user)


def test_a_folder_that_may_not_be_written(name, tmp_path):
    source = plate()
    tmp_path.chmod(0o500)
    with without_rights(), pytest.raises(StorageError, match=r"Permission denied\. Choose another folder, or have the"):
        BACKENDS[name]().open_results(results(tmp_path / "out", source.layout))
    tmp_path.chmod(0o700)
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_place_of_the_folder(name, tmp_path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(StorageError, match="out is a file"):
        BACKENDS[name]().open_results(results(tmp_path / "out", plate().layout))
    with pytest.raises(StorageError, match=r"Not a directory\. Choose another folder"):
        BACKENDS[name]().open_results(results(tmp_path / "out" / "below", plate().layout))


KILLED = """
import os, sys
from tests.storage.plates import BACKENDS, plate, results, save
import openhcs_backends.run_folder as run_folder
folder, name, when = sys.argv[1:]
def stop(*_):
    print("here", flush=True)
    sys.stdin.read()
source = plate()
writer = BACKENDS[name]().open_results(results(folder, source.layout))
save(writer, source, "a", "B03")
writer.finish_well("B03")
save(writer, source, "a", "A10")
save(writer, source, "b", "A10", "labels")
if when == "moving":  # of several targets, the first is in its place
    whole = os.rename
    run_folder.os.rename = lambda *given: stop() if str(given[1]).startswith(folder + "/b") else whole(*given)
if when == "saving":
    stop()
writer.finish_well("A10")
stop()
"""


@pytest.mark.parametrize("when", ["saving", "moving", "finished"])
def test_a_killed_process_costs_what_was_not_finished(name, when, tmp_path):
    command = [sys.executable, "-c", KILLED, str(tmp_path), name, when]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"here\n"
        with pytest.raises(StorageError, match="Another run is saving"):  # if only the same once more
            BACKENDS[name]().open_results(results(tmp_path, plate().layout))
        process.send_signal(signal.SIGKILL)
        process.stdin.close()
        assert process.wait(60) == -signal.SIGKILL
    source, backend = plate(), BACKENDS[name]()
    with backend.open_results(results(tmp_path, source.layout)) as writer:
        assert writer.finished_wells() == ({"B03", "A10"} if when == "finished" else {"B03"})
        if when != "finished":
            address = PlaneAddress("A10")
            writer.save_batch([np.ones((30, 40), np.uint16)], [address.path], step_name="a")
            writer.finish_well("A10")
        writer.finish(source.layout.wells)
    labels = [path for path in tmp_path.glob("b*/**/*") if path.is_file()]
    assert bool(labels) == (when == "finished")
    with backend.open_plate(str(tmp_path / ("a" if name == "disk" else "a.zarr"))) as again:
        expected = source.layout.planes["A10"] if when == "finished" else [PlaneAddress("A10")]
        assert again.layout.planes["A10"] == expected
        assert again.layout.planes["B03"] == source.layout.planes["B03"]


def test_parts_of_a_well_that_failed_go_in_the_end(name, tmp_path):
    source, backend = plate(), BACKENDS[name]()
    with backend.open_results(results(tmp_path, source.layout)) as writer:
        save(writer, source, "a", "B03")
        writer.finish_well("B03")
        save(writer, source, "b", "A10")
        statements = writer.finish(["A10", "B03"])
    assert any("left out: A10" in statement for statement in statements)
    assert not any(path.stem == "b" for path in tmp_path.rglob("*"))

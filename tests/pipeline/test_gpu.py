"""Locks of GPUs, and functions that run on one."""

import contextlib
import os
import subprocess
import sys
import threading
from types import SimpleNamespace

import numpy as np
import pytest

from openhcs_core.pipeline import PLATE, FunctionStep, StepOutput
from openhcs_core.pipeline.explain import explain
from openhcs_core.pipeline.gpu import gpu_count, gpu_lock, lock_folder
from openhcs_core.plate import PlaneAddress
from tests.functions.strict_arrays import DeviceArray, pretend_cupy
from tests.pipeline.functions import (
    above,
    compiled,
    highest_on_gpu,
    memory_plate,
    on_gpu,
    pixels,
    plus,
    result,
    run_here,
    statistics_of,
)

HOLD = """
import sys
from pathlib import Path
from openhcs_core.pipeline.gpu import gpu_lock
with gpu_lock([0], 0, folder=Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_each_worker_gets_a_gpu_of_its_own(tmp_path):
    with gpu_lock([2, 5], 0, folder=tmp_path) as first, gpu_lock([2, 5], 0, folder=tmp_path) as second:
        assert (first, second) == (2, 5)
    with gpu_lock([2, 5], 3, folder=tmp_path) as third:
        assert third == 5


def test_a_busy_gpu_is_waited_for_and_this_is_told(tmp_path):
    told, got = threading.Event(), []

    def other():
        with gpu_lock([0], 0, told.set, tmp_path) as gpu:
            got.append(gpu)

    with gpu_lock([0], 0, folder=tmp_path):
        thread = threading.Thread(target=other)
        thread.start()
        assert told.wait(20)
        assert got == []
    thread.join(20)
    assert got == [0]


def test_a_lock_ends_with_the_process_that_holds_it(tmp_path):
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        waited = []
        threading.Timer(0.2, holder.kill).start()
        with gpu_lock([0], 0, lambda: waited.append(True), tmp_path):
            assert waited == [True]


def test_all_users_share_the_folder_of_the_locks(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before = os.umask(0o077)
    try:
        folder = lock_folder()
        with gpu_lock([0], 0):
            pass
    finally:
        os.umask(before)
    assert folder.stat().st_mode & 0o7777 == 0o1777
    assert (folder / "gpu0.lock").stat().st_mode & 0o777 == 0o644
    assert lock_folder() == folder


def test_blocks_say_whether_they_need_a_gpu():
    _, layout = memory_plate()
    steps = [
        FunctionStep(plus, select={"channel": [1]}),
        FunctionStep(on_gpu, input_source=PLATE, select={"channel": [2]}),
    ]
    blocks = compiled(layout, steps, gpus=1)["A01"].plan.blocks
    assert [block.on_gpu for block in blocks] == [False] * 6 + [True] * 6


STEPS = [
    FunctionStep(plus),
    FunctionStep(on_gpu),
    FunctionStep([on_gpu, highest_on_gpu], name="highest", save=True),
    FunctionStep(above),
    FunctionStep(statistics_of, input_source=StepOutput("highest")),
]


def check_results(backend):
    address = PlaneAddress("A02", 2, 1, 1)
    expected = 4 * (pixels(address._replace(z_index=3)) + 1)
    assert np.array_equal(result(backend, "highest", address), expected)
    assert expected.sum() in backend.tables["out/statistics_of"]["Sum"]


def test_no_more_copies_than_needed(monkeypatch):
    """With a module in the place of CuPy that computes with NumPy, and counts."""
    pretend_cupy(monkeypatch)
    cupy = sys.modules["cupy"]
    pool = SimpleNamespace(free_all_blocks=lambda: freed.append(True))
    freed, copies = [], []
    monkeypatch.setattr(cupy, "cuda", SimpleNamespace(Device=contextlib.nullcontext), raising=False)
    monkeypatch.setattr(cupy, "get_default_memory_pool", lambda: pool, raising=False)
    asarray, get = cupy.asarray, DeviceArray.get
    monkeypatch.setattr(cupy, "asarray", lambda plane: copies.append("there") or asarray(plane), raising=False)
    monkeypatch.setattr(DeviceArray, "get", lambda array: copies.append("back") or get(array))
    check_results(run_here(STEPS, gpus=1, wells=["A02"]))
    assert (copies.count("there"), copies.count("back")) == (12, 4)
    assert len(freed) == 4  # for each block
    plan = compiled(memory_plate(wells=["A02"])[1], STEPS, gpus=1)
    assert "  16 planes are copied between host and GPU" in explain(plan).splitlines()


@pytest.mark.gpu
def test_on_a_real_gpu():
    check_results(run_here(STEPS, gpus=gpu_count()))

"""How a server is doing, and that asking for it never waits for what it is about."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from openhcs_core import __version__
from openhcs_core.execution import health
from openhcs_core.execution.health import Health
from openhcs_core.execution.places import folders
from openhcs_core.pipeline import gpu
from openhcs_core.settings import Settings
from tests.execution.serving import free_port
from tests.streaming.peers import until


@pytest.fixture
def look(tmp_path, monkeypatch):
    """Function which gives a `Health` that looks all the time; closed after the test."""
    monkeypatch.setattr(health, "EVERY_S", 0.01)
    with contextlib.ExitStack() as stack:

        def make(local=False, scratch=tmp_path, **settings):
            found = Settings(server_state=tmp_path / "s", server_logs=tmp_path / "l", scratch=scratch, **settings)
            made = Health(found, folders(found), lambda: (3, 2), local)
            made.start()
            stack.callback(made.close)
            until(made.report, lambda report: report["disk"])
            return made

        yield make


def test_all_is_well(look, tmp_path):
    report = look(local=True).report()
    assert report.pop("uptime_s") >= 0
    disk = report.pop("disk")
    assert disk.keys() == {"state_free_bytes", "logs_free_bytes", "scratch_free_bytes"}
    assert all(free > 0 for free in disk.values())
    gpus = report.pop("gpus")
    assert [one["number"] for one in gpus] == list(range(gpu.gpu_count()))
    assert report == {"version": __version__, "queued": 3, "running": 2, "omero": None, "problems": []}


def test_omero_goes_and_comes_back(look):
    port = free_port()
    found = look(server_omero=f"127.0.0.1:{port}")
    report = until(found.report, lambda report: report["problems"])
    assert f"OMERO.server at 127.0.0.1:{port} cannot be reached since" in report["problems"][0]
    assert report["omero"]["reachable"] is False
    with socket.create_server(("127.0.0.1", port)):
        later = until(found.report, lambda report: report["omero"]["reachable"])
    assert later["problems"] == []
    assert later["omero"]["since"] > report["omero"]["since"]


def test_a_folder_that_is_gone_and_a_full_one(look, tmp_path, monkeypatch):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    found = look(local=True, scratch=scratch)
    assert found.report()["problems"] == []
    scratch.rmdir()
    report = until(found.report, lambda report: report["problems"])
    assert report["problems"] == [f"{scratch} cannot be looked at."]
    assert report["disk"]["scratch_free_bytes"] is None
    monkeypatch.setattr(health, "LITTLE_BYTES", 1 << 80)
    report = found.report()
    assert len(report["problems"]) == 3
    assert "MB left" in report["problems"][0]


def test_a_gpu_in_use_is_busy_and_one_that_is_not_is_free(look, tmp_path, monkeypatch):
    monkeypatch.setattr(health, "gpu_count", lambda: 2)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    found = look(local=True)
    code = (
        "import sys; from pathlib import Path; from openhcs_core.pipeline.gpu import gpu_lock\n"
        "with gpu_lock([1], 0, folder=Path(sys.argv[1])): print('got it', flush=True); sys.stdin.read()"
    )
    assert [one["busy"] for one in found.report()["gpus"]] == [False, False]
    command = [sys.executable, "-c", code, str(gpu.lock_folder())]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
    ) as holder:
        holder.stdout.readline()
        until(found.report, lambda report: [one["busy"] for one in report["gpus"]] == [False, True])
        holder.stdin.close()
    until(found.report, lambda report: [one["busy"] for one in report["gpus"]] == [False, False])


def test_what_holds_up_a_look_holds_up_nobody_else(look, monkeypatch):
    found = look(local=True)
    held, go_on = threading.Event(), threading.Event()

    def hang(folder):
        held.set()
        go_on.wait(60)

    monkeypatch.setattr(health, "_free", hang)  # as a folder on a server that is gone
    monkeypatch.setattr(health, "LATE_S", 0.05)
    held.wait(20)
    report = until(found.report, lambda report: report["problems"])
    assert "held up for" in report["problems"][0]
    go_on.set()


def test_a_look_that_fails_is_not_the_last(look, monkeypatch, caplog):
    found = look(local=True)
    failed = threading.Event()

    def fail():
        failed.set()
        raise RuntimeError("driver")

    with monkeypatch.context() as broken:
        broken.setattr(health, "gpu_count", fail)
        assert failed.wait(20)
    monkeypatch.setattr(health, "gpu_count", lambda: 1)
    until(found.report, lambda report: len(report["gpus"]) == 1)
    assert "could not be looked at" in caplog.text

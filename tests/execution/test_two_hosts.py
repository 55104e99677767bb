"""A server beside OMERO, a desk with napari on another host: a run from there is, and shows, what one here would."""

import hashlib
import json
import signal
import subprocess
import sys

import numpy as np

from bootstrap._display import screenshot, xvfb
from openhcs_core.streaming.identity import is_alive, process_start
from tests.dask.in_omero import TEXT
from tests.dask.sites import Site
from tests.two_hosts import hosts


def test_a_run_from_another_host_is_one_here(tmp_path):
    """Text goes out, images come while the plate is worked on, results are in OMERO: all as of a run beside OMERO."""
    settings, here, there = tmp_path / "openhcs.toml", tmp_path / "here", tmp_path / "there"
    home = {name: str(tmp_path) for name in ("HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME")}
    site = Site(tmp_path, OPENHCS_CONFIG=str(settings), **home)
    with xvfb() as display, hosts("server", "desk") as (server, desk):
        omero = site.start(server, "tests.dask.in_omero", str(tmp_path), server.address)
        facts = site.answer(omero)
        lines = {
            "server_omero": f"{server.address}:{facts['login']['port']}",
            "server_listen": f"{server.address}:7777",
            "viewer_targets": [f"{desk.address}:5555-5600"],
            "server_state": str(tmp_path / "state"),
            "server_logs": str(tmp_path / "logs"),
            "scratch": str(tmp_path),
        }
        settings.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in lines.items()))
        serving = site.start(server, "openhcs_core.cli", "serve")
        address = site.line(serving).split()[1]
        person = site.start(desk, "tests.execution.desk", DISPLAY=display, NAPARI_CONFIG=str(tmp_path / "napari.yaml"))
        site.ask(person, server=address, port=5555, text=TEXT, images=str(there), **facts)
        local = site.answer(omero, text=TEXT, images=str(here))
        told = site.answer(person)
        execution = told["execution"]
        assert (execution["state"], execution["wells_processed"]) == ("completed", 4), told["log"]
        assert site.answer(omero, run=execution["run"]) == local
        assert len(local["results"]["images of soft"]) == 4
        images = images_in(here)
        assert images_in(there) == images
        assert len(images) == 12
        assert told["napari"]["displayed"] == told["napari"]["received"] == len(images)
        assert "napari: 12 images delivered" in told["log"]  # before the end of the run
        assert told["napari"]["address"].startswith(f"tcp://{desk.address}:5555/")
        picture = np.asarray(screenshot(display)).astype(int)
        assert (picture.max(axis=2) - picture.min(axis=2) > 30).mean() > 0.03  # objects in colours
        site.ask(person, done=True)
        assert person.wait(60) == 0


def test_hosts_are_apart_and_end():
    """Nothing of one is at the loopback of the other; what runs there is gone in the end, whoever started it."""
    listening = (
        "import socket, platform; s = socket.create_server(('127.0.0.1', 5000)); print(platform.node(), flush=1)"
    )
    calling = "import socket; socket.create_connection(('127.0.0.1', 5000), 5)"
    with hosts("server", "desk") as (server, desk):
        program = server.start([sys.executable, "-c", f"{listening}; s.accept()"], stdout=subprocess.PIPE, text=True)
        assert program.stdout.readline() == "server\n"
        call = desk.start([sys.executable, "-c", calling], stderr=subprocess.PIPE, text=True)
        assert "ConnectionRefusedError" in call.communicate(timeout=20)[1]
        assert desk.start(["sh", "-c", "setsid sleep 600 &"]).wait(20) == 0
        (sleeping,) = (pid for pid in desk.programs() if pid != desk.number)
        start = process_start(sleeping)
    assert program.returncode == -signal.SIGKILL
    assert not is_alive(sleeping, start)


def images_in(folder):
    """What files hold, by name."""
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.rglob("*.*")
    }

"""How viewers end: asked, told, killed; with their parent, or without it. Real processes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from bootstrap._display import xvfb
from openhcs_core.streaming.endpoints import parse
from openhcs_core.streaming.identity import process_start
from openhcs_core.streaming.manager import scan
from openhcs_core.streaming.publisher import Publisher
from openhcs_core.streaming.sockets import Server
from openhcs_core.streaming.visualizer import is_alive, ping
from tests.streaming.tiny import (  # noqa: F401
    ROOT,
    ByHand,
    free_port,
    manager_of_viewers,
    stream,
    tiny_plugin,
    wait_for,
)

pytestmark = pytest.mark.usefixtures("tiny")


@pytest.mark.parametrize("whose", ["ours", "by hand"])
def test_a_viewer_that_ignores_everything_is_killed(viewers, monkeypatch, whose):
    monkeypatch.setenv("TINY", "stubborn")
    with ExitStack() as stack:
        if whose == "ours":
            viewer = viewers.get_or_create("tiny", 0)
            process = viewer._process
        else:
            by_hand = stack.enter_context(ByHand(tiny="stubborn"))
            process = by_hand.process
            (viewer,) = scan([parse(by_hand.ready().endpoint).port])
        viewer.stop(timeout_s=0.2)
        assert not viewer.is_running
        assert process.wait() == -signal.SIGKILL


def test_a_pid_that_is_another_process_by_now_is_not_killed():
    with ByHand(tiny="stubborn") as by_hand:
        (viewer,) = scan([parse(by_hand.ready().endpoint).port])
        with subprocess.Popen(["sleep", "60"]) as innocent:  # started later
            viewer.pid = innocent.pid
            assert not viewer.is_running
            viewer.stop(timeout_s=0.1)
            assert (innocent.poll(), by_hand.process.poll()) == (None, None)
            innocent.kill()


PARENT = """
import json, sys
from bootstrap._display import xvfb
from openhcs_core import plugins
from openhcs_core.streaming.manager import manager
from tests.streaming.tiny import TinyPlugin

plugins.get_plugin_manager().register(TinyPlugin())
for persistent in (False, True):
    viewer = manager().get_or_create("tiny", 0, persistent=persistent)
    print(json.dumps([viewer.endpoint, viewer.pid]), flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("end", ["exit", signal.SIGTERM, signal.SIGKILL])
def test_only_persistent_viewers_outlive_their_parent(end):
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
    ) as parent:
        (_, fleeting), (endpoint, persistent) = (json.loads(parent.stdout.readline()) for _ in range(2))
        start = process_start(fleeting)
        if end == "exit":
            parent.stdin.close()
            assert parent.wait() == 0
        else:
            parent.send_signal(end)
            assert parent.wait() == -end
    wait_for(lambda: not is_alive(fleeting, start))
    assert ping(Server(endpoint)).pid == persistent
    (found,) = scan([parse(endpoint).port])
    found.stop()
    assert not found.is_running


def test_persistent_viewers_stay_when_the_manager_closes(viewers):
    viewer = viewers.get_or_create("tiny", 0, persistent=True)
    viewers.close()
    assert viewer.is_running
    viewer.stop()
    assert not viewer.is_running


def test_stopping_takes_helpers_of_the_viewer_along(viewers, monkeypatch):
    """A viewer that is killed leaves none of its own processes."""
    monkeypatch.setenv("TINY", "stubborn helper")
    viewer = viewers.get_or_create("tiny", 0)
    children = Path(f"/proc/{viewer.pid}/task/{viewer.pid}/children").read_text().split()
    (helper,) = map(int, children)
    start = process_start(helper)
    viewer.stop(timeout_s=0.2)
    wait_for(lambda: not is_alive(helper, start))


def test_napari_and_imagej_themselves(viewers, monkeypatch, tmp_path):
    """The real ones, at the same time, on a screen of their own."""
    monkeypatch.setenv("NAPARI_CONFIG", str(tmp_path / "napari.yaml"))
    with xvfb() as display:
        monkeypatch.setenv("DISPLAY", display)
        both = [viewers.get_or_create(name, free_port(), title="Real", async_mode=True) for name in ("napari", "fiji")]
        for viewer in both:
            viewer.wait_ready()
            with Publisher(connect=[viewer.endpoint]) as publisher:
                stream(publisher)
                wait_for(lambda: not publisher.undelivered)  # noqa: B023
        for viewer in both:
            viewer.stop(timeout_s=30)
        assert [viewer.status for viewer in both] == [0, 0]

"""The tiny viewer as a plugin, by hand, and what tests of viewers need besides."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from openhcs_core import plugins
from openhcs_core.hookspecs import ViewerSpec, hookimpl
from openhcs_core.plate import PlaneAddress
from openhcs_core.streaming.endpoints import CONTROL_OFFSET
from openhcs_core.streaming.manager import ViewerManager
from openhcs_core.streaming.messages import Begin
from openhcs_core.streaming.publisher import Publisher
from openhcs_core.streaming.sockets import Server

ROOT = Path(__file__).parents[2]
MODULE = "tests.streaming.tiny_viewer"


class TinyPlugin:
    """Offers the tiny viewer."""

    missing = ""

    @hookimpl
    def openhcs_viewers(self):
        return [ViewerSpec("tiny", "A viewer without a window", 5955, MODULE, lambda: self.missing)]


class ByHand:
    """A tiny viewer that somebody starts at any port; a context manager, nothing of it stays."""

    def __init__(self, *arguments: str, tiny: str = "", listen: str = "tcp://127.0.0.1:0", **more) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", MODULE, "--listen", listen, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "TINY": tiny},
            **more,
        )
        self.lines: list[str] = []

    def hear(self, phase: str) -> dict:
        """Its next line of this phase; what it says before is kept."""
        for line in self.process.stdout:
            self.lines.append(line)
            if line.startswith("{") and json.loads(line)["phase"] == phase:
                return json.loads(line)
        raise AssertionError(f"It has ended: {self.lines}")

    def ready(self) -> Server:
        return Server.from_text(self.hear("ready")["address"])

    def order(self, command: object) -> None:
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()

    def ends(self) -> tuple[int, str]:
        """Wait for its end; its status and the rest of what it said."""
        rest = self.process.stdout.read()
        return self.process.wait(20), rest

    def __enter__(self) -> ByHand:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


@pytest.fixture(name="tiny")
def tiny_plugin(monkeypatch, tmp_path):
    """The plugin that offers the tiny viewer, here and in programs that are started; logs of their own."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.delenv("TINY", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    plugin = TinyPlugin()
    plugins.get_plugin_manager().register(plugin, "tiny")
    yield plugin
    plugins.get_plugin_manager().unregister(plugin)


@pytest.fixture(name="viewers")
def manager_of_viewers(tiny):
    """A manager that can start tiny viewers; they end with the test."""
    made = ViewerManager()
    yield made
    made.close()


def install_tiny(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the programs that a test starts find the plugin, as if it were installed."""
    info = home / "tiny-1.0.dist-info"
    info.mkdir(parents=True)
    (home / "tiny_plugin.py").write_text("from tests.streaming.tiny import TinyPlugin\nplugin = TinyPlugin()\n")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[openhcs_omero]\ntiny = tiny_plugin:plugin\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(home), str(ROOT))))


def stream(publisher: Publisher) -> None:
    """Send one image."""
    publisher.begin(Begin(stream="one", dtype="uint16", size_yx=(8, 8)))
    publisher.save("one", np.ones((8, 8), "u2"), PlaneAddress("A01"))


def gone(pid: int) -> bool:
    """Whether nothing is left of a process, not even a zombie."""
    return not Path(f"/proc/{pid}").exists()


def viewer_of(pid: int) -> int | None:
    """The child of a process that runs the tiny viewer; None if there is none, or not yet."""
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in children.read_text().split():
            if MODULE.encode() in Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0"):
                return int(child)
    return None


def free_port() -> int:
    """A port that is free, together with that of control."""
    while True:
        with ExitStack() as stack:
            data, control = (stack.enter_context(socket.socket()) for _ in range(2))
            data.bind(("127.0.0.1", 0))
            port = data.getsockname()[1]
            try:
                control.bind(("127.0.0.1", port + CONTROL_OFFSET))
            except (OSError, OverflowError):
                continue
            return port


def wait_for(condition: Callable[[], object], seconds: float = 20) -> None:
    """Return as soon as a condition holds; fail if it does not within some seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)

"""A server as a process of its own, and plain questions to it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import numpy as np
import tifffile
import zmq

from openhcs_core.execution.keys import local_session
from openhcs_core.streaming.security import CurveKeys, secure_client
from openhcs_core.streaming.sockets import Server
from tests.streaming.peers import until

ROOT = Path(__file__).parents[2]
SERVE = (sys.executable, "-m", "openhcs_core.cli", "serve")


class Serving:
    """``openhcs serve``, running, with folders and settings of its own.

    Parameters
    ----------
    folder : Path
        For everything it has.
    local : bool
        Without OMERO.
    environment : mapping of str to str
        More for its environment.
    **settings
        Its settings; texts and numbers.

    Attributes
    ----------
    address, health : Server
        Where it listens; the same after each start.
    process : subprocess.Popen
    folder, config, state, logs : Path
    session : str
        Of its user, if it is local.
    """

    def __init__(self, folder: Path, local: bool = False, environment=None, **settings) -> None:
        self.folder, self.config, self.local = folder, folder / "openhcs.toml", local
        self.state, self.logs = folder / "state", folder / "logs"
        (folder / "scratch").mkdir(parents=True, exist_ok=True)
        self._environment = environment or {}
        self.settings = {
            "scratch": str(folder / "scratch"),
            "server_state": str(self.state),
            "server_logs": str(self.logs),
            "server_listen": "127.0.0.1:0",
            "server_health_port": 0,
            "server_grace_s": 0,
            **settings,
        }
        self.start()

    def start(self) -> Serving:
        """Start it, again."""
        self._write_settings()
        with open(self.folder / "stderr.txt", "ab") as errors:
            self.process = subprocess.Popen(
                [*SERVE, *(["--local"] if self.local else [])],
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                cwd=ROOT,
                env={**os.environ, **self._environment, "OPENHCS_CONFIG": str(self.config)},
            )
        hangs = threading.Timer(60, self.process.kill)
        hangs.start()
        with self.process.stdout as output:
            said = [output.readline().partition(" ") for _ in range(2)]
        hangs.cancel()
        assert [line[0] for line in said] == ["Listening:", "Health:"], (self.folder / "stderr.txt").read_text()
        self.address, self.health = (Server.from_text(line[2].strip()) for line in said)
        self.settings["server_listen"] = self.address.endpoint.removeprefix("tcp://")
        self.settings["server_health_port"] = int(self.health.endpoint.rpartition(":")[2])
        self._write_settings()  # with the ports that it has found
        self.session = local_session(self.state) if self.local else ""
        return self

    def _write_settings(self) -> None:
        self.config.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in self.settings.items()))

    def ask(self, request, timeout_s: float = 20.0, to: Server | None = None) -> dict:
        """The answer to one request, a table or the bytes of one."""
        with Asking(to or self.address) as asking:
            return asking.ask(request, timeout_s)

    def until(self, request, condition, timeout_s: float = 20.0) -> dict:
        """The answer to a request as soon as a condition holds for it."""
        with Asking(self.address) as asking:
            return until(lambda: asking.ask(request), condition, timeout_s)

    def stop(self, timeout_s: float = 20.0) -> int:
        """SIGTERM; its exit status."""
        self.process.terminate()
        return self.process.wait(timeout_s)

    def kill(self) -> None:
        """SIGKILL to it alone."""
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        """End it and whatever it has left behind."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            try:
                self.stop()
            except subprocess.TimeoutExpired:
                self.kill()
                raise
        try:
            until(self.started, lambda left: not left, 10)
        finally:
            for pid in self.started():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def children(self) -> list[int]:
        """Processes of executions that run."""
        found = []
        for pid in self.started():
            with suppress(OSError):  # it does not run before it is the right program
                if b"openhcs_core.execution.child" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    found.append(pid)
        return found

    def started(self) -> list[int]:
        """Processes that it has started, and that live."""
        found = []
        mark = f"OPENHCS_CONFIG={self.config}\0".encode()
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if mark in (process / "environ").read_bytes() and int(process.name) != self.process.pid:
                    found.append(int(process.name))
        return found


class Asking:
    """A connection to a server; a context manager.

    Parameters
    ----------
    server : Server
    kind : int
        Of socket, REQ or DEALER.
    keys : CurveKeys, optional
        New ones unless given.
    connect : bool
        Whether to connect at once.
    """

    def __init__(self, server: Server, kind: int = zmq.REQ, keys: CurveKeys | None = None, connect=True) -> None:
        self.context = zmq.Context()
        self.socket = self.context.socket(kind)
        self.socket.linger = 0
        self.socket.sndtimeo = 20_000
        if server.public_key:
            secure_client(self.socket, keys or CurveKeys.new(), server.public_key)
        if connect:
            self.socket.connect(server.endpoint)

    def ask(self, request, timeout_s: float = 20.0) -> dict:
        """The answer to a request, a table or the bytes of one."""
        self.send(request)
        return self.read(timeout_s)

    def send(self, *requests) -> None:
        """Send requests without waiting for answers."""
        for request in requests:
            self.socket.send(request if isinstance(request, bytes) else json.dumps(request).encode())

    def read(self, timeout_s: float = 20.0) -> dict:
        """The next answer."""
        assert self.socket.poll(1000 * timeout_s), "no answer"
        return json.loads(self.socket.recv_multipart()[-1])

    def __enter__(self) -> Asking:
        return self

    def __exit__(self, *_) -> None:
        self.context.destroy(linger=0)


def free_port() -> int:
    """A port where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return listening.getsockname()[1]


TEXT = """from openhcs_core.pipeline import FunctionStep
from openhcs_functions.smoothing import gaussian
pipeline_steps = [FunctionStep((gaussian, {'sigma': 1.0}))]
"""


def write_plate(folder: Path, wells: int = 2, size: int = 32) -> Path:
    """Write a plate of one plane in each well; return its folder."""
    folder.mkdir()
    for well in range(wells):
        plane = np.arange(well, well + size * size, dtype="u2").reshape(size, size)
        tifffile.imwrite(folder / f"A{well + 1:02}_s001_w1_z001_t001.tif", plane)
    return folder

"""Viewers that this process has started: how they are watched, what they say, how they end."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from openhcs_core.hookspecs import ViewerSpec
from openhcs_core.streaming.errors import StreamingError
from openhcs_core.streaming.security import CurveKeys, key_text
from openhcs_core.streaming.sockets import Server
from openhcs_core.streaming.visualizer import START_S, Visualizer

logger = logging.getLogger(__name__)

_LOG_LINES = 12
_LOOK_S = 0.01


class StartedVisualizer(Visualizer):
    """A viewer that is a child of this process, in a session of its own.

    Parameters
    ----------
    spec : ViewerSpec
    endpoint : str
        Where it is to listen.
    keys : CurveKeys, optional
        Makes connections encrypted, and lets this process ask.
    persistent : bool
        Whether it goes on when this process ends.
    title : str
        Of its window.
    """

    def __init__(
        self, spec: ViewerSpec, endpoint: str, keys: CurveKeys | None, persistent: bool = False, title: str = ""
    ) -> None:
        super().__init__(spec.name, Server(endpoint), keys)
        self.persistent = persistent
        self._spec, self._title = spec, title
        self._process: subprocess.Popen[str] | None = None
        self._thread: threading.Thread | None = None
        self._writing = threading.Lock()
        self._phases: list[dict[str, Any]] = []
        self._problem = ""
        self._log = Path()
        self._ending = False

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def is_starting(self) -> bool:
        return self.is_running and not self._says("ready")

    @property
    def status(self) -> int | None:
        """Exit status; None while it runs."""
        return None if self._process is None else self._process.poll()

    def start_viewer(self, async_mode: bool = False) -> None:
        if not self.is_running:
            self._launch()
        if not async_mode:
            self.wait_ready()

    def wait_ready(self, timeout_s: float = START_S) -> None:
        if self.ready and self.is_running:
            return
        heard, since = 0, time.monotonic()
        # No condition is waited for, as that does not stand Ctrl-C.
        while not self._says("ready"):
            if self._says("failed") or not self._is_watched():
                self._fail()
            if len(self._phases) > heard:
                heard, since = len(self._phases), time.monotonic()
            if time.monotonic() > since + timeout_s:
                last = f"; the last was '{self._phases[-1]['phase']}'" if heard else ""
                self._fail(f"nothing was heard of it for {timeout_s:.0f} s{last}")
            time.sleep(_LOOK_S)
        try:
            super().wait_ready(timeout_s)
        except StreamingError as error:
            self._fail(str(error))

    def stop(self, timeout_s: float = 5.0) -> None:
        self._ending = True
        while self._process is None and self._is_watched():  # it is being launched
            time.sleep(_LOOK_S)
        process = self._process
        if process is None:
            return
        obeys = self._says("ready") is not None
        for end in (*[self.ask_to_end] * obeys, process.terminate, self._kill):
            end()
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout_s)
                return
        raise StreamingError(f"{self.viewer} at {self.endpoint} (process {self.pid}) cannot be ended.")

    def ask_to_end(self) -> None:
        """Ask it to end, without waiting for that."""
        self._ending = True
        with suppress(StreamingError):
            self._order(shutdown="who started it has ended it")

    def _launch(self) -> None:
        """Start the process, in the thread that watches it: there, Ctrl-C cannot come between."""
        missing = self._spec.missing()
        if missing:
            raise StreamingError(f"{self.viewer} cannot be started: {missing}")
        # Whatever lies in the current folder is no part of the viewer, unless modules come from there here, too.
        apart = sys.version_info >= (3, 11) and not {"", os.getcwd()} & set(sys.path)
        safely = ["-P"] if apart else []
        command = [sys.executable, *safely, "-m", self._spec.module, "--commands", "--listen", self.endpoint]
        if self._keys is not None:
            command += ["--curve", "--allow", key_text(self._keys.public)]
        command += ["--persistent"] if self.persistent else []
        command += [f"--title={self._title}"] if self._title else []  # in one word, whatever it begins with
        self._process, self._phases, self._problem = None, [], ""
        self._ending = self.ready = False
        self._thread = threading.Thread(target=self._run, args=(command,), name=f"openhcs-{self.viewer}", daemon=True)
        self._thread.start()
        while self._process is None and self._is_watched():
            time.sleep(_LOOK_S)
        if self._problem:
            raise StreamingError(f"{self.viewer} cannot be started: {self._problem}.")

    def _is_watched(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _run(self, command: list[str]) -> None:
        """Start it, hear what it says to its end, and see that nothing is left of it."""
        try:
            descriptor, name = tempfile.mkstemp(prefix=f"openhcs-{self.viewer}-", suffix=".log")
            self._log = Path(name)
            # A session of its own: neither Ctrl-C in the terminal nor its end reaches the viewer.
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=descriptor,
                encoding="utf-8",
                errors="replace",
                start_new_session=True,
            )
            os.close(descriptor)
        except OSError as error:
            self._problem = str(error)
            return
        self.pid, self._process = process.pid, process
        if self._ending:  # it was asked to end before it was there
            self._kill()
        assert process.stdin is not None
        assert process.stdout is not None
        for line in process.stdout:
            self._hear(line)
        status = process.wait()
        process.stdout.close()
        with suppress(OSError):
            process.stdin.close()
        crashed = status != 0 and not self._ending
        telling = crashed and bool(_last_lines(self._log))
        if not telling:
            self._log.unlink(missing_ok=True)
        if crashed and self._says("ready"):  # else whoever waits for it says so
            where = f"; its log: {self._log}" if telling else ""
            logger.warning("%s has ended with status %d%s.", self.viewer, status, where)

    def _hear(self, line: str) -> None:
        try:
            said = json.loads(line)
            phase = said["phase"]
            server = Server.from_text(said["address"]) if phase == "ready" else self._server
        except (ValueError, TypeError, KeyError, StreamingError):  # something else was printed
            return
        if phase == "refused":
            logger.warning("%s: %s", self.viewer, said.get("error"))
        else:
            self._server = server
            self._phases.append(said)

    def _order(self, **command: str) -> None:
        process = self._process
        if process is None or process.poll() is not None:
            raise StreamingError(f"{self.viewer} has ended.")
        assert process.stdin is not None
        with self._writing:
            try:
                process.stdin.write(json.dumps(command) + "\n")
                process.stdin.flush()
            except (OSError, ValueError) as error:  # its end of the pipe, or ours, is closed
                raise StreamingError(f"{self.viewer} has ended.") from error

    def _kill(self) -> None:
        if self._process is not None and self._process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def _says(self, phase: str) -> dict[str, Any] | None:
        return next((said for said in self._phases if said["phase"] == phase), None)

    def _fail(self, reason: str = "") -> NoReturn:
        """Raise what is known of a start that has failed; nothing of the viewer stays but its log."""
        if self._process is None:
            raise StreamingError(f"{self.viewer} has not been started.")
        failed = self._says("failed")
        if failed is not None:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(2)
        status = self._process.poll()
        self._kill()
        self._process.wait()
        if failed is not None:
            reason = str(failed.get("error"))
        elif status is not None:
            reason = f"it ended with status {status}"
        text = f"{self.viewer} has not started: {reason.rstrip('.')}."
        lines = _last_lines(self._log)
        if lines:
            text += f" The last lines of its log, {self._log}:\n" + "\n".join(lines)
        raise StreamingError(text)


def _last_lines(log: Path) -> Sequence[str]:
    try:
        return log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-_LOG_LINES:]
    except OSError:
        return ()

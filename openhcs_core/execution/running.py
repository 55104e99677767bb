"""The process of an execution, seen from the server."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from openhcs_core.execution.logs import ExecutionLog, hidden
from openhcs_core.execution.outcome import Ending
from openhcs_core.streaming.identity import is_alive, process_start

logger = logging.getLogger(__name__)

KILL_S = 2.0
"""What a process gets to end after SIGTERM, before its whole group is killed."""
LINGER_S = 5.0
"""What it gets once it has told its end."""
LONGEST_EVENT = 1 << 20
_AT_ONCE = 1 << 18
_LAST_BYTES = 16 << 20


class Running:
    """A process in a group of its own. It does nothing before it is given its job.

    Parameters
    ----------
    command : sequence of str
        Gets two arguments more: the descriptor for events, and the id.
    execution_id : str
    environment : mapping of str to str
    log : ExecutionLog
        For what it prints.
    secrets : sequence of str
        What is hidden in all it says.

    Attributes
    ----------
    log : ExecutionLog
    pid, start : int
        See `openhcs_core.streaming.identity`.
    ending : {"cancelled", "interrupted"} or None
        Why `stop` was called.
    ended : mapping or None
        Its event "ended".

    Raises
    ------
    OSError
        If it cannot be started.
    """

    def __init__(
        self,
        command: Sequence[str],
        execution_id: str,
        environment: Mapping[str, str],
        log: ExecutionLog,
        secrets: Sequence[str],
    ) -> None:
        self.ending: Ending | None = None
        self.ended: Mapping[str, Any] | None = None
        self.log, self._secrets = log, secrets
        self._deadline: float | None = None
        self._rest = self._job = b""
        descriptors: list[int] = []
        try:
            for _ in range(3):
                descriptors += os.pipe()
            stdin, self._stdin, self._output, output, self._events, events = descriptors
            self._process = subprocess.Popen(
                [*command, str(events), execution_id],
                stdin=stdin,
                stdout=output,
                stderr=output,
                pass_fds=[events],
                cwd="/",
                env=environment,
                start_new_session=True,
                umask=0o077,
            )
        except BaseException:
            for descriptor in descriptors:
                os.close(descriptor)
            raise
        for descriptor in (stdin, output, events):
            os.close(descriptor)
        self._open = [self._stdin, self._output, self._events]
        for descriptor in self._open:
            os.set_blocking(descriptor, False)
        self.pid, self.start = self._process.pid, process_start(self._process.pid)

    @property
    def waiting_for(self) -> list[int]:
        """Descriptors from which something may come."""
        return [descriptor for descriptor in (self._output, self._events) if descriptor in self._open]

    @property
    def is_ending(self) -> bool:
        """Whether it can tell nothing more."""
        return self._events not in self._open

    def give(self, job: Mapping[str, Any]) -> None:
        """Tell it what to do."""
        self._job = json.dumps(job).encode() + b"\n"

    def stop(self, ending: Ending) -> None:
        """Have it end: at once by itself, else it is killed with all it has started."""
        self.ending = self.ending or ending
        if self._deadline is None:
            os.kill(self.pid, signal.SIGTERM)  # nobody has waited for it yet: the number is its own
            self._deadline = time.monotonic() + KILL_S

    def kill(self) -> None:
        """Kill it with all it has started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    def poll(self) -> int | None:
        """Its exit status, negative for signals, once it has ended; it is killed when its time is over."""
        found = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if found is not None:
            self.kill()  # what it has started
            return found.si_status if found.si_code == os.CLD_EXITED else -found.si_status
        if self.ended is not None and self._deadline is None:
            self._deadline = time.monotonic() + LINGER_S
        if self._deadline is not None and time.monotonic() >= self._deadline:
            self.kill()
        return None

    def events(self, last: bool = False) -> Iterator[Mapping[str, Any]]:
        """What it has told, except its end; what it has printed goes into its log, the rest of its job to it.

        Parameters
        ----------
        last : bool
            Whether it has ended, so that all has to be read.
        """
        limit = _LAST_BYTES if last else _AT_ONCE
        self._hand_over()
        self.log.write(self._read(self._output, limit))
        yield from self._told(self._read(self._events, limit))

    def close(self) -> None:
        """Forget about it, once it has ended."""
        for descriptor in self._open:
            os.close(descriptor)
        self._open.clear()
        self._process.wait()
        self.log.close()

    def _hand_over(self) -> None:
        if self._job:
            try:
                written = os.write(self._stdin, self._job)
                self._job = self._job[written:]
            except BlockingIOError:
                pass
            except BrokenPipeError:  # it has ended
                self._job = b""

    def _read(self, descriptor: int, limit: int) -> bytes:
        """What has come, so much at most."""
        parts: list[bytes] = []
        with contextlib.suppress(BlockingIOError):
            while limit > 0 and descriptor in self._open:
                part = os.read(descriptor, 1 << 16)
                if not part:
                    self._open.remove(descriptor)
                    os.close(descriptor)
                parts.append(part)
                limit -= len(part)
        return b"".join(parts)

    def _told(self, data: bytes) -> Iterator[Mapping[str, Any]]:
        lines, _, self._rest = (self._rest + data).rpartition(b"\n")
        if len(self._rest) > LONGEST_EVENT:
            logger.warning("Process %d tells too much", self.pid)
            self._rest = b""
        for line in lines.splitlines():
            try:
                event = json.loads(hidden(line, self._secrets))
            except ValueError:
                event = None
            if not isinstance(event, dict):
                logger.warning("Process %d tells what is no event", self.pid)
            elif event.get("event") == "ended":
                self.ended = event
            else:
                yield event


def end_left_behind(pid: int, start: int, patience_s: float = 5.0) -> bool:
    """Kill the process of a server that was killed, with all it has started; return whether it is gone."""
    limit = time.monotonic() + patience_s
    while is_alive(pid, start):
        with contextlib.suppress(ProcessLookupError):
            if os.getpgid(pid) != pid:
                return False  # none of ours: they have groups of their own
            os.killpg(pid, signal.SIGKILL)
        if time.monotonic() > limit:
            return False
        time.sleep(0.01)
    return True

"""Which process this is: a pid alone may be another process by now."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any


def process_start(pid: int) -> int:
    """When a process was started, in the kernel's unit; 0 if there is none, or no /proc to ask."""
    return _state_and_start(pid)[1]


def is_alive(pid: int, start: int) -> bool:
    """Whether a process with this pid and start is there and not only waits for its parent to notice its end."""
    state, found = _state_and_start(pid)
    return bool(start) and found == start and state not in (b"Z", b"X")


def _state_and_start(pid: int) -> tuple[bytes, int]:
    try:
        status = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return b"", 0
    fields = status.rpartition(b")")[2].split()
    return fields[0], int(fields[19])


def this_process() -> dict[str, Any]:
    """Fields ``host``, ``pid`` and ``start`` of messages, for this process."""
    return {"host": platform.node(), "pid": os.getpid(), "start": process_start(os.getpid())}

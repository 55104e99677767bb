"""Which process this is: a pid alone may be another process by now."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any


def process_start(pid: int) -> int:
    """When a process was started, in the kernel's unit; 0 if there is none, or no /proc to ask."""
    try:
        status = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return 0
    return int(status.rpartition(b")")[2].split()[19])


def this_process() -> dict[str, Any]:
    """Fields ``host``, ``pid`` and ``start`` of messages, for this process."""
    return {"host": platform.node(), "pid": os.getpid(), "start": process_start(os.getpid())}

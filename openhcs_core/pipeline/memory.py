"""How much memory there is for workers."""

from __future__ import annotations

import os
from pathlib import Path

WORKER_BYTES = 200_000_000
"""What a worker needs before it reads its first plane: Python and the libraries."""
SHARE = 0.9
"""Of the free memory, how much may be planned with."""


def available_bytes(limit_mb: int | None = None) -> int:
    """Memory for all workers together: a limit, else most of what is free on this machine and in its container."""
    if limit_mb is not None:
        return limit_mb * 1_000_000
    return int(SHARE * min(_free(), _cgroup_free()))


def _free() -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")


def _cgroup_free(folder: Path = Path("/sys/fs/cgroup")) -> int:
    """What the container leaves; very much where there is no limit."""
    try:
        limit = (folder / "memory.max").read_text().strip()
        used = int((folder / "memory.current").read_text())
        file_cache = [line for line in (folder / "memory.stat").read_text().splitlines() if line.startswith("file ")]
    except OSError:
        return 1 << 62
    if limit == "max":
        return 1 << 62
    return max(0, int(limit) - used + sum(int(line.split()[1]) for line in file_cache))

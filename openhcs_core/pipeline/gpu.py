"""GPUs: how many there are, and one lock for each across all processes of the machine."""

from __future__ import annotations

import contextlib
import fcntl
import importlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

LOCK_FOLDER = "openhcs-gpu-locks"
POLL_S = 0.05


@lru_cache(maxsize=1)
def gpu_count() -> int:
    """GPUs that CuPy can use on this machine; none without CuPy."""
    try:
        runtime = cupy().cuda.runtime
    except ImportError:
        return 0
    try:
        return int(runtime.getDeviceCount())
    except runtime.CUDARuntimeError:  # no driver, or no device
        return 0


def cupy() -> Any:
    """The module; imported by whoever needs it, since it takes its time and may not be there."""
    return importlib.import_module("cupy")


def lock_folder() -> Path:
    """Folder of the lock files: the same for all users of the machine, who may all write there."""
    folder = Path(tempfile.gettempdir()) / LOCK_FOLDER
    with contextlib.suppress(FileExistsError):
        folder.mkdir()
        folder.chmod(0o1777)  # whatever the umask
    return folder


@contextlib.contextmanager
def gpu_lock(
    gpus: Sequence[int], first: int, busy: Callable[[], object] = lambda: None, folder: Path | None = None
) -> Iterator[int]:
    """Context manager: the number of a GPU that no other worker of this machine uses meanwhile.

    Parameters
    ----------
    gpus : sequence of int
        Any of these.
    first : int
        Place in `gpus` of the one to try first.
    busy : callable
        Called once if all are in use and one has to be waited for.
    folder : Path, optional
        Of the lock files; see `lock_folder`.

    Notes
    -----
    The locks belong to open files (``flock``): they end with the process that holds them, however it ends.
    """
    folder = folder or lock_folder()
    ordered = [gpus[(first + place) % len(gpus)] for place in range(len(gpus))]
    told = False
    while True:
        for gpu in ordered:
            descriptor = _open(folder / f"gpu{gpu}.lock")
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                continue
            try:
                yield gpu
            finally:
                os.close(descriptor)
            return
        if not told:
            busy()
            told = True
        time.sleep(POLL_S)


def _open(path: Path) -> int:
    """A lock file that any user may lock: what one of them has made, the others can open for reading."""
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        with contextlib.suppress(PermissionError):
            os.fchmod(descriptor, 0o644)
        return descriptor

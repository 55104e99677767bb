"""What the jobs behind the scripts have in common: how they are stopped, and how they say what went wrong."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from openhcs_core.errors import OpenHCSError

SIGTERM_STATUS = 128 + signal.SIGTERM
RELIABLE_S = 5.0
"""Seconds after which a rate tells how long the rest takes."""


def said(error: Exception) -> str:
    """What an error says to a person; the traceback is in the script's error output."""
    if isinstance(error, OpenHCSError):
        return str(error)
    return f"unexpected {type(error).__name__}: {getattr(error, 'message', None) or error}"


@contextmanager
def stop_on_sigterm() -> Iterator[threading.Event]:
    """An event that SIGTERM sets; a second SIGTERM ends the process where it stands."""
    stop = threading.Event()

    def handle(_number: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            raise SystemExit(SIGTERM_STATUS)
        stop.set()

    before = signal.signal(signal.SIGTERM, handle)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGTERM, before)

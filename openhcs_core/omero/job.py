"""What the jobs behind the scripts have in common: how they run, are stopped, and say what went wrong."""

from __future__ import annotations

import logging
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Protocol

import omero
from omero.rtypes import rstring

from openhcs_core.errors import said
from openhcs_core.omero.errors import Stopped
from openhcs_core.omero.progress import JobProgress
from openhcs_core.omero.session import session_is_over
from openhcs_core.progress import Progress, duration_text

SIGTERM_STATUS = 128 + signal.SIGTERM
RELIABLE_S = 5.0
"""Seconds after which a rate tells how long the rest takes."""
SESSION_OVER = "The OMERO session of this script ended before its work did."
ASK_FOR_TIME = "For long work ask the administrator for a larger omero.scripts.timeout."


class SessionWarning:
    """Warns once, by the progress of a job, when the session will not last as long as the work.

    Parameters
    ----------
    progress : JobProgress
    deadline : float or None
        End of the session by the monotonic clock, see `session_deadline`; None if it is not known.
    goes_on : str
        What the same job does when it is started again.
    """

    def __init__(self, progress: JobProgress, deadline: float | None, goes_on: str) -> None:
        self._progress, self._deadline, self._goes_on = progress, deadline, goes_on

    def __call__(self, what: str, seconds_left: float) -> None:
        """Say that `what` needs so many seconds more, if that is too long."""
        now = time.monotonic()
        if self._deadline is None or now + seconds_left <= self._deadline:
            return
        self._progress.line(
            f"Warning: {what}: about {duration_text(seconds_left)} are needed, but the session of this script "
            f"ends in {duration_text(self._deadline - now)} (omero.scripts.timeout). {self._goes_on}"
        )
        self._deadline = None  # it has been said

    def watch(self, what: str, event: Progress) -> None:
        """The same of an event of progress, once its rate can be relied on."""
        if event.seconds_left is not None and event.observed_s >= RELIABLE_S:
            self(what, event.seconds_left)


class Job(Protocol):
    """What a script does.

    Attributes
    ----------
    done : list of str
        One statement for each thing that is finished.
    progress : JobProgress
    """

    done: list[str]
    progress: JobProgress

    def run(self) -> int:
        """Do it; return 0, or 1 if anything failed. Raises Stopped if it was told to end."""

    def message(self) -> str:
        """What happened, for the person who started the script."""


def run_job(
    client: omero.client, make: Callable[[omero.client, threading.Event], Job], *, nothing: str, goes_on: str
) -> int:
    """Do what the inputs of a running script ask for, and set its output ``Message``.

    Parameters
    ----------
    client : omero.client
        As ``omero.scripts.client`` gave it.
    make : callable
        ``make(client, stop)`` makes the job; `stop` is set when the work has to end.
    nothing : str
        What is said when it failed as a whole, such as "Nothing was exported".
    goes_on : str
        What the same job does when it is started again.

    Returns
    -------
    int
        Exit status: 0, 1 if anything failed, 143 after SIGTERM.
    """
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # what is wrong with a file is told in the message
    job: Job | None = None
    with stop_on_sigterm() as stop:
        try:
            job = make(client, stop)
            status = job.run()
            message = job.message()
        except Stopped:
            message, status = f"Stopped from outside. {goes_on}", SIGTERM_STATUS
            if job is not None and job.done:
                message += f" Finished before: {len(job.done)}."
        except Exception as error:
            traceback.print_exc()
            message, status = f"{nothing}: {said(error)}", 1
            if session_is_over(error):
                message = f"{SESSION_OVER} {goes_on} {ASK_FOR_TIME}"
        finally:
            if job is not None:
                job.progress.close()
        if status:
            print(message, file=sys.stderr, flush=True)
        try:
            client.setOutput("Message", rstring(message))
        except Exception as error:
            if not session_is_over(error):
                raise
    return status


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

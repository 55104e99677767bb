"""Waiting for the end of an execution, whatever happens to server, network or this machine meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from openhcs_core.execution.client import WrongKeyError
from openhcs_core.execution.errors import ExecutionError
from openhcs_core.execution.record import Execution
from openhcs_core.execution.sinks import Sink
from openhcs_core.progress import Listener, Progress

POLL_S, POLL_MAX_S = 0.1, 2.0
"""Between questions, at first and later."""
SENDER_S = 0.3
"""Between questions while nobody knows who sends: images wait for that."""
STREAM_S = 0.3
"""Between questions at most, until it is known who sends images."""
SILENT_MAX_S = 15.0
"""Between questions to a server that does not answer."""

_PASSES = ("unreachable", "closing", "omero", "limit")
"""Codes of errors that say nothing about the execution; asking again helps."""


def wait_for_end(
    execution: Execution,
    ask: Callable[[], Execution],
    progress: Listener | None = None,
    timeout_s: float | None = None,
    sinks: Sequence[Sink] = (),
    stopped: threading.Event | None = None,
) -> Execution:
    """Ask again and again how an execution is doing, until it has ended.

    Parameters
    ----------
    execution : Execution
        As it is known.
    ask : callable
        How it is doing; once, without asking again.
    progress, timeout_s, sinks
        See `openhcs_core.execution.remote.RemoteOrchestrator.wait`.
    stopped : Event, optional
        Ends this before.

    Raises
    ------
    TimeoutError
        If it goes on when the time is up.
    ExecutionError
        For all that asking again does not help.
    """
    told: list[Progress] = []

    def tell(event: Progress) -> None:
        if progress is not None and told[-1:] != [event]:
            told[:] = [event]
            progress(event)

    stopped = stopped or threading.Event()
    until = None if timeout_s is None else time.monotonic() + timeout_s
    pause, silent = POLL_S, False
    while True:
        if not silent:
            for sink in sinks:
                sink.let_in(execution.stream)
            tell(progress_of(execution))
            if execution.has_ended:
                return execution
        if until is not None and time.monotonic() + pause > until:
            raise TimeoutError(
                f"Execution {execution.execution_id} goes on after {timeout_s:g} s; it is {execution.state}."
            )
        if sinks and not execution.stream:
            pause = min(pause, STREAM_S)
        if stopped.wait(pause):
            return execution
        try:
            execution = ask()
            most = SENDER_S if sinks and not execution.stream else POLL_MAX_S
            pause = POLL_S if silent else min(1.5 * pause, most)
            silent = False
        except WrongKeyError:
            raise
        except ExecutionError as error:
            if error.code not in _PASSES:
                raise
            silent = True
            pause = min(max(2 * pause, 0.5), SILENT_MAX_S)
            tell(Progress(f"No news; the server is asked again and again. {error}", 0, 0))


def progress_of(execution: Execution) -> Progress:
    """An execution as an event of progress; with a total of 0 while nothing can be counted."""
    counted = execution.wells_total > 0 and execution.state != "queued"
    ahead = f"waiting, {execution.ahead} before it" if execution.ahead else execution.state
    return Progress(
        "wells" if counted else execution.message or ahead,
        execution.percent if counted else 0,
        100 if counted else 0,
        unit=execution.unit,
        rate=execution.rate,
        seconds_left=execution.seconds_left,
        subject=execution.plate,
        item=execution.wells_processed,
        items=execution.wells_total,
    )

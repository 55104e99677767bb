"""The main program of a worker process."""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import importlib
import os
import pickle
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

PR_SET_PDEATHSIG = 1


def main(descriptor: int, parent: int) -> None:
    """Work on what comes through a pipe until it is closed.

    Parameters
    ----------
    descriptor : int
        Of the pipe.
    parent : int
        Id of the process at its other end, without which there is nothing to live for.
    """
    faulthandler.enable()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal; the parent decides
    signal.signal(signal.SIGTERM, _ended)
    with contextlib.suppress(OSError, AttributeError):  # on Linux
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    connection = Connection(descriptor)
    messages: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(connection, messages), daemon=True).start()
    if os.getppid() != parent:
        os._exit(1)
    try:
        _serve(connection, messages)
    except SystemExit:
        sys.stdout.flush()
        os._exit(0)  # everything is closed; there is no need to clear away modules


def _ended(number: int, _frame: object) -> None:
    signal.signal(number, signal.SIG_IGN)
    sys.exit(128 + number)


def _receive(connection: Connection, messages: queue.SimpleQueue[bytes]) -> None:
    """Read ahead, to notice at once when the other end is gone."""
    try:
        while True:
            messages.put(connection.recv_bytes())
    except (EOFError, OSError):
        os._exit(1)


def _serve(connection: Connection, messages: queue.SimpleQueue[bytes]) -> None:
    from openhcs_core.pipeline.worker import Worker

    def tell(event: Any) -> None:
        connection.send(("event", event))

    number = 0
    work = None
    with contextlib.ExitStack() as stack:
        worker: Worker | None = None
        while True:
            message = messages.get()
            try:
                kind, value = pickle.loads(message)  # noqa: S301  (of our parent only)
                if kind == "prepare":
                    number, modules = value
                    _import(modules)
                elif kind == "work":
                    work = value
                else:
                    if work is None:
                        raise RuntimeError("The worker was not told what the run is about.")
                    worker = worker or stack.enter_context(Worker(work, number))
                    outcome = run_well(worker, value, tell)
                    connection.send(outcome)
            except Exception as error:
                connection.send(("failed", (f"The worker cannot begin: {error}", traceback.format_exc())))


def run_well(worker: Any, context: Any, tell: Callable[[Any], None]) -> tuple[str, tuple[str, str]]:
    """Work on a well; return its state, and what is wrong with a traceback if it has failed."""
    from openhcs_core.pipeline.worker import WellError

    try:
        worker.run(context, tell)
    except WellError as error:
        cause = error.__cause__ or error
        return "failed", (str(error), "".join(traceback.format_exception(cause)))
    return "finished", ("", "")


def _import(modules: list[str]) -> None:
    for name in modules:
        with contextlib.suppress(Exception):  # who needs it will say what is wrong
            importlib.import_module(name)

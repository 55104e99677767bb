"""Runs of scripts: judged, and their processes found and held from outside."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from embedded_omero.script_runner import ScriptRun


def failed(run: ScriptRun, *messages: str) -> None:
    """A failure as it has to be: red in OMERO.web, with the message, and the details in stderr."""
    assert run.code == 1
    for message in messages:
        assert message in run.message
    assert run.message in run.stderr
    assert not {"Export_Path", "Export_Name", "File_Annotation"} & set(run.outputs)


def processes(folder: Path) -> list[int]:
    """Ids of the processes whose ``OMERODIR`` is in a folder."""
    found = []
    for environment in Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"OMERODIR={folder}/".encode() in environment.read_bytes():
                found.append(int(environment.parent.name))
        except OSError:  # gone, or of somebody else
            continue
    return [number for number in found if number != os.getpid()]


def wait_for(condition: Callable[[], object], seconds: float = 30) -> None:
    """Return as soon as a condition holds; fail if it does not within some seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@contextlib.contextmanager
def pause(folder: Path) -> Iterator[list[int]]:
    """Hold the processes that belong to a folder now; gives their ids."""
    held = processes(folder)
    assert held
    for number in held:
        os.kill(number, signal.SIGSTOP)
    try:
        yield held
    finally:
        for number in held:
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, signal.SIGCONT)

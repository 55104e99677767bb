"""The process of one execution: ``python -m openhcs_core.execution.child DESCRIPTOR ID``.

It gets its job, with the session, as one line of JSON on standard input, which stays open: when it is closed the server
is gone, and this process ends with all it has started. What happens is told by lines of JSON on the descriptor. What is
printed goes into the log of the execution. SIGTERM ends the run.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import logging
import os
import re
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openhcs_core.cpus import usable_cpus
from openhcs_core.errors import OpenHCSError, said
from openhcs_core.execution.inputs import pipeline_of, viewer_request
from openhcs_core.execution.requests import Execute
from openhcs_core.progress import Progress
from openhcs_core.settings import Settings, load_settings
from openhcs_core.streaming.wire import read_object

if TYPE_CHECKING:
    from openhcs_core.omero.login import Login
    from openhcs_core.pipeline import Pipeline
    from openhcs_core.pipeline.record import RunResult
    from openhcs_core.pipeline.viewers import Viewers

logger = logging.getLogger(__name__)

NICE, OOM_SCORE = 5, "500"
GONE_S = 1.5
"""What the run gets to end once the server is gone; then the whole group is killed."""
TOLD_S = 0.2
"""Progress is told so often at most, and whenever a well is done."""
PROBE_S = 20.0
"""So often at most, when wells fail, it is looked whether that is because OMERO.server is gone."""
LONGEST_MESSAGE, LONGEST_TRACEBACK = 4_000, 16_000
CONNECT = {"Ice.Override.ConnectTimeout": "10000"}

SESSION_OVER = "The OMERO session is over. Log in and resume."
LOST = "lost"
"""State of an execution that could not go on because OMERO.server cannot be reached."""
STOPPED = "stopped"

_OBJECT = re.compile(r"[A-Za-z]+:\d+")

Tell = Callable[..., None]


@dataclass(frozen=True)
class Job:
    """What a child is to do.

    Attributes
    ----------
    execution_id : str
    place : str
        Such as "Plate:12"; a folder if there is no OMERO.
    request : Execute
        With its session.
    local : bool
        Whether there is no OMERO.
    """

    execution_id: str
    place: str
    request: Execute
    local: bool = False


def main(arguments: list[str]) -> int:
    """Do the job on standard input; return the exit status."""
    with contextlib.suppress(PermissionError):  # it is the first of its group
        os.setsid()
    os.nice(NICE)
    with contextlib.suppress(OSError):  # if the machine runs out of memory, rather this than the server
        Path("/proc/self/oom_score_adj").write_text(OOM_SCORE)
    faulthandler.enable()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("omero").setLevel(logging.WARNING)  # it tells of its own threads
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    line = sys.stdin.buffer.readline()
    if not line.endswith(b"\n"):
        return 1  # the server ended before it had said what to do
    threading.Thread(target=_watch_server, args=(stop,), daemon=True).start()
    job = read_object(Job, json.loads(line), "job")
    tell = _Pipe(int(arguments[0]))
    tell("ended", **run(job, load_settings(), tell, stop))
    return 0


def run(job: Job, settings: Settings, tell: Tell, stop: threading.Event) -> dict[str, Any]:
    """Do a job.

    Parameters
    ----------
    job : Job
    settings : Settings
    tell : callable
        ``tell(event, **fields)``, with the events "progress" and "stream".
    stop : threading.Event
        Set when the run has to end.

    Returns
    -------
    dict
        What came out: ``state`` ("completed", "failed", "stopped" or "lost"), ``message``, ``traceback``,
        ``wells_processed``, ``wells_total``, ``results``, ``run``.
    """
    if job.local:
        work: _Work = _LocalWork(job, settings, tell, stop)
    else:
        work = _OmeroWork(job, settings, tell, stop)
    try:
        result = work.run(pipeline_of(job.request))
        found = work.found(result)
    except Exception as error:
        traceback.print_exc()
        return _ended(*work.failure(said(error)), traceback=traceback.format_exc()[-LONGEST_TRACEBACK:])
    print(result.summary, flush=True)
    broken = [result.wells[well] for well in result.in_state("failed")]
    for well in broken:
        print(f"{well.well}: {well.error}\n{well.traceback}", file=sys.stderr, flush=True)
    if result.complete:
        state, message = "completed", result.summary
    else:
        state, message = work.failure("\n".join([f"{result}.", *result.failures()]))
    done = len(result.in_state("finished")) + len(result.in_state("skipped"))
    trace = next((well.traceback for well in broken if well.traceback), "")[-LONGEST_TRACEBACK:]
    return _ended(state, message, traceback=trace, wells_processed=done, wells_total=len(result.wells), **found)


class _Pipe:
    """Tells the server what happens."""

    def __init__(self, descriptor: int) -> None:
        os.set_inheritable(descriptor, False)
        self._file = os.fdopen(descriptor, "wb", buffering=0)

    def __call__(self, event: str, **fields: Any) -> None:
        self._file.write(json.dumps({"event": event} | fields).encode() + b"\n")


class _Work:
    """A job on a plate; what is alike with OMERO and without it."""

    def __init__(self, job: Job, settings: Settings, tell: Tell, stop: threading.Event) -> None:
        self._job, self._settings, self._tell, self._stop = job, settings, tell, stop
        self._wells: set[str] = set()
        self._told = 0.0

    def run(self, pipeline: Pipeline) -> RunResult:
        """Run it."""
        raise NotImplementedError

    def found(self, result: RunResult) -> dict[str, Any]:
        """What it has made: ``results`` and ``run``."""
        raise NotImplementedError

    def failure(self, message: str) -> tuple[str, str]:
        """State and message of what did not come to its end."""
        return (STOPPED, message) if self._stop.is_set() else ("failed", message)

    @property
    def _workers(self) -> int:
        most = self._settings.executor_workers or usable_cpus()
        return max(1, min(most, self._job.request.workers or most))

    def _viewers(self) -> Viewers:
        from openhcs_core.omero.viewers import STREAM
        from openhcs_core.pipeline.viewers import Viewers

        request = viewer_request(self._job.request)
        if request is None:
            return Viewers()
        return request.viewers(
            self._settings, lambda line: self._tell("stream", stream=line.removeprefix(STREAM).strip())
        )

    def _watch(self, event: Progress) -> None:
        finished = event.what.startswith("finished;")
        if finished:
            self._wells.add(event.subject)
        now = time.monotonic()
        if finished or now - self._told >= TOLD_S:
            self._told = now
            self._tell(
                "progress",
                message=f"{event.subject} ({event.item} of {event.items}): {event}"[:LONGEST_MESSAGE],
                wells=len(self._wells),
                items=event.items,
                done=event.done,
                total=event.total,
                rate=event.rate,
                unit=event.unit,
                seconds_left=event.seconds_left,
            )


class _LocalWork(_Work):
    """On a folder, with the rights of who runs the server, who alone may ask for it."""

    def run(self, pipeline: Pipeline) -> RunResult:
        from openhcs_core.pipeline import PipelineConfig
        from openhcs_core.pipeline.orchestrator import PipelineOrchestrator

        request = self._job.request
        given: dict[str, Any] = {"wells": request.wells} if request.wells else {}
        config = PipelineConfig(
            num_workers=self._workers,
            executor=self._settings.executor,
            executor_address=self._settings.executor_address,
            resume=request.resume,
            **given,
        )
        orchestrator = PipelineOrchestrator(self._job.place, config, viewers=self._viewers())
        return orchestrator.run_pipeline(pipeline, progress=self._watch, cancelled=self._stop.is_set)

    def found(self, result: RunResult) -> dict[str, Any]:
        return {"results": list(result.locations.values()), "run": result.run}


class _OmeroWork(_Work):
    """On a place in OMERO, in the session of who asked for it."""

    def __init__(self, job: Job, settings: Settings, tell: Tell, stop: threading.Event) -> None:
        super().__init__(job, settings, tell, stop)
        self._looked = 0.0
        self._trouble = ""

    @property
    def _login(self) -> Login:
        from openhcs_core.omero.login import Login

        return Login.at(self._settings.server_omero, self._job.request.session, **CONNECT)

    def run(self, pipeline: Pipeline) -> RunResult:
        from openhcs_core.omero.pipeline_request import OUTPUTS
        from openhcs_core.omero.pipeline_run import run_in_omero

        request, place, login = self._job.request, self._job.place, self._login
        return run_in_omero(
            login,
            place,
            pipeline,
            wells=request.wells,
            workers=self._workers,
            executor=self._settings.executor,
            executor_address=self._settings.executor_address,
            outputs=request.outputs or OUTPUTS,
            resume=request.resume,
            viewers=self._viewers(),
            progress=self._watch,
            cancelled=lambda: self._stop.is_set() or bool(self._trouble),
            waiting=self._wait,
        )

    def found(self, result: RunResult) -> dict[str, Any]:
        from openhcs_core.omero.provenance import find_run

        if self._trouble:
            return {"run": result.run}
        with self._login.gateway() as conn:
            known = find_run(conn, result.run)
        told = known.results.values() if known else ()
        return {"results": [text for text in told if _OBJECT.fullmatch(text)], "run": result.run}

    def failure(self, message: str) -> tuple[str, str]:
        """Because of OMERO, or of the run itself."""
        if not self._stop.is_set() and not self._trouble:
            self._look()
        return {LOST: (LOST, message), SESSION_OVER: ("failed", SESSION_OVER)}.get(
            self._trouble, super().failure(message)
        )

    def _watch(self, event: Progress) -> None:
        super()._watch(event)
        if event.what.startswith("failed;") and time.monotonic() - self._looked >= PROBE_S:
            self._look()  # the other wells need not fail, too

    def _look(self) -> None:
        """Find out whether OMERO.server is there, and the session."""
        from openhcs_core.omero.errors import SessionOver

        self._looked = time.monotonic()
        try:
            with self._login.gateway() as conn:
                conn.getUserId()
        except SessionOver:
            self._trouble = SESSION_OVER
        except Exception as error:  # also what Ice raises in the middle of it
            logger.warning("OMERO.server: %s", error)
            self._trouble = LOST

    def _wait(self) -> None:
        if self._stop.is_set():
            raise OpenHCSError("The run was ended before it began.")
        now = time.monotonic()
        if now - self._told >= PROBE_S:
            self._told = now
            self._tell("progress", message="Waiting for another run of the same pipeline on the same data.")


def _ended(state: str, message: str, **found: Any) -> dict[str, Any]:
    return {"state": state, "message": message[:LONGEST_MESSAGE], **found}


def _watch_server(stop: threading.Event) -> None:
    """End everything when the server is gone, in good order if that takes no time."""
    while os.read(sys.stdin.fileno(), 4096):
        pass
    stop.set()
    time.sleep(GONE_S)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    status = 1
    try:
        status = main(sys.argv[1:])
    except Exception:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)  # whatever threads there still are

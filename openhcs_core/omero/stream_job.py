"""The job behind ``Stream_To_Viewer.py``: what is selected appears in a viewer, without processing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

import omero

from openhcs_core.omero.errors import OmeroError, Stopped
from openhcs_core.omero.inputs import selected, well_names
from openhcs_core.omero.job import SessionWarning, run_job
from openhcs_core.omero.login import Login
from openhcs_core.omero.part import Part
from openhcs_core.omero.plates import locations
from openhcs_core.omero.progress import JobProgress
from openhcs_core.omero.session import gateway, session_deadline
from openhcs_core.omero.streaming import stream_places
from openhcs_core.omero.viewers import ViewerRequest
from openhcs_core.pipeline.viewers import open_publisher
from openhcs_core.progress import Progress, duration_text
from openhcs_core.settings import load_settings
from openhcs_core.streaming.publisher import Publisher

GOES_ON = "Start it again: it streams everything from the beginning."
WAIT_S = 120
"""For the viewer to appear, unless the person says otherwise."""
POLL_S = 0.1

Value = TypeVar("Value")


class _Unwatched(OmeroError):
    """Nobody sees what is streamed."""


def run(client: omero.client) -> int:
    """Do what the inputs of a running script ask for, and set its output ``Message``.

    Parameters
    ----------
    client : omero.client
        As ``omero.scripts.client`` gave it.

    Returns
    -------
    int
        Exit status: 0, 1 if anything failed, 143 after SIGTERM.
    """
    return run_job(client, StreamJob, nothing="Nothing was streamed", goes_on=GOES_ON)


class StreamJob:
    """One run of the job.

    Parameters
    ----------
    client : omero.client
        With the inputs of the script.
    stop : threading.Event
        Set when the work has to end.

    Attributes
    ----------
    done, failed : list of str
        Statements for the person who started it.
    progress : JobProgress

    Raises
    ------
    OpenHCSError
        If the inputs or the settings make no sense, or the site does not allow it.
    """

    def __init__(self, client: omero.client, stop: threading.Event) -> None:
        self.done: list[str] = []
        self.failed: list[str] = []
        self.progress = JobProgress(client)
        self._client, self._stop = client, stop
        inputs = client.getInputs(unwrap=True)
        self._selected = selected(inputs)
        self._wells, self._part = well_names(inputs), Part.from_inputs(inputs)
        self._wait_s = float(inputs.get("Wait_Seconds") or WAIT_S)
        request = ViewerRequest.from_inputs(inputs)
        if request is None:
            raise OmeroError(
                "there is no viewer. Start one with `openhcs view napari` or `openhcs view fiji`, and give the address "
                "that it prints as Viewer_Address."
            )
        self._viewers = request.viewers(load_settings(), self._announce)
        self._conn = gateway(client)
        self._warn = SessionWarning(self.progress, session_deadline(self._conn), GOES_ON)

    def run(self) -> int:
        """Stream all that is selected; return 0, or 1 if anything failed or reached no viewer."""
        places = locations(self._conn, *self._selected)
        publisher, over = open_publisher(self._viewers), threading.Event()
        try:
            self._await_viewers(publisher)
            streamed = self._while_watched(
                publisher,
                lambda: stream_places(
                    Login.of(self._client),
                    places,
                    publisher,
                    wells=self._wells,
                    part=self._part,
                    progress=self._watch,
                    cancelled=over.is_set,
                ),
            )
            self.done, self.failed = streamed.done, streamed.failed
            self.progress.line(f"{streamed.planes} planes were read; waiting until the viewers have them")
            report = self._while_watched(publisher, publisher.close)
        except BaseException as error:
            over.set()
            report = publisher.close(aborted=True)
            if not isinstance(error, _Unwatched):
                raise
            self.failed.append(str(error))
        self.done.append(str(report))
        if report.undelivered:
            self.failed.append(f"{len(report.undelivered)} of {report.images} planes reached no viewer.")
        return 1 if self.failed else 0

    def message(self) -> str:
        """What happened, for the person who started the script."""
        return "\n".join([*self.failed, *self.done])

    def _announce(self, line: str) -> None:
        self.progress.headline = line

    def _await_viewers(self, publisher: Publisher) -> None:
        """Wait for all viewers; after the time that the person gave, go on with those that are there.

        Raises
        ------
        OmeroError
            If that is none.
        """
        wanted = len(self._viewers.connect) + len(self._viewers.allow)
        self.progress.line(f"Waiting for {_viewers(wanted)}, {duration_text(self._wait_s)} at most")
        deadline = time.monotonic() + self._wait_s
        while not publisher.wait(POLL_S, wanted) and time.monotonic() < deadline:
            self._check()
        if publisher.wait(0):
            return
        refused = publisher.close(aborted=True).refused
        keys = f"{refused} attempts were refused: they had another key than Viewer_Key. " if refused else ""
        raise OmeroError(
            f"no viewer came within {duration_text(self._wait_s)}. {keys}Check that it runs, that its address is "
            "right and can be reached from this server, and that it lets this script in: `openhcs view` does so when "
            "it starts the script itself."
        )

    def _while_watched(self, publisher: Publisher, work: Callable[[], Value]) -> Value:
        """What some work gives; it is left alone once the script has to end, or has no viewer any more."""
        worker = ThreadPoolExecutor(1, "openhcs-stream")
        try:
            doing, seen = worker.submit(work), time.monotonic()
            while not wait([doing], POLL_S).done:
                self._check()
                if publisher.wait(0):
                    seen = time.monotonic()
                elif time.monotonic() > seen + self._wait_s:
                    raise _Unwatched(
                        f"all viewers have gone, and none came back within {duration_text(self._wait_s)}: the rest was "
                        "not read."
                    )
            return doing.result()
        finally:
            worker.shutdown(wait=False)

    def _check(self) -> None:
        if self._stop.is_set():
            raise Stopped("SIGTERM")

    def _watch(self, event: Progress) -> None:
        """Tell how far it is; warn when the session will not last."""
        self.progress(event)
        self._warn.watch(event.subject, event)


def _viewers(count: int) -> str:
    return "a viewer" if count == 1 else f"{count} viewers"

"""The job behind ``IMS_Export.py``: images of OMERO become Imaris files, attached or in a folder of the server."""

from __future__ import annotations

import logging
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import omero
from omero.gateway import ImageWrapper
from omero.rtypes import robject, rstring

from openhcs_core.errors import OpenHCSError
from openhcs_core.imaris import ImsCancelled
from openhcs_core.omero.errors import OmeroError, Stopped
from openhcs_core.omero.ims_file import size_text
from openhcs_core.omero.ims_image import ImageExport
from openhcs_core.omero.progress import JobProgress
from openhcs_core.omero.request import ExportRequest
from openhcs_core.omero.selection import select_images
from openhcs_core.omero.session import gateway, session_deadline, session_is_over
from openhcs_core.settings import load_settings

SIGTERM_STATUS = 128 + signal.SIGTERM
LISTED = 20
"""Images that the message names one by one."""
SESSION_OVER = (
    "The OMERO session of this script ended before its work did; half-written files were removed. Ask the "
    "administrator for a larger omero.scripts.timeout, or export fewer planes at a time."
)


def run(client: omero.client) -> int:
    """Do what the inputs of a running script ask for, and set its outputs.

    Parameters
    ----------
    client : omero.client
        As ``omero.scripts.client`` gave it.

    Returns
    -------
    int
        Exit status: 0, 1 if anything failed, 143 after SIGTERM.
    """
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # what is wrong with a file is told in the message
    job: ImsExport | None = None
    with _sigterm() as stop:
        try:
            job = ImsExport(client, stop)
            status = job.run()
            message = job.message()
        except (Stopped, ImsCancelled):
            message = "Stopped from outside; half-written files were removed."
            if job is not None and job.done:
                message += f" Finished before: {len(job.done)} images."
            status = SIGTERM_STATUS
        except Exception as error:
            traceback.print_exc()
            message = SESSION_OVER if session_is_over(error) else f"Nothing was exported: {_said(error)}"
            status = 1
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


class ImsExport:
    """One run of the job.

    Parameters
    ----------
    client : omero.client
        With the inputs of the script.
    stop : threading.Event
        Set when the work has to end.

    Attributes
    ----------
    done : list of str
        One statement per exported image.
    failed : list of str
        One statement per selected object or image that failed.
    progress : JobProgress

    Raises
    ------
    OpenHCSError
        If the inputs or the settings make no sense.
    """

    def __init__(self, client: omero.client, stop: threading.Event) -> None:
        self.done: list[str] = []
        self.failed: list[str] = []
        self.progress = JobProgress(client)
        self._notes: list[str] = []
        self._client = client
        self._stop = stop
        self._settings = load_settings()
        self._request = ExportRequest.from_inputs(client.getInputs(unwrap=True))
        if self._request.publish and self._settings.export_dir is None:
            raise OmeroError(
                "this OMERO.server has no folder for exports. Choose the delivery 'Attach to image', "
                "or ask the administrator to set export_dir in openhcs.toml."
            )
        self._conn = gateway(client)
        self._deadline = session_deadline(self._conn)

    def run(self) -> int:
        """Export all selected images; return 0, or 1 if anything failed."""
        selection = select_images(self._conn, self._request.data_type, self._request.ids)
        self.failed += [f"Not exported: {statement}" for statement in selection.missing]
        self._notes += selection.notes
        for number, image in enumerate(selection.images, start=1):
            label = f"Image:{image.getId()} ({image.getName()})"
            try:
                self._export(image, label, f"Image {number} of {len(selection.images)}, {label}")
            except (Stopped, ImsCancelled):
                raise
            except Exception as error:
                if session_is_over(error):
                    raise
                traceback.print_exc()
                self.failed.append(f"Not exported: {label}: {_said(error)}")
        return 1 if self.failed else 0

    def message(self) -> str:
        """What happened, for the person who started the script."""
        lines = [*self.failed, *self.done[:LISTED]]
        if len(self.done) > LISTED:
            lines.append(f"{len(self.done) - LISTED} more images were exported; the script's output lists them.")
        lines += [f"Note: {note}." for note in self._notes]
        return "\n".join(lines)

    def _export(self, image: ImageWrapper, label: str, place: str) -> None:
        self.progress.line(place)
        export = ImageExport(self._conn, image, self._request, self._settings, self._reporter(place), self._stop.is_set)
        path = export.publish() if self._request.publish else None
        annotation = None
        if self._request.attach:
            try:
                annotation = export.attach(path)
            except OpenHCSError as error:
                if path is None or isinstance(error, (Stopped, ImsCancelled)):
                    raise
                traceback.print_exc()
                self.failed.append(f"Not attached: {label}: {_said(error)}")
        statement = f"{label} exported to {export.name}"
        if annotation is not None:
            statement += f", attached to the image ({size_text(annotation.file.size.val)})"
        if path is not None:
            statement += f", on the server as {path} ({size_text(path.stat().st_size)})"
        statement += f". Pixels from {export.source}" if export.source else ""
        statement += f". Please note: {'; '.join(export.notes)}." if export.notes else "."
        print(statement, flush=True)
        if not self.done:
            self._set_outputs(export.name, path, annotation)
        self.done.append(statement)

    def _set_outputs(self, name: str, path: Path | None, annotation: Any | None) -> None:
        self._client.setOutput("Export_Name", rstring(name))
        if path is not None:
            self._client.setOutput("Export_Path", rstring(str(path)))
        if annotation is not None:
            self._client.setOutput("File_Annotation", robject(annotation))

    def _reporter(self, place: str) -> Any:
        """A progress function for one image; it warns when the session will not last."""
        begin = time.monotonic()
        phase, warned = "", False

        def report(what: str, done: int, total: int) -> None:
            nonlocal begin, phase, warned
            if self._stop.is_set():
                raise Stopped("SIGTERM")
            now = time.monotonic()
            if what != phase:
                begin, phase = now, what
            left = (now - begin) / done * (total - done) if done else 0.0
            self.progress.update(f"{place}: {what} {100 * done // max(total, 1)} %, about {_duration(left)} left")
            if not warned and self._deadline is not None and now + left > self._deadline:
                warned = True
                self.progress.line(
                    f"Warning: {place}: about {_duration(left)} are needed, but the session of this script ends in "
                    f"{_duration(self._deadline - now)} (omero.scripts.timeout). The {what} may not be finished."
                )

        return report


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(seconds, 0):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _said(error: Exception) -> str:
    """What an error says to a person; the traceback is in the script's error output."""
    if isinstance(error, OpenHCSError):
        return str(error)
    return f"unexpected {type(error).__name__}: {getattr(error, 'message', None) or error}"


@contextmanager
def _sigterm() -> Iterator[threading.Event]:
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

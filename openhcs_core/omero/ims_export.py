"""The job behind ``IMS_Export.py``: Imaris files of what is selected, attached or in a folder of the server."""

from __future__ import annotations

import logging
import threading
import time
import traceback
from pathlib import Path
from typing import Any

import omero
from omero.rtypes import robject, rstring

from openhcs_core.errors import OpenHCSError, said
from openhcs_core.imaris import ImsCancelled
from openhcs_core.omero.errors import OmeroError, Stopped
from openhcs_core.omero.ims_image import SubjectExport
from openhcs_core.omero.job import SessionWarning, run_job
from openhcs_core.omero.names import one_line, size_text, unique_name
from openhcs_core.omero.progress import JobProgress
from openhcs_core.omero.request import ExportRequest
from openhcs_core.omero.results import sweep_uploads
from openhcs_core.omero.scratch import KEPT_DAYS, sweep, sweep_parts
from openhcs_core.omero.selection import select_subjects
from openhcs_core.omero.session import gateway, session_deadline, session_is_over
from openhcs_core.omero.subject import Subject
from openhcs_core.progress import Progress, ProgressMeter
from openhcs_core.settings import load_settings

logger = logging.getLogger(__name__)

LISTED = 20
"""Exports that the message names one by one."""
GOES_ON = f"Start the same export again: it goes on after what is complete, which is kept for {KEPT_DAYS} days."


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
    return run_job(client, ImsExport, nothing="Nothing was exported", goes_on=GOES_ON)


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
        One statement per exported file.
    failed : list of str
        One statement for each thing that failed.
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
        self._names: set[str] = set()
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
        self._warn = SessionWarning(self.progress, session_deadline(self._conn), GOES_ON)

    def run(self) -> int:
        """Export all that is selected; return 0, or 1 if anything failed."""
        selection = select_subjects(self._conn, self._request)
        subjects = selection.subjects
        self.failed += [f"Not exported: {statement}" for statement in selection.missing]
        self._notes += selection.notes
        self._sweep()
        begin = time.monotonic()
        for number, subject in enumerate(subjects, start=1):
            label = one_line(subject.label)
            place = f"{subject.target.OMERO_CLASS} {number} of {len(subjects)}, {label}"
            self.progress.line(place)
            meter = ProgressMeter([self._watch, self.progress], place, number, len(subjects))
            try:
                self._export(subject, label, meter)
            except Stopped:
                raise
            except ImsCancelled as error:
                raise Stopped("SIGTERM") from error
            except Exception as error:
                if session_is_over(error):
                    raise
                traceback.print_exc()
                self.failed.append(f"Not exported: {label}: {said(error)}")
            remaining = len(subjects) - number
            if remaining:
                self._warn(f"{remaining} more", (time.monotonic() - begin) / number * remaining)
        return 1 if self.failed else 0

    def message(self) -> str:
        """What happened, for the person who started the script."""
        lines = [*self.failed, *self.done[:LISTED]]
        if len(self.done) > LISTED:
            lines.append(f"{len(self.done) - LISTED} more were exported; the script's output lists them.")
        lines += [f"Note: {note}." for note in self._notes]
        return "\n".join(lines)

    def _export(self, subject: Subject, label: str, meter: ProgressMeter) -> None:
        export = SubjectExport(self._conn, subject, self._request, self._settings, meter, self._stop.is_set)
        export.name = unique_name(export.name, self._names)
        self._names.add(export.name.casefold())
        path = export.publish() if self._request.publish else None
        annotation = None
        if self._request.attach:
            try:
                annotation = export.attach(path)
            except OpenHCSError as error:
                if path is None or isinstance(error, (Stopped, ImsCancelled)):
                    raise
                traceback.print_exc()
                self.failed.append(f"Not attached: {label}: {said(error)}")
        name = export.name if annotation is None else annotation.file.name.val
        statement = f"{label} exported to {name}"
        if annotation is not None:
            kind = subject.target.OMERO_CLASS.lower()
            statement += f", attached to the {kind} ({size_text(annotation.file.size.val)})"
        if path is not None:
            statement += f", on the server as {path} ({size_text(path.stat().st_size)})"
        statement += f". Pixels from {export.source}" if export.source else ""
        statement += f". Please note: {'; '.join(export.notes)}." if export.notes else "."
        print(statement, flush=True)
        if not self.done:
            self._set_outputs(name, path, annotation)
        self.done.append(statement)

    def _set_outputs(self, name: str, path: Path | None, annotation: Any | None) -> None:
        self._client.setOutput("Export_Name", rstring(name))
        if path is not None:
            self._client.setOutput("Export_Path", rstring(str(path)))
        if annotation is not None:
            self._client.setOutput("File_Annotation", robject(annotation))

    def _sweep(self) -> None:
        """Remove what exports that nobody came back to have left; that is never worth a failure."""
        try:
            sweep(self._settings.scratch)
            if self._request.publish and self._settings.export_dir is not None:
                sweep_parts(self._settings.export_dir)
            if self._request.attach:
                sweep_uploads(self._conn)
        except (OSError, omero.ServerError) as error:
            if session_is_over(error):
                raise
            logger.warning("Old leftovers of exports could not be removed: %s", error)

    def _watch(self, event: Progress) -> None:
        """End the work when it has to; warn when the session will not last."""
        if self._stop.is_set():
            raise Stopped("SIGTERM")
        self._warn.watch(f"{event.subject}: {event.what}", event)

"""The job behind ``Run_Pipeline.py``: a pipeline on what is selected, results back into OMERO."""

from __future__ import annotations

import logging
import sys
import threading
import traceback
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import omero
from omero.rtypes import robject

from openhcs_core.cpus import usable_cpus
from openhcs_core.errors import said
from openhcs_core.omero.abandoned import sweep_runs
from openhcs_core.omero.attachments import attach_file, upload
from openhcs_core.omero.errors import Stopped
from openhcs_core.omero.job import SessionWarning, run_job
from openhcs_core.omero.login import Login
from openhcs_core.omero.pipeline_request import PipelineRequest, pipeline_file
from openhcs_core.omero.pipeline_run import run_in_omero
from openhcs_core.omero.plates import load_targets, locations
from openhcs_core.omero.progress import JobProgress
from openhcs_core.omero.provenance import PipelineRun, find_run
from openhcs_core.omero.session import gateway, in_group, session_deadline, session_is_over
from openhcs_core.pipeline import Pipeline, PipelineSourceError, read_pipeline
from openhcs_core.pipeline.trusted import read_trusted_pipeline
from openhcs_core.plugins import preset
from openhcs_core.progress import Progress
from openhcs_core.settings import load_settings

if TYPE_CHECKING:
    from openhcs_core.pipeline.record import RunResult

logger = logging.getLogger(__name__)

GOES_ON = "Start the same pipeline on the same data again: it goes on after the wells that are complete."
VIEWERS_NOTE = "Shown in the viewers of Viewer_Address; hosts and ports in the pipeline do not count on a server."


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
    return run_job(client, PipelineJob, nothing="Nothing was run", goes_on=GOES_ON)


class PipelineJob:
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
        If the inputs or the settings make no sense.
    """

    def __init__(self, client: omero.client, stop: threading.Event) -> None:
        self.done: list[str] = []
        self.failed: list[str] = []
        self.progress = JobProgress(client)
        self._client, self._stop = client, stop
        self._settings = load_settings()
        self._request = PipelineRequest.from_inputs(client.getInputs(unwrap=True))
        request = self._request.viewers
        self._viewers = None if request is None else request.viewers(self._settings, self._announce)
        self._conn = gateway(client)
        self._warn = SessionWarning(self.progress, session_deadline(self._conn), GOES_ON)
        self._waiting = False
        self._notes: list[str] = []
        self._outputs: set[str] = set()

    def run(self) -> int:
        """Run the pipeline on all that is selected; return 0, or 1 if anything failed."""
        pipeline = self._pipeline()
        if self._viewers is not None and any(step.stream_to for step in pipeline.steps):
            self._notes.append(VIEWERS_NOTE)
        self._sweep()
        places = locations(self._conn, self._request.data_type, self._request.ids)
        self.progress.line(f"Running {self._request.origin} on {', '.join(places)}")
        for number, place in enumerate(places, start=1):
            self._place = f"{place} ({number} of {len(places)})"
            try:
                self._run_on(place, pipeline)
            except Stopped:
                raise
            except Exception as error:
                if self._stop.is_set():
                    raise Stopped("SIGTERM") from error
                if session_is_over(error):
                    raise
                traceback.print_exc()
                self.failed.append(f"{place}: {said(error)}")
        return 1 if self.failed else 0

    def message(self) -> str:
        """What happened, for the person who started the script."""
        return "\n".join([*self.failed, *self.done, *self._notes])

    def _pipeline(self) -> Pipeline:
        """The pipeline that was asked for.

        Raises
        ------
        OpenHCSError
            If there is none, or its text is no pipeline.
        """
        request = self._request
        if request.text:
            text = request.text
        elif request.file_annotation is not None:
            text = pipeline_file(self._conn, request.file_annotation)
        else:
            return read_pipeline(preset(request.preset).text)
        try:
            return read_pipeline(text)
        except PipelineSourceError:
            if not (self._settings.trusted_pipelines and self._conn.isFullAdmin()):
                raise
        return read_trusted_pipeline(text, allowed=True)

    def _sweep(self) -> None:
        """Remove what runs that nobody came back to have left; that is never worth a failure."""
        try:
            sweep_runs(self._conn)
        except omero.ServerError as error:
            if session_is_over(error):
                raise
            logger.warning("Leftovers of old runs could not be removed: %s", error)

    def _run_on(self, place: str, pipeline: Pipeline) -> None:
        request = self._request
        result = run_in_omero(
            Login.of(self._client),
            place,
            pipeline,
            wells=request.wells,
            workers=min(request.workers, usable_cpus()),
            outputs=request.outputs,
            resume=request.resume,
            viewers=self._viewers,
            progress=self._watch,
            cancelled=self._stop.is_set,
            waiting=self._wait,
        )
        if result.cancelled or self._stop.is_set():
            raise Stopped("SIGTERM")
        broken = [result.wells[well] for well in result.in_state("failed")]
        self.failed += [f"{place} {line}" for line in result.failures()]
        statement = f"{place}: {result.summary}"
        print(statement, flush=True)
        for well in broken:
            print(f"{well.well}: {well.error}\n{well.traceback}", file=sys.stderr, flush=True)
        self.done.append(statement)
        self._finish(place, result)

    def _finish(self, place: str, result: RunResult) -> None:
        """Attach the log, and set the outputs: those of the first place that gave any."""
        targets = load_targets(self._conn, place)
        context = in_group(self._conn, targets[0].getDetails().getGroup().getId())
        known = find_run(self._conn, result.run)
        if known is None:
            return
        files = [value.partition(":")[2] for name, value in known.results.items() if name.startswith("CSV")]
        if len(result.in_state("skipped")) < len(result.wells):
            text = log_text(place, self._request.origin, known, result)
            name = f"{place.replace(':', ' ')} log.txt"
            file = upload(self._conn, text.encode(), name, "text/plain", context)
            description = f"Log of a run, map annotation {known.annotation_id}"
            files.append(str(attach_file(self._conn, targets, file, description, context)))
        if files:
            self._set_object("File_Annotation", self._annotation(int(files[0])))
        for value in known.results.values():
            kind, _, number = value.partition(":")
            if kind in ("Plate", "Dataset"):
                self._set_object(kind, self._conn.getQueryService().get(kind, int(number), self._conn.SERVICE_OPTS))

    def _annotation(self, number: int) -> Any:
        """A file annotation with its file."""
        return self._conn.getQueryService().findByQuery(
            "select a from FileAnnotation a join fetch a.file where a.id = :id",
            omero.sys.ParametersI().addId(number),
            self._conn.SERVICE_OPTS,
        )

    def _set_object(self, name: str, value: Any) -> None:
        if name not in self._outputs:
            self._outputs.add(name)
            self._client.setOutput(name, robject(value))

    def _announce(self, stream: str) -> None:
        self.progress.headline = stream
        self.progress.line(f"{self._place}: results can be seen")

    def _wait(self) -> None:
        if self._stop.is_set():
            raise Stopped("SIGTERM")
        if not self._waiting:
            self._waiting = True
            self.progress.line(f"{self._place}: waiting for another run of the same pipeline")

    def _watch(self, event: Progress) -> None:
        """Tell how far it is; warn when the session will not last."""
        self.progress(event)
        self._warn.watch(self._place, event)


def log_text(place: str, origin: str, known: PipelineRun, result: RunResult) -> str:
    """The log of a run: what was run, what was made, and what became of each well."""
    lines = [f"{origin[0].upper()}{origin[1:]} on {place}, map annotation {known.annotation_id}", str(result), ""]
    lines += [f"{name}: {value}" for name, value in _facts(known).items()]
    lines += ["", *result.statements, ""]
    for well in result.wells.values():
        lines.append(f"{well.well}: {well.state}, {well.seconds:.1f} s, {well.attempts} attempts")
        lines += [part for part in (well.error, well.traceback) if part]
    return "\n".join([*lines, "", known.pipeline])


def _facts(known: PipelineRun) -> Mapping[str, str]:
    return {"Started": known.started, "Finished": known.finished or "not complete", **known.facts}

"""One run of a pipeline on a place in OMERO, in a session of OMERO."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from openhcs_core.omero.login import Login
from openhcs_core.omero.pipeline_request import OUTPUTS
from openhcs_core.pipeline import Pipeline, PipelineConfig
from openhcs_core.pipeline.orchestrator import PipelineOrchestrator
from openhcs_core.pipeline.viewers import Viewers
from openhcs_core.plugins import backend
from openhcs_core.progress import Listener

if TYPE_CHECKING:
    from openhcs_core.pipeline.record import RunResult

BACKEND = "omero_local"


def run_in_omero(
    login: Login,
    location: str,
    pipeline: Pipeline,
    *,
    wells: Sequence[str] = (),
    workers: int = 1,
    outputs: Sequence[str] = OUTPUTS,
    resume: bool = True,
    viewers: Viewers | None = None,
    progress: Listener | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> RunResult:
    """Run a pipeline; what comes out goes into OMERO, whatever the pipeline says.

    A pipeline's text comes from anybody. It decides neither what else on this machine is written to, nor which other
    machine gets to know the session, or sees results.

    Parameters
    ----------
    login : Login
        The session that everything is done in.
    location : str
        Such as "Plate:12".
    pipeline : Pipeline
    wells : sequence of str
        All wells if empty.
    workers : int
    outputs : sequence of {"images", "masks", "tables"}
        What is saved.
    resume : bool
        Whether a run of the same pipeline is gone on with; else there are new results beside those of earlier runs.
    viewers : Viewers, optional
        Who sees results while they are made; nobody unless given.
    progress, cancelled
        See `PipelineOrchestrator.run_pipeline`.

    Returns
    -------
    RunResult
        Its `run` is that of the annotation, see `openhcs_core.omero.provenance.find_run`.

    Raises
    ------
    OpenHCSError
        If the place cannot be read or written to, or the pipeline does not fit it.
    """
    factory: Any = backend(BACKEND).factory()
    home = factory.of(login, outputs)
    config: Any = PipelineConfig(
        read_from=BACKEND,
        save_to=(BACKEND,),
        output=None,
        wells=tuple(wells) or None,
        num_workers=workers,
        executor="processes",
        executor_address=None,
        resume=resume,
    )
    orchestrator = PipelineOrchestrator(
        location, pipeline_config=config, storage_registry={BACKEND: home}, viewers=viewers or Viewers()
    )
    result = orchestrator.run_pipeline(pipeline, progress=progress, cancelled=cancelled)
    return replace(result, run=home.identity(result.run))

"""One run of a pipeline on a place in OMERO, in a session of OMERO."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from openhcs_core.omero.login import Login
from openhcs_core.omero.pipeline_request import OUTPUTS
from openhcs_core.omero.scratch import workplace
from openhcs_core.pipeline import Pipeline, PipelineConfig
from openhcs_core.pipeline.orchestrator import PipelineOrchestrator
from openhcs_core.pipeline.viewers import Viewers
from openhcs_core.plugins import backend
from openhcs_core.progress import Listener
from openhcs_core.settings import load_settings

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
    executor: str = "processes",
    executor_address: str | None = None,
    outputs: Sequence[str] = OUTPUTS,
    resume: bool = True,
    viewers: Viewers | None = None,
    progress: Listener | None = None,
    cancelled: Callable[[], bool] | None = None,
    waiting: Callable[[], object] = lambda: None,
) -> RunResult:
    """Run a pipeline; what comes out goes into OMERO, whatever the pipeline says.

    A pipeline's text comes from anybody. It decides neither what else on this machine is written to, nor which other
    machine gets to know the session, or sees results: workers of an executor join the session, wherever they are.

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
        Wells that are worked on at a time.
    executor : str
        Name of the executor.
    executor_address : str, optional
        Where its workers are had, if elsewhere.
    outputs : sequence of {"images", "masks", "tables"}
        What is saved.
    resume : bool
        Whether a run of the same pipeline is gone on with; else there are new results beside those of earlier runs.
    viewers : Viewers, optional
        Who sees results while they are made; nobody unless given.
    progress, cancelled
        See `PipelineOrchestrator.run_pipeline`.
    waiting : callable
        Called again and again while another run of the same pipeline on the same place goes on here, of this user; what
        it raises ends the waiting.

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
        executor=executor,
        executor_address=executor_address,
        resume=resume,
    )
    orchestrator = PipelineOrchestrator(
        location, pipeline_config=config, storage_registry={BACKEND: home}, viewers=viewers or Viewers()
    )
    with login.gateway() as conn:
        user = conn.getUserId()
    # Two of the same at once would remove what the other one is saving.
    same = hashlib.sha256(f"{location}\n{pipeline.text}".encode()).hexdigest()[:32]
    with workplace(load_settings().scratch, user, f"run-{same}", waiting):
        result = orchestrator.run_pipeline(pipeline, progress=progress, cancelled=cancelled)
    return replace(result, run=home.identity(result.run))

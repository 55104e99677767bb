"""The orchestrator: a plate and a pipeline become results."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openhcs_core.errors import OpenHCSError
from openhcs_core.functions import GroupContext
from openhcs_core.pipeline.code import pipeline_text
from openhcs_core.pipeline.compiler import compile_pipeline
from openhcs_core.pipeline.config import INHERIT, Effective, GlobalPipelineConfig, PipelineConfig
from openhcs_core.pipeline.errors import CompileError, PipelineError
from openhcs_core.pipeline.executors import Executor, WellResult
from openhcs_core.pipeline.plan import CompiledPlate
from openhcs_core.pipeline.record import RunResult, run_facts, run_identity
from openhcs_core.pipeline.runprogress import RunProgress
from openhcs_core.pipeline.step import FunctionStep, calls_of
from openhcs_core.pipeline.stream_storage import StreamStorage
from openhcs_core.pipeline.streams import Streams, Viewers, open_viewer
from openhcs_core.pipeline.viewing import StreamingConfig, effective_viewer
from openhcs_core.pipeline.worker import Work
from openhcs_core.plate import PlateLayout
from openhcs_core.plugins import executor as executor_named
from openhcs_core.progress import Listener
from openhcs_core.storage.backend import Results, ResultWriter, StorageBackend
from openhcs_core.storage.filemanager import FileManager
from openhcs_core.storage.memory import MemoryBackend
from openhcs_core.storage.registry import create_storage_registry

if TYPE_CHECKING:
    from openhcs_core.pipeline.source import Pipeline
    from openhcs_core.streaming.manager import Visualizer

logger = logging.getLogger(__name__)

Cancelled = Callable[[], bool] | threading.Event


class PipelineOrchestrator:
    """Runs pipelines on a plate.

    Parameters
    ----------
    plate_path : str or Path
        Folder or file of the plate, or an object of OMERO such as "Plate:12".
    pipeline_config : PipelineConfig or GlobalPipelineConfig, optional
        What is set for these runs; goes before what a pipeline itself sets.
    global_config : GlobalPipelineConfig or PipelineConfig, optional
        What holds for all runs.
    storage_registry : mapping of str to StorageBackend, optional
        The backends of all plugins unless given. They must be such that can be sent to other processes.
    viewers : Viewers, optional
        Where results are shown while they are made. Unless given, as the steps say: viewers of this machine are
        started then, so that programs which run the pipelines of others give it always.

    Examples
    --------
    >>> orchestrator = PipelineOrchestrator("plate")
    >>> result = orchestrator.run_pipeline([FunctionStep(max_projection)])
    >>> result.complete
    True
    """

    def __init__(
        self,
        plate_path: str | Path,
        pipeline_config: GlobalPipelineConfig | None = None,
        global_config: GlobalPipelineConfig | None = None,
        storage_registry: Mapping[str, StorageBackend] | None = None,
        viewers: Viewers | None = None,
    ) -> None:
        self.plate_path = str(plate_path)
        self._pipeline_config, self._global_config = pipeline_config, global_config
        self._viewers = viewers
        self._registry = create_storage_registry() if storage_registry is None else storage_registry
        self._read_from = ""
        self._layout: PlateLayout | None = None
        self._statements: tuple[str, ...] = ()

    @property
    def layout(self) -> PlateLayout:
        """What there is on the plate.

        Raises
        ------
        PipelineError
            Before `initialize`.
        """
        if self._layout is None:
            raise PipelineError("The plate has not been read yet: call initialize() first.")
        return self._layout

    def initialize(self, pipeline_definition: Pipeline | Sequence[FunctionStep] = ()) -> PipelineOrchestrator:
        """Find out what there is on the plate; return the orchestrator itself.

        Parameters
        ----------
        pipeline_definition : Pipeline or sequence of FunctionStep, optional
            It may say which backend holds the plate.

        Raises
        ------
        StorageError
            If the plate cannot be read.
        """
        if self._layout is None:
            with FileManager(self._registry) as files:
                self._read_from = self.config(pipeline_definition).value.read_from or files.backend_of(self.plate_path)
                plate = files.open_plate(self.plate_path, self._read_from)
                self._layout, self._statements = plate.layout, tuple(plate.statements)
        return self

    def compile_pipelines(
        self, pipeline_definition: Pipeline | Sequence[FunctionStep], axis_filter: Sequence[str] | None = None
    ) -> CompiledPlate:
        """Check a pipeline against the plate, and plan it.

        Parameters
        ----------
        pipeline_definition : Pipeline or sequence of FunctionStep
        axis_filter : sequence of str, optional
            Wells; those of the configuration unless given.

        Returns
        -------
        CompiledPlate
            Also a mapping of wells to their contexts.

        Raises
        ------
        CompileError
            With all problems.
        """
        return compile_pipeline(
            self.layout,
            steps_of(pipeline_definition),
            self.config(pipeline_definition),
            wells=axis_filter,
            backend_problem=lambda name: self._backend_problem(name, pipeline_definition),
        )

    def execute_compiled_plate(
        self,
        pipeline_definition: Pipeline | Sequence[FunctionStep],
        compiled_contexts: CompiledPlate,
        max_workers: int | None = None,
        progress: Listener | None = None,
        cancelled: Cancelled | None = None,
    ) -> RunResult:
        """Run what has been compiled.

        Parameters
        ----------
        pipeline_definition : Pipeline or sequence of FunctionStep
            That `compiled_contexts` was made of.
        compiled_contexts : CompiledPlate
        max_workers : int, optional
            Workers, if others than planned.
        progress : callable, optional
            Given a `Progress` now and then; what it raises ends the run.
        cancelled : callable or Event, optional
            Whether to stop. Workers are gone within two seconds then; finished wells stay.

        Returns
        -------
        RunResult
            A well that fails does not stop the others: look at `RunResult.wells`.

        Raises
        ------
        CompileError
            If backends cannot take the results.
        PipelineError
            If there is not enough memory for so many workers, or workers cannot be had.
        """
        with self._executor(pipeline_definition) as executor:
            return self._execute(
                executor, pipeline_definition, compiled_contexts, max_workers, progress, _question(cancelled)
            )

    def run_pipeline(
        self,
        pipeline_definition: Pipeline | Sequence[FunctionStep],
        axis_filter: Sequence[str] | None = None,
        max_workers: int | None = None,
        progress: Listener | None = None,
        cancelled: Cancelled | None = None,
    ) -> RunResult:
        """Initialise, compile and execute; see the methods for these.

        Raises
        ------
        StorageError
            If the plate cannot be read.
        CompileError
            With everything that is wrong.
        """
        with self._executor(pipeline_definition) as executor:
            workers = max_workers or executor.workers
            executor.prepare(self._modules(pipeline_definition), workers)  # while the plate is looked at
            self.initialize(pipeline_definition)
            compiled = self.compile_pipelines(pipeline_definition, axis_filter)
            return self._execute(executor, pipeline_definition, compiled, max_workers, progress, _question(cancelled))

    def _execute(
        self,
        executor: Executor,
        definition: Pipeline | Sequence[FunctionStep],
        compiled: CompiledPlate,
        max_workers: int | None,
        progress: Listener | None,
        cancelled: Callable[[], bool],
    ) -> RunResult:
        begin = time.monotonic()
        executor.workers = self._workers(compiled, max_workers)
        results = self._results(definition, compiled)
        config = self.config(definition).value
        with FileManager(self._registry) as files, Streams(self._viewers) as streams, executor:
            writers = self._writers(files, results)
            found = self._found(writers, compiled) if config.resume else set()
            wells = {well: WellResult(well, "skipped" if well in found else "cancelled") for well in compiled.contexts}
            contexts = [context for well, context in compiled.contexts.items() if well not in found]
            elsewhere = config.executor_address is not None
            work = streams.begin(self._work(compiled, results), contexts, executor.workers, elsewhere)
            counted = RunProgress(streams.listener(progress), contexts)
            if contexts:
                arguments: dict[str, Any] = {"retries": config.retries, "tell": counted.tell, "cancelled": cancelled}
                for result in executor.run(work, contexts, **arguments):
                    wells[result.well] = result
                    counted.ended(result.well, result.state)
            outcome = RunResult(wells)
            statements = [*self._statements, *compiled.notes]
            if outcome.cancelled:
                for well in outcome.in_state("cancelled"):  # what is half done is of no use
                    files.begin_well(well)
            else:
                for writer in writers:
                    statements += writer.finish(list(compiled.contexts))
            statements += streams.end(outcome.in_state("finished"), len(outcome.in_state("skipped")), cancelled)
        return RunResult(
            wells,
            tuple(statements),
            {name: item.location for name, item in results.items()},
            time.monotonic() - begin,
            next(iter(results.values())).run,
        )

    def config(self, definition: Pipeline | Sequence[FunctionStep]) -> Effective[GlobalPipelineConfig]:
        """What is in effect for a pipeline, and where each value comes from."""
        levels = [
            ("the run", self._pipeline_config),
            ("the pipeline", getattr(definition, "config", None)),
            ("the global configuration", self._global_config),
        ]
        return Effective(GlobalPipelineConfig, levels)

    def get_or_create_visualizer(self, config: StreamingConfig) -> Visualizer | None:
        """The viewer that a configuration names: one that runs, or one that is started and may not be ready yet.

        None if it cannot be started; why is logged.

        Raises
        ------
        ValueError
            If it is no configuration of a viewer.
        """
        if not isinstance(config, StreamingConfig):
            raise ValueError(f"A StreamingConfig is needed, such as NapariStreamingConfig(), not {config!r}.")
        effective = effective_viewer(config, self.config(()).levels).value
        try:
            return open_viewer(effective, Path(self.plate_path).name)
        except OpenHCSError as error:
            logger.warning("%s cannot be used: %s", effective.viewer, error)
            return None

    # Parts of a run

    def _executor(self, definition: Pipeline | Sequence[FunctionStep]) -> Executor:
        config = self.config(definition).value
        return executor_named(config.executor).factory(config.num_workers, config.executor_address)

    def _modules(self, definition: Pipeline | Sequence[FunctionStep]) -> list[str]:
        """Modules that workers are going to need."""
        functions = [
            function for step in steps_of(definition) for calls in calls_of(step.func).values() for function, _ in calls
        ]
        modules = [getattr(function, "__module__", None) for function in functions]
        if self._viewers or any(step.stream_to for step in steps_of(definition)):
            modules.append(StreamStorage.__module__)
        return list(dict.fromkeys(["openhcs_core.pipeline.worker", *filter(None, modules)]))

    def _workers(self, compiled: CompiledPlate, wanted: int | None) -> int:
        if wanted is None:
            return compiled.workers
        if wanted < 1:
            raise PipelineError(f"max_workers must be at least 1, not {wanted}.")
        each = compiled.bytes // compiled.workers
        if wanted * each > compiled.available:
            raise PipelineError(
                f"{wanted} workers need about {wanted * each / 1e6:.0f} MB, and there are "
                f"{compiled.available / 1e6:.0f} MB: use at most {compiled.available // each}."
            )
        return min(wanted, len(compiled.contexts))

    def _backend_problem(self, name: str, definition: Pipeline | Sequence[FunctionStep]) -> str | None:
        try:
            backend = FileManager(self._registry).backend(name)
            if isinstance(backend, MemoryBackend):
                return "save_to: 'memory' keeps results in one process only, but wells are worked on by others."
            self._location(name, definition)
        except OpenHCSError as error:
            return f"save_to: {error}"
        return None

    def _location(self, name: str, definition: Pipeline | Sequence[FunctionStep]) -> str:
        """Where the results of a backend go."""
        if name == self._read_from and not Path(self.plate_path).exists():
            return self.plate_path  # home, to where the plate is
        output = self.config(definition).value.output
        if output is not None:
            return output
        plate = Path(self.plate_path).absolute()
        if not plate.exists():
            raise PipelineError(f"'{name}' does not know where to save results of {self.plate_path}: set 'output'.")
        return str(plate.with_name(f"{plate.name.split('.')[0] or plate.name}_results"))

    def _results(self, definition: Pipeline | Sequence[FunctionStep], compiled: CompiledPlate) -> dict[str, Results]:
        steps = steps_of(definition)
        without_viewers = pipeline_text([replace(step, stream_to=()) for step in steps])
        run = run_identity(compiled, without_viewers, self._plate_identity())
        if not self.config(definition).value.resume:
            run += f"-{uuid.uuid4().hex[:8]}"  # one that no earlier run can be taken for
        text = getattr(definition, "text", None) or pipeline_text(steps, self._merged(definition))
        facts = run_facts(compiled.steps, self.plate_path)
        return {
            name: Results(self._location(name, definition), self.layout, text, run, facts) for name in compiled.backends
        }

    def _plate_identity(self) -> str:
        path = Path(self.plate_path)
        return str(path.resolve()) if path.exists() else self.plate_path

    def _merged(self, definition: Pipeline | Sequence[FunctionStep]) -> PipelineConfig | None:
        """What the run and the pipeline set, as one configuration."""
        given: dict[str, Any] = {}
        for config in (getattr(definition, "config", None), self._pipeline_config):
            for item in fields(config) if config is not None else ():
                if (value := getattr(config, item.name)) is not INHERIT:
                    given[item.name] = value
        return PipelineConfig(**given) if given else None

    def _work(self, compiled: CompiledPlate, results: Mapping[str, Results]) -> Work:
        layout = self.layout
        facts = GroupContext(
            plate=layout.name,
            voxel_size_um=layout.voxel_size_um,
            positions_um=dict(layout.positions_um),
            channels=tuple(channel.name for channel in layout.channels),
        )
        backends = {name: self._registry[name] for name in dict.fromkeys([self._read_from, *results])}
        return Work(backends, self._read_from, self.plate_path, results, compiled.steps, facts, compiled.gpus)

    @staticmethod
    def _writers(files: FileManager, results: Mapping[str, Results]) -> list[ResultWriter]:
        """Results opened in all backends, or all their reasons why not."""
        writers, problems = [], []
        for name, item in results.items():
            try:
                writers.append(files.open_results(item, name))
            except OpenHCSError as error:
                problems.append(f"save_to '{name}': {error}")
        if problems:
            raise CompileError(problems)
        return writers

    @staticmethod
    def _found(writers: Sequence[ResultWriter], compiled: CompiledPlate) -> set[str]:
        """Wells that every backend has already."""
        found = set(compiled.contexts)
        for writer in writers:
            found &= writer.finished_wells()
        return found


def steps_of(definition: Pipeline | Sequence[FunctionStep]) -> list[FunctionStep]:
    """The steps of a pipeline, in whatever form it is given."""
    return list(getattr(definition, "steps", None) or definition)  # type: ignore[arg-type]


def _question(cancelled: Cancelled | None) -> Callable[[], bool]:
    if cancelled is None:
        return lambda: False
    return cancelled.is_set if isinstance(cancelled, threading.Event) else cancelled

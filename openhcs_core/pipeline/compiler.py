"""The compiler: a pipeline and a plate become a plan for each well, or a list of everything that is wrong."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from openhcs_core.errors import OpenHCSError
from openhcs_core.functions import spec_of
from openhcs_core.pipeline.blocks import blocks
from openhcs_core.pipeline.config import Effective, GlobalPipelineConfig, StepConfig
from openhcs_core.pipeline.errors import CompileError
from openhcs_core.pipeline.gpu import gpu_count
from openhcs_core.pipeline.grouping import ResolvedStep, Source, alike, well_calls
from openhcs_core.pipeline.memory import WORKER_BYTES, available_bytes
from openhcs_core.pipeline.plan import FROM_PLATE, Block, CompiledPlate, StepPlan, WellContext, WellPlan
from openhcs_core.pipeline.resolve import PLANE_KINDS, Resolver, listed
from openhcs_core.pipeline.step import FunctionStep
from openhcs_core.pipeline.viewing import StreamingConfig, effective_viewer, listed_viewers
from openhcs_core.plate import PlateLayout
from openhcs_core.plugins import viewer as viewer_named

ELSEWHERE = (
    "Nothing is shown in viewers: the workers of this executor are elsewhere (executor_address), and images reach "
    "viewers from workers of this machine only."
)


def compile_pipeline(
    layout: PlateLayout,
    steps: Sequence[FunctionStep],
    config: Effective[GlobalPipelineConfig],
    *,
    wells: Sequence[str] | None = None,
    backend_problem: Callable[[str], str | None] | None = None,
    gpus: int | None = None,
    available: int | None = None,
) -> CompiledPlate:
    """Decide everything about a run before a pixel is read.

    Parameters
    ----------
    layout : PlateLayout
    steps : sequence of FunctionStep
    config : Effective of GlobalPipelineConfig
    wells : sequence of str, optional
        Only these; those of the configuration unless given.
    backend_problem : callable, optional
        Given the name of a backend that results go to; returns why it cannot take them, or None.
    gpus : int, optional
        How many GPUs there are; found out unless given.
    available : int, optional
        Memory for all workers, in bytes; that of the configuration, else what is free, unless given.

    Raises
    ------
    CompileError
        With all problems.
    """
    return _Compiler(layout, steps, config, gpus, available).compile(wells, backend_problem)


def file_safe(name: str) -> str:
    """A name as a file system may write it that knows no case and few characters."""
    return re.sub(r"[^a-z0-9.-]+", "_", name.casefold())


class _Compiler:
    def __init__(
        self,
        layout: PlateLayout,
        steps: Sequence[FunctionStep],
        config: Effective[GlobalPipelineConfig],
        gpus: int | None,
        available: int | None,
    ) -> None:
        self._layout, self._steps, self._effective, self._config = layout, steps, config, config.value
        self._gpus, self._available = gpus, available
        self._problems: dict[str, list[str]] = {}  # each with the wells where it is found; none if everywhere
        self._notes: list[str] = []
        self._resolver = Resolver(layout, steps, self._problem, self._notes.append)

    def compile(
        self, wells: Sequence[str] | None, backend_problem: Callable[[str], str | None] | None
    ) -> CompiledPlate:
        chosen = self._wells(wells)
        if not self._steps:
            self._problem("The pipeline has no steps.")
        self._check_names()
        resolved = [self._resolver.resolve(step, self._step_config(step).value) for step in self._steps]
        plans = [self._step_plan(number, step, resolved[number]) for number, step in enumerate(self._steps)]
        if resolved and None not in resolved and not any(plan.saved for plan in plans):
            self._problem("Nothing of this pipeline is saved: leave out save=False at one step at least.")
        self._check_backends(plans, backend_problem)
        gpus = self._check_gpus(plans)
        contexts = self._contexts(chosen, resolved, plans)
        workers = max(1, min(self._config.num_workers, len(chosen)))
        available = self._available or self._memory()
        needed = self._check_memory(contexts, workers, available)
        if self._problems:
            raise CompileError([self._text(problem, places, chosen) for problem, places in self._problems.items()])
        return CompiledPlate(
            self._layout, tuple(plans), contexts, workers, gpus, workers * needed, available, tuple(self._notes)
        )

    def _memory(self) -> int:
        """What all workers have; very much where they are elsewhere, with limits of their own."""
        if self._config.executor_address is not None and self._config.memory_limit_mb is None:
            return 1 << 62
        return available_bytes(self._config.memory_limit_mb)

    # What is asked once

    def _problem(self, text: str, wells: Sequence[str] = ()) -> None:
        self._problems.setdefault(text, []).extend(wells)

    @staticmethod
    def _text(problem: str, wells: Sequence[str], chosen: Sequence[str]) -> str:
        if not wells or len(wells) == len(chosen):
            return problem
        listed = ", ".join(wells[:8]) + (f" and {len(wells) - 8} more" if len(wells) > 8 else "")
        return f"{problem} (in {listed})"

    def _wells(self, wells: Sequence[str] | None) -> list[str]:
        wanted = wells if wells is not None else self._config.wells
        if wanted is None:
            if not self._layout.planes:
                self._problem("The plate has no wells with images.")
            return self._layout.wells
        absent = [well for well in wanted if well not in self._layout.planes]
        if absent:
            there = listed(self._layout.wells)
            self._problem(f"The plate has no well {', '.join(absent)}. It has {there}.")
        if not wanted:
            self._problem("No well is chosen.")
        return [well for well in self._layout.wells if well in set(wanted)]

    def _check_names(self) -> None:
        found: dict[str, list[int]] = {}
        for number, step in enumerate(self._steps):
            found.setdefault(file_safe(step.name), []).append(number)
        for numbers in found.values():
            if len(numbers) > 1:
                names = " and ".join(f"'{self._steps[number].name}'" for number in numbers)
                places = " and ".join(str(number + 1) for number in numbers)
                self._problem(f"The steps {places} would save under the same name ({names}): rename one.")

    def _check_backends(self, plans: Sequence[StepPlan], backend_problem: Callable[[str], str | None] | None) -> None:
        for plan in plans:
            if plan.saved and not plan.save_to:
                self._problem(f"{plan.name}: 'save_to' is empty, so that its results would be lost; use save=False.")
        names = dict.fromkeys(name for plan in plans if plan.saved for name in plan.save_to)
        for name in names if backend_problem else ():
            problem = backend_problem(name)  # type: ignore[misc]
            if problem:
                self._problem(problem)

    def _check_gpus(self, plans: Sequence[StepPlan]) -> tuple[int, ...]:
        wanting = [plan.name for plan in plans if _uses_gpu(plan)]
        if not wanting:
            return ()
        there = gpu_count() if self._gpus is None else self._gpus
        if not there:
            self._problem(
                f"{', '.join(wanting)}: there is no GPU that CuPy can use on this machine. "
                "Take the functions of the same name for NumPy."
            )
            return ()
        chosen = self._config.gpus if self._config.gpus is not None else tuple(range(there))
        absent = [gpu for gpu in chosen if gpu >= there]
        if absent or not chosen:
            self._problem(f"gpus: there are {there} GPUs, numbered from 0; {list(chosen)} cannot be used.")
        return tuple(chosen)

    def _step_config(self, step: FunctionStep) -> Effective[StepConfig]:
        return Effective(StepConfig, [("the step", step.config), ("run", self._config)])

    def _step_plan(self, number: int, step: FunctionStep, resolved: ResolvedStep | None) -> StepPlan:
        effective = self._step_config(step)
        save_to = tuple(effective.value.save_to)
        if resolved is None:
            return StepPlan(step.name, (), saved=() if step.save is False else PLANE_KINDS, save_to=save_to)
        chains = tuple(
            tuple((spec.function, dict(parameters)) for spec, parameters, _ in chain.functions)
            for chain in resolved.chains
        )
        taken = self._resolver.taken
        default = tuple(kind for kind in resolved.kinds if kind != "image" or (number, kind) not in taken)
        saved = {True: resolved.kinds, False: (), None: default}[step.save]
        origins = {
            name: self._effective.origin(name) if origin == "run" else origin
            for name, origin in effective.origins.items()
        }
        source = self._described(resolved.source)
        plan = StepPlan(step.name, chains, source, resolved.variable, resolved.kinds, saved, save_to, origins)
        return self._with_viewers(step, plan)

    def _with_viewers(self, step: FunctionStep, plan: StepPlan) -> StepPlan:
        """The plan of a step with the viewers that it asks for."""
        viewers: list[Effective[StreamingConfig]] = []
        for config in listed_viewers(step.stream_to, step.name):
            found = effective_viewer(config, self._effective.levels)
            if found.value.port is None:
                try:
                    found.value = replace(found.value, port=viewer_named(found.value.viewer).port)
                except OpenHCSError as error:
                    self._problem(f"{step.name}: stream_to: {error}")
            viewers.append(found)
        shown = tuple(viewer.value for viewer in viewers)
        try:
            listed_viewers(shown, f"{step.name}: stream_to")
        except OpenHCSError as error:
            self._problem(str(error))
        streamed = tuple(kind for kind in plan.kinds if kind in PLANE_KINDS) if shown else ()
        if shown and not streamed:
            self._problem(f"{step.name}: it gives tables only, which viewers do not show: take 'stream_to' out.")
        if shown and self._config.executor_address is not None and ELSEWHERE not in self._notes:
            self._notes.append(ELSEWHERE)
        return replace(
            plan, stream_to=shown, stream_origins=tuple(viewer.origins for viewer in viewers), streamed=streamed
        )

    def _described(self, source: Source) -> str:
        giver = "the plate" if source.step == FROM_PLATE else f"{source.kind} of '{self._steps[source.step].name}'"
        return giver + (f", channel {source.channel}" if source.channel else "")

    # Wells

    def _contexts(
        self, chosen: Sequence[str], resolved: Sequence[ResolvedStep | None], plans: Sequence[StepPlan]
    ) -> dict[str, WellContext]:
        apart = any(step is not None and step.names_wells for step in resolved)
        contexts: dict[str, WellContext] = {}
        for planes, wells in alike(self._layout.planes, chosen, apart):
            calls = well_calls(wells[0], planes, resolved, functools.partial(self._problem, wells=wells))
            made: list[Block] = []
            if None not in resolved:
                made = blocks(calls, plans, self._layout.size_yx, self._layout.dtype)
            plan = WellPlan(tuple(made))
            contexts |= {well: WellContext(well, plan) for well in wells}
        return {well: contexts[well] for well in chosen}

    def _check_memory(self, contexts: Mapping[str, WellContext], workers: int, available: int) -> int:
        """Bytes that one worker needs; a problem if there is not enough for all of them."""
        needed = WORKER_BYTES + max((context.plan.bytes for context in contexts.values()), default=0)
        if workers * needed > available:
            most = available // needed
            advice = f"at most {most} workers have room; set num_workers" if most else "select less at a time"
            self._problem(
                f"Not enough memory: {workers} workers need about {workers * needed / 1e6:.0f} MB "
                f"({needed / 1e6:.0f} MB each), and there are {available / 1e6:.0f} MB: {advice}, or memory_limit_mb."
            )
        return needed


def _uses_gpu(plan: StepPlan) -> bool:
    return any(spec_of(function).memory_type == "cupy" for chain in plan.chains for function, _ in chain)

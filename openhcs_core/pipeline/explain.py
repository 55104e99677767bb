"""The plan of a run as text, for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from openhcs_core.functions import spec_of
from openhcs_core.pipeline.config import Effective, GlobalPipelineConfig
from openhcs_core.pipeline.plan import FROM_PLATE, Call, CompiledPlate, StepPlan, Value, WellPlan


def explain(compiled: CompiledPlate, config: Effective[GlobalPipelineConfig] | None = None) -> str:
    """What is going to be done, step by step.

    Parameters
    ----------
    compiled : CompiledPlate
    config : Effective of GlobalPipelineConfig, optional
        To say where the settings come from.
    """
    return "\n".join([*_plate(compiled), "", *_steps(compiled), *_wells(compiled), "", *_resources(compiled, config)])


def _plate(compiled: CompiledPlate) -> Iterator[str]:
    layout = compiled.layout
    channels = ", ".join(f"{number} {channel.name}" for number, channel in enumerate(layout.channels, 1))
    height, width = layout.size_yx
    planes = sum(len(layout.planes[well]) for well in compiled.contexts)
    yield f"Plate {layout.name}: {len(compiled.contexts)} of {len(layout.planes)} wells, {planes} planes"
    yield f"  {height} x {width} pixels, {layout.dtype}; channels {channels}"


def _steps(compiled: CompiledPlate) -> Iterator[str]:
    example = max(compiled.contexts.values(), key=lambda context: context.plan.calls, default=None)
    calls = [call for block in example.plan.blocks for call in block.calls] if example else []
    for number, step in enumerate(compiled.steps):
        yield f"{number + 1}. {step.name}"
        mine = [call for call in calls if call.step == number]
        taken = len({value for call in mine for value in call.inputs})
        given = len({address for call in mine for address in call.outputs})
        yield f"   takes   {step.source}: {taken} planes of a well, in {len(mine)} calls"
        for place, chain in enumerate(step.chains):
            if len(step.chains) > 1:
                used = [call for call in mine if call.chain == place]
                yield f"   of {', '.join(sorted({_channel(call) for call in used}))}:"
            for position, (function, parameters) in enumerate(chain):
                yield f"   {'calls' if not position else 'then':7} {_function(function, parameters)}"
        arrays = sorted({f"{item.parameter} = {_giver(compiled, item.values[0])}" for c in mine for item in c.arrays})
        if arrays:
            yield f"   with    {'; '.join(arrays)}"
        planes = f" ({given} planes of a well)" if set(step.kinds) - {"table"} else ""
        yield f"   gives   {', '.join(step.kinds)}{planes}"
        if step.saved:
            origin = step.origins.get("save_to", "")
            yield f"   saves   {', '.join(step.saved)} as '{step.name}' to {', '.join(step.save_to)} (by {origin})"
        for config, origins in zip(step.stream_to, step.stream_origins, strict=True):
            told = [f"{name} by {origin}" for name, origin in origins.items() if origin != "the default"]
            where = config.endpoint.removeprefix("tcp://")
            by = "; ".join(told) or "defaults"
            yield f"   shows   {', '.join(step.streamed)} in {config.viewer} at {where} ({by})"
            yield from (f"           {component}: {mode}" for component, mode in config.display.items())
        if any(spec_of(function).axes != "YX" for chain in step.chains for function, _ in chain):
            yield f"   stacks  {', '.join(step.variable)} (by {step.origins.get('variable_components', '')})"


def _function(function: Any, parameters: Any) -> str:
    spec = spec_of(function)
    given = ", ".join(f"{name}={value!r}" for name, value in parameters.items())
    return f"{spec.name}({given}) on {spec.axes}, {spec.memory_type}"


def _channel(call: Call) -> str:
    channels = sorted({value.address.channel for value in call.inputs})
    return f"channel {', '.join(map(str, channels))}"


def _giver(compiled: CompiledPlate, value: Value) -> str:
    return "the plate" if value.step == FROM_PLATE else f"{value.kind} of '{compiled.steps[value.step].name}'"


def _wells(compiled: CompiledPlate) -> Iterator[str]:
    plans: dict[int, tuple[WellPlan, list[str]]] = {}
    for well, context in compiled.contexts.items():
        plans.setdefault(id(context.plan), (context.plan, []))[1].append(well)
    for plan, wells in plans.values():
        shown = ", ".join(wells[:6]) + (f" and {len(wells) - 6} more" if len(wells) > 6 else "")
        yield ""
        yield f"Wells {shown}: {plan.calls} calls in {len(plan.blocks)} independent blocks, one after the other"
        sizes = Counter((len(block.calls), block.bytes) for block in plan.blocks)
        for (calls, size), count in sizes.items():
            yield f"  {count} blocks of {calls} calls, about {size / 1e6:.0f} MB"
        moves = sum(_moves(block.calls, compiled.steps) for block in plan.blocks)
        if moves:
            yield f"  {moves} planes are copied between host and GPU"


def _moves(calls: tuple[Call, ...], steps: tuple[StepPlan, ...]) -> int:
    """Planes that change between host and GPU in the calls of a block, as the worker does it: when first needed."""
    where: dict[Value, set[str]] = {}
    moves = 0

    def need(value: Value, memory: str) -> None:
        nonlocal moves
        places = where.setdefault(value, {"numpy"})
        moves += memory not in places
        places.add(memory)

    for call in calls:
        step = steps[call.step]
        specs = [spec_of(function) for function, _ in step.chains[call.chain]]
        for value in call.inputs:
            need(value, specs[0].memory_type)
        for item in call.arrays:
            for value in item.values:
                need(value, specs[item.position].memory_type)
        inside = zip(specs, specs[1:], strict=False)
        moves += sum(len(call.outputs) for before, after in inside if before.memory_type != after.memory_type)
        for kind in step.kinds:
            for address in call.outputs:
                where[Value(call.step, kind, address)] = {specs[-1].memory_type}
                if step.keeps(kind):
                    need(Value(call.step, kind, address), "numpy")
    return moves


def _resources(compiled: CompiledPlate, config: Effective[GlobalPipelineConfig] | None) -> Iterator[str]:
    each = compiled.bytes // compiled.workers
    yield f"{compiled.workers} workers, about {each / 1e6:.0f} MB each; {compiled.available / 1e6:.0f} MB are there"
    for worker in range(compiled.workers) if compiled.gpus else ():
        yield f"  worker {worker + 1}: GPU {compiled.gpus[worker % len(compiled.gpus)]} first"
    if config is not None:
        told = [f"{name} by {origin}" for name, origin in config.origins.items() if origin != "the default"]
        yield f"Settings: {'; '.join(told) or 'the defaults'}"
    for note in compiled.notes:
        yield f"Note: {note}"

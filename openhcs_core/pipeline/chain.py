"""A call of the plan: a chain of functions over the planes of a group."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from openhcs_core.errors import OpenHCSError
from openhcs_core.functions import FunctionSpec, GroupContext, spec_of
from openhcs_core.pipeline.gpu import cupy
from openhcs_core.pipeline.grouping import reduces
from openhcs_core.pipeline.plan import Call, StepPlan, Value
from openhcs_core.plate import COMPONENTS, PlaneAddress

TABLE_COLUMNS = dict(zip(COMPONENTS, ("Well", "Site", "Channel", "Z", "Timepoint"), strict=True))
"""Columns that say what a row of a table belongs to."""


class FunctionResultError(OpenHCSError):
    """A function returned something else than it was declared to."""


@dataclass
class ChainResult:
    """What a call gave.

    Attributes
    ----------
    planes : dict of str to list of array, (Y, X)
        By kind; for each address of `Call.outputs`.
    tables : list of (mapping of column to value, mapping of column to sequence)
        Which components the rows belong to, and the rows.
    """

    planes: dict[str, list[Any]] = field(default_factory=dict)
    tables: list[tuple[dict[str, Any], Mapping[str, Sequence[Any]]]] = field(default_factory=list)


def run_chain(step: StepPlan, call: Call, context: GroupContext, get: Callable[[Value, str], Any]) -> ChainResult:
    """Carry out a call.

    Parameters
    ----------
    step : StepPlan
    call : Call
    context : GroupContext
        With the facts of the plate; addresses are put in. Its first address names the well.
    get : callable
        Given a value and a memory type ("numpy", "cupy"), returns the plane.

    Raises
    ------
    FunctionResultError
        If a function gives something else than it was declared to. What functions raise passes through.
    """
    well = context.addresses[0].well
    addresses = [value.address._replace(well=well) for value in call.inputs]
    chain = step.chains[call.chain]
    memory = spec_of(chain[0][0]).memory_type
    planes: list[Any] = [get(value, memory) for value in call.inputs]
    lead, stack = call.lead, None
    fixed, reduced = call.fixed, False
    for position, (function, parameters) in enumerate(chain):
        spec = spec_of(function)
        arrays = {
            item.parameter: [get(value, spec.memory_type) for value in item.values]
            for item in call.arrays
            if item.position == position
        }
        if spec.memory_type != memory:
            memory = spec.memory_type
            planes, stack = [converted(plane, memory) for plane in planes], None
        group = replace(context, addresses=tuple(addresses))
        result = ChainResult()
        if spec.axes == "YX":
            _each_plane(spec, parameters, planes, arrays, group, fixed if reduced else COMPONENTS, to=result)
            stack = None
        else:
            shape = lead if len(spec.axes) == 4 else (len(planes),)
            if stack is None or stack.shape[: len(shape)] != shape:
                stack = _stacked(planes, shape)
            stacks = {parameter: _stacked(values, shape) for parameter, values in arrays.items()}
            stack = _at_once(spec, parameters, stack, stacks, shape, group, fixed, to=result)
            if reduces(spec):
                addresses, lead, reduced = addresses[:1], (1,) * len(lead), True
        if position < len(chain) - 1:
            kind = "image" if "image" in result.planes else "labels"
            planes = result.planes[kind]
    return result


def converted(plane: Any, memory: str) -> Any:
    """An array in the memory of the host ("numpy") or of the GPU ("cupy"); itself if it is there."""
    if memory == "cupy":
        return cupy().asarray(plane)
    return plane.get() if hasattr(plane, "get") else plane


def _each_plane(
    spec: FunctionSpec,
    parameters: Mapping[str, Any],
    planes: Sequence[Any],
    arrays: Mapping[str, Sequence[Any]],
    group: GroupContext,
    fixed: Sequence[str],
    *,
    to: ChainResult,
) -> None:
    for number, plane in enumerate(planes):
        address = group.addresses[number]
        given = {parameter: values[number] for parameter, values in arrays.items()}
        if spec.context:
            given["context"] = replace(group, addresses=(address,))
        outputs = _outputs(spec, spec.function(plane, **parameters, **given))
        for kind, output in outputs.items():
            if kind == "table":
                to.tables.append((_columns(address, fixed), _table(spec, output)))
            else:
                _check_plane(spec, kind, output, 2)
                to.planes.setdefault(kind, []).append(output)


def _at_once(
    spec: FunctionSpec,
    parameters: Mapping[str, Any],
    stack: Any,
    arrays: Mapping[str, Any],
    shape: tuple[int, ...],
    group: GroupContext,
    fixed: Sequence[str],
    *,
    to: ChainResult,
) -> Any:
    """Call a function with a stack; return what its next one in the chain may take as a stack, if there is such."""
    given: dict[str, Any] = dict(arrays)
    if spec.context:
        given["context"] = group
    outputs = _outputs(spec, spec.function(stack, **parameters, **given))
    following = None
    for kind, output in outputs.items():
        if kind == "table":
            to.tables.append((_columns(group.addresses[0], fixed), _table(spec, output)))
            continue
        _check_plane(spec, kind, output, None)
        if reduces(spec):
            if any(size != 1 for size in output.shape[:-2]):
                raise FunctionResultError(f"{spec.name} gave an array {output.shape}, not one plane (Y, X).")
            to.planes[kind] = [output.reshape(output.shape[-2:])]
            continue
        if output.shape[:-2] != shape:
            raise FunctionResultError(
                f"{spec.name} gave an array {output.shape} for {stack.shape}: it must keep the axes before Y and X."
            )
        to.planes[kind] = list(output.reshape(-1, *output.shape[-2:]))
        if following is None or kind == "image":
            following = output
    return following


def _outputs(spec: FunctionSpec, returned: Any) -> dict[str, Any]:
    values = returned if len(spec.outputs) > 1 else (returned,)
    if not isinstance(values, (tuple, list)) or len(values) != len(spec.outputs):
        raise FunctionResultError(f"{spec.name} is to return {', '.join(spec.outputs)}, but returned {type(returned)}.")
    return dict(zip(spec.outputs, values, strict=True))


def _check_plane(spec: FunctionSpec, kind: str, output: Any, dimensions: int | None) -> None:
    shape, dtype = getattr(output, "shape", None), getattr(output, "dtype", None)
    if shape is None or dtype is None or len(shape) < 2 or (dimensions and len(shape) != dimensions):
        raise FunctionResultError(f"{spec.name} is to return an {kind} array (Y, X), but returned {shape or output!r}.")
    if kind == "labels" and dtype.kind not in "iu":
        raise FunctionResultError(f"{spec.name} is to return labels, which are whole numbers, but returned {dtype}.")


def _table(spec: FunctionSpec, output: Any) -> Mapping[str, Sequence[Any]]:
    if not isinstance(output, Mapping):
        raise FunctionResultError(f"{spec.name} is to return a table (a mapping of columns), not {type(output)}.")
    columns = {str(name): list(converted(values, "numpy")) for name, values in output.items()}
    if len({len(values) for values in columns.values()}) > 1:
        raise FunctionResultError(f"{spec.name} returned a table with columns of different lengths.")
    return columns


def _columns(address: PlaneAddress, fixed: Sequence[str]) -> dict[str, Any]:
    return {TABLE_COLUMNS[name]: getattr(address, name) for name in COMPONENTS if name in fixed}


def _stacked(planes: Sequence[Any], shape: tuple[int, ...]) -> Any:
    stack = np.stack(planes) if isinstance(planes[0], np.ndarray) else cupy().stack(planes)
    return stack.reshape(*shape, *stack.shape[-2:])

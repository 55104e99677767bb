"""Steps with everything that does not depend on a well: where planes come from, functions, parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from openhcs_core.functions import FunctionError, FunctionSpec, check_parameters, spec_of
from openhcs_core.pipeline.config import StepConfig
from openhcs_core.pipeline.grouping import ResolvedStep, Source, StepChain
from openhcs_core.pipeline.plan import FROM_PLATE
from openhcs_core.pipeline.step import GROUP_BY, PLATE, FunctionStep, StepOutput, calls_of
from openhcs_core.plate import PlateLayout

PLANE_KINDS = ("image", "labels")


class Resolver:
    """Resolves the steps of a pipeline, in their order.

    Parameters
    ----------
    layout : PlateLayout
    steps : sequence of FunctionStep
    problem, note : callable
        Told what is wrong, and what people should know.

    Attributes
    ----------
    taken : set of (number of the step, kind)
        Outputs that steps take up.
    """

    def __init__(
        self,
        layout: PlateLayout,
        steps: Sequence[FunctionStep],
        problem: Callable[[str], None],
        note: Callable[[str], None],
    ) -> None:
        self._layout, self._steps, self._tell, self._note = layout, steps, problem, note
        self._problems = 0
        self._kinds: list[tuple[str, ...] | None] = []  # of each step so far; None while it has problems
        self._components: dict[str, set[Any]] = {}
        self.taken: set[tuple[int, str]] = set()

    def resolve(self, step: FunctionStep, config: StepConfig) -> ResolvedStep | None:
        """The next step; None, and problems are told, if that cannot be."""
        number, before = len(self._kinds), self._problems
        source = self._source(number, step)
        select = {
            component: self._values(step, f"select {component}", component, values)
            for component, values in step.select.items()
        }
        group_by = step.group_by or GROUP_BY
        chains: list[StepChain] = []
        kinds: dict[str, None] = {}
        for key, calls in calls_of(step.func).items():
            keys = None if key is None else self._values(step, "func", group_by, [key])
            chain = self._chain(number, step, calls, config.variable_components)
            if chain is not None:
                chains.append(StepChain(keys, chain))
                kinds.update(dict.fromkeys(chain[-1][0].outputs))
        if self._problems > before or source is None or len(chains) < len(calls_of(step.func)):
            self._kinds.append(None)
            return None
        self._kinds.append(tuple(kinds))
        return ResolvedStep(step.name, source, select, group_by, config.variable_components, chains, tuple(kinds))

    def _problem(self, text: str) -> None:
        self._problems += 1
        self._tell(text)

    def _source(self, number: int, step: FunctionStep) -> Source | None:
        """Where the planes of a step come from; None if that is unknown."""
        if isinstance(step.input_source, StepOutput):
            return self._output(number, step, "input_source", step.input_source)
        if step.input_source == PLATE or number == 0:
            return Source(FROM_PLATE, "image")
        kinds = self._kinds[number - 1]
        if kinds is None:
            return None
        for kind in PLANE_KINDS:
            if kind in kinds:
                self.taken.add((number - 1, kind))
                return Source(number - 1, kind)
        self._problem(
            f"{step.name}: the step before, '{self._steps[number - 1].name}', gives only a table. "
            "Say with input_source where the planes come from."
        )
        return None

    def _output(self, number: int, step: FunctionStep, what: str, output: StepOutput) -> Source | None:
        channels = None
        if output.channel is not None:
            channels = self._values(step, what, "channel", [output.channel])
        channel = next(iter(channels)) if channels else None
        if output.step == PLATE:
            return Source(FROM_PLATE, "image", channel)
        names = [other.name for other in self._steps]
        if output.step not in names[:number]:
            if output.step in names:
                reason = f"the step '{output.step}' is not before it"
            else:
                reason = f"there is no step '{output.step}'; steps before it: {', '.join(names[:number]) or 'none'}"
            self._problem(f"{step.name}: {what} cannot be {output!r}: {reason}.")
            return None
        giver = names.index(output.step)
        given = self._kinds[giver]
        if given is None:
            return None
        kinds = [kind for kind in given if kind in PLANE_KINDS]
        if output.kind is None and len(kinds) > 1:
            self._problem(
                f"{step.name}: {what}: '{output.step}' gives {' and '.join(kinds)}; "
                "say which is meant with StepOutput(..., kind=...)."
            )
            return None
        if not kinds or (output.kind or kinds[0]) not in kinds:
            self._problem(
                f"{step.name}: {what}: '{output.step}' gives no {output.kind or 'planes'}, only {', '.join(given)}."
            )
            return None
        kind = output.kind or kinds[0]
        self.taken.add((giver, kind))
        return Source(giver, kind, channel)

    def _values(self, step: FunctionStep, what: str, component: str, values: Sequence[Any]) -> set[Any]:
        """Values of a component as addresses have them; what the plate has not is a problem."""
        there = self._there(component)
        names = [channel.name for channel in self._layout.channels]
        found = set()
        for value in values:
            number = value
            if component == "channel" and isinstance(value, str):
                if value in names:
                    number = names.index(value) + 1
                    if names.count(value) > 1:
                        self._problem(f"{step.name}: {what}: several channels are called '{value}'; give the number.")
                elif value.isdecimal():
                    number = int(value)
            if number in there:
                found.add(number)
                continue
            shown = listed(sorted(there))
            if component == "channel":
                shown += f" ({', '.join(names)})"
            self._problem(f"{step.name}: {what}: the plate has no {component} {value!r}; it has {shown}.")
        return found

    def _there(self, component: str) -> set[Any]:
        if component == "well":
            return set(self._layout.planes)
        if component not in self._components:
            self._components[component] = {
                getattr(address, component) for planes in self._layout.planes.values() for address in planes
            }
        return self._components[component]

    def _chain(
        self,
        number: int,
        step: FunctionStep,
        calls: Sequence[tuple[Callable[..., Any], Mapping[str, Any]]],
        variable: Sequence[str],
    ) -> list[tuple[FunctionSpec, Mapping[str, Any], Mapping[str, Source]]] | None:
        """The functions of a chain with parameters and sources of arrays; None, and problems, if it cannot be."""
        chain: list[tuple[FunctionSpec, Mapping[str, Any], Mapping[str, Source]]] = []
        fine = True
        for position, (function, parameters) in enumerate(calls):
            try:
                spec = spec_of(function)
            except FunctionError as error:
                self._problem(f"{step.name}: {error}")
                fine = False
                continue
            self._check_function(step, spec, position == len(calls) - 1, variable)
            found = check_parameters(spec, parameters)
            for problem in found:
                self._problem(f"{step.name}: {problem}")
            plain, sources = {}, {}
            for name, value in parameters.items():
                what = f"'{name}' of {function.__name__}"
                if isinstance(value, StepOutput) and name in spec.inputs:
                    source = self._output(number, step, what, value)
                    fine = fine and source is not None
                    if source is not None:
                        sources[name] = source
                elif isinstance(value, StepOutput):
                    if not any(f"'{name}'" in problem for problem in found):
                        self._problem(f"{step.name}: {what} takes a value, not the output of a step.")
                elif name in spec.inputs and value is not None:
                    self._problem(
                        f"{step.name}: {what} takes the output of an earlier step, such as "
                        f"StepOutput('name of the step'), not {value!r}."
                    )
                else:
                    plain[name] = value
            chain.append((spec, plain, sources))
        return chain if fine else None

    def _check_function(self, step: FunctionStep, spec: FunctionSpec, last: bool, variable: Sequence[str]) -> None:
        name = spec.function.__name__
        if len(set(spec.outputs)) < len(spec.outputs):
            self._problem(f"{step.name}: {name} gives two outputs of a kind, which could not be told apart.")
        if not last and not set(PLANE_KINDS) & set(spec.outputs):
            self._problem(
                f"{step.name}: {name} gives only a table, so that nothing can follow it in a chain. "
                "Put it last, or make it a step of its own."
            )
        elif not last and "table" in spec.outputs:
            self._note(f"{step.name}: the table of {name} is not kept, since another function follows it.")
        if len(spec.axes) == 4 and len(variable) != 2:
            self._problem(
                f"{step.name}: {name} takes the axes {spec.axes}; give the two components of {spec.axes[:2]} as "
                f"variable_components, such as ['channel', 'z_index'], not {list(variable)}."
            )
        if len(spec.axes) == 3 and not variable:
            self._problem(f"{step.name}: {name} takes stacks ({spec.axes}), but variable_components is empty.")


def listed(values: Sequence[Any]) -> str:
    """Some values for a message."""
    shown = ", ".join(map(str, values[:12]))
    return shown + (f" and {len(values) - 12} more" if len(values) > 12 else "")

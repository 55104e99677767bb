"""Planes of a well into groups, and the calls of all steps over them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from openhcs_core.functions import PLANES_ONE, FunctionSpec
from openhcs_core.pipeline.plan import FROM_PLATE, ArrayInput, Call, Value
from openhcs_core.plate import COMPONENTS, PlaneAddress

NUMBERED = COMPONENTS[1:]
"""Components within a well."""


@dataclass(frozen=True)
class Source:
    """Planes that a step or a parameter takes.

    Attributes
    ----------
    step : int
        Number of the step that gives them, or `FROM_PLATE`.
    kind : {"image", "labels"}
    channel : int, optional
        Only those of this channel.
    """

    step: int
    kind: str
    channel: int | None = None


@dataclass
class StepChain:
    """One chain of a step.

    Attributes
    ----------
    keys : set, optional
        Values of `group_by` that the chain is for; all planes if None.
    functions : list of (FunctionSpec, parameters, mapping of parameter to Source)
    """

    keys: set[Any] | None
    functions: list[tuple[FunctionSpec, Mapping[str, Any], Mapping[str, Source]]]

    @property
    def by_plane(self) -> bool:
        """Whether all functions take single planes, so that there is nothing to stack."""
        return all(spec.axes == "YX" for spec, *_ in self.functions)

    @property
    def gives_one(self) -> bool:
        """Whether a group becomes one plane."""
        return any(reduces(spec) for spec, *_ in self.functions)


@dataclass
class ResolvedStep:
    """A step of which everything is known that does not depend on the well.

    Attributes
    ----------
    name : str
    source : Source
    select : mapping of str to set
        Values of components, in the types of `PlaneAddress`.
    group_by : str
    variable : tuple of str
    chains : list of StepChain
    kinds : tuple of str
        What comes out.
    """

    name: str
    source: Source
    select: Mapping[str, set[Any]]
    group_by: str
    variable: tuple[str, ...]
    chains: list[StepChain]
    kinds: tuple[str, ...]
    names_wells: bool = field(init=False)

    def __post_init__(self) -> None:
        self.names_wells = "well" in self.select or (self.group_by == "well" and self.chains[0].keys is not None)


def reduces(spec: FunctionSpec) -> bool:
    """Whether a function makes one plane of several."""
    return spec.planes == PLANES_ONE and spec.axes != "YX"


def well_calls(
    well: str, planes: Sequence[PlaneAddress], steps: Sequence[ResolvedStep | None], problem: Callable[[str], None]
) -> list[Call]:
    """The calls of all steps for a well, in order of the steps.

    Parameters
    ----------
    well : str
        For steps that are for certain wells only.
    planes : sequence of PlaneAddress
        Of the well, without its name, sorted.
    steps : sequence of ResolvedStep
        None for those with problems: they, and what takes from them, are left out.
    problem : callable
        Told what is wrong.
    """
    return _Well(well, planes, steps, problem).calls()


class _Well:
    def __init__(
        self,
        well: str,
        planes: Sequence[PlaneAddress],
        steps: Sequence[ResolvedStep | None],
        problem: Callable[[str], None],
    ) -> None:
        self._well, self._steps, self._problem = well, steps, problem
        self._given: dict[tuple[int, str], dict[PlaneAddress, Value] | None] = {
            (FROM_PLATE, "image"): {address: Value(FROM_PLATE, "image", address) for address in planes}
        }
        self._named: dict[Source, tuple[dict[PlaneAddress, Value], dict[str, Any]]] = {}

    def calls(self) -> list[Call]:
        made = []
        for number, step in enumerate(self._steps):
            calls = None if step is None else self._step(number, step)
            for kind in ("image", "labels"):
                self._given[number, kind] = None
            if step is None or calls is None:
                continue
            made += calls
            for kind in step.kinds:
                self._given[number, kind] = {
                    address: Value(number, kind, address) for call in calls for address in call.outputs
                }
        return made

    def _step(self, number: int, step: ResolvedStep) -> list[Call] | None:
        """Calls of one step; None if they cannot be known."""
        values = self._of(step.source)
        if values is None:
            return None
        taken = [value for value in values.values() if self._selected(value.address, step)]
        calls: list[Call] = []
        fine = True
        for place, chain in enumerate(step.chains):
            mine = [value for value in taken if chain.keys is None or self._component(value, step) in chain.keys]
            for group in self._groups(mine, step, chain):
                call = self._call(number, step, place, group)
                if call is None:  # one problem of a kind is enough
                    fine = False
                    break
                calls.append(call)
        if not calls and fine and values and not step.names_wells:
            self._problem(f"{step.name}: there are no planes for it; correct 'select' or the keys of 'func'.")
            return None
        return calls if fine else None

    def _of(self, source: Source) -> dict[PlaneAddress, Value] | None:
        values = self._given[source.step, source.kind]
        if values is None or source.channel is None:
            return values
        return {address: value for address, value in values.items() if address.channel == source.channel}

    def _component(self, value: Value, step: ResolvedStep) -> Any:
        return self._well if step.group_by == "well" else getattr(value.address, step.group_by)

    def _selected(self, address: PlaneAddress, step: ResolvedStep) -> bool:
        return all(
            (self._well if component == "well" else getattr(address, component)) in wanted
            for component, wanted in step.select.items()
        )

    @staticmethod
    def _groups(values: list[Value], step: ResolvedStep, chain: StepChain) -> Iterator[list[Value]]:
        if chain.by_plane:
            yield from ([value] for value in values)
            return
        fixed = [component for component in NUMBERED if component not in step.variable]
        groups: dict[tuple[int, ...], list[Value]] = {}
        for value in values:
            groups.setdefault(tuple(getattr(value.address, name) for name in fixed), []).append(value)
        for group in groups.values():
            yield sorted(group, key=lambda value: tuple(getattr(value.address, name) for name in step.variable))

    def _call(self, number: int, step: ResolvedStep, place: int, group: list[Value]) -> Call | None:
        chain = step.chains[place]
        lead: tuple[int, ...] = (len(group),)
        if any(len(spec.axes) == 4 for spec, *_ in chain.functions):
            sizes = [len({getattr(value.address, name) for value in group}) for name in step.variable]
            if len(sizes) != 2 or sizes[0] * sizes[1] != len(group):
                first = _place(group[0].address, [name for name in NUMBERED if name not in step.variable])
                self._problem(
                    f"{step.name}: the planes{first} are no full grid of {' by '.join(step.variable)} "
                    f"({len(group)} planes); leave the incomplete ones out with 'select'."
                )
                return None
            lead = (sizes[0], sizes[1])
        addresses = tuple(value.address for value in group)
        arrays = []
        for position, (spec, _, sources) in enumerate(chain.functions):
            for parameter, source in sources.items():
                values = self._matching(step, spec, parameter, source, addresses)
                if values is None:
                    return None
                arrays.append(ArrayInput(position, parameter, values))
            addresses = addresses[:1] if reduces(spec) else addresses
        fixed = COMPONENTS if chain.by_plane else tuple(name for name in COMPONENTS if name not in step.variable)
        return Call(number, place, tuple(group), lead, tuple(arrays), addresses, fixed)

    def _matching(
        self, step: ResolvedStep, spec: FunctionSpec, parameter: str, source: Source, addresses: Iterable[PlaneAddress]
    ) -> tuple[Value, ...] | None:
        """The planes of another step that belong to some addresses; None, and a problem is told, without them."""
        if source not in self._named:
            values = self._of(source)
            if values is None:
                return None
            only: dict[str, Any] = {}
            for component in NUMBERED:
                found = {getattr(address, component) for address in values}
                if len(found) == 1:
                    only[component] = found.pop()
            self._named[source] = values, only
        values, only = self._named[source]
        matches = []
        for address in addresses:
            match = values.get(address._replace(**only))
            if match is None:
                self._problem(self._mismatch(step, spec, parameter, source, address))
                return None
            matches.append(match)
        return tuple(matches)

    def _mismatch(
        self, step: ResolvedStep, spec: FunctionSpec, parameter: str, source: Source, address: PlaneAddress
    ) -> str:
        giver = "the plate" if source.step == FROM_PLATE else f"'{_name(self._steps[source.step])}'"
        start = f"{step.name}: '{parameter}' of {spec.function.__name__} takes the {source.kind} of {giver}"
        values = self._named[source][0]
        channels = sorted({given.channel for given in values})
        if source.channel is None and len(channels) > 1 and address.channel not in channels:
            listed = ", ".join(map(str, channels))
            return (
                f"{start}, which gives the channels {listed} and not {address.channel}: "
                "say which is meant with StepOutput(..., channel=...)."
            )
        return f"{start}, which gives nothing for{_place(address, NUMBERED)}."


def _name(step: ResolvedStep | None) -> str:
    return step.name if step else "?"


def _place(address: PlaneAddress, components: Iterable[str]) -> str:
    return "".join(f" {name} {getattr(address, name)}" for name in components)


def alike(
    planes: Mapping[str, Sequence[PlaneAddress]], wells: Iterable[str], apart: bool
) -> list[tuple[tuple[PlaneAddress, ...], list[str]]]:
    """Wells with the same planes together: these planes without the name of the well, and the wells.

    Parameters
    ----------
    planes : mapping of str to sequence of PlaneAddress
        Of each well.
    wells : iterable of str
    apart : bool
        Whether each well is for itself.
    """
    found: dict[Any, list[str]] = {}
    for number, well in enumerate(wells):
        key = tuple(address._replace(well="") for address in planes[well])
        found.setdefault((key, number if apart else 0), []).append(well)
    return [(key, names) for (key, _), names in found.items()]

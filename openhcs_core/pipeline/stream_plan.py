"""Which steps are shown by which viewers, and what can be told beforehand about their images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from openhcs_core.functions import spec_of
from openhcs_core.pipeline.plan import StepPlan, WellContext, WellPlan
from openhcs_core.pipeline.resolve import PLANE_KINDS
from openhcs_core.pipeline.viewing import StreamingConfig
from openhcs_core.plate import PlaneAddress, PlateLayout, component_values
from openhcs_core.streaming.backend import channels_of

Key = tuple[str, str]
"""Step and kind: what is one stream."""


@dataclass(frozen=True)
class Look:
    """How viewers show a step.

    Attributes
    ----------
    display : mapping of str to str
        Component to mode.
    lut : str
        Lookup table of all channels; their own colours if empty.
    """

    display: Mapping[str, str]
    lut: str = ""


@dataclass(frozen=True)
class Group:
    """Steps that the same viewers show: what one publisher sends.

    Attributes
    ----------
    viewers : tuple of StreamingConfig
        Empty where the steps do not decide about them.
    looks : mapping of str to Look
        By step.
    kinds : mapping of str to tuple of str
        What is shown of each step.
    """

    viewers: tuple[StreamingConfig, ...]
    looks: Mapping[str, Look]
    kinds: Mapping[str, tuple[str, ...]]


def as_steps_say(steps: Sequence[StepPlan]) -> list[Group]:
    """Groups by the viewers that steps ask for. A step with viewers that show it differently is in several."""
    found: dict[tuple[str, ...], tuple[tuple[StreamingConfig, ...], dict[str, Look]]] = {}
    for step in steps:
        alike: dict[tuple[Any, ...], list[StreamingConfig]] = {}
        for config in step.stream_to:
            alike.setdefault((_lut(config), *sorted(config.display.items())), []).append(config)
        for configs in alike.values():
            places = tuple(sorted(config.endpoint for config in configs))
            look = Look(configs[0].display, _lut(configs[0]))
            found.setdefault(places, (tuple(configs), {}))[1][step.name] = look
    kinds = {step.name: step.streamed for step in steps}
    return [Group(viewers, looks, {name: kinds[name] for name in looks}) for viewers, looks in found.values()]


def all_together(steps: Sequence[StepPlan], everything: bool) -> list[Group]:
    """All steps that ask for viewers in one group, whichever these are; if none does, what is saved of all.

    Parameters
    ----------
    steps : sequence of StepPlan
    everything : bool
        Whether anything is shown if no step asks for it.
    """
    looks: dict[str, Look] = {}
    kinds: dict[str, tuple[str, ...]] = {}
    for step in steps:
        if step.stream_to:
            modes = {name: mode for config in reversed(step.stream_to) for name, mode in config.display.items()}
            looks[step.name] = Look(modes, next(filter(None, map(_lut, step.stream_to)), ""))
            kinds[step.name] = step.streamed
    if not looks and everything:
        for step in steps:
            saved = tuple(kind for kind in step.saved if kind in PLANE_KINDS)
            if saved:
                looks[step.name], kinds[step.name] = Look({}), saved
    return [Group((), looks, kinds)] if looks else []


def given_by(steps: Sequence[StepPlan], plan: WellPlan) -> dict[Key, set[PlaneAddress]]:
    """The planes that each step and kind gives for a well, without its name."""
    given: dict[Key, set[PlaneAddress]] = {}
    for block in plan.blocks:
        for call in block.calls:
            step = steps[call.step]
            for kind in spec_of(step.chains[call.chain][-1][0]).outputs:
                given.setdefault((step.name, kind), set()).update(call.outputs)
    return given


def facts_of(
    group: Group,
    given: Iterable[tuple[WellContext, Mapping[Key, set[PlaneAddress]]]],
    layout: PlateLayout,
    source: Mapping[str, int],
) -> dict[Key, dict[str, Any]]:
    """What `openhcs_core.streaming.backend.StreamingBackend` can tell viewers at the beginning of each stream.

    Parameters
    ----------
    group : Group
    given : iterable of (WellContext, planes)
        The wells of the run in their order, and what comes out for each; see `given_by`.
    layout : PlateLayout
    source : mapping of str to int
        Objects of OMERO.
    """
    wells: dict[Key, dict[str, int]] = {}
    numbers: dict[Key, set[PlaneAddress]] = {}
    for context, planes in given:
        for key, addresses in planes.items():
            wells.setdefault(key, {})[context.well] = len(addresses)
            numbers.setdefault(key, set()).update(addresses)
    facts: dict[Key, dict[str, Any]] = {}
    for step, kinds in group.kinds.items():
        look = group.looks[step]
        for kind in kinds:
            taken = component_values(numbers.get((step, kind), ()))
            counts = wells.get((step, kind), {})
            facts[step, kind] = {
                "values": {**taken, "well": list(counts)},
                "images": sum(counts.values()),
                "display": dict(look.display),
                "channels": channels_of(layout, look.lut),
                "source": dict(source),
            }
    return facts


def _lut(config: StreamingConfig) -> str:
    return getattr(config, "lut", "")

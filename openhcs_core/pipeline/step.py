"""Steps: what a pipeline is made of."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from openhcs_core.functions import FunctionSpec, spec_of
from openhcs_core.pipeline.config import LazyStepConfig, StepConfig, check_component, checked
from openhcs_core.pipeline.errors import PipelineError
from openhcs_core.pipeline.values import INHERIT, plain, shown, written
from openhcs_core.pipeline.viewing import StreamingConfig, listed_viewers

PLATE = "plate"
"""As `input_source`: the planes of the plate, not those of the step before."""

GROUP_BY = "channel"
"""Component that the keys of a dict of functions stand for unless `group_by` says otherwise."""

MAX_NAME = 100
_NO_NAME = re.compile(r'[\x00-\x1f\x7f/\\:*?"<>|]|^\.|^\s|[\s.]$')  # names of steps become names of files

Call = Callable[..., Any] | tuple[Callable[..., Any], Mapping[str, Any]]
Chain = Call | Sequence[Call]
Func = Chain | Mapping[Any, Chain]


@dataclass(frozen=True)
class StepOutput:
    """What another step gives: as a parameter of a function, or as `input_source`.

    Attributes
    ----------
    step : str
        Name of an earlier step.
    kind : {"image", "labels"}, optional
        Which of its outputs; the only one that is no table unless given.
    channel : int or str, optional
        Number or name of its channel; needed where it gives several and none of them is that of the planes at hand.

    Raises
    ------
    PipelineError
        If one of these is something else.
    """

    step: str
    kind: str | None = None
    channel: int | str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.step, str) or not self.step:
            raise PipelineError(f"StepOutput: step must be the name of an earlier step, not {shown(self.step)}.")
        if self.kind not in (None, "image", "labels"):
            raise PipelineError(f"StepOutput: kind must be 'image' or 'labels', not {shown(self.kind)}.")
        if self.channel is not None:
            object.__setattr__(self, "channel", _component_value("channel", self.channel, "StepOutput: channel"))

    def __repr__(self) -> str:
        return written(self)


@dataclass(frozen=True)
class FunctionStep:
    """One step: a function, or several, over all planes of a well.

    Planes which are equal in all but `variable_components` form a group; a function is called once per group, or
    once per plane if it takes planes.

    Attributes
    ----------
    func : callable, (callable, kwargs), list of these, or dict
        One function, one with parameters, a chain of them, or one of all these per value of `group_by`; planes of
        values that the dict does not name are left out.
    name : str
        That of the (last) function unless given; no two steps of a pipeline share one.
    variable_components : sequence of str, optional
    group_by : str, optional
        Component that the keys of a dict are values of; "channel" for a dict. Channels may be given by number or name.
    input_source : "plate", StepOutput or None
        Where planes come from; from the step before unless given, from the plate for the first.
    select : mapping of str to sequence, optional
        Only planes with these values of a component.
    save : bool, optional
        Whether the outputs are results of the run; see `StepConfig.save_to`.
    save_to : sequence of str, optional
    stream_to : StreamingConfig or sequence of them
        Viewers that show all images and labels of the step while they are made, whether they are saved or not.

    Raises
    ------
    PipelineError
        If one of these is something else. Whether functions are registered and parameters fit them, the compiler says.
    """

    func: Func
    name: str = ""
    variable_components: Sequence[str] = INHERIT
    group_by: str | None = None
    input_source: str | StepOutput | None = None
    select: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    save: bool | None = None
    save_to: Sequence[str] = INHERIT
    stream_to: StreamingConfig | Sequence[StreamingConfig] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.name, str):
            raise PipelineError(f"FunctionStep: name must be a text, not {shown(self.name)}.")
        if self.name:
            _check_name(self.name)
        what = f"step '{self.name}'" if self.name else "FunctionStep"
        inherited = {"variable_components": self.variable_components, "save_to": self.save_to}
        normal: dict[str, Any] = checked(StepConfig, inherited, what)
        normal["func"] = _func(self.func, what, self.group_by or GROUP_BY)
        normal["select"] = _select(self.select, what)
        if self.group_by is not None:
            check_component(self.group_by, f"{what}: group_by")
            if not isinstance(self.func, Mapping):
                raise PipelineError(f"{what}: group_by says what the keys of a dict are, but func is no dict.")
        if self.input_source not in (None, PLATE) and not isinstance(self.input_source, StepOutput):
            raise PipelineError(
                f"{what}: input_source must be 'plate' or a StepOutput such as StepOutput('smooth'), "
                f"not {shown(self.input_source)}."
            )
        if self.save is not None and not isinstance(self.save, bool):
            raise PipelineError(f"{what}: save must be True or False, not {shown(self.save)}.")
        normal["stream_to"] = listed_viewers(self.stream_to, f"{what}: stream_to")
        for attribute, value in normal.items():
            object.__setattr__(self, attribute, value)
        if not self.name:
            _check_name(self.default_name)
            object.__setattr__(self, "name", self.default_name)

    def __repr__(self) -> str:
        return written(self)

    @property
    def default_name(self) -> str:
        """Its name unless given: that of the last function; of each, for a dict."""
        names = [getattr(calls[-1][0], "__name__", "") for calls in calls_of(self.func).values()]
        return "_".join(dict.fromkeys(filter(None, names)))[:MAX_NAME]

    @property
    def chains(self) -> dict[Any, list[tuple[FunctionSpec, dict[str, Any]]]]:
        """Functions with their parameters, in order, by value of `group_by`; one entry with key None without a dict.

        Raises
        ------
        FunctionError
            If one was not declared with `openhcs_core.functions.processing_function`.
        """
        return {
            key: [(spec_of(function), parameters) for function, parameters in calls]
            for key, calls in calls_of(self.func).items()
        }

    @property
    def config(self) -> LazyStepConfig:
        """What the step sets of `StepConfig`."""
        given: dict[str, Any] = {"variable_components": self.variable_components, "save_to": self.save_to}
        return LazyStepConfig(**given)


def calls_of(func: Func) -> dict[Any, list[tuple[Callable[..., Any], dict[str, Any]]]]:
    """Functions with their parameters, in order, by key of the dict; one entry with key None without a dict."""
    chosen: Mapping[Any, Any] = func if isinstance(func, Mapping) else {None: func}
    return {
        key: [
            (item[0], dict(item[1])) if isinstance(item, tuple) else (item, {})
            for item in (chain if isinstance(chain, list) else [chain])
        ]
        for key, chain in chosen.items()
    }


def _func(func: Any, what: str, component: str) -> Func:
    if not isinstance(func, Mapping):
        return _chain(func, what)
    if not func:
        raise PipelineError(f"{what}: the dict of functions is empty.")
    keys = [_component_value(component, key, f"{what}: key of func") for key in func]
    return {key: _chain(chain, f"{what}, {component} {key}") for key, chain in zip(keys, func.values(), strict=True)}


def _chain(chain: Any, what: str) -> Chain:
    if not isinstance(chain, list):
        return _call(chain, what)
    if not chain:
        raise PipelineError(f"{what}: the list of functions is empty.")
    return [_call(item, what) for item in chain]


def _call(item: Any, what: str) -> Call:
    if isinstance(item, tuple) and len(item) == 2 and callable(item[0]) and isinstance(item[1], Mapping):
        name = getattr(item[0], "__name__", "function")
        for parameter in item[1]:
            if not isinstance(parameter, str) or not parameter.isidentifier():
                raise PipelineError(f"{what}: {shown(parameter)} is no name of a parameter of {name}.")
        return item[0], plain(item[1], f"{what}: parameters of {name}", leaves=(StepOutput,))
    if callable(item) and not isinstance(item, type):
        return item
    raise PipelineError(
        f"{what}: func must be a function, (function, parameters as a dict), a list of these, "
        f"or a dict of all these; {shown(item)} is none of them."
    )


def _check_name(name: str) -> None:
    if not name or len(name) > MAX_NAME or _NO_NAME.search(name):
        raise PipelineError(
            f"{shown(name)} cannot be the name of a step. Names become names of files: at most {MAX_NAME} "
            'characters, none of / \\ : * ? " < > |, no dot or space at the beginning or the end.'
        )


def _select(select: Any, what: str) -> dict[str, tuple[Any, ...]]:
    if not isinstance(select, Mapping):
        raise PipelineError(f"{what}: select must be a dict such as {{'channel': [1]}}, not {shown(select)}.")
    chosen = {}
    for component, values in select.items():
        check_component(component, f"{what}: select")
        listed = values if isinstance(values, (list, tuple, range)) else [values]
        chosen[component] = tuple(_component_value(component, value, f"{what}: select") for value in listed)
        if not chosen[component]:
            raise PipelineError(f"{what}: select leaves no {component}. Leave '{component}' out for all.")
    return chosen


def _component_value(component: str, value: Any, what: str) -> int | str:
    value = plain(value, what)
    if isinstance(value, str) and value and component in ("well", "channel"):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and value > 0 and component != "well":
        return value
    wanted = {"well": "a name such as 'B03'", "channel": "a number from 1 or a name"}
    raise PipelineError(f"{what}: {shown(value)} is no {component}; it is {wanted.get(component, 'a number from 1')}.")

"""Configurations of pipelines, and what is in effect when several levels set the same."""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from openhcs_core.functions import described, fits
from openhcs_core.pipeline.errors import PipelineError
from openhcs_core.pipeline.values import INHERIT, plain, shown, written
from openhcs_core.plate import COMPONENTS

C = TypeVar("C")


@dataclass(frozen=True, kw_only=True)
class StepConfig:
    """What every step has; the levels above give it where the step does not.

    Attributes
    ----------
    variable_components : tuple of str
        Components whose planes are stacked for one call of a function that takes stacks: some of site, channel,
        z_index and timepoint.
    save_to : tuple of str
        Names of the backends that results go to. What a result is: every table, all labels, and those images that no
        later step takes up, unless a step says otherwise (``save``).

    Raises
    ------
    PipelineError
        If a value makes no sense. Lists, and a single text, are taken where a tuple is wanted.
    """

    variable_components: tuple[str, ...] = ("z_index",)
    save_to: tuple[str, ...] = ("disk",)

    def __post_init__(self) -> None:
        given = {item.name: getattr(self, item.name) for item in dataclasses.fields(self)}
        for name, value in checked(type(self), given, type(self).__name__).items():
            object.__setattr__(self, name, value)


@dataclass(frozen=True, kw_only=True)
class GlobalPipelineConfig(StepConfig):
    """Everything that can be configured, with its defaults.

    Attributes
    ----------
    read_from : str, optional
        Name of the backend that holds the plate; found by the location unless given.
    output : str, optional
        Where results go: a folder for backends on disk; beside the plate unless given.
    wells : tuple of str, optional
        All wells unless given.
    num_workers : int
        Wells that are worked on at a time.
    executor : str
        Name of the executor.
    executor_address : str, optional
        For executors that run elsewhere, such as a scheduler of dask.
    memory_limit_mb : int, optional
        For all workers together; what is free unless given.
    gpus : tuple of int, optional
        GPUs that may be used; all unless given.
    retries : int
        How often a well is tried again whose worker died.
    resume : bool
        Whether wells that an earlier run of the same pipeline has finished are left alone.
    """

    read_from: str | None = None
    output: str | None = None
    wells: tuple[str, ...] | None = None
    num_workers: int = 1
    executor: str = "processes"
    executor_address: str | None = None
    memory_limit_mb: int | None = None
    gpus: tuple[int, ...] | None = None
    retries: int = 1
    resume: bool = True


def lazy(config_class: type[C]) -> type[C]:
    """Make a subclass of a configuration lazy: the same fields, of which those left out are inherited.

    A field counts as set when it is given, whatever its value: `INHERIT` is the default of all.
    """
    inherited = dataclasses.fields(config_class)  # type: ignore[arg-type]
    config_class.__annotations__ = {item.name: item.type for item in inherited}
    for item in inherited:
        setattr(config_class, item.name, INHERIT)
    config_class.__repr__ = written  # type: ignore[method-assign]
    return dataclass(frozen=True, kw_only=True, repr=False)(config_class)


@lazy
class PipelineConfig(GlobalPipelineConfig):
    """What a pipeline sets of `GlobalPipelineConfig`; the rest is inherited. Read it through `Effective`."""


@lazy
class LazyStepConfig(StepConfig):
    """What a step sets of `StepConfig`; the rest is inherited. Read it through `Effective`."""


class Effective(Generic[C]):
    """What is in effect, and where each value comes from.

    Parameters
    ----------
    config_class : type
        A configuration with defaults.
    levels : sequence of (str, config)
        Name and configuration, the most particular first; lazy ones, or None, anywhere.

    Attributes
    ----------
    value : config_class
    origins : dict of str to str
        Name of the level that each value comes from; "the default" if from none.

    Examples
    --------
    >>> effective = Effective(GlobalPipelineConfig, [("the pipeline", PipelineConfig(num_workers=4))])
    >>> effective.value.num_workers, effective.origin("num_workers"), effective.origin("retries")
    (4, 'the pipeline', 'the default')
    """

    def __init__(self, config_class: type[C], levels: Sequence[tuple[str, Any]]) -> None:
        origins: dict[str, str] = {}
        values: dict[str, Any] = {}
        for item in dataclasses.fields(config_class):  # type: ignore[arg-type]
            origins[item.name] = "the default"
            for name, level in levels:
                value = getattr(level, item.name, INHERIT)
                if value is not INHERIT:
                    values[item.name], origins[item.name] = value, name
                    break
        self.value: C = config_class(**values)
        self.origins: Mapping[str, str] = origins

    def origin(self, field: str) -> str:
        """Name of the level that a value comes from.

        Raises
        ------
        PipelineError
            If there is no such field.
        """
        if field not in self.origins:
            raise PipelineError(f"There is no setting '{field}'. Settings: {', '.join(self.origins)}.")
        return self.origins[field]


def checked(config_class: type[Any], values: Mapping[str, Any], what: str) -> dict[str, Any]:
    """Values of a configuration in their normal form; those that are inherited stay so.

    Raises
    ------
    PipelineError
        If a value makes no sense; begins with `what`.
    """
    normal = dict(values)
    for name, hint in ((item.name, item.type) for item in dataclasses.fields(config_class)):
        if normal[name] is INHERIT:
            continue
        value = plain(normal[name], f"{what}: {name}")
        if isinstance(value, (str, list)) and "tuple" in str(hint):
            value = (value,) if isinstance(value, str) else tuple(value)
        if not fits(value, hint):
            raise PipelineError(f"{what}: {name} must be {described(hint)}, not {shown(value)}.")
        _check(name, value, f"{what}: {name}")
        normal[name] = value
    return normal


def check_component(component: Any, what: str) -> None:
    """Raise `PipelineError` if that is no component of a plate."""
    if component not in COMPONENTS:
        raise PipelineError(f"{what}: {shown(component)} is no component. Components: {', '.join(COMPONENTS)}.")


_LEAST = {"num_workers": 1, "memory_limit_mb": 1, "retries": 0}


def _check(name: str, value: Any, what: str) -> None:
    if name == "variable_components":
        for component in value:
            check_component(component, what)
        if "well" in value:
            raise PipelineError(f"{what}: wells are worked on one by one and cannot be stacked. Take 'well' out.")
    if isinstance(value, tuple) and len(set(value)) < len(value):
        raise PipelineError(f"{what}: {shown(value)} names something twice.")
    if name == "wells" and value == ():
        raise PipelineError(f"{what}: there is no well in it. Leave it out for all wells.")
    if name == "gpus" and value is not None and any(gpu < 0 for gpu in value):
        raise PipelineError(f"{what}: GPUs are numbered from 0, not {min(value)}.")
    if name in _LEAST and value is not None and value < _LEAST[name]:
        raise PipelineError(f"{what} must be at least {_LEAST[name]}, not {value}.")
    for text in value if isinstance(value, tuple) else (value,):
        if isinstance(text, str) and (not text.strip() or re.search(r"[\x00-\x1f]", text)):
            raise PipelineError(f"{what}: {shown(text)} is no usable name.")

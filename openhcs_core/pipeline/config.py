"""Configurations of pipelines."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from openhcs_core.pipeline.errors import PipelineError
from openhcs_core.pipeline.inherit import Effective, lazy, normal_value, settable
from openhcs_core.pipeline.values import INHERIT, shown
from openhcs_core.pipeline.viewing import StreamingConfig, listed_viewers
from openhcs_core.plate import COMPONENTS

__all__ = [
    "INHERIT",
    "Effective",
    "GlobalPipelineConfig",
    "LazyStepConfig",
    "PipelineConfig",
    "StepConfig",
    "check_component",
    "checked",
]


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
    streaming : tuple of StreamingConfig
        What lazy ones of the same viewer in steps inherit. Which steps stream, the steps say.
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
    streaming: tuple[StreamingConfig, ...] = ()


@lazy
class PipelineConfig(GlobalPipelineConfig):
    """What a pipeline sets of `GlobalPipelineConfig`; the rest is inherited. Read it through `Effective`."""


@lazy
class LazyStepConfig(StepConfig):
    """What a step sets of `StepConfig`; the rest is inherited. Read it through `Effective`."""


def checked(config_class: type[Any], values: Mapping[str, Any], what: str) -> dict[str, Any]:
    """Values of a configuration in their normal form; those that are inherited stay so.

    Raises
    ------
    PipelineError
        If a value makes no sense; begins with `what`.
    """
    normal = dict(values)
    for item in settable(config_class):
        name, value = item.name, normal[item.name]
        if value is INHERIT:
            continue
        told = f"{what}: {name}"
        normal[name] = listed_viewers(value, told) if name == "streaming" else normal_value(value, item.type, told)
        _check(name, normal[name], told)
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
    if name == "streaming" and len({item.viewer for item in value}) < len(value):
        raise PipelineError(f"{what}: one configuration of each viewer is what steps inherit; there are more.")
    if name == "wells" and value == ():
        raise PipelineError(f"{what}: there is no well in it. Leave it out for all wells.")
    if name == "gpus" and value is not None and any(gpu < 0 for gpu in value):
        raise PipelineError(f"{what}: GPUs are numbered from 0, not {min(value)}.")
    if name in _LEAST and value is not None and value < _LEAST[name]:
        raise PipelineError(f"{what} must be at least {_LEAST[name]}, not {value}.")
    if value == "" or (isinstance(value, tuple) and "" in value):
        raise PipelineError(f"{what}: '' is no usable name.")

"""Objects to text: pipelines and configurations as Python source, which `openhcs_core.pipeline.source` reads back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from openhcs_core.functions import FunctionError, spec_of
from openhcs_core.pipeline.config import GlobalPipelineConfig, PipelineConfig
from openhcs_core.pipeline.errors import PipelineError
from openhcs_core.pipeline.step import FunctionStep, StepOutput, calls_of
from openhcs_core.pipeline.values import INHERIT, written
from openhcs_core.pipeline.viewing import STREAMING_CLASSES

WIDTH = 100
STEPS, CONFIG = "pipeline_steps", "config"
"""Names that a text gives its steps and its configuration."""
PACKAGE = "openhcs_core.pipeline"
CLASSES = (FunctionStep, GlobalPipelineConfig, PipelineConfig, StepOutput, *STREAMING_CLASSES)
"""What a text may make."""


def generate_complete_pipeline_steps_code(pipeline_steps: Sequence[FunctionStep], clean_mode: bool = True) -> str:
    """Text of a pipeline: imports, and the list ``pipeline_steps``.

    Parameters
    ----------
    pipeline_steps : sequence of FunctionStep
    clean_mode : bool
        Leave out what has its default.

    Raises
    ------
    PipelineError
        If a function cannot be imported by name.
    """
    return pipeline_text(pipeline_steps, clean_mode=clean_mode)


def generate_config_code(config: Any, config_class: type, clean_mode: bool = True) -> str:
    """Text of a configuration: an import, and ``config = ...``.

    Parameters
    ----------
    config : GlobalPipelineConfig or PipelineConfig
    config_class : type
        Which of them the text makes. What a lazy configuration inherits gets the default of this class.
    clean_mode : bool
        Leave out what has its default.
    """
    if config_class not in (GlobalPipelineConfig, PipelineConfig):
        raise PipelineError(f"config_class must be GlobalPipelineConfig or PipelineConfig, not {config_class!r}.")
    if not isinstance(config, GlobalPipelineConfig):
        raise PipelineError(f"{CONFIG} must be a PipelineConfig or GlobalPipelineConfig, not {type(config).__name__}.")
    values = {item.name: getattr(config, item.name) for item in fields(config)}
    given = {name: value for name, value in values.items() if value is not INHERIT}
    return pipeline_text(None, config_class(**given), clean_mode=clean_mode)


def pipeline_text(
    steps: Sequence[FunctionStep] | None, config: GlobalPipelineConfig | None = None, *, clean_mode: bool = True
) -> str:
    """Text of a pipeline with its configuration.

    Parameters
    ----------
    steps : sequence of FunctionStep, optional
    config : PipelineConfig or GlobalPipelineConfig, optional
    clean_mode : bool
        Leave out what has its default.

    Raises
    ------
    PipelineError
        If a function cannot be imported by name, or a step is none.
    """
    if steps is not None and not isinstance(steps, (list, tuple)):
        raise PipelineError(f"{STEPS} must be a list of FunctionSteps, not {type(steps).__name__}.")
    for step in steps or ():
        if not isinstance(step, FunctionStep):
            raise PipelineError(f"{STEPS} holds FunctionSteps; a {type(step).__name__} is none.")
    if config is not None and not isinstance(config, GlobalPipelineConfig):
        raise PipelineError(f"{CONFIG} must be a PipelineConfig or GlobalPipelineConfig, not {type(config).__name__}.")
    names = _Names([*(steps or ()), *([] if config is None else [config])])
    blocks = []
    if steps is not None:
        blocks.append(f"{STEPS} = []")
        for step in steps:
            source = written(step, names.of, clean_mode=clean_mode, width=WIDTH, used=len(f"{STEPS}.append("))
            blocks.append(f"{STEPS}.append({source})")
    if config is not None:
        source = written(config, names.of, clean_mode=clean_mode, width=WIDTH, used=len(f"{CONFIG} = "))
        blocks.append(f"{CONFIG} = {source}")
    imports = "\n".join(names.imports())
    return "\n\n".join([imports, *blocks] if imports else blocks) + "\n"


class _Names:
    """What functions and classes are called in one text: their own names, numbered where two have the same."""

    def __init__(self, objects: Sequence[Any]) -> None:
        functions = {
            _full_name(function): function
            for step in objects
            if isinstance(step, FunctionStep)
            for calls in calls_of(step.func).values()
            for function, _ in calls
        }
        self._local: dict[str, str] = {}
        self._classes: set[str] = set()
        taken = {STEPS, CONFIG, *(item.__name__ for item in CLASSES)}
        for full_name in sorted(functions):
            name = short = full_name.rpartition(".")[2]
            number = 1
            while name in taken:
                number += 1
                name = f"{short}_{number}"
            taken.add(name)
            self._local[full_name] = name

    def of(self, item: Any) -> str:
        if isinstance(item, type):
            self._classes.add(item.__name__)
            return item.__name__
        return self._local[_full_name(item)]

    def imports(self) -> list[str]:
        """Statements of import, sorted; complete when everything has been written."""
        wanted: dict[str, list[str]] = {PACKAGE: sorted(self._classes)} if self._classes else {}
        for full_name, local in self._local.items():
            module, _, name = full_name.rpartition(".")
            wanted.setdefault(module, []).append(name if name == local else f"{name} as {local}")
        lines = []
        for module, listed in sorted(wanted.items()):
            line = f"from {module} import {', '.join(listed)}"
            if len(line) > WIDTH:
                line = "\n".join([f"from {module} import (", *(f"    {name}," for name in listed), ")"])
            lines.append(line)
        return lines


def _full_name(function: Any) -> str:
    try:
        full_name = spec_of(function).name
    except FunctionError as error:
        raise PipelineError(str(error)) from error
    if not all(part.isidentifier() for part in full_name.split(".")) or full_name.startswith("__main__."):
        raise PipelineError(f"{full_name} cannot be imported by name. Define it at the top level of a plugin's module.")
    return full_name

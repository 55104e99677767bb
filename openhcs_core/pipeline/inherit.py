"""What is in effect when several levels of configuration set the same."""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import Field, dataclass
from typing import Any, Generic, TypeVar

from openhcs_core.functions import described, fits
from openhcs_core.pipeline.errors import PipelineError
from openhcs_core.pipeline.values import INHERIT, plain, shown, written

C = TypeVar("C")


def settable(config_class: type[Any]) -> list["Field[Any]"]:
    """The fields of a configuration that can be given; the others follow from them."""
    return [item for item in dataclasses.fields(config_class) if item.init]


def lazy(config_class: type[C]) -> type[C]:
    """Make a subclass of a configuration lazy: the same fields, of which those left out are inherited.

    A field counts as set when it is given, whatever its value: `INHERIT` is the default of all.
    """
    inherited = settable(config_class)
    config_class.__annotations__ = {item.name: item.type for item in inherited}
    for item in inherited:
        setattr(config_class, item.name, INHERIT)
    config_class.__repr__ = written  # type: ignore[method-assign]
    return dataclass(frozen=True, kw_only=True, repr=False)(config_class)


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
    levels : sequence of (str, config)
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
        for item in settable(config_class):
            origins[item.name] = "the default"
            for name, level in levels:
                value = getattr(level, item.name, INHERIT)
                if value is not INHERIT:
                    values[item.name], origins[item.name] = value, name
                    break
        self.value: C = config_class(**values)
        self.levels = levels
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


def normal_value(value: Any, hint: Any, what: str) -> Any:
    """A value that was given for a field, in its normal form: lists, and a single text, become tuples where wanted.

    Raises
    ------
    PipelineError
        If it is not of the kind that the annotation of the field says, or no usable text.
    """
    value = plain(value, what)
    if isinstance(value, (str, list)) and "tuple" in str(hint):
        value = (value,) if isinstance(value, str) else tuple(value)
    if not fits(value, hint):
        raise PipelineError(f"{what} must be {described(hint)}, not {shown(value)}.")
    for text in value if isinstance(value, tuple) else (value,):
        if isinstance(text, str) and text and (not text.strip() or re.search(r"[\x00-\x1f]", text)):
            raise PipelineError(f"{what}: {shown(text)} is no usable name.")
    return value

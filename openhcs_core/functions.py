"""Processing functions: how one says what it takes and gives, and where they are found."""

from __future__ import annotations

import difflib
import inspect
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

from openhcs_core.errors import OpenHCSError
from openhcs_core.plate import PlaneAddress

MEMORY_TYPES = ("numpy", "cupy")
OUTPUT_KINDS = ("image", "labels", "table")
PLANES_EACH, PLANES_ONE = "each", "one"

F = TypeVar("F", bound=Callable[..., Any])


class FunctionError(OpenHCSError):
    """A function is declared or named wrongly."""


@dataclass(frozen=True)
class GroupContext:
    """What a function may want to know about the planes that it is called with.

    Attributes
    ----------
    plate : str
        Name of the plate.
    addresses : tuple of PlaneAddress
        Of each plane, in the order of the stack; of two leading axes the last varies fastest.
    voxel_size_um : (z, y, x)
        Micrometres; None where unknown.
    positions_um : mapping of (well, site) to (y, x)
        Positions of the fields in micrometres, y downwards; those of other wells may be left out. Absent where unknown.
    channels : tuple of str
        Names of the channels of the plate, that of channel 1 first.
    """

    plate: str = ""
    addresses: tuple[PlaneAddress, ...] = ()
    voxel_size_um: tuple[float | None, float | None, float | None] = (None, None, None)
    positions_um: Mapping[tuple[str, int], tuple[float, float]] = field(default_factory=dict)
    channels: tuple[str, ...] = ()


@dataclass(frozen=True)
class FunctionSpec:
    """What the compiler knows about a processing function.

    Attributes
    ----------
    function : callable
        ``function(image, **parameters)``; image is an array with the axes `axes`, the first parameter.
    axes : str
        Axes of the image. "YX": called plane by plane. One leading axis, such as "ZYX" or "SYX" (any letter): called
        with the planes of a group stacked along the step's variable components. Two leading axes, such as "CZYX":
        called with both of the step's two variable components apart.
    outputs : tuple of {"image", "labels", "table"}
        What it returns, one value if one, else a tuple. Labels: integers, 0 is background. Table: a mapping of column
        name to a sequence, all of one length.
    planes : {"each", "one"}
        Whether it returns as many planes as it got, or one per group (a projection, a mosaic).
    memory_type : {"numpy", "cupy"}
    inputs : tuple of str
        Names of parameters that take arrays of earlier steps (`StepOutput` in the pipeline), with the same axes.
    context : bool
        Whether it takes the keyword ``context``, a `GroupContext`: calibration and positions of its planes.
    """

    function: Callable[..., Any]
    axes: str
    outputs: tuple[str, ...]
    planes: str
    memory_type: str
    inputs: tuple[str, ...] = ()
    context: bool = False

    @property
    def name(self) -> str:
        """Full name: how pipeline text imports it, such as ``openhcs_functions.filters.gaussian``."""
        return f"{self.function.__module__}.{self.function.__qualname__}"

    @property
    def summary(self) -> str:
        """First line of its documentation."""
        return (inspect.getdoc(self.function) or "").partition("\n")[0]

    @cached_property
    def parameters(self) -> Mapping[str, inspect.Parameter]:
        """Parameters that a pipeline may set, with annotations resolved."""
        signature = inspect.signature(self.function, eval_str=True)
        skipped = {next(iter(signature.parameters)), "context"}
        return {name: parameter for name, parameter in signature.parameters.items() if name not in skipped}


def processing_function(
    *,
    axes: str = "YX",
    outputs: tuple[str, ...] = ("image",),
    planes: str = PLANES_EACH,
    memory_type: str = "numpy",
    inputs: tuple[str, ...] = (),
    context: bool = False,
) -> Callable[[F], F]:
    """Declare a processing function; see `FunctionSpec` for the arguments.

    Examples
    --------
    >>> @processing_function(axes="ZYX", planes="one")
    ... def max_projection(image):
    ...     return image.max(axis=0)
    """

    def declare(function: F) -> F:
        spec = FunctionSpec(function, axes, outputs, planes, memory_type, inputs, context)
        _check(spec)
        function.__openhcs__ = spec  # type: ignore[attr-defined]
        return function

    return declare


def spec_of(function: Callable[..., Any]) -> FunctionSpec:
    """What a function was declared to be.

    Raises
    ------
    FunctionError
        If it was not.
    """
    spec = getattr(function, "__openhcs__", None)
    if not isinstance(spec, FunctionSpec):
        raise FunctionError(
            f"{getattr(function, '__qualname__', function)} is no processing function. "
            "Declare it with @processing_function, and register it by the hook openhcs_functions."
        )
    return spec


def check_parameters(spec: FunctionSpec, parameters: Mapping[str, Any]) -> list[str]:
    """What is wrong with the parameters that a pipeline sets for a function.

    Names, whether those without a default are there, and values by their annotations: bool, int, float (which whole
    numbers are, too), str, ``Literal``, tuples (lists count as tuples), unions and ``None``. What is annotated
    otherwise, and parameters that take arrays (`FunctionSpec.inputs`), are not checked.

    Returns
    -------
    list of str
        Problems, each a sentence that names the function and the parameter; empty if there are none.
    """
    found = []
    takes = ", ".join(spec.parameters) or "none"
    for name, value in parameters.items():
        if name not in spec.parameters:
            similar = difflib.get_close_matches(name, spec.parameters, 1)
            hint = f"did you mean '{similar[0]}'?" if similar else f"its parameters: {takes}."
            found.append(f"{spec.name} has no parameter '{name}'; {hint}")
        elif name not in spec.inputs and not fits(value, spec.parameters[name].annotation):
            wanted = described(spec.parameters[name].annotation)
            found.append(f"{spec.name}: '{name}' must be {wanted}, not {value!r}.")
    for name, parameter in spec.parameters.items():
        if parameter.default is inspect.Parameter.empty and name not in parameters:
            kind = "the output of another step (StepOutput)" if name in spec.inputs else "a value"
            found.append(f"{spec.name}: '{name}' is missing; give it {kind}.")
    return found


def fits(value: object, annotation: Any) -> bool:
    """Whether a value is of an annotated type; whole numbers are numbers, lists are tuples."""
    origin, items = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        return any(fits(value, item) for item in items)
    if origin is typing.Literal:
        return any(value == item and type(value) is type(item) for item in items)
    if annotation is None or annotation is type(None):
        return value is None
    if annotation is bool or annotation is str:
        return isinstance(value, annotation)
    if annotation is int or annotation is float:
        return isinstance(value, (int, annotation)) and not isinstance(value, bool)
    if annotation is tuple or origin is tuple:
        return isinstance(value, (tuple, list)) and _items_fit(value, items)
    return True


def _items_fit(values: Sequence[object], items: tuple[Any, ...]) -> bool:
    if not items:
        return True
    if len(items) == 2 and items[1] is Ellipsis:
        items = items[:1] * len(values)
    return len(values) == len(items) and all(map(fits, values, items))


def described(annotation: Any) -> str:
    """An annotation in words: "a number", "one of 'a', 'b'", "a number or None"."""
    origin, items = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(described(item) for item in items)
    if origin is typing.Literal:
        return f"one of {', '.join(map(repr, items))}"
    if origin is tuple and items:
        if items[-1] is Ellipsis:
            return f"a tuple, each of it {described(items[0])}"
        return f"a tuple ({', '.join(map(described, items))})"
    words = {bool: "True or False", int: "a whole number", float: "a number", str: "a text", type(None): "None"}
    return words.get(annotation, "a tuple" if annotation is tuple else str(annotation))


def _check(spec: FunctionSpec) -> None:
    name = spec.function.__qualname__
    if not spec.axes.endswith("YX") or not 2 <= len(spec.axes) <= 4 or len(set(spec.axes)) < len(spec.axes):
        raise FunctionError(f"{name}: axes {spec.axes!r} must end in YX and have at most two letters before.")
    if not spec.outputs or not set(spec.outputs) <= set(OUTPUT_KINDS):
        raise FunctionError(f"{name}: outputs {spec.outputs!r} must be some of {OUTPUT_KINDS}.")
    if spec.planes not in (PLANES_EACH, PLANES_ONE) or spec.memory_type not in MEMORY_TYPES:
        raise FunctionError(f"{name}: planes must be 'each' or 'one', memory_type one of {MEMORY_TYPES}.")
    parameters = list(inspect.signature(spec.function).parameters)
    if not parameters:
        raise FunctionError(f"{name} takes no image: its first parameter must be one.")
    missing = {*spec.inputs, *(["context"] if spec.context else [])} - set(parameters[1:])
    if missing:
        raise FunctionError(f"{name}: there is no parameter {', '.join(sorted(missing))}.")

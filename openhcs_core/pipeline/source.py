"""Text to objects, without running it: the inverse of `openhcs_core.pipeline.code`.

The text is Python in form only. It is parsed with `ast`, and the few statements a pipeline needs are interpreted here;
everything else is refused with line and column.
"""

from __future__ import annotations

import ast
import inspect
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from openhcs_core.errors import OpenHCSError
from openhcs_core.functions import FunctionSpec
from openhcs_core.pipeline.code import CLASSES, CONFIG, PACKAGE, STEPS
from openhcs_core.pipeline.config import GlobalPipelineConfig
from openhcs_core.pipeline.errors import PipelineSourceError
from openhcs_core.pipeline.scan import ALLOWED, scan
from openhcs_core.pipeline.step import PLATE, FunctionStep
from openhcs_core.pipeline.values import MAX_INT, shown

MAX_VALUES = 20_000
"""Values of a text, those counted again that a name stands for."""

_SIGNATURES = {item: inspect.signature(item) for item in CLASSES}
_PUBLIC: dict[str, Any] = {"PLATE": PLATE, **{item.__name__: item for item in CLASSES}}
_MODULES = frozenset(
    [
        *(PACKAGE, f"{PACKAGE}.step", f"{PACKAGE}.config", f"{PACKAGE}.viewing"),
        *("openhcs.core.steps.function_step", "openhcs.core.config"),
    ]
)
"""Modules that offer them; the last two are those of texts from OpenHCS."""

NO_FILE = f"{os.devnull}/pipeline"
"""For the parser, which opens the file of a text that has an error: one that cannot exist."""

Resolve = Callable[[str], FunctionSpec]
C = TypeVar("C", bound=GlobalPipelineConfig)


@dataclass(frozen=True)
class Pipeline:
    """A pipeline as read from text.

    Attributes
    ----------
    steps : tuple of FunctionStep
    config : PipelineConfig or GlobalPipelineConfig, optional
    text : str
    """

    steps: tuple[FunctionStep, ...]
    config: GlobalPipelineConfig | None
    text: str


def read_pipeline(text: str, resolve: Resolve | None = None) -> Pipeline:
    """The pipeline that a text states.

    Parameters
    ----------
    text : str
        Python source that sets ``pipeline_steps`` and may set ``config``.
    resolve : callable, optional
        Gives the processing function of a full name, or raises an `OpenHCSError`; that of
        `openhcs_core.plugins` unless given.

    Raises
    ------
    PipelineSourceError
        With line and column of the first thing that is not allowed, unknown or wrong.
    """
    reader = _read(text, resolve)
    if STEPS not in reader.names:
        raise PipelineSourceError(f"The text sets no {STEPS}. {ALLOWED}")
    config = reader.names.get(CONFIG)
    return Pipeline(tuple(reader.steps), None if config is None else config.value, text)


def read_config(text: str, config_class: type[C]) -> C:
    """The configuration that a text states.

    Parameters
    ----------
    text : str
        Python source that sets ``config``.
    config_class : type
        GlobalPipelineConfig or PipelineConfig: what it must be.

    Raises
    ------
    PipelineSourceError
        As `read_pipeline`; also if ``config`` is missing or of another class.
    """
    config = _read(text, None).names.get(CONFIG)
    if config is None:
        raise PipelineSourceError(f"The text sets no {CONFIG}. Write {CONFIG} = {config_class.__name__}(...).")
    if type(config.value) is not config_class:
        raise PipelineSourceError(
            f"{CONFIG} is a {type(config.value).__name__}, but a {config_class.__name__} is wanted.", config.line, 1
        )
    return config.value


def _read(text: str, resolve: Resolve | None) -> _Reader:
    if not isinstance(text, str):
        raise PipelineSourceError(f"A pipeline text must be str, not {type(text).__name__}.")
    text = text.replace("\r\n", "\n")
    scan(text)
    try:
        tree = ast.parse(text, NO_FILE)
    except SyntaxError as error:
        lines = text.split("\n")
        line = min(max(error.lineno or 1, 1), len(lines))
        column = min(max(error.offset or 1, 1), len(lines[line - 1]) + 1)
        raise PipelineSourceError(f"This is not Python: {error.msg}. {ALLOWED}", line, column) from None
    except (ValueError, MemoryError, RecursionError) as error:
        raise PipelineSourceError(f"This cannot be parsed as Python: {error}. {ALLOWED}", 1, 1) from None
    reader = _Reader(text, resolve or _registered)
    reader.run(tree.body)
    return reader


def _registered(full_name: str) -> FunctionSpec:
    from openhcs_core import plugins  # loads them: only when a text names a function

    return plugins.function(full_name)


@dataclass
class _Name:
    value: Any
    size: int
    line: int


class _Reader:
    """Interprets the statements of one text.

    Attributes
    ----------
    names : dict of str to _Name
        What has been imported and assigned.
    steps : list of FunctionStep
    """

    def __init__(self, text: str, resolve: Resolve) -> None:
        self.names: dict[str, _Name] = {}
        self.steps: list[FunctionStep] = []
        self._lines = text.split("\n")
        self._resolve = resolve
        self._values = 0

    def run(self, statements: Sequence[ast.stmt]) -> None:
        for place, node in enumerate(statements):
            match node:
                case ast.ImportFrom():
                    self._import(node)
                case ast.Assign(targets=[ast.Name(id=name)]):
                    self._assign(node, name)
                case ast.AugAssign(target=ast.Name(id="pipeline_steps"), op=ast.Add(), value=ast.List(elts=elements)):
                    self._append(node, elements)
                case ast.Expr(
                    value=ast.Call(
                        func=ast.Attribute(value=ast.Name(id="pipeline_steps"), attr="append"),
                        args=[element],
                        keywords=[],
                    )
                ):
                    self._append(node, [element])
                case ast.Expr(value=ast.Constant(value=str())) if place == 0:
                    pass  # what the pipeline is about
                case _:
                    raise self._error(node, f"This statement has no place in a pipeline text. {ALLOWED}")

    def _import(self, node: ast.ImportFrom) -> None:
        for alias in node.names:
            module, name, local = node.module or "", alias.name, alias.asname or alias.name
            if local in (STEPS, CONFIG):
                raise self._error(alias, f"'{local}' is what the text sets; import under another name: {name} as ...")
            value: Any
            if module in _MODULES:
                if name not in _PUBLIC:
                    raise self._error(alias, f"{module} offers pipelines {', '.join(sorted(_PUBLIC))}; not '{name}'.")
                value = _PUBLIC[name]
            else:
                try:
                    value = self._resolve(f"{module}.{name}").function
                except OpenHCSError as error:
                    raise self._error(alias, str(error)) from error
            self._define(alias, local, value, 1)

    def _assign(self, node: ast.Assign, name: str) -> None:
        before = self._values
        value = self._value(node.value)
        if name == STEPS:
            if not isinstance(value, list):
                raise self._error(node.value, f"{STEPS} must be a list of FunctionSteps.")
            places = node.value.elts if isinstance(node.value, ast.List) else [node.value] * len(value)
            for place, step in zip(places, value, strict=True):
                self._add(place, step)
            value = self.steps
        if name == CONFIG and not isinstance(value, GlobalPipelineConfig):
            raise self._error(node.value, f"{CONFIG} must be a PipelineConfig(...) or GlobalPipelineConfig(...).")
        self._define(node.targets[0], name, value, self._values - before)

    def _define(self, node: ast.expr | ast.alias, name: str, value: Any, size: int) -> None:
        known = self.names.get(name)
        if known is not None and not (known.value is value and isinstance(node, ast.alias)):
            raise self._error(node, f"'{name}' has its meaning since line {known.line}; take another name.")
        self.names[name] = _Name(value, size, node.lineno)

    def _append(self, node: ast.stmt, elements: Sequence[ast.expr]) -> None:
        if STEPS not in self.names:
            raise self._error(node, f"There is no {STEPS} yet. Write {STEPS} = [] before.")
        for element in elements:
            self._add(element, self._value(element))

    def _add(self, node: ast.expr, step: Any) -> None:
        if not isinstance(step, FunctionStep):
            raise self._error(node, f"{STEPS} holds FunctionSteps; this is none. Write FunctionStep(...).")
        self.steps.append(step)

    def _value(self, node: ast.expr) -> Any:
        self._count(node, 1)
        match node:
            case ast.Constant(value=value):
                return self._constant(node, value)
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
                return -self._constant(node, value)
            case ast.Name(id=name):
                if name not in self.names:
                    raise self._error(node, f"'{name}' is unknown here; import it or assign it before.")
                known = self.names[name]
                self._count(node, known.size)
                return known.value
            case ast.List(elts=elements):
                return [self._value(element) for element in elements]
            case ast.Tuple(elts=elements):
                return tuple(self._value(element) for element in elements)
            case ast.Dict():
                return self._dict(node)
            case ast.Call(func=ast.Name(id=name)):
                return self._call(node, name)
        raise self._error(node, f"This expression has no place in a pipeline text. {ALLOWED}")

    def _constant(self, node: ast.expr, value: Any) -> Any:
        if value is None or isinstance(value, (bool, str)):
            return value
        if isinstance(value, int) and value <= MAX_INT:
            return value
        if isinstance(value, float) and math.isfinite(value):
            return value
        if isinstance(value, (int, float)):
            raise self._error(node, "This number is too large: whole numbers have at most 64 bits, others are finite.")
        raise self._error(node, f"A {type(value).__name__} has no place in a pipeline text. {ALLOWED}")

    def _dict(self, node: ast.Dict) -> dict[str | int, Any]:
        made: dict[str | int, Any] = {}
        for key_node, value_node in zip(node.keys, node.values, strict=True):
            if key_node is None:
                raise self._error(value_node, f"There is no ** in a pipeline text. {ALLOWED}")
            key = self._value(key_node)
            if isinstance(key, bool) or not isinstance(key, (str, int)):
                raise self._error(key_node, "Keys of a dict must be texts or whole numbers.")
            if key in made:
                raise self._error(key_node, f"The key {shown(key)} is there twice.")
            made[key] = self._value(value_node)
        return made

    def _call(self, node: ast.Call, name: str) -> Any:
        known = self.names.get(name)
        called = known.value if known is not None else None
        if called not in CLASSES:
            hint = f"; import it from {PACKAGE}" if name in _PUBLIC and known is None else ""
            raise self._error(node, f"Only {', '.join(item.__name__ for item in CLASSES)} can be called{hint}.")
        arguments = [self._value(argument) for argument in node.args]
        named: dict[str, Any] = {}
        for keyword in node.keywords:
            if keyword.arg is None or keyword.arg in named:
                raise self._error(keyword.value, f"'{keyword.arg or '**'}' is there twice, or has no name.")
            named[keyword.arg] = self._value(keyword.value)
        try:
            _SIGNATURES[called].bind(*arguments, **named)
            return called(*arguments, **named)
        except (TypeError, OpenHCSError) as error:
            raise self._error(node, f"{name}: {error}") from error

    def _count(self, node: ast.expr, number: int) -> None:
        self._values += number
        if self._values > MAX_VALUES:
            raise self._error(node, f"The text stands for more than {MAX_VALUES} values.")

    def _error(self, node: ast.stmt | ast.expr | ast.alias, message: str) -> PipelineSourceError:
        line = self._lines[node.lineno - 1].encode()
        return PipelineSourceError(message, node.lineno, len(line[: node.col_offset].decode()) + 1)

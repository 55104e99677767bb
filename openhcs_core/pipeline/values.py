"""Plain values: what parameters in a pipeline may be, and how they are written as text."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from typing import Any

import numpy as np

from openhcs_core.pipeline.errors import PipelineError

MAX_DEPTH = 16
"""Lists in lists."""
MAX_STRING = 10_000
"""Characters."""
MAX_INT = 2**63 - 1


class _Inherit:
    """Stands for a value that a level above gives."""

    def __repr__(self) -> str:
        return "INHERIT"

    def __reduce__(self) -> str:
        return "INHERIT"


INHERIT: Any = _Inherit()
"""Default of everything that a lazy configuration or a step can leave to the level above."""

EXPRESSIBLE = "None, bool, int, finite float, str, and lists, tuples and dicts of these"


def plain(value: Any, what: str, *, leaves: tuple[type, ...] = (), _depth: int = 0) -> Any:
    """A copy of a value in plain Python: scalars of NumPy and members of enumerations become numbers and text.

    Parameters
    ----------
    value : object
        None, bool, int, finite float, str, or a list, tuple or dict of these; keys are str or int.
    what : str
        What to call it in an error.
    leaves : tuple of type
        Further types that are left as they are.

    Raises
    ------
    PipelineError
        If it is anything else, too large or nested too deep.
    """
    if value is None or isinstance(value, leaves):
        return value
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (int, np.integer)):
        if abs(int(value)) > MAX_INT:
            raise PipelineError(f"{what}: whole numbers have at most 64 bits.")
        return int(value)
    if isinstance(value, (float, np.floating)):
        if not math.isfinite(value):
            raise PipelineError(f"{what}: {value} is no finite number; leave it out, or use None.")
        return float(value)
    if isinstance(value, str):
        return _text(value, what)
    if isinstance(value, (list, tuple, Mapping)):
        if _depth >= MAX_DEPTH:
            raise PipelineError(f"{what}: nested deeper than {MAX_DEPTH}.")
        if isinstance(value, Mapping):
            return {
                _key(key, what): plain(item, f"{what}[{shown(key)}]", leaves=leaves, _depth=_depth + 1)
                for key, item in value.items()
            }
        made = [plain(item, f"{what}[{place}]", leaves=leaves, _depth=_depth + 1) for place, item in enumerate(value)]
        return tuple(made) if isinstance(value, tuple) else made
    raise PipelineError(
        f"{what}: a value of type {type(value).__name__} cannot be part of a pipeline. Possible are {EXPRESSIBLE}."
    )


def _key(key: Any, what: str) -> str | int:
    if isinstance(key, (str, int, np.integer)) and not isinstance(key, bool):
        return plain(key, f"{what}, key {str(key)[:40]}")
    raise PipelineError(f"{what}: keys must be str or int, not {type(key).__name__}.")


def _text(value: str, what: str) -> str:
    value = str.__str__(value)
    if len(value) > MAX_STRING:
        raise PipelineError(f"{what}: text has at most {MAX_STRING} characters.")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise PipelineError(f"{what}: a lone surrogate is no character.") from error
    return value


_short = reprlib.Repr()
_short.maxstring = _short.maxother = 60


def shown(value: Any) -> str:
    """A value in an error: short, however large it is."""
    return getattr(value, "__name__", "") or _short.repr(value)


def _short_name(item: Any) -> str:
    return getattr(item, "__name__", "") or repr(item)


def written(
    item: Any,
    name_of: Callable[[Any], str] = _short_name,
    *,
    clean_mode: bool = True,
    width: int = 10**9,
    indent: int = 0,
    used: int = 0,
) -> str:
    """Python source of a plain value, a function, a step or a configuration.

    Parameters
    ----------
    item : object
    name_of : callable
        Gives the name of a function or class.
    clean_mode : bool
        Leave out fields that have their default. Fields that are inherited are left out always.
    width : int
        Longest line, if possible.
    indent, used : int
        Characters before the first line's indentation, and after it.
    """
    if is_dataclass(item) and not isinstance(item, type):
        parts = [
            (f"{name}=", value) for name, value, default in _fields(item) if not (clean_mode and _same(value, default))
        ]
        return _bracketed(f"{name_of(type(item))}(", parts, ")", name_of, clean_mode, width, indent, used)
    if isinstance(item, Mapping):
        pairs = [(f"{_quoted(key) if isinstance(key, str) else key}: ", value) for key, value in item.items()]
        return _bracketed("{", pairs, "}", name_of, clean_mode, width, indent, used)
    if isinstance(item, (list, tuple)):
        opening, closing = "[]" if isinstance(item, list) else "()"
        return _bracketed(opening, [("", value) for value in item], closing, name_of, clean_mode, width, indent, used)
    if isinstance(item, str):
        return _quoted(item)
    return repr(item) if item is None or isinstance(item, (bool, int, float)) else name_of(item)


def _bracketed(
    opening: str,
    parts: Sequence[tuple[str, Any]],
    closing: str,
    name_of: Callable[[Any], str],
    clean_mode: bool,
    width: int,
    indent: int,
    used: int,
) -> str:
    flat = [prefix + written(value, name_of, clean_mode=clean_mode) for prefix, value in parts]
    line = opening + ", ".join(flat) + ("," if len(parts) == 1 and opening == "(" else "") + closing
    if not parts or indent + used + len(line) < width:
        return line
    lines = [
        " " * (indent + 4)
        + prefix
        + written(value, name_of, clean_mode=clean_mode, width=width, indent=indent + 4, used=len(prefix))
        + ","
        for prefix, value in parts
    ]
    return "\n".join([opening, *lines, " " * indent + closing])


def _fields(item: Any) -> Iterator[tuple[str, Any, Any]]:
    """Name, value and default of each field that can be given and is not inherited."""
    for part in fields(item):
        value = getattr(item, part.name)
        if part.init and value is not INHERIT:
            default = part.default if part.default_factory is MISSING else part.default_factory()
            yield part.name, value, getattr(item, f"default_{part.name}", default)


def _same(value: Any, default: Any) -> bool:
    return type(value) is type(default) and value == default


def _quoted(text: str) -> str:
    source = repr(text)
    return f'"{source[1:-1]}"' if source[0] == "'" and '"' not in text else source

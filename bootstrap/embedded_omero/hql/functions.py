"""Functions of HQL: type of the result, and the value. A null argument makes the result null, unless said otherwise."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .types import DOUBLE, INT, NULL, STRING, UNKNOWN, Type


@dataclass(frozen=True)
class Function:
    """A function of the language.

    Attributes
    ----------
    arguments : range
        How many arguments it takes.
    result : callable
        Type of the result from the types of the arguments.
    run : callable
    nulls : bool
        Whether it deals with nulls itself.
    """

    arguments: range
    result: Callable[[list[Type]], Type]
    run: Callable[..., Any]
    nulls: bool = False


def _always(type: Type) -> Callable[[list[Type]], Type]:
    return lambda types: type


def first_known(types: list[Type]) -> Type:
    """Type of a choice between several expressions: that of the first which has one."""
    return next((t for t in types if t not in (UNKNOWN, NULL)), UNKNOWN)


def text_of(value: Any) -> str:
    """A value as text, as the database prints it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def divide(left: float, right: float) -> float:
    """Quotient; that of integers is cut off towards zero.

    Raises
    ------
    ZeroDivisionError
    """
    if isinstance(left, int) and isinstance(right, int):
        quotient = abs(left) // abs(right)
        return quotient if (left < 0) == (right < 0) else -quotient
    return left / right


def _mod(left: int, right: int) -> int:
    return left - right * int(divide(left, right))


def _substring(text: str, start: int, length: int | None = None) -> str:
    end = len(text) if length is None else start - 1 + length
    return text[max(start - 1, 0) : max(end, 0)]


def _coalesce(*values: Any) -> Any:
    return next((v for v in values if v is not None), None)


def _locate(part: str, text: str, start: int = 1) -> int:
    return text.find(part, start - 1) + 1


def _extract(what: str, time_ms: int) -> int:
    if what != "epoch":
        raise ValueError(f"extract({what} from ...) is not implemented")
    return time_ms // 1000


_text, _int = _always(STRING), _always(INT)
FUNCTIONS: dict[str, Function] = {
    "lower": Function(range(1, 2), _text, str.lower),
    "upper": Function(range(1, 2), _text, str.upper),
    "trim": Function(range(1, 2), _text, lambda s: s.strip(" ")),
    "length": Function(range(1, 2), _int, len),
    "substring": Function(range(2, 4), _text, _substring),
    "concat": Function(range(1, 100), _text, lambda *parts: "".join(map(text_of, parts))),
    "locate": Function(range(2, 4), _int, _locate),
    "str": Function(range(1, 2), _text, text_of),
    "abs": Function(range(1, 2), lambda types: types[0], abs),
    "sqrt": Function(range(1, 2), _always(DOUBLE), math.sqrt),
    "mod": Function(range(2, 3), _int, _mod),
    "coalesce": Function(range(1, 100), first_known, _coalesce, nulls=True),
    "nullif": Function(range(2, 3), lambda types: types[0], lambda a, b: None if a == b else a, nulls=True),
    "extract": Function(range(2, 3), _int, _extract),
}

CASTS: dict[str, tuple[Type, Callable[[Any], Any]]] = {
    "string": (STRING, text_of),
    "int": (INT, lambda v: round(float(v))),
    "integer": (INT, lambda v: round(float(v))),
    "long": (Type("long"), lambda v: round(float(v))),
    "float": (Type("float"), float),
    "double": (DOUBLE, float),
    "boolean": (Type("bool"), lambda v: v in (True, 1, "true", "t")),
}


def add_up(values: list[Any]) -> Any:
    return sum(values) if values else None


def average(values: list[Any]) -> float | None:
    return sum(values) / len(values) if values else None


AGGREGATES: dict[str, Callable[[list[Any]], Any]] = {
    "count": len,
    "sum": add_up,
    "avg": average,
    "min": lambda values: min(values, default=None),
    "max": lambda values: max(values, default=None),
}

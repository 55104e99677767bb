"""Building blocks of conditions and computations, with SQL's three truth values: True, False and None."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable
from typing import Any

from .. import errors
from . import nodes
from .expr import Env, Equality, Expr, Getter, comparable, condition, constant, slots_of
from .functions import Function, divide
from .types import BOOL, DOUBLE, LONG, Type, check_comparable, is_number

_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda a, b: a == b,
    "<>": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}
ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": divide,
}


def failure(cause: str) -> Exception:
    """The error for what only the database notices: "grammar" (of the statement) or "data"."""
    make = errors.api_usage if cause == "grammar" else errors.validation
    return make("could not execute query")


def mapped(kind: Type, run: Callable[..., Any], *parts: Expr) -> Expr:
    """A function of values; null if any of them is."""

    def get_one(env: Env) -> Any:
        value = first(env)
        return None if value is None else _guarded(run, value)

    def get_all(env: Env) -> Any:
        values = [get(env) for get in getters]
        return None if None in values else _guarded(run, *values)

    getters = [p.get for p in parts]
    first = getters[0]
    return Expr(kind, get_one if len(getters) == 1 else get_all, slots_of(*parts))


def _guarded(run: Callable[..., Any], *values: Any) -> Any:
    try:
        return run(*values)
    except TypeError as exc:
        raise failure("grammar") from exc
    except (ValueError, ArithmeticError) as exc:
        raise failure("data") from exc


def applied(function: Function, parts: list[Expr]) -> Expr:
    kind = function.result([p.type for p in parts])
    if not function.nulls:
        return mapped(kind, function.run, *parts)
    getters = [p.get for p in parts]
    return Expr(kind, lambda env: function.run(*[get(env) for get in getters]), slots_of(*parts))


def logic(op: str, left: Expr, right: Expr) -> Expr:
    decided = op == "or"  # this value of one side decides
    a, b = left.get, right.get

    def get(env: Env) -> bool | None:
        x = a(env)
        if x is decided:
            return decided
        y = b(env)
        if y is decided:
            return decided
        return None if x is None or y is None else not decided

    return condition(get, left, right)


def coerced(node: nodes.Node, expr: Expr, other: Type) -> Expr:
    """A text literal where a number is needed is read as one, as the database does."""
    if not isinstance(node, nodes.Literal) or node.kind != "string" or not (is_number(other) or other.entity):
        return expr
    try:
        return constant(DOUBLE, float(node.value)) if "." in node.value else constant(LONG, int(node.value))
    except ValueError:
        raise failure("data") from None


def comparison(op: str, left: Expr, right: Expr) -> Expr:
    check_comparable(left.type, right.type)
    a, b, test = comparable(left), comparable(right), _COMPARE[op]

    def get(env: Env) -> bool | None:
        x = a(env)
        if x is None:
            return None
        y = b(env)
        return None if y is None else test(x, y)

    equalities: tuple[Equality, ...] = ()
    if op == "=":
        sides = ((left, b, right.slots), (right, a, left.slots))
        equalities = tuple(Equality(e.access, _single(get_), s) for e, get_, s in sides if e.access is not None)
    return condition(get, left, right, equalities=equalities)


def _single(get: Getter) -> Callable[[Env], Iterable[Any]]:
    return lambda env: (get(env),)


def membership(value: Expr, found: Callable[[Env], set], slots: frozenset[int], indexable: bool = True) -> Expr:
    a = comparable(value)

    def get(env: Env) -> bool | None:
        x = a(env)
        members = found(env)
        if x is None:
            return None if members else False
        if x in members:
            return True
        return None if None in members else False

    equal = (Equality(value.access, found, slots),) if value.access is not None and indexable else ()
    return Expr(BOOL, get, value.slots | slots, equalities=equal)


@functools.lru_cache(maxsize=256)
def like_pattern(pattern: str, escape: str) -> re.Pattern:
    parts, position = [], 0
    while position < len(pattern):
        char = pattern[position]
        if escape and char == escape and position + 1 < len(pattern):
            position += 1
            parts.append(re.escape(pattern[position]))
        else:
            parts.append({"%": ".*", "_": "."}.get(char) or re.escape(char))
        position += 1
    return re.compile("".join(parts), re.DOTALL)

"""Syntax tree of a query. All nodes are immutable and comparable, so that GROUP BY and ORDER BY can be matched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Path:
    """``alias.property.property`` or a lone name, which may also be a property or a class."""

    parts: tuple[str, ...]


@dataclass(frozen=True)
class Element:
    """``collection[index].property``."""

    collection: Path
    index: Node
    rest: tuple[str, ...]


@dataclass(frozen=True)
class Param:
    name: str


@dataclass(frozen=True)
class Literal:
    """``kind`` is int, long, float, double, string, bool or null."""

    value: Any
    kind: str


@dataclass(frozen=True)
class Negative:
    operand: Node


@dataclass(frozen=True)
class Not:
    operand: Node


@dataclass(frozen=True)
class Binary:
    """``and or = <> < <= > >= + - * / ||``."""

    op: str
    left: Node
    right: Node


@dataclass(frozen=True)
class Like:
    value: Node
    pattern: Node
    escape: Node | None = None


@dataclass(frozen=True)
class In:
    """``items`` is a tuple of nodes (literals, parameters), or one Subquery or Call("elements", ...)."""

    value: Node
    items: tuple[Node, ...]


@dataclass(frozen=True)
class IsNull:
    value: Node


@dataclass(frozen=True)
class IsEmpty:
    collection: Path


@dataclass(frozen=True)
class Exists:
    query: Query


@dataclass(frozen=True)
class Subquery:
    query: Query


@dataclass(frozen=True)
class Call:
    """Function or aggregate; ``count(*)`` has no arguments. ``name`` is in lower case, ``text`` as written."""

    name: str
    args: tuple[Node, ...]
    distinct: bool = False
    text: str = ""


@dataclass(frozen=True)
class Case:
    whens: tuple[tuple[Node, Node], ...]
    otherwise: Node | None


@dataclass(frozen=True)
class Cast:
    value: Node
    type: str


Node = (
    Path | Element | Param | Literal | Negative | Not | Binary | Like | In | IsNull | IsEmpty | Exists | Subquery
    | Call | Case | Cast
)  # fmt: skip


@dataclass(frozen=True)
class Item:
    """One expression of the select list."""

    value: Node
    alias: str | None = None


@dataclass(frozen=True)
class From:
    entity: str
    alias: str | None = None


@dataclass(frozen=True)
class Join:
    path: Path
    alias: str | None = None
    left: bool = False
    fetch: bool = False
    condition: Node | None = None


@dataclass(frozen=True)
class Order:
    value: Node
    descending: bool = False


@dataclass(frozen=True)
class Query:
    """``select`` is empty for ``from X``; ``as_map`` stands for ``select new map(...)``."""

    froms: tuple[From | Join, ...]
    select: tuple[Item, ...] = ()
    distinct: bool = False
    as_map: bool = False
    where: Node | None = None
    group: tuple[Node, ...] = ()
    having: Node | None = None
    order: tuple[Order, ...] = ()


def has_param(node: Node) -> bool:
    """Whether there is a parameter anywhere in an expression."""
    return isinstance(node, Param) or any(map(has_param, children(node)))


def children(node: object) -> tuple[Node, ...]:
    """The expressions directly below an expression; not those inside of subqueries."""
    match node:
        case Negative(value) | Not(value) | IsNull(value) | Cast(value, _):
            return (value,)
        case Binary(_, left, right):
            return (left, right)
        case Like(value, pattern, escape):
            return (value, pattern) if escape is None else (value, pattern, escape)
        case In(value, items):
            return (value, *items)
        case Call(_, args):
            return args
        case Case(whens, otherwise):
            found = tuple(n for pair in whens for n in pair)
            return found if otherwise is None else (*found, otherwise)
        case Element(collection, index, _):
            return (collection, index)
    return ()

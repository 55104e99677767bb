"""Compiled expressions: functions of an environment, which holds the current record of every source by slot."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from ..metamodel import Entity, Field
from ..store import Record
from .types import BOOL, UNKNOWN, Type

Env = list[Any]
Getter = Callable[[Env], Any]


@dataclass(eq=False)
class Source:
    """One element of a FROM clause: what an alias stands for, or what a path passes through.

    Attributes
    ----------
    slot : int
        Where its current value is in the environment.
    alias : str or None
    entity : Entity or None
        None for entries of maps and for quantities.
    kind : {"root", "ref", "collection", "pairs", "quantity"}
    parent : Source or None
        For everything but roots: where the path starts.
    name : str
        Last property of the path, with ``details.`` in front for details.
    field : Field or None
        The property; None for details.
    left, fetch, implied : bool
        Outer join; fetch join; made for a path instead of an explicit join.
    index_slot : int or None
        Where the index in the collection is in the environment.
    conditions : list of Expr
        The WITH clause.
    """

    slot: int
    alias: str | None
    entity: Entity | None
    kind: str = "root"
    parent: Source | None = None
    name: str = ""
    field: Field | None = None
    left: bool = False
    fetch: bool = False
    implied: bool = False
    index_slot: int | None = None
    conditions: list[Expr] = dataclasses.field(default_factory=list)


@dataclass(frozen=True)
class Access:
    """An expression which is a plain property: ``name`` of a source, its ``id``, or the target of a reference.

    Attributes
    ----------
    source : Source
    kind : {"id", "ref", "value"}
    name : str
    """

    source: Source
    kind: str
    name: str = ""


@dataclass(frozen=True)
class Equality:
    """What a condition says about a property: it is one of these values."""

    access: Access
    values: Callable[[Env], Iterable[Any]]
    slots: frozenset[int]


@dataclass
class Expr:
    """A compiled expression.

    Attributes
    ----------
    type : Type
    get : callable
        Value for an environment; None stands for null, also as the third truth value.
    slots : frozenset of int
        What of the environment it depends on.
    access : Access or None
        Set if it is a plain property.
    equalities : tuple of Equality
        For conditions: what indexes can be asked for.
    """

    type: Type
    get: Getter
    slots: frozenset[int] = frozenset()
    access: Access | None = None
    equalities: tuple[Equality, ...] = ()


def constant(type: Type, value: Any) -> Expr:
    """An expression which is always the same."""
    return Expr(type, lambda env: value)


def condition(get: Getter, *parts: Expr, equalities: tuple[Equality, ...] = ()) -> Expr:
    """A truth value computed from other expressions."""
    return Expr(BOOL, get, slots_of(*parts), equalities=equalities)


def slots_of(*parts: Expr) -> frozenset[int]:
    """All slots these expressions depend on."""
    return frozenset().union(*(p.slots for p in parts))


def of_source(source: Source) -> Expr:
    """The value of an alias."""
    slot = source.slot
    type = UNKNOWN
    access = None
    if source.entity is not None:
        type, access = Type("entity", source.entity), Access(source, "id")
    elif source.kind == "quantity" and source.field is not None:
        type = Type("quantity", source.field.type)
    elif source.kind == "pairs":
        type = Type("pair")
    return Expr(type, lambda env: env[slot], frozenset((slot,)), access)


def comparable(expr: Expr) -> Getter:
    """Values as they are compared, sorted and grouped: entities by id, classes by discriminator."""
    get = expr.get
    if expr.type.kind == "entity":
        return lambda env: None if (r := get(env)) is None else r.id
    if expr.type.kind in ("class", "discriminator"):
        return lambda env: None if (e := get(env)) is None else e.discriminator
    return get


def key_of(value: Any) -> Any:
    """One value as `comparable` gives it."""
    if isinstance(value, Record):
        return value.id
    return value.discriminator if isinstance(value, Entity) else value

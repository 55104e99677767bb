"""The FROM and WHERE clauses as nested loops, one per source, conditions checked as early as possible."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from ..store import Record
from .access import candidates
from .expr import Env, Expr, Getter, Source
from .scope import DETAILS

if TYPE_CHECKING:
    from .engine import Engine

Loop = Callable[[Env], Iterator[None]]


def loops(engine: Engine, sources: list[Source], filters: list[Expr]) -> Loop:
    """Compile the loops of a query.

    Parameters
    ----------
    engine : Engine
    sources : list of Source
        From the outermost to the innermost.
    filters : list of Expr
        The WHERE clause, split at AND.

    Returns
    -------
    callable
        For an environment: an iterator which yields once per row, after having put the row into the environment.
    """
    stage_of = {source.slot: i for i, source in enumerate(sources)}
    stage_of.update({s.index_slot: i for i, s in enumerate(sources) if s.index_slot is not None})
    last = len(sources) - 1
    # Stage -1 holds conditions which depend on no source of this query.
    tests: dict[int, list[Getter]] = {}
    for f in filters:
        stage = max((stage_of[s] for s in f.slots if s in stage_of), default=-1) if engine.use_indexes else last
        tests.setdefault(stage, []).append(f.get)
    inner: Loop = _leaf
    for i in range(last, -1, -1):
        later = frozenset(slot for slot, stage in stage_of.items() if stage >= i)
        inner = _loop(engine, sources[i], filters, later, tests.get(i, []), inner)
    first = tests.get(-1)
    return _guarded(first, inner) if first else inner


def _leaf(env: Env) -> Iterator[None]:
    yield None


def _guarded(tests: list[Getter], inner: Loop) -> Loop:
    def run(env: Env) -> Iterator[None]:
        if all(test(env) is True for test in tests):
            yield from inner(env)

    return run


def _loop(
    engine: Engine, source: Source, filters: list[Expr], later: frozenset[int], tests: list[Getter], inner: Loop
) -> Loop:
    """One loop: take values, keep those which pass, go on with the loops inside."""
    values = _VALUES[source.kind](engine, source, filters, later)
    slot = source.slot
    innermost = inner is _leaf

    def run(env: Env) -> Iterator[None]:
        for value in values(env):
            env[slot] = value
            for test in tests:
                if test(env) is not True:
                    break
            else:
                if innermost:
                    yield None
                else:
                    yield from inner(env)

    return run


# -- where the values of a source come from; they may set the slot of the index as well

Values = Callable[[Env], Any]


def _root(engine: Engine, source: Source, filters: list[Expr], later: frozenset[int]) -> Values:
    find, visible = candidates(engine, source, filters, later), engine.visible
    return lambda env: filter(visible, find(env))


def step(source: Source) -> Callable[[Record], Any]:
    """What a reference, quantity or map of a record holds."""
    name = source.name
    if name.startswith("details."):
        attribute = DETAILS[name[8:]][0]
        return lambda record: getattr(record, attribute)
    return lambda record: record.values.get(name)


def _ref(engine: Engine, source: Source, filters: list[Expr], later: frozenset[int]) -> Values:
    parent, follow, left, slot = source.parent.slot, step(source), source.left, source.slot
    conditions = [c.get for c in source.conditions]

    def values(env: Env) -> tuple:
        record = env[parent]
        target = follow(record) if record is not None else None
        if target is not None and conditions:
            env[slot] = target
            if not all(c(env) is True for c in conditions):
                target = None
        return (target,) if target is not None or left else ()

    return values


def _quantity(engine: Engine, source: Source, filters: list[Expr], later: frozenset[int]) -> Values:
    """Part of the same row of the database: its absence drops no row."""
    parent, follow = source.parent.slot, step(source)
    return lambda env: (None if (r := env[parent]) is None else follow(r),)


def _many(source: Source, members: Callable[[Record], Any]) -> Values:
    parent, slot, index, left = source.parent.slot, source.slot, source.index_slot, source.left
    conditions = [c.get for c in source.conditions]

    def values(env: Env) -> Iterator[Any]:
        record, empty = env[parent], True
        for place, member in members(record) if record is not None else ():
            env[slot] = member
            if index is not None:
                env[index] = place
            if all(c(env) is True for c in conditions):
                empty = False
                yield member
        if empty and left:
            if index is not None:
                env[index] = None
            yield None

    return values


def _collection(engine: Engine, source: Source, filters: list[Expr], later: frozenset[int]) -> Values:
    f, elements = source.field, engine.indexed_elements
    return _many(source, lambda record: elements(record, f))


def _pairs(engine: Engine, source: Source, filters: list[Expr], later: frozenset[int]) -> Values:
    follow = step(source)
    return _many(source, lambda record: enumerate(follow(record) or ()))


_VALUES = {"root": _root, "ref": _ref, "quantity": _quantity, "collection": _collection, "pairs": _pairs}

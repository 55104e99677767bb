"""Finding the candidates of a FROM element through the indexes of the store instead of looking at every record."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from ..store import Record
from .expr import Env, Equality, Expr, Source

if TYPE_CHECKING:
    from .engine import Engine

Candidates = Callable[[Env], Iterable[Record]]


def candidates(engine: Engine, root: Source, filters: list[Expr], later: frozenset[int]) -> Candidates:
    """Where a loop over a root takes its records from.

    Parameters
    ----------
    engine : Engine
    root : Source
        An element of the FROM clause which is not a join.
    filters : list of Expr
        Conditions every row has to meet.
    later : frozenset of int
        Slots which have no value yet when the loop starts, its own included.

    Returns
    -------
    callable
        Records for an environment: all which can meet the conditions, and maybe others.
    """
    best: tuple[int, Candidates] | None = None
    if engine.use_indexes:
        for equality in (e for f in filters for e in f.equalities if not e.slots & later):
            hops = _hops(equality.access.source, root)
            if hops is None:
                continue
            cost = _cost(equality, hops)
            if cost is not None and (best is None or cost < best[0]):
                best = cost, _search(engine, root, equality, hops)
    if best is not None:
        return best[1]
    entity = root.entity
    return lambda env: engine.store.all(entity)


def _hops(source: Source, root: Source) -> list[Source] | None:
    """Joins from a source back to the root; None if it hangs on something else or a step cannot be reversed."""
    hops: list[Source] = []
    while source is not root:
        if source.parent is None or source.field is None or source.kind not in ("ref", "collection"):
            return None
        hops.append(source)
        source = source.parent
    return hops


def _cost(equality: Equality, hops: list[Source]) -> int | None:
    """Rank of an index, the lower the better."""
    kind = equality.access.kind
    if kind == "value":  # an index made for this query only: it pays if it is used again and again
        return 50 if not hops and equality.slots else None
    return 10 * len(hops) + (kind == "ref")


def _search(engine: Engine, root: Source, equality: Equality, hops: list[Source]) -> Candidates:
    values, access = equality.values, equality.access
    entity = root.entity

    def find(env: Env) -> Iterable[Record]:
        found: dict[Record, None] = {}
        for value in values(env):
            if value is not None:
                found.update(dict.fromkeys(_lookup(engine, access.source, access.kind, access.name, value)))
        for hop in hops:
            found = dict.fromkeys(p for r in found for p in _back(engine, hop, r))
        records = [r for r in found if r.entity.is_a(entity)]
        return sorted(records, key=_by_id) if len(records) > 1 else records

    return find


def _by_id(record: Record) -> int:
    return record.id


def _lookup(engine: Engine, source: Source, kind: str, name: str, value: Any) -> Iterable[Record]:
    """Records of a source whose id, reference or value is the given one."""
    store, entity = engine.store, source.entity
    if kind == "value":
        return engine.value_index(entity, name).get(value, ())
    if kind == "id":
        record = store.get(entity, value)
        return () if record is None else (record,)
    found: list[Record] = []
    for owner in _owners(entity, name):
        target = store.get(owner.fields[name].type, value)
        if target is not None:
            found += store.referrers(target, owner, name)
    return found


def _owners(entity, name: str) -> list:
    """The entity itself, or those of its subclasses which have the property."""
    if name in entity.fields:
        return [entity]
    return [e for s in entity.subclasses for e in _owners(s, name)]


def _back(engine: Engine, hop: Source, record: Record) -> Iterable[Record]:
    """From a joined record to those it was joined to."""
    f = hop.field
    if hop.kind == "collection":
        owner = record.values.get(f.inverse)
        return () if owner is None else (owner,)
    return [r for owner in _owners(hop.parent.entity, f.name) for r in engine.store.referrers(record, owner, f.name)]

"""One SELECT: compiled once, then run for every environment of the query around it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import nodes
from .checks import check_distinct_order, check_fetches, check_grouping
from .compiler import Compiler
from .errors import HqlSemanticError
from .expr import Env, Expr, Getter, comparable, constant, key_of, of_source
from .loops import loops
from .operators import failure
from .scope import Scope
from .types import BOOL, Type

if TYPE_CHECKING:
    from .engine import Engine


@dataclass(frozen=True)
class Column:
    """One expression of the select list: its type and the name in ``new map(...)``."""

    type: Type
    alias: str | None


@dataclass(frozen=True)
class Row:
    """One row of the answer.

    Attributes
    ----------
    values : tuple
        Of the select list; entities are records.
    fetched : tuple of (Any, Any, int or None)
        For every fetch join: the record it starts from, what it leads to, and the index in the collection.
    """

    values: tuple[Any, ...]
    fetched: tuple[tuple[Any, Any, int | None], ...] = ()


class Block:
    """A query or subquery.

    Attributes
    ----------
    columns : list of Column
    fetches : list of Source
        The fetch joins, in the order of `Row.fetched`.
    """

    def __init__(self, engine: Engine, query: nodes.Query, outer: Scope | None = None) -> None:
        self.engine = engine
        self.query = query
        self.scope = Scope(engine.store.model, engine.new_slot, outer)
        self._compiler = Compiler(engine, self.scope, nested=outer is not None)
        self._compile_froms()
        self._filters = [self._in("where", c) for c in _conjuncts(query.where)]
        self._groups = [comparable(self._in("group", g)) for g in query.group]
        self._compiler.clause = "select"
        self._items = [self._compiler.item(i.value) for i in query.select] or self._all_sources()
        aliases = [i.alias for i in query.select] or [None] * len(self._items)
        self.columns = [Column(e.type, alias) for e, alias in zip(self._items, aliases, strict=True)]
        self._having = self._in("having", query.having) if query.having is not None else None
        self._orders = [(self._order_key(o.value), o.descending) for o in query.order]
        self._aggregates = self._compiler.aggregates
        self._grouped = bool(query.group or self._aggregates)
        self.fetches = [s for s in self.scope.sources if s.fetch]
        check_fetches(self.fetches, self._items)
        if self._grouped:
            check_grouping(query, self._compiler)
        if query.distinct:
            check_distinct_order(query, self._items, self.scope)
        self._own = self._own_slots()
        self._run = loops(engine, self.scope.sources, self._filters)

    # -- compiling

    def _in(self, clause: str, node: nodes.Node) -> Expr:
        self._compiler.clause = clause
        return self._compiler.compile(node)

    def _compile_froms(self) -> None:
        for element in self.query.froms:
            if isinstance(element, nodes.From):
                self.scope.add_root(element.entity, element.alias)
                continue
            source = self.scope.add_join(element.path.parts, element.alias, element.left, element.fetch)
            count = len(self.scope.sources)
            for condition in _conjuncts(element.condition):
                # Recorded: what a parameter of a WITH clause is compared with never equals it.
                fails = nodes.has_param(condition)
                source.conditions.append(constant(BOOL, False) if fails else self._in("from", condition))
            if len(self.scope.sources) > count:
                raise HqlSemanticError("with clause can only reference columns in the driving table")

    def _all_sources(self) -> list[Expr]:
        """Without a SELECT clause everything which is named in the FROM clause."""
        return [of_source(s) for s in self.scope.sources if not (s.fetch or s.implied)]

    def _order_key(self, node: nodes.Node) -> Callable[[Env], Any]:
        items = self.query.select
        if isinstance(node, nodes.Path) and len(node.parts) == 1 and items:
            named = [e for e, i in zip(self._items, items, strict=True) if i.alias == node.parts[0]]
            if named:
                return comparable(named[0])
        if isinstance(node, nodes.Literal) and node.kind == "int":
            if not 1 <= node.value <= len(self._items):
                raise failure("grammar")
            return comparable(self._items[node.value - 1])
        return comparable(self._in("order", node))

    def _own_slots(self) -> frozenset[int]:
        slots = {a.slot for a in self._aggregates}
        for source in self.scope.sources:
            slots.add(source.slot)
            if source.index_slot is not None:
                slots.add(source.index_slot)
        return frozenset(slots)

    # -- running

    def rows(self, env: Env, offset: int = 0, limit: int | None = None) -> list[Row]:
        """The answer for an environment whose outer slots are filled."""
        end = None if limit is None else offset + limit
        if end is not None and end <= offset:
            return []
        found = self._ordered(env) if self._orders else self._distinct(env)
        return list(itertools.islice(found, offset, end))

    def _ordered(self, env: Env) -> Iterator[Row]:
        keys = [key for key, _ in self._orders]
        found = [([key(e) for key in keys], self._row(e)) for e in self._environments(env)]
        for i in reversed(range(len(keys))):
            # Nulls come last, in descending order first.
            found.sort(key=lambda pair: (pair[0][i] is None, pair[0][i]), reverse=self._orders[i][1])
        rows = (row for _, row in found)
        return self._unique(rows) if self.query.distinct else rows

    def _distinct(self, env: Env) -> Iterator[Row]:
        rows = (self._row(e) for e in self._environments(env))
        return self._unique(rows) if self.query.distinct else rows

    @staticmethod
    def _unique(rows: Iterator[Row]) -> Iterator[Row]:
        seen: set[Row] = set()
        for row in rows:
            if row not in seen:
                seen.add(row)
                yield row

    def _row(self, env: Env) -> Row:
        fetched = tuple(
            (env[s.parent.slot], env[s.slot], env[s.index_slot] if s.index_slot is not None else None)
            for s in self.fetches
        )
        return Row(tuple(e.get(env) for e in self._items), fetched)

    def _environments(self, env: Env) -> Iterator[Env]:
        """Filled environments, one per row; valid until the next one is asked for."""
        if not self._grouped:
            for _ in self._run(env):
                yield env
            return
        groups: dict[tuple, tuple[Env, list[list[Any]]]] = {}
        for _ in self._run(env):
            key = tuple(get(env) for get in self._groups)
            group = groups.get(key)
            if group is None:
                group = groups[key] = (env[:], [[] for _ in self._aggregates])
            for aggregate, values in zip(self._aggregates, group[1], strict=True):
                value = aggregate.value(env)
                if value is not None:
                    values.append(value)
        if not groups and not self.query.group:
            groups[()] = (self._without_values(env), [[] for _ in self._aggregates])
        for filled, collected in groups.values():
            for aggregate, values in zip(self._aggregates, collected, strict=True):
                filled[aggregate.slot] = aggregate.run(list(dict.fromkeys(values)) if aggregate.distinct else values)
            if self._having is None or self._having.get(filled) is True:
                yield filled

    def _without_values(self, env: Env) -> Env:
        return [None if slot in self._own else value for slot, value in enumerate(env)]

    # -- as part of another query

    def exists(self) -> Expr:
        """Condition: there is a row."""
        get = self._remembered(lambda env: next(self._environments(env), None) is not None)
        return Expr(BOOL, get, self._free)

    def scalar(self) -> Expr:
        """Value of the only row, null if there is none."""

        def get(env: Env) -> Any:
            found = self.rows(env, 0, 2)
            if len(found) > 1:
                raise failure("data")
            return found[0].values[0] if found else None

        self._require_one_column()
        return Expr(self.columns[0].type, self._remembered(get), self._free)

    def values(self) -> tuple[Callable[[Env], set], frozenset[int]]:
        """Values of the only column, as `comparable` gives them, and the slots they depend on."""
        self._require_one_column()
        return self._remembered(lambda env: {key_of(row.values[0]) for row in self.rows(env)}), self._free

    def _require_one_column(self) -> None:
        if len(self.columns) != 1:
            raise failure("grammar")

    def _remembered(self, get: Getter) -> Getter:
        """What does not depend on the query around is computed once."""
        if self._free or not self.engine.use_indexes:
            return get
        results: list[Any] = []

        def remembered(env: Env) -> Any:
            if not results:
                results.append(get(env))
            return results[0]

        return remembered

    @property
    def _free(self) -> frozenset[int]:
        """Slots of the queries around on which the answer depends."""
        return frozenset(self._compiler.used | {s.parent.slot for s in self.scope.sources if s.parent}) - self._own


def _conjuncts(node: nodes.Node | None) -> list[nodes.Node]:
    """The parts of a condition which all have to hold."""
    if node is None:
        return []
    if isinstance(node, nodes.Binary) and node.op == "and":
        return _conjuncts(node.left) + _conjuncts(node.right)
    return [node]

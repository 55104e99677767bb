"""Answers of IQuery: objects of omero.model for finders, rows of RTypes for projections."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import Ice
import omero
import omero.model
from omero.rtypes import rbool, rclass, rdouble, rmap, robject, rstring

from .. import errors
from ..metamodel import metamodel
from ..store import Record
from ..wiring import WRAP, Graph, Loaded, quantity
from .block import Block, Column, Row
from .engine import Engine
from .errors import HqlChangeError, HqlError
from .params import from_sys, page_of
from .parser import parse

if TYPE_CHECKING:
    from ..context import Call

_STRING = re.compile(r"'((?:[^']|'')*)'")
_SEPARATORS = re.compile(r"[ \n\r\f\t,()=<>&|+\-/*'^!\[\]#~\\]+")
_ENTITY_NAME = re.compile(r"(?i)(\bfrom\s+|\bupdate\s+|\binto\s+|\bdelete\s+(?!from\b))([\w.]+)")


def find_all(call: Call, hql: str, params: omero.sys.Parameters | None = None) -> list[omero.model.IObject | None]:
    """Objects which a query selects.

    Parameters
    ----------
    call : Call
    hql : str
    params : omero.sys.Parameters, optional
        Named parameters; offset and limit.

    Raises
    ------
    omero.QueryException
        If the query is not right.
    omero.ApiUsageException, omero.InternalException, Ice.UnknownException
        If the parameters do not fit.
    Ice.UnknownLocalException
        If the query selects something else than one entity.
    """
    records, loaded = _select(call, hql, params)
    graph = Graph(call, loaded)
    return [graph.wire(record) for record in records]


def find_one(call: Call, hql: str, params: omero.sys.Parameters | None = None) -> omero.model.IObject | None:
    """The only object which a query selects, None if there is none.

    Raises
    ------
    omero.ApiUsageException
        If there are several different ones, and as `find_all`.
    """
    records, loaded = _select(call, hql, params)
    if len(set(records)) > 1:
        raise errors.api_usage(
            f"Query named:\n\t{hql}\n\thas returned more than one Object\nfindBy methods must return a single value."
        )
    return Graph(call, loaded).wire(records[0]) if records else None


def project(call: Call, hql: str, params: omero.sys.Parameters | None = None) -> list[list[omero.RType | None]]:
    """Rows of values which a query selects; errors are those of `find_all`."""
    with _explained(hql):
        block, rows = _run(call, hql, params)
    graph = Graph(call, _loaded(block, rows))
    converter = _Converter(call, graph)
    if block.query.as_map:
        return [[converter.map(block.columns, row.values)] for row in rows]
    return [converter.row(block.columns, row.values) for row in rows]


def _run(call: Call, hql: str, params: omero.sys.Parameters | None) -> tuple[Block, list[Row]]:
    query = parse(hql)
    _check_texts(hql)
    engine = Engine(call, from_sys(params))
    block = engine.prepare(query)
    offset, limit = page_of(params)
    if _dropping_duplicates(block):  # offset and limit count objects then, not rows
        rows = engine.rows(block)
        chosen = list(dict.fromkeys(r.values for r in rows))[offset : None if limit is None else offset + limit]
        wanted = set(chosen)
        return block, [r for r in rows if r.values in wanted]
    return block, engine.rows(block, offset, limit)


def _dropping_duplicates(block: Block) -> bool:
    """Whether every object comes once: if a collection is fetched with it."""
    return len(block.columns) == 1 and any(s.kind in ("collection", "pairs") for s in block.fetches)


def _select(call: Call, hql: str, params: omero.sys.Parameters | None) -> tuple[list[Record], Loaded]:
    with _explained(hql):
        block, rows = _run(call, hql, params)
    if rows and (block.query.as_map or len(block.columns) != 1 or block.columns[0].type.kind != "entity"):
        raise Ice.UnknownLocalException("Ice::EncapsulationException")
    records = [row.values[0] for row in rows]
    return list(dict.fromkeys(records)) if _dropping_duplicates(block) else records, _loaded(block, rows)


def _loaded(block: Block, rows: list[Row]) -> Loaded:
    """What the rows fetched."""
    loaded = Loaded()
    collections: dict[tuple[Record, str], dict[Any, Record]] = {}
    for row in rows:
        loaded.records.update(v for v in row.values if isinstance(v, Record))
        for source, (owner, target, index) in zip(block.fetches, row.fetched, strict=True):
            if isinstance(target, Record):
                loaded.records.add(target)
            if source.kind == "collection" and owner is not None:
                elements = collections.setdefault((owner, source.name), {})
                if target is not None:
                    elements[target if index is None else index] = target
    for (owner, name), elements in collections.items():
        if all(isinstance(key, int) for key in elements):  # an index: there is a hole for what was not fetched
            members = [elements.get(i) for i in range(max(elements, default=-1) + 1)]
        else:
            members = list(elements.values())
        loaded.fetch_collection(owner, name, members)
    return loaded


class _Converter:
    """Values to RTypes."""

    def __init__(self, call: Call, graph: Graph) -> None:
        self.call = call
        self.graph = graph

    def row(self, columns: list[Column], values: tuple) -> list[omero.RType | None]:
        """One row; a single null makes an empty row, and what is behind a column of no known type is lost."""
        if len(columns) == 1 and values[0] is None:
            return []
        row = []
        for column, value in zip(columns, values, strict=True):
            if column.type.kind in ("unknown", "bytes", "pair"):
                break
            row.append(self.value(column, value))
        return row

    def map(self, columns: list[Column], values: tuple) -> omero.RMap:
        """A row of ``select new map(...)``."""
        entries = {}
        for position, (column, value) in enumerate(zip(columns, values, strict=True)):
            name = column.alias or str(position)
            if name.endswith("_details_permissions") and isinstance(value, Record):
                entries[name] = permission_map(self.call, value)
            else:
                entries[name] = self.value(column, value)
        return rmap(entries)

    def value(self, column: Column, value: Any) -> omero.RType | None:
        if value is None:
            return None
        kind = column.type.kind
        if kind in WRAP:
            return WRAP[kind](value)
        if kind == "entity":
            return robject(self.graph.wire(value))
        if kind == "quantity":
            made = quantity(column.type.of, value)
            parts = {"value": rdouble(value.value), "unit": rstring(value.unit), "symbol": rstring(made.getSymbol())}
            return rmap(parts)
        if kind == "permissions":
            return _rights(value, dict.fromkeys(_CAN, True))
        if kind == "class":
            return rclass(value.java)
        return rstring(value.discriminator if kind == "discriminator" else value)


_CAN = ("canAnnotate", "canDelete", "canEdit", "canLink", "canChgrp", "canChown")


def permission_map(call: Call, record: Record) -> omero.RMap:
    """What the caller may do with a record, as OMERO.web reads it from ``x as x_details_permissions``."""
    permissions = call.permissions_of(record)
    return _rights(str(permissions), {name: getattr(permissions, name)() for name in _CAN})


def _rights(text: str, allowed: dict[str, bool]) -> omero.RMap:
    return rmap({"perm": rstring(text), **{name: rbool(value) for name, value in allowed.items()}})


def _check_texts(hql: str) -> None:
    """Recorded: the server takes a colon at the start of a word of a text for a parameter."""
    for text in _STRING.findall(hql):
        if any(word.startswith(":") for word in _SEPARATORS.split(text)):
            raise errors.api_usage("Invalid filter-parameter name format")


@contextlib.contextmanager
def _explained(hql: str) -> Iterator[None]:
    """Turn what is wrong with the text into the exception of the server."""
    try:
        yield
    except HqlChangeError as exc:
        raise errors.api_usage(f"Not supported for DML operations [{_with_full_names(str(exc))}]") from None
    except HqlError as exc:
        quoted = f" [{hql}]" if exc.quote else ""
        raise errors.query(f"Illegal query:{hql}\n{exc}{quoted}") from None


def _with_full_names(statement: str) -> str:
    def full(match: re.Match) -> str:
        entity = metamodel().get(match[2])
        return match[1] + (entity.java if entity is not None else match[2])

    return _ENTITY_NAME.sub(full, statement)

"""IQuery: objects by id, by property, by example and by HQL."""

from __future__ import annotations

from typing import TYPE_CHECKING

import omero
import omero.model
from omero.rtypes import rlong, rstring, unwrap
from omero_sys_ParametersI import ParametersI

from .. import errors
from ..hql import answers
from ..hql.params import filter_page
from ..metamodel import Entity
from ..store import Quantity, Record

if TYPE_CHECKING:
    from ..context import Call


class Query:
    """omero.api.IQuery."""

    # -- HQL

    def findByQuery(self, call: Call, query: str, params: omero.sys.Parameters | None):
        return answers.find_one(call, query, params)

    def findAllByQuery(self, call: Call, query: str, params: omero.sys.Parameters | None) -> list:
        return answers.find_all(call, query, params)

    def projection(self, call: Call, query: str, params: omero.sys.Parameters | None) -> list[list]:
        return answers.project(call, query, params)

    # -- by id

    def get(self, call: Call, klass: str, id: int):
        return call.wire(call.read(_entity(call, klass).name, id))

    def find(self, call: Call, klass: str, id: int):
        entity = _entity(call, klass)
        return self.get(call, klass, id) if call.store.get(entity, id) is not None else None

    def refresh(self, call: Call, obj: omero.model.IObject):
        if obj is None or obj.id is None:
            raise errors.api_usage("refresh needs an object with an id")
        return self.get(call, call.store.model.of(obj).name, obj.id.val)

    # -- by property

    def findAll(self, call: Call, klass: str, filter: omero.sys.Filter | None) -> list:
        entity, params = _entity(call, klass), ParametersI()
        params.theFilter = filter
        conditions = []
        for name in ("owner", "group"):
            wanted = unwrap(getattr(filter, name + "Id")) if filter is not None else None
            if wanted is not None and wanted >= 0 and not entity.is_global:
                conditions.append(f"x.details.{name}.id = :{name}")
                params.add(name, rlong(wanted))
        where = " where " + " and ".join(conditions) if conditions else ""
        return answers.find_all(call, f"select x from {entity.name} x{where} order by x.id", params)

    def findByString(self, call: Call, klass: str, field: str, value: str):
        entity = _entity(call, klass)
        _check_field(entity, field)
        return answers.find_one(call, f"select x from {entity.name} x where x.{field} = :value", _with_value(value))

    def findAllByString(
        self, call: Call, klass: str, field: str, value: str, caseSensitive: bool, filter: omero.sys.Filter | None
    ) -> list:
        """Objects whose property matches; ``%`` stands for any text."""
        entity = _entity(call, klass)
        _check_field(entity, field)
        name, text = (f"x.{field}", value) if caseSensitive else (f"lower(x.{field})", value.lower())
        params = _with_value(text)
        params.theFilter = filter
        return answers.find_all(call, f"select x from {entity.name} x where {name} like :value order by x.id", params)

    # -- by example

    def findByExample(self, call: Call, example: omero.model.IObject):
        found = _alike(call, example)
        if len(found) > 1:
            raise errors.api_usage("findByExample has returned more than one Object")
        return call.wire(found[0]) if found else None

    def findAllByExample(self, call: Call, example: omero.model.IObject, filter: omero.sys.Filter | None) -> list:
        offset, limit = filter_page(filter)
        graph = call.graph()
        return [graph.wire(r) for r in _alike(call, example)[offset : None if limit is None else offset + limit]]


def _entity(call: Call, name: str) -> Entity:
    entity = call.store.model.get(name or "")
    if entity is None or entity.abstract:
        raise errors.api_usage(f"{name} does not specify a valid class.")
    return entity


def _check_field(entity: Entity, name: str) -> None:
    if name not in entity.fields:
        raise errors.query(f"could not resolve property: {name} of: {entity.java}")


def _with_value(value: str) -> ParametersI:
    params = ParametersI()
    params.add("value", rstring(value))
    return params


def _alike(call: Call, example: omero.model.IObject) -> list[Record]:
    """Visible records with all the values, but not the relations, which the example has."""
    if example is None:
        raise errors.api_usage("Example object is null")
    entity = call.store.model.of(example)
    values = {}
    for f in entity.fields.values():
        wanted = getattr(example, "_" + f.name, None) if f.kind in ("value", "quantity") else None
        if wanted is not None:
            values[f.name] = unwrap(wanted) if f.kind == "value" else Quantity(wanted.getValue(), str(wanted.getUnit()))
    return [record for record in call.store.where(entity, **values) if call.visible(record)]

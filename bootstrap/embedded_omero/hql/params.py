"""Values bound to the named parameters of a query, checked as strictly as the server does."""

from __future__ import annotations

from typing import Any

import Ice
import omero
import omero.model
import omero.rtypes as rt

from .. import errors
from .errors import HqlError
from .types import Type

_KINDS: tuple[tuple[Any, str], ...] = (
    (omero.RInt, "int"),
    (omero.RLong, "long"),
    (omero.RFloat, "float"),
    (omero.RDouble, "double"),
    (omero.RBool, "bool"),
    (omero.RString, "string"),
    (omero.RTime, "time"),
    (omero.RObject, "entity"),
)
_STRICT = frozenset(("int", "long", "float", "double", "bool", "string", "time", "entity"))


class Params:
    """Parameters of one query by name: lists of plain values with their kinds.

    Parameters
    ----------
    values : dict of str to RType
        What the client sent.

    Raises
    ------
    Ice.UnknownException
        If a value is null, whether the query uses it or not.
    """

    def __init__(self, values: dict[str, omero.RType] | None = None) -> None:
        self._values = {name: _items(value) for name, value in (values or {}).items()}

    def one(self, name: str, expected: Type | None) -> tuple[Any, str]:
        """Value and kind of a parameter which stands for a single value.

        Raises
        ------
        omero.ApiUsageException
            If it is missing or a list of any other length than one.
        omero.InternalException
            If its type is not the expected one.
        """
        items = self.many(name, expected)
        if len(items) > 1:
            raise errors.api_usage("unexpected token: ,")
        return items[0]

    def many(self, name: str, expected: Type | None) -> list[tuple[Any, str]]:
        """Values of a parameter in a list; a single value is a list of one."""
        items = self._values.get(name)
        if items is None:
            raise errors.api_usage(f"Null parameters not allowed: {name}")
        if not items:
            raise errors.api_usage("unexpected end of subtree")
        for _, kind in items:
            if expected is not None and expected.kind in _STRICT and kind != expected.kind:
                raise errors.wrapped("java.lang.ClassCastException")
        return items


def _items(value: omero.RType | None) -> list[tuple[Any, str]]:
    if value is None:
        raise Ice.UnknownException("java.lang.NullPointerException")
    if isinstance(value, omero.RCollection):
        return [item for element in value.getValue() for item in _items(element)]
    for cls, kind in _KINDS:
        if isinstance(value, cls):
            plain = value.getValue()
            return [(plain.id.val if kind == "entity" else plain, kind)]
    raise HqlError(f"unsupported type of parameter: {type(value).__name__}")


def from_sys(params: omero.sys.Parameters | None) -> Params:
    """Parameters as a client sends them."""
    return Params(params.map if params is not None else None)


def page_of(params: omero.sys.Parameters | None) -> tuple[int, int | None]:
    """(offset, limit); what is negative does not count."""
    return filter_page(params.theFilter if params is not None else None)


def filter_page(given: omero.sys.Filter | None) -> tuple[int, int | None]:
    """(offset, limit) of a filter."""
    if given is None:
        return 0, None
    offset = rt.unwrap(given.offset) or 0
    limit = rt.unwrap(given.limit)
    return max(offset, 0), limit if limit is not None and limit >= 0 else None

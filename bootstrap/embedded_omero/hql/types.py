"""Static types of expressions: they decide which RType a column becomes and which parameters are accepted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .. import errors
from ..metamodel import Entity


@dataclass(frozen=True)
class Type:
    """Type of an expression.

    Attributes
    ----------
    kind : str
        A kind of value ("int", "long", "float", "double", "bool", "string", "time", "bytes"), "entity", "quantity",
        "unit", "class" (the value of ``type(x)``), "discriminator" (``x.class``), "permissions", "pair" (an entry of a
        map), "null" or "unknown".
    of : Entity or str, optional
        Entity, or class of the quantity.
    """

    kind: str
    of: Any = None

    @property
    def entity(self) -> Entity | None:
        return self.of if self.kind == "entity" else None


INT, LONG, FLOAT, DOUBLE = Type("int"), Type("long"), Type("float"), Type("double")
BOOL, STRING, TIME, UNKNOWN, NULL = Type("bool"), Type("string"), Type("time"), Type("unknown"), Type("null")
CLASS, DISCRIMINATOR, PERMISSIONS, PAIR = Type("class"), Type("discriminator"), Type("permissions"), Type("pair")

_NUMBERS = ("int", "long", "float", "double")
# Groups of types which the database compares with each other.
_FAMILIES = {
    **dict.fromkeys(_NUMBERS, "number"),
    "entity": "number",
    "string": "text",
    "unit": "text",
    "discriminator": "text",
    "class": "text",
    "bool": "bool",
    "time": "time",
}


def arithmetic(left: Type, right: Type) -> Type:
    """Type of a sum, difference, product or quotient."""
    kinds = [t.kind for t in (left, right) if t.kind in _NUMBERS]
    return Type(max(kinds, key=_NUMBERS.index)) if kinds else UNKNOWN


def summed(operand: Type) -> Type:
    """Type of ``sum(x)``."""
    return DOUBLE if operand.kind in ("float", "double") else LONG


def is_number(type: Type) -> bool:
    return type.kind in _NUMBERS


def check_comparable(left: Type, right: Type) -> None:
    """Raise what the server raises when the database has no operator for these types."""
    families = {_FAMILIES.get(t.kind) for t in (left, right)} - {None}
    if len(families) > 1:
        raise errors.api_usage("could not execute query")

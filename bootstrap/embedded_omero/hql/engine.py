"""One execution of a query: what its parts share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..metamodel import Entity, Field
from ..store import Record
from . import nodes
from .block import Block, Row
from .params import Params
from .scope import Scope

if TYPE_CHECKING:
    from ..context import Call


class Engine:
    """Executes a query for one caller.

    Parameters
    ----------
    call : Call
        Tells the store and which records are visible.
    params : Params
        Values of the named parameters.
    use_indexes : bool
        Whether conditions are turned into look-ups. The answers are the same without, only slower.
    """

    def __init__(self, call: Call, params: Params, use_indexes: bool = True) -> None:
        self.call = call
        self.store = call.store
        self.visible = call.visible
        self.params = params
        self.use_indexes = use_indexes
        self._slots = 0
        self._value_indexes: dict[tuple[Entity, str], dict[Any, list[Record]]] = {}

    def new_slot(self) -> int:
        """Number of a place in the environment nobody uses yet."""
        self._slots += 1
        return self._slots - 1

    def prepare(self, query: nodes.Query) -> Block:
        """Check and compile a query.

        Raises
        ------
        HqlSemanticError
            If it names what does not exist.
        omero.ServerError
            If its parameters do not fit, or the database would refuse the statement.
        """
        return Block(self, query)

    def rows(self, block: Block, offset: int = 0, limit: int | None = None) -> list[Row]:
        """Rows of the outermost query."""
        return block.rows([None] * self._slots, offset, limit)

    def subquery(self, query: nodes.Query, scope: Scope) -> Block:
        """A query inside of another one."""
        return Block(self, query, scope)

    # -- what the parts ask the store

    def elements(self, record: Record, f: Field) -> list[Record]:
        """Visible elements of a collection."""
        return [e for _, e in self.indexed_elements(record, f)]

    def indexed_elements(self, record: Record, f: Field) -> list[tuple[int, Record]]:
        """Visible elements with their places in the collection."""
        if self.use_indexes:
            found = self.store.collection(record, f)
        else:
            place = {r: i for i, r in enumerate(self.store.collection(record, f))}
            found = [r for r in self.store.all(f.type) if r.values.get(f.inverse) is record]
            found.sort(key=place.__getitem__)
        visible = self.visible
        return [(i, e) for i, e in enumerate(found) if visible(e)]

    def value_index(self, entity: Entity, name: str) -> dict[Any, list[Record]]:
        """Records of an entity by the value of a property, made once per execution."""
        index = self._value_indexes.get((entity, name))
        if index is None:
            index = self._value_indexes[(entity, name)] = {}
            for record in self.store.all(entity):
                index.setdefault(record.values.get(name), []).append(record)
        return index

"""The database: records of the model in memory, with an index for every relation."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from .metamodel import Entity, Field, metamodel


class Quantity(NamedTuple):
    """A value with its unit, such as ``Quantity(0.5, "MICROMETER")``."""

    value: float
    unit: str


class Record:
    """One row. ``values`` holds plain Python values; a reference is the other record itself."""

    __slots__ = ("entity", "id", "values", "owner", "group", "created", "updated", "external", "permissions")

    def __init__(self, entity: Entity, id: int) -> None:
        self.entity = entity
        self.id = id
        self.values: dict[str, Any] = {}
        self.owner: Record | None = None
        self.group: Record | None = None
        self.created: Record | None = None
        self.updated: Record | None = None
        self.external: Record | None = None
        self.permissions: str | None = None  # of groups only; everything else has those of its group

    def __getitem__(self, name: str) -> Any:
        return self.values.get(name)

    def __repr__(self) -> str:
        return f"<{self.entity.name}:{self.id}>"


def now_ms() -> int:
    """Time as the server stores it: milliseconds since 1970."""
    return int(time.time() * 1000)


class Store:
    """All records.

    ``lock`` is held by whoever reads or changes records. Ids start at 1, those of experimenters and groups at 0.
    """

    def __init__(self) -> None:
        self.model = metamodel()
        self.lock = threading.RLock()
        self._rows: dict[Entity, dict[int, Record]] = {e: {} for e in self.model.entities.values()}
        self._next: dict[Entity, int] = {}
        # (root entity of the referrer, reference) -> id of the target -> referring records in order of insertion.
        # The target is not part of the key: a reference has one type, so its ids are unambiguous.
        self._referrers: dict[tuple[Entity, str], dict[int, dict[int, Record]]] = {}
        # Of the transaction which is under way: how to undo it, and which collections it is known how to restore.
        self._undo: list[Callable[[], object]] | None = None
        self._kept: set[tuple[int, int]] = set()

    # -- reading

    def get(self, entity: Entity | str, id: int) -> Record | None:
        """The record of this class (or a subclass) with that id."""
        entity = self.model[entity] if isinstance(entity, str) else entity
        for e in entity.family():
            record = self._rows[e].get(id)
            if record is not None:
                return record
        return None

    def all(self, entity: Entity | str) -> Iterator[Record]:
        """Every record of the class and its subclasses, by class, then by id."""
        entity = self.model[entity] if isinstance(entity, str) else entity
        for e in entity.family():
            yield from list(self._rows[e].values())

    def count(self, entity: Entity | str) -> int:
        entity = self.model[entity] if isinstance(entity, str) else entity
        return sum(len(self._rows[e]) for e in entity.family())

    def find(self, entity: Entity | str, **values: Any) -> Record | None:
        """First record with these values."""
        return next(self.where(entity, **values), None)

    def where(self, entity: Entity | str, **values: Any) -> Iterator[Record]:
        """Records with these values; uses the index for references."""
        entity = self.model[entity] if isinstance(entity, str) else entity
        candidates: Iterable[Record] = self.all(entity)
        for name, value in values.items():
            if isinstance(value, Record):
                candidates = (r for r in self.referrers(value, entity, name) if r.entity.is_a(entity))
                break
        return (r for r in candidates if all(r.values.get(n) == v for n, v in values.items()))

    def referrers(self, target: Record, entity: Entity, reference: str) -> list[Record]:
        """Records of ``entity`` whose ``reference`` is ``target``, in order of insertion."""
        return list(self._referrers.get((entity.root, reference), {}).get(target.id, {}).values())

    def collection(self, record: Record, f: Field) -> list[Record]:
        """Elements of a collection."""
        element = self.model[f.type]
        return [r for r in self.referrers(record, element, f.inverse) if r.entity.is_a(element)]

    # -- changing

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Changes inside are all undone if an exception leaves it; for whoever holds the lock."""
        if self._undo is not None:  # a part of a larger one
            yield
            return
        undo = self._undo = []
        self._kept.clear()
        try:
            yield
        except BaseException:
            for step in reversed(undo):
                step()
            raise
        finally:
            self._undo = None

    def _on_failure(self, step: Callable[[], object]) -> None:
        if self._undo is not None:
            self._undo.append(step)

    def add(self, entity: Entity | str, values: dict[str, Any] | None = None, *, like: Record | None = None) -> Record:
        """Make a record; ``like`` gives it owner, group and events of another one."""
        entity = self.model[entity] if isinstance(entity, str) else entity
        root = entity.root
        id = self._next.get(root, 0 if root.name in ("Experimenter", "ExperimenterGroup") else 1)
        self._next[root] = id + 1
        record = Record(entity, id)
        if like is not None:
            record.owner, record.group = like.owner, like.group
            record.created, record.updated = like.created, like.updated
        self._rows[entity][id] = record
        self._on_failure(lambda: self._rows[entity].pop(id, None))
        for name, value in (values or {}).items():
            self.set(record, name, value)
        return record

    def set(self, record: Record, name: str, value: Any) -> None:
        """Change one value; references move in the index."""
        f = record.entity.fields[name]
        if f.kind == "ref":
            old = record.values.get(name)
            if old is value:
                return
            index = self._referrers.setdefault((record.entity.root, name), {})
            if old is not None:
                self._keep_order(index, old.id)
                index.get(old.id, {}).pop(record.id, None)
            if value is not None:
                index.setdefault(value.id, {})[record.id] = record
                self._on_failure(lambda: index[value.id].pop(record.id, None))
        before = record.values.get(name)
        self._on_failure(lambda: self._put(record, name, before))
        self._put(record, name, value)

    @staticmethod
    def _put(record: Record, name: str, value: Any) -> None:
        if value is None:
            record.values.pop(name, None)
        else:
            record.values[name] = value

    def _keep_order(self, index: dict[int, dict[int, Record]], target: int) -> None:
        """Where elements leave a collection, or change places, a failure brings back all of it."""
        if self._undo is not None and (id(index), target) not in self._kept:
            self._kept.add((id(index), target))
            before = dict(index.get(target, {}))
            self._undo.append(lambda: index.__setitem__(target, before))

    def touch(self, record: Record, event: Record) -> None:
        """Note which event has changed a record."""
        before, record.updated = record.updated, event
        self._on_failure(lambda: setattr(record, "updated", before))

    def reorder(self, owner: Record, f: Field, elements: list[Record]) -> None:
        """Put an indexed collection into this order; elements not named keep their place at the end."""
        targets = self._referrers.get((self.model[f.type].root, f.inverse), {})
        index = targets.get(owner.id)
        if index is None:
            return
        self._keep_order(targets, owner.id)
        old = dict(index)
        index.clear()
        for element in elements:
            if element.id in old:
                index[element.id] = element
        index.update({k: v for k, v in old.items() if k not in index})

    def remove(self, record: Record) -> None:
        """Delete a record; references to it are not looked at."""
        for f in record.entity.references():
            self.set(record, f.name, None)
        del self._rows[record.entity][record.id]
        self._on_failure(lambda: self._put_back(record))

    def _put_back(self, record: Record) -> None:
        rows = {**self._rows[record.entity], record.id: record}
        self._rows[record.entity] = dict(sorted(rows.items()))

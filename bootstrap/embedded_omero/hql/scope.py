"""Names of a query: aliases, properties, paths, and the joins which paths imply."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from typing import Any

from .. import errors, permissions
from ..metamodel import Entity, Field, MetaModel
from ..store import Record
from .errors import HqlSemanticError
from .expr import Access, Expr, Source, of_source
from .types import DISCRIMINATOR, DOUBLE, INT, LONG, PERMISSIONS, STRING, Type

DETAILS = {
    "owner": ("owner", "Experimenter"),
    "group": ("group", "ExperimenterGroup"),
    "creationEvent": ("created", "Event"),
    "updateEvent": ("updated", "Event"),
    "externalInfo": ("external", "ExternalInfo"),
}

_JOINED = {"ref": "ref", "collection": "collection", "named": "pairs", "quantity": "quantity"}


def find_field(entity: Entity, name: str) -> Field | None:
    """A property of an entity or of its subclasses, which a path may use as well."""
    for e in entity.family():
        if name in e.fields:
            return e.fields[name]
    return None


def permissions_text(record: Record) -> str:
    """Rights string of a record, such as "rwra--"."""
    holder = record if record.entity.name == "ExperimenterGroup" else record.group
    return (holder.permissions if holder is not None else None) or "rwr-r-"


class Scope:
    """FROM clause of one query, inside of that of the query around it.

    Parameters
    ----------
    model : MetaModel
    new_slot : callable
        Gives the number of an unused slot of the environment.
    outer : Scope, optional
    """

    def __init__(self, model: MetaModel, new_slot: Callable[[], int], outer: Scope | None = None) -> None:
        self.model = model
        self.new_slot = new_slot
        self.outer = outer
        self.sources: list[Source] = []  # in the order in which they are looped over
        self._implied: dict[tuple[int, str], Source] = {}
        self._leading = 0  # sources in front which hang on the query around

    # -- FROM clause

    def add_root(self, name: str, alias: str | None) -> Source:
        """An entity, or in a subquery a collection of the query around."""
        first, _, rest = name.partition(".")
        if rest and self.alias(first) is not None:
            return self.add_join(tuple(name.split(".")), alias, False, False)
        entity = self.model.get(name)
        if entity is None:
            raise HqlSemanticError(f"{name} is not mapped")
        source = Source(self.new_slot(), alias, entity)
        self.sources.append(source)
        return source

    def add_join(self, parts: tuple[str, ...], alias: str | None, left: bool, fetch: bool) -> Source:
        """An explicit join; what its path passes through on the way is joined in the same manner."""
        found = self._start(parts)
        if found is None:
            raise HqlSemanticError(f"Path expected for join!\nInvalid path: '{'.'.join(parts)}'")
        source, names = found
        while True:
            step, names = _step(names)
            if not names:
                return self._join(source, step, alias, left, fetch)
            source = self._implied_join(source, step, left)

    def _join(self, parent: Source, name: str, alias: str | None, left: bool, fetch: bool = False) -> Source:
        entity = self._entity(parent, name)
        f = None if name.startswith("details.") else self._field(entity, name)
        if f is None:
            kind, target = "ref", self._details(entity, name)
        elif f.kind in _JOINED:
            kind, target = _JOINED[f.kind], self.model[f.type] if f.kind in ("ref", "collection") else None
        else:
            raise HqlSemanticError(f"cannot dereference scalar: {name}")
        source = Source(self.new_slot(), alias, target, kind, parent, name, f, left, fetch)
        if kind == "pairs" or f is not None and f.ordered:
            source.index_slot = self.new_slot()
        self.sources.append(source)
        if alias is None and source.kind == "ref":
            self._implied.setdefault((parent.slot, name), source)
        return source

    def _implied_join(self, parent: Source, name: str, left: bool = False) -> Source:
        """Join of a reference inside of a path; it comes right behind what it hangs on."""
        known = self._implied.get((parent.slot, name))
        if known is not None:
            return known
        source = self._join(parent, name, None, left)
        source.implied = True
        if source.kind not in ("ref", "quantity"):
            raise _dereferenced(parent, name)
        self.sources.remove(source)
        if parent in self.sources:
            self.sources.insert(self.sources.index(parent) + 1, source)
        else:
            self.sources.insert(self._leading, source)
            self._leading += 1
        return source

    # -- paths

    def all_scopes(self) -> Iterator[Scope]:
        scope: Scope | None = self
        while scope is not None:
            yield scope
            scope = scope.outer

    def alias(self, name: str) -> Source | None:
        """What an alias stands for, here or in a query around."""
        for scope in self.all_scopes():
            for source in scope.sources:
                if source.alias == name:
                    return source
        return None

    def _start(self, parts: tuple[str, ...]) -> tuple[Source, tuple[str, ...]] | None:
        source = self.alias(parts[0])
        if source is not None:
            return source, parts[1:]
        for scope in self.all_scopes():
            found = [s for s in scope.sources if not s.implied and s.entity is not None and _has(s.entity, parts[0])]
            if len(found) > 1:  # ambiguous for the database
                raise errors.api_usage("could not execute query")
            if found:
                return found[0], parts
        return None

    def resolve(self, parts: tuple[str, ...], joined: bool = False) -> Expr | None:
        """Expression of a path; None if its first name means nothing here.

        Parameters
        ----------
        parts : tuple of str
        joined : bool
            Whether a reference at the end is joined, that is the record itself is wanted, not only its id.
        """
        found = self._start(parts)
        if found is None:
            return None
        source, names = found
        while names:
            step, names = _step(names)
            if source.entity is None:
                return _component(source, step, names)
            reference = self._is_reference(source.entity, step)
            if not names and not (joined and reference):
                return self._property(source, step)
            if names == ("id",) and reference:
                return self._property(source, step, id_only=True)
            if names[:1] == ("perm1",) and step == "details.permissions":
                return self._property(source, "details.permissions.perm1")
            source = self._implied_join(source, step)
        return of_source(source)

    @staticmethod
    def _is_reference(entity: Entity, step: str) -> bool:
        if step.startswith("details."):
            return step[8:] in DETAILS
        f = find_field(entity, step)
        return f is not None and f.kind == "ref"

    def _property(self, source: Source, name: str, id_only: bool = False) -> Expr:
        """Property of a source; of a reference the id only if that is asked for."""
        entity = self._entity(source, name)

        def of(type: Type, read: Callable[[Record], Any], access: Access | None = None) -> Expr:
            slot = source.slot
            return Expr(type, lambda env: None if (r := env[slot]) is None else read(r), frozenset((slot,)), access)

        if name == "id":
            return of(LONG, lambda record: record.id, Access(source, "id"))
        if name == "class":
            return of(DISCRIMINATOR, lambda record: record.entity)
        if name == "version":
            return of(INT, lambda record: record.values.get("version", 0))
        if name == "details.permissions":
            return of(PERMISSIONS, permissions_text)
        if name == "details.permissions.perm1":
            return of(LONG, lambda record: permissions.bits(permissions_text(record)))
        access = None
        if name.startswith("details."):
            type, attribute = Type("entity", self._details(entity, name)), DETAILS[name[8:]][0]
            read: Callable[[Record], Any] = operator.attrgetter(attribute)
        else:
            f = self._field(entity, name)
            if f.kind in ("collection", "named"):
                raise _dereferenced(source, name)
            type, access = self._type(f), Access(source, "ref" if f.kind == "ref" else "value", name)
            read = operator.itemgetter(name)
        if id_only:
            return of(LONG, lambda record: None if (target := read(record)) is None else target.id, access)
        return of(type, read, access)

    def ends_at_collection(self, parts: tuple[str, ...]) -> bool:
        """Whether a path leads to a collection; makes no joins."""
        found = self._start(parts)
        if found is None:
            return False
        source, names = found
        entity, kind = source.entity, ""
        while names and entity is not None:
            step, names = _step(names)
            if step.startswith("details."):
                entity, kind = self.model[DETAILS[step[8:]][1]] if step[8:] in DETAILS else None, "ref"
                continue
            f = find_field(entity, step)
            kind = f.kind if f is not None else ""
            entity = self.model[f.type] if f is not None and kind in ("ref", "collection") else None
        return not names and kind == "collection"

    def collection(self, parts: tuple[str, ...]) -> tuple[Source, Field]:
        """Owner and property of a path which ends at a collection."""
        found = self._start(parts)
        if found is None or not found[1]:
            raise HqlSemanticError(f"Invalid path: '{'.'.join(parts)}'")
        source, names = found
        while True:
            step, names = _step(names)
            if not names:
                break
            source = self._implied_join(source, step)
        f = self._field(self._entity(source, step), step)
        if f.kind != "collection":
            raise HqlSemanticError(f"{'.'.join(parts)} is not a collection")
        return source, f

    # -- the model

    @staticmethod
    def _entity(source: Source, name: str) -> Entity:
        if source.entity is None:
            raise HqlSemanticError(f"could not resolve property: {name} of: {source.name}")
        return source.entity

    @staticmethod
    def _field(entity: Entity, name: str) -> Field:
        f = find_field(entity, name)
        if f is None:
            raise HqlSemanticError(f"could not resolve property: {name} of: {entity.java}")
        return f

    def _details(self, entity: Entity, name: str) -> Entity:
        part = name[8:]
        if part not in DETAILS or entity.is_global and part != "externalInfo":
            raise HqlSemanticError(f"could not resolve property: {part} of: {entity.java}")
        return self.model[DETAILS[part][1]]

    def _type(self, f: Field) -> Type:
        if f.kind == "ref":
            return Type("entity", self.model[f.type])
        if f.kind == "quantity":
            return Type("quantity", f.type)
        return Type(f.type if f.kind == "value" else "unknown")


def _step(names: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """Split the next property off; ``details.owner`` counts as one."""
    count = 2 if names[0] == "details" and len(names) > 1 else 1
    return ".".join(names[:count]), names[count:]


def _has(entity: Entity, name: str) -> bool:
    return name in ("id", "details", "version") or find_field(entity, name) is not None


def _component(source: Source, step: str, rest: tuple[str, ...]) -> Expr:
    """Property of a quantity or of an entry of a map."""
    slot, slots = source.slot, frozenset((source.slot,))
    if not rest and source.kind == "quantity" and step in ("value", "unit"):
        position = 0 if step == "value" else 1
        type = DOUBLE if step == "value" else Type("unit", source.field.type if source.field else None)
        return Expr(type, lambda env: None if (q := env[slot]) is None else q[position], slots)
    if not rest and source.kind == "pairs" and step in ("name", "value"):
        position = 0 if step == "name" else 1
        return Expr(STRING, lambda env: None if (p := env[slot]) is None else p[position], slots)
    raise HqlSemanticError(f"could not resolve property: {step} of: {source.name}")


def _dereferenced(source: Source, name: str) -> HqlSemanticError:
    return HqlSemanticError(f"illegal attempt to dereference collection [{source.alias or source.name}.{name}]")

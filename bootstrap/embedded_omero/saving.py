"""Graphs of omero.model objects become records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import omero
import omero.model

from . import errors
from .metamodel import Entity, Field
from .store import Quantity, Record
from .wiring import Loaded

if TYPE_CHECKING:
    from .context import Call

# Who may annotate an object may also make these on it.
_ANNOTATING = ("AnnotationLink", "Roi", "RenderingDef", "Thumbnail", "ChannelBinding")


class Save:
    """One save: every object of the graph is looked at once. It is for a transaction: what fails is half done.

    Parameters
    ----------
    call : Call

    Attributes
    ----------
    loaded : Loaded
        What the answer shows: new and changed objects come back with their details and collections.
    """

    def __init__(self, call: Call) -> None:
        self.call = call
        self.store = call.store
        self.loaded = Loaded()
        self._done: dict[int, Record] = {}
        self._keep: list[Any] = []  # keeps ids of Python objects unique while the save runs

    def save(self, obj: omero.model.IObject | None) -> Record:
        """Save an object and all which is reachable from it.

        Raises
        ------
        omero.ApiUsageException, omero.ValidationException, omero.SecurityViolation, omero.OptimisticLockException
        """
        if obj is None:
            raise errors.api_usage("Argument to save cannot be null.")
        if self.call.all_groups:
            self.call.add("Dataset")  # raises: there is no group to save into
        record = self._visit(obj)
        if not obj.isLoaded() and record.owner is self.call.user:
            self.loaded.refs.add((record, "details.owner"))
        return record

    def _visit(self, obj: omero.model.IObject) -> Record:
        found = self._done.get(id(obj))
        if found is not None:
            return found
        entity = self.store.model.of(obj)
        if obj.id is not None:
            return self._existing(obj, entity)
        same = self._enumeration(obj, entity)
        return same if same is not None else self._new(obj, entity)

    def _remember(self, obj: Any, record: Record) -> Record:
        self._done[id(obj)] = record
        self._keep.append(obj)
        return record

    # -- existing objects

    def _existing(self, obj: omero.model.IObject, entity: Entity) -> Record:
        record = self._remember(obj, self.call.read(entity.name, obj.id.val))
        if not obj.isLoaded():
            return record
        self._check_version(obj, record)
        changed = False
        for f in entity.fields.values():
            if f.kind == "collection":
                self._collection(obj, record, f)
                continue
            value = self._value(obj, f)
            if f.kind == "ref" and value is not None:
                self.loaded.refs.add((record, f.name)) if getattr(obj, "_" + f.name).isLoaded() else None
            if value != record.values.get(f.name) and not (
                f.kind == "named" and not value and f.name not in record.values
            ):
                self._check_edit(record)
                self._require(entity, f, value)
                if f.kind == "ref" and value is not None:
                    self._check_link(entity, value)
                self.store.set(record, f.name, value)
                changed = True
        if changed:
            self.store.touch(record, self.call.event)
        self._show_details(record)
        return record

    def _check_version(self, obj: omero.model.IObject, record: Record) -> None:
        details = obj.details
        event = details.updateEvent if details is not None else None
        if (
            event is not None
            and event.id is not None
            and record.updated is not None
            and event.id.val != record.updated.id
        ):
            java = self.store.model["Event"].java
            raise errors.server_error(
                omero.OptimisticLockException,
                f"You are not authorized to change the update event for {record.entity.java}:Id_{record.id} "
                f"from {java}:Id_{record.updated.id} to {java}:Id_{event.id.val}\n"
                "You may need to reload the object before continuing.",
            )  # fmt: skip

    def _check_edit(self, record: Record) -> None:
        if not self.call.flags(record).edit:
            raise errors.security(f"Updating {record.entity.java}:Id_{record.id} not allowed.")

    # -- new objects

    def _enumeration(self, obj: omero.model.IObject, entity: Entity) -> Record | None:
        """An enumeration given by value means the one which is there."""
        if not entity.is_global or "value" not in entity.fields or obj.value is None:
            return None
        found = self.store.find(entity, value=obj.value.val)
        return None if found is None else self._remember(obj, found)

    def _new(self, obj: omero.model.IObject, entity: Entity) -> Record:
        # The record exists before what it refers to is looked at: graphs have cycles.
        record = self._remember(obj, self.call.add(entity.name))
        values = {}
        for f in entity.fields.values():
            if f.kind != "collection":
                value = self._value(obj, f)
                self._require(entity, f, value)
                if value is not None:
                    values[f.name] = value
        self._check_new(entity, values)
        for name, value in values.items():
            self.store.set(record, name, value)
            if entity.fields[name].kind == "ref" and getattr(obj, "_" + name).isLoaded():
                self.loaded.refs.add((record, name))
        if entity.name == "Image" and "series" not in values:
            self.store.set(record, "series", 0)
        for f in entity.collections():
            self._collection(obj, record, f, new=True)
        self._show_details(record)
        return record

    def _require(self, entity: Entity, f: Field, value: Any) -> None:
        if value is None and not f.nullable and f.kind != "named" and f.name != "series":
            owner = entity
            while owner.parent is not None and f.name not in owner.own:
                owner = owner.parent
            raise errors.validation(f"not-null property references a null or transient value: {owner.java}.{f.name}")

    def _check_new(self, entity: Entity, values: dict[str, Any]) -> None:
        if entity.is_global and not self.call.is_admin and entity.name not in ("Namespace",):
            raise errors.security(f"{self.call.user['omeName']} may not create {entity.java}")
        for f in entity.references():
            if f.name in values:
                self._check_link(entity, values[f.name])
        if entity.is_link:
            pair = {"parent": values["parent"], "child": values["child"]}
            if any(r.owner is self.call.user or entity.is_global for r in self.store.where(entity, **pair)):
                raise errors.validation(f"could not insert: [{entity.java}]")

    def _check_link(self, entity: Entity, target: Record) -> None:
        """Whether a new object may refer to an existing one."""
        if target.owner is None or target.owner is self.call.user or target.created is self.call.event:
            return
        flags = self.call.flags(target)
        if flags.link or (entity.name.endswith(_ANNOTATING) and flags.annotate):
            return
        group = target.group
        name = f"{target.entity.java}:Id_{target.id}"
        if self.call.is_admin or group in self.call.leader_of:
            raise errors.server_error(
                omero.ReadOnlyGroupSecurityViolation,
                f"Cannot link to {name}\nCurrent user ({self.call.user['omeName']}) is an admin or the owner of\n"
                f"the private group ({group['name']}={group.permissions}). It is not allowed to\nlink to users' data.",
            )  # fmt: skip
        raise errors.security(f"Group is {group.permissions}. Cannot link to object: {name}")

    # -- parts of objects

    def _value(self, obj: omero.model.IObject, f: Field) -> Any:
        raw = getattr(obj, "_" + f.name)
        if raw is None:
            return None
        if f.kind == "ref":
            return self._visit(raw)
        if f.kind == "value":
            return raw.val
        if f.kind == "quantity":
            return Quantity(raw.getValue(), str(raw.getUnit()))
        if f.kind == "named":
            return [(pair.name, pair.value) for pair in raw]
        return raw

    def _collection(self, obj: omero.model.IObject, record: Record, f: Field, new: bool = False) -> None:
        if not getattr(obj, f"_{f.name}Loaded") and not new:
            return
        elements = [e for e in getattr(obj, f"_{f.name}Seq") if e is not None]
        saved = [self._visit(e) for e in elements]
        for element in saved:
            if element[f.inverse] is None:
                self.store.set(element, f.inverse, record)
        if f.ordered and saved:
            self.store.reorder(record, f, saved)
        if any(e.isLoaded() for e in elements) or new or not elements:
            self.loaded.fetch_collection(record, f.name, list(saved))

    def _show_details(self, record: Record) -> None:
        self.loaded.refs.update((record, "details." + name) for name in ("owner", "creationEvent", "updateEvent"))

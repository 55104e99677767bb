"""Records become objects of omero.model: only what was fetched is loaded, everything else is an unloaded stub."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import omero
import omero.model
import omero.model.enums
from omero.rtypes import rbool, rdouble, rfloat, rint, rlong, rstring, rtime

from . import permissions
from .metamodel import Field
from .store import Quantity, Record

if TYPE_CHECKING:
    from .context import Call

WRAP = {
    "int": rint,
    "long": rlong,
    "double": rdouble,
    "float": rfloat,
    "bool": rbool,
    "string": rstring,
    "time": rtime,
}
# Collections which arrive loaded although nobody asked for them (recorded from a server).
EAGER_COLLECTIONS = {("Image", "wellSamples"), ("OriginalFile", "filesetEntries")}
EAGER_REFERENCES = {("Shape", "roi")}


class Loaded:
    """What a query or a save fetched.

    Attributes
    ----------
    records : set of Record
        What is loaded wherever something refers to it.
    refs : set of (Record, str)
        References which are loaded; those of the details are named ``details.owner``, ``details.creationEvent``,
        ``details.updateEvent`` and ``details.externalInfo``.
    collections : dict of (Record, str) to list
        Elements of loaded collections. An indexed collection may hold None where an element was not fetched.
    """

    def __init__(self) -> None:
        self.records: set[Record] = set()
        self.refs: set[tuple[Record, str]] = set()
        self.collections: dict[tuple[Record, str], list[Record | None]] = {}

    def fetch_collection(self, record: Record, name: str, elements: list[Record | None]) -> None:
        """Load a collection and the references of its elements which point back."""
        self.collections[(record, name)] = elements
        inverse = record.entity.fields[name].inverse
        self.refs.update((e, inverse) for e in elements if e is not None)


class Graph:
    """One answer: every record becomes exactly one object."""

    def __init__(self, call: Call, loaded: Loaded | None = None) -> None:
        self.call = call
        self.loaded = loaded or Loaded()
        self._made: dict[Record, omero.model.IObject] = {}
        self._stubs: dict[Record, omero.model.IObject] = {}
        self._permissions: dict[tuple, omero.model.PermissionsI] = {}

    def wire(self, record: Record | None) -> omero.model.IObject | None:
        """The loaded object of a record."""
        if record is None:
            return None
        obj = self._made.get(record)
        if obj is None:
            obj = self._made[record] = record.entity.impl()
            self._fill(obj, record)
        return obj

    def stub(self, record: Record) -> omero.model.IObject:
        """An unloaded object: class and id only. One for each record: that is sent once, however often it occurs."""
        obj = self._made.get(record) or self._stubs.get(record)
        if obj is None:
            obj = self._stubs[record] = record.entity.impl(record.id, False)
        return obj

    def _reference(self, record: Record, name: str, target: Record | None) -> omero.model.IObject | None:
        if target is None:
            return None
        known, eager = self.loaded, (record.entity.root.name, name) in EAGER_REFERENCES
        if eager or target in known.records or (record, name) in known.refs:
            return self.wire(target)
        return self.stub(target)

    def _fill(self, obj: omero.model.IObject, record: Record) -> None:
        state = obj.__dict__  # past the checks of __setattr__, which are for users and slow
        state["_id"] = rlong(record.id)
        state["_loaded"] = True
        values = record.values
        for f in record.entity.fields.values():
            if f.kind == "collection":
                self._collection(state, record, f)
            elif f.kind == "named":
                pairs = values.get(f.name, () if f.name == "config" else None)
                if pairs is not None:
                    state["_" + f.name] = [omero.model.NamedValue(k, v) for k, v in pairs]
            elif f.name not in values:
                continue
            elif f.kind == "value":
                state["_" + f.name] = WRAP[f.type](values[f.name])
            elif f.kind == "ref":
                state["_" + f.name] = self._reference(record, f.name, values[f.name])
            elif f.kind == "quantity":
                state["_" + f.name] = quantity(f.type, values[f.name])
            else:
                state["_" + f.name] = values[f.name]
        state["_details"] = self._details(record)
        if record.entity.name == "Experimenter" and not permissions.knows(self.call, record):
            hidden = {f"_{name}": rstring(permissions.HIDDEN) for name in permissions.NAMES}
            state.update(hidden, _email=None, _institution=None)

    def _collection(self, state: dict[str, Any], record: Record, f: Field) -> None:
        elements = self.loaded.collections.get((record, f.name))
        if elements is None and (record.entity.name, f.name) in EAGER_COLLECTIONS:
            elements = [e for e in self.call.store.collection(record, f) if self.call.visible(e)]
        state[f"_{f.name}Seq"] = [self.wire(e) for e in elements] if elements is not None else []
        state[f"_{f.name}Loaded"] = elements is not None

    def _permissions_of(self, record: Record) -> omero.model.PermissionsI:
        rights = self.call.rights_on(record)
        if rights not in self._permissions:  # most records of an answer have the same: they are sent once
            self._permissions[rights] = permissions.permissions_object(*rights)
        return self._permissions[rights]

    def _details(self, record: Record) -> omero.model.DetailsI:
        details = omero.model.DetailsI()
        details._permissions = self._permissions_of(record)
        if record.group is not None:
            details._group = self.wire(record.group)
        details._owner = self._reference(record, "details.owner", record.owner)
        details._creationEvent = self._reference(record, "details.creationEvent", record.created)
        details._updateEvent = self._reference(record, "details.updateEvent", record.updated)
        details._externalInfo = self._reference(record, "details.externalInfo", record.external)
        return details


def quantity(cls: str, value: Quantity):
    """Quantity of omero.model, for instance a ``LengthI``."""
    return getattr(omero.model, cls + "I")(value.value, getattr(getattr(omero.model.enums, "Units" + cls), value.unit))

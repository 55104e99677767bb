"""The OMERO model as data: entities, their fields, collections and inverse relations.

Everything is read from the classes which omero-py generated from the Slice definitions, so that the embedded
server knows exactly the model of the installed omero-py.
"""

from __future__ import annotations

import functools
import re
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import omero
import omero.model

from . import slices  # noqa: F401

VALUE_TYPES = {
    "_M_omero._t_RInt": "int",
    "_M_omero._t_RLong": "long",
    "_M_omero._t_RDouble": "double",
    "_M_omero._t_RFloat": "float",
    "_M_omero._t_RBool": "bool",
    "_M_omero._t_RString": "string",
    "_M_omero._t_RTime": "time",
}
_CLASS = re.compile(r"IcePy\.defineClass\('::omero::model::(\w+)', \w+, -1, \(\), \w+, \w+, ([\w.]+), \(\), \(")
_FIELD = re.compile(r"\('_(\w+)', \(\), ([\w.]+), ")
_SEQUENCE = re.compile(r"IcePy\.defineSequence\('::omero::model::(\w+Seq)', \(\), _M_omero\.model\._t_(\w+)\)")

# What the column "class" of a row holds in the server's database.
DISCRIMINATORS = {
    "Annotation": "Annotation",
    "BasicAnnotation": "/basic/",
    "BooleanAnnotation": "/basic/bool/",
    "NumericAnnotation": "/basic/num/",
    "DoubleAnnotation": "/basic/num/double/",
    "LongAnnotation": "/basic/num/long/",
    "TermAnnotation": "/basic/term/",
    "TimestampAnnotation": "/basic/time/",
    "ListAnnotation": "/list/",
    "MapAnnotation": "/map/",
    "TextAnnotation": "/basic/text/",
    "CommentAnnotation": "/basic/text/comment/",
    "TagAnnotation": "/basic/text/tag/",
    "XmlAnnotation": "/basic/text/xml/",
    "TypeAnnotation": "/type/",
    "FileAnnotation": "/type/OriginalFile/",
}


@dataclass(frozen=True)
class Field:
    """One property of an entity.

    Attributes
    ----------
    name : str
    kind : {"value", "ref", "collection", "quantity", "named", "bytes"}
    type : str
        For values the RType ("int", "string", "time", ...), for references and collections the entity, for
        quantities the class ("Length", "Time", ...).
    nullable : bool
        Whether the database accepts null.
    inverse : str
        For a collection: the reference of the element which points back.
    ordered : bool
        For a collection: whether it is a list with an index.
    """

    name: str
    kind: str
    type: str
    nullable: bool = True
    inverse: str = ""
    ordered: bool = False


@dataclass
class Entity:
    """One class of the model."""

    name: str
    parent: Entity | None
    impl: Any
    java: str = ""
    own: dict[str, Field] = field(default_factory=dict)
    fields: dict[str, Field] = field(default_factory=dict)
    subclasses: list[Entity] = field(default_factory=list)
    is_global: bool = False

    @property
    def root(self) -> Entity:
        """The topmost class: what shares one table and one space of ids."""
        return self if self.parent is None else self.parent.root

    @property
    def abstract(self) -> bool:
        return self.impl is None

    @property
    def discriminator(self) -> str:
        return DISCRIMINATORS.get(self.name, self.java)

    @property
    def is_link(self) -> bool:
        return "parent" in self.fields and "child" in self.fields and self.name.endswith(("Link", "Map"))

    def is_a(self, other: Entity) -> bool:
        entity: Entity | None = self
        while entity is not None:
            if entity is other:
                return True
            entity = entity.parent
        return False

    def family(self) -> list[Entity]:
        """This entity and all below it."""
        return [self] + [e for s in self.subclasses for e in s.family()]

    def collections(self):
        return (f for f in self.fields.values() if f.kind == "collection")

    def references(self):
        return (f for f in self.fields.values() if f.kind == "ref")

    def __repr__(self) -> str:
        return f"<Entity {self.name}>"

    def __hash__(self) -> int:
        return id(self)

    def __eq__(self, other) -> bool:
        return self is other


class MetaModel:
    """All entities by name: ``model["Image"]``; ``get`` also knows ``ome.model.core.Image`` and ``ImageI``."""

    def __init__(self) -> None:
        self.entities: dict[str, Entity] = {}
        with warnings.catch_warnings(record=True):  # parts of the model are deprecated, but still there
            self._read()
            for entity in self.entities.values():
                self._complete(entity)
        for entity in self.entities.values():
            entity.fields = {f.name: f for f in self._inherited(entity)}
        for entity in self.entities.values():
            for f in entity.own.values():
                if f.kind == "collection":
                    self._pair(entity, f)
        for entity in self.entities.values():
            entity.fields = {f.name: f for f in self._inherited(entity)}
        self._names = {e.java: e for e in self.entities.values() if e.java}

    def __getitem__(self, name: str) -> Entity:
        return self.entities[name]

    def get(self, name: str) -> Entity | None:
        """Entity by simple, Java or implementation name; None if there is none."""
        simple = name.rsplit(".", 1)[-1]
        if "." in name and not name.startswith(("ome.model.", "omero.model.")):
            return None
        return self.entities.get(simple) or (self.entities.get(simple[:-1]) if simple.endswith("I") else None)

    def of(self, obj: omero.model.IObject) -> Entity:
        """Entity of an object of omero-py."""
        return self.entities[obj.__class__.__name__.removesuffix("I")]

    def _read(self) -> None:
        folder = Path(omero.__file__).parent.parent
        parents: dict[str, str] = {}
        raw: dict[str, list[tuple[str, str]]] = {}
        sequences: dict[str, str] = {}
        for path in sorted(folder.glob("omero_model_*_ice.py")):
            text = path.read_text(encoding="utf-8")
            sequences.update(_SEQUENCE.findall(text))
            match = _CLASS.search(text)
            if match is None:
                continue
            end = text.index("_ice_type", match.end())
            name, parent = match.groups()
            raw[name] = _FIELD.findall(text[match.end() - 1 : end])
            parents[name] = parent.rpartition("_t_")[2]
        objects = {"IObject"}
        while more := {n for n, p in parents.items() if p in objects} - objects:
            objects |= more
        objects.discard("IObject")
        for name in sorted(objects, key=lambda n: (self._depth(n, parents), n)):
            parent = parents[name]
            impl = getattr(omero.model, name + "I", None)
            entity = Entity(name, self.entities.get(parent), impl)
            if entity.parent is not None:
                entity.parent.subclasses.append(entity)
            for attribute, slice_type in raw[name]:
                made = self._field(attribute, slice_type, sequences, objects)
                if made is not None:
                    entity.own[made.name] = made
            self.entities[name] = entity

    @staticmethod
    def _depth(name: str, parents: dict[str, str]) -> int:
        depth = 0
        while name in parents:
            name, depth = parents[name], depth + 1
        return depth

    @staticmethod
    def _field(attribute: str, slice_type: str, sequences: dict[str, str], objects: set[str]) -> Field | None:
        if attribute == "version" or attribute.endswith(("Loaded", "CountPerOwner")):
            return None
        if slice_type in VALUE_TYPES:
            return Field(attribute, "value", VALUE_TYPES[slice_type])
        simple = slice_type.rpartition("_t_")[2]
        if simple in sequences:
            return Field(attribute.removesuffix("Seq"), "collection", sequences[simple])
        if simple == "NamedValueList":
            return Field(attribute, "named", simple)
        if simple in objects:
            return Field(attribute, "ref", simple)
        if slice_type.startswith("_M_omero.model."):
            return Field(attribute, "quantity", simple)
        return Field(attribute, "bytes", simple)

    def _complete(self, entity: Entity) -> None:
        """Nullability, Java name and order from the implementation class."""
        impl = entity.impl or next((e.impl for e in entity.family() if e.impl), None)
        if impl is None:
            return
        info = impl._field_info._asdict()
        for name, f in list(entity.own.items()):
            nullable = info[name].nullable if name in info else True
            ordered = f.kind == "collection" and self._has_index(impl, f.type)
            entity.own[name] = Field(f.name, f.kind, f.type, nullable, f.inverse, ordered)
        constant = getattr(impl, "DETAILS", "")
        package = constant.rpartition("_")[0].rpartition(".")[0]
        entity.java = f"{package}.{entity.name}" if package else entity.name
        entity.is_global = bool(impl(0, False).isGlobal())

    @staticmethod
    def _has_index(impl: type, element: str) -> bool:
        accessor = getattr(impl, "get" + element, None)
        return accessor is not None and "index" in accessor.__code__.co_varnames

    def _inherited(self, entity: Entity) -> list[Field]:
        above = self._inherited(entity.parent) if entity.parent else []
        return above + list(entity.own.values())

    def _pair(self, entity: Entity, f: Field) -> None:
        """Find the reference of the element which points back to the owner of the collection."""
        element = self.entities[f.type]
        names = [
            r.name
            for r in element.fields.values()
            if r.kind == "ref" and (entity.is_a(self.entities[r.type]) or self.entities[r.type].is_a(entity))
        ]
        inverse = "parent" if "parent" in names else names[0] if names else ""
        if len(names) > 1 and f.name.endswith("Links") and f.name != "annotationLinks" and "child" in names:
            inverse = "child" if f.name.startswith(("parent",)) else inverse
        entity.own[f.name] = Field(f.name, f.kind, f.type, f.nullable, inverse, f.ordered)


@functools.lru_cache(maxsize=1)
def metamodel() -> MetaModel:
    """The model of the installed omero-py, read once."""
    return MetaModel()

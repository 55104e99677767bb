"""Random graphs of objects of omero.model, and what is said in such a graph."""

from __future__ import annotations

import random
import string
from collections.abc import Callable
from typing import Any

import omero.model
from hypothesis import strategies as st
from omero.rtypes import unwrap

from embedded_omero.metamodel import Entity, Field, metamodel
from embedded_omero.wiring import WRAP

MODEL = metamodel()
# Where a graph goes on from an object of each class; references and collections.
RELATIONS = {
    "Project": ("datasetLinks", "annotationLinks"),
    "Dataset": ("imageLinks", "annotationLinks"),
    "Image": ("pixels", "rois", "imagingEnvironment", "stageLabel", "annotationLinks"),
    "Pixels": ("pixelsType", "dimensionOrder", "channels", "planeInfo"),
    "Channel": ("logicalChannel", "statsInfo", "annotationLinks"),
    "LogicalChannel": ("illumination", "mode"),
    "Roi": ("shapes", "annotationLinks"),
    "Screen": ("plateLinks", "annotationLinks"),
    "Plate": ("wells", "plateAcquisitions", "annotationLinks"),
    "Well": ("wellSamples", "annotationLinks"),
    "WellSample": ("image",),
}
ROOTS = ("Project", "Dataset", "Image", "Screen", "Plate", "Roi")
ABSTRACT = {
    "Annotation": ("TagAnnotation", "CommentAnnotation", "MapAnnotation", "LongAnnotation", "DoubleAnnotation",
                   "BooleanAnnotation", "TimestampAnnotation", "TermAnnotation", "XmlAnnotation"),
    "Shape": ("Rectangle", "Polygon", "Point", "Ellipse", "Mask"),
}  # fmt: skip
ENUMERATIONS = {
    "PixelsType": ("uint8", "float"),
    "DimensionOrder": ("XYZCT", "XYCZT"),
    "Illumination": ("Transmitted", "Other"),
    "AcquisitionMode": ("WideField", "TIRF"),
}
TEXTS = ("", "a", "Größe µm", "漢字", "🔬", "'\"\\%_<&>", " \n\t", "x" * 200)
RANDOM = st.integers(0, 2**32 - 1).map(random.Random)


def related(entity: Entity) -> list[Field]:
    """The relations by which graphs go on from such an object."""
    if entity.is_link:
        return [entity.fields["child"]]
    return [entity.fields[name] for name in RELATIONS.get(entity.name, ())]


class Graph:
    """Makes objects with random values and relations.

    Parameters
    ----------
    chance : random.Random
    """

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.objects: list[omero.model.IObject] = []

    def make(self, name: str, above: omero.model.IObject | None = None) -> omero.model.IObject:
        """A new object and all below it; it belongs to a collection of ``above`` if that is given."""
        if name in ENUMERATIONS:
            obj = MODEL[name].impl()
            obj.value = WRAP["string"](self.chance.choice(ENUMERATIONS[name]))
            return obj
        entity = MODEL[self.chance.choice(ABSTRACT.get(name, (name,)))]
        obj = entity.impl()
        self.objects.append(obj)
        if above is not None:
            getattr(above, "add" + name)(obj)
        self.fill(obj)
        for f in related(entity):
            if f.kind == "collection":
                for _ in range(self.chance.choice((0, 0, 1, 2))):
                    self.make(f.type, obj)
            elif not f.nullable or self.chance.random() < 0.5:
                setattr(obj, f.name, self._shared(f, above) or self.make(f.type))
        return obj

    def fill(self, obj: omero.model.IObject) -> None:
        """New values for all of an object."""
        for f in MODEL.of(obj).fields.values():
            if f.kind in ("value", "quantity", "named"):
                setattr(obj, f.name, None if f.nullable and self.chance.random() < 0.4 else self.value(f))

    def value(self, f: Field) -> Any:
        """A value for a field, in the form in which the classes have it."""
        if f.kind == "named":
            return [omero.model.NamedValue(self.text(), self.text()) for _ in range(self.chance.randint(1, 3))]
        if f.kind == "quantity":
            units = getattr(omero.model.enums, "Units" + f.type)
            unit = self.chance.choice([u for n, u in vars(units).items() if isinstance(u, units)])
            return getattr(omero.model, f.type + "I")(self.number(), unit)
        makes: dict[str, Callable[[], Any]] = {
            "int": lambda: self.chance.choice((0, -1, 2**31 - 1, self.chance.randint(-(2**31), 2**31 - 1))),
            "long": lambda: self.chance.choice((0, -(2**63), self.chance.randint(-(2**40), 2**40))),
            "time": lambda: self.chance.randint(-(2**33), 2**42),
            "double": self.number,
            "bool": lambda: self.chance.random() < 0.5,
            "string": self.text,
        }
        return WRAP[f.type](makes[f.type]())

    def number(self) -> float:
        return self.chance.choice((0.0, -0.5, 1e-300, 1.7e308, self.chance.uniform(-1e6, 1e6)))

    def text(self) -> str:
        return self.chance.choice((*TEXTS, "".join(self.chance.choices(string.printable, k=8))))

    def _shared(self, f: Field, above: omero.model.IObject | None) -> omero.model.IObject | None:
        """Sometimes something which is in the graph already, unless the object above is linked to it."""
        if f.name not in ("child", "image") or self.chance.random() < 0.5:
            return None
        taken = [link.child for link in _links(above)] if f.name == "child" else []
        there = [o for o in self.objects if MODEL.of(o).is_a(MODEL[f.type]) and not any(o is t for t in taken)]
        return self.chance.choice(there) if there else None


def _links(obj: omero.model.IObject) -> list[omero.model.IObject]:
    return [e for f in MODEL.of(obj).collections() if MODEL[f.type].is_link for e in getattr(obj, f"_{f.name}Seq")]


def graphs(*roots: str) -> st.SearchStrategy[omero.model.IObject]:
    """Graphs whose root is of one of these classes."""
    return RANDOM.map(lambda chance: Graph(chance).make(chance.choice(roots)))


def values(obj: omero.model.IObject) -> dict[str, Any]:
    """Plain values of one object, without its relations."""
    found: dict[str, Any] = {"": obj.__class__.__name__}
    for f in MODEL.of(obj).fields.values():
        raw = getattr(obj, "_" + f.name, None)
        if MODEL.of(obj).is_global and f.name != "value":
            continue  # of an enumeration its name is enough
        if f.kind == "value":
            found[f.name] = unwrap(raw)
        elif f.kind == "quantity":
            found[f.name] = None if raw is None else (raw.getValue(), str(raw.getUnit()))
        elif f.kind == "named":
            found[f.name] = [(pair.name, pair.value) for pair in raw or ()]  # Ice sends none as an empty list
    if found[""] == "ImageI":
        found["series"] = found["series"] or 0  # what the server makes of none
    return found


def described(
    obj: omero.model.IObject | None, load: Callable[[Any], Any] = lambda obj: obj, seen: dict[Any, Any] | None = None
) -> Any:
    """Everything which is said in a graph, as plain values.

    Parameters
    ----------
    obj : IObject
        The root.
    load : callable
        Answers an object with its relations loaded.
    seen : dict, optional
        Gets every object of the graph, by id or identity.
    """
    if obj is None:
        return None
    obj = load(obj)
    entity = MODEL.of(obj)
    if seen is not None and not entity.is_global:
        seen[(entity.root.name, obj.id.val) if obj.id is not None else id(obj)] = obj
    found = values(obj)
    for f in related(entity):
        if f.kind == "ref":
            found[f.name] = described(getattr(obj, "_" + f.name), load, seen)
        else:
            elements = [described(e, load, seen) for e in getattr(obj, f"_{f.name}Seq")]
            found[f.name] = elements if f.ordered else sorted(elements, key=repr)
    return found

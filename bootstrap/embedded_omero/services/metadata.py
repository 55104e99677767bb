"""IMetadata: annotations, and what is known about how an image was acquired."""

from __future__ import annotations

from collections.abc import Iterable

import omero
import omero.model
from omero.rtypes import RLongI, rlong

from .. import errors
from ..context import Call
from ..metamodel import Entity
from ..store import Record
from ..wiring import Loaded
from .selecting import Options, chosen, entity_named, filtered
from .types import is_enumeration

Annotations = list[omero.model.Annotation]


class Metadata:
    """omero.api.IMetadata."""

    # -- annotations

    def loadAnnotations(
        self,
        call: Call,
        rootType: str,
        rootIds: list[int],
        annotationTypes: list[str],
        annotatorIds: list[int],
        options: Options,
    ) -> dict[int, Annotations]:
        """Annotations of objects; those of certain classes, linked by certain users, if any are named."""
        kinds = [self._annotation_class(call, name) for name in annotationTypes or ()]
        found = {}
        for root in chosen(call, entity_named(call, rootType), rootIds):
            links = [x for x in self._links(call, root) if not annotatorIds or x.owner.id in annotatorIds]
            records = dict.fromkeys(x["child"] for x in links)
            wanted = [r for r in records if not kinds or any(r.entity.is_a(k) for k in kinds)]
            found[root.id] = self._wire(call, filtered(call, wanted, options))
        return found

    def loadAnnotation(self, call: Call, annotationIds: list[int]) -> Annotations:
        return self._wire(call, chosen(call, call.store.model["Annotation"], annotationIds))

    def loadSpecifiedAnnotations(
        self, call: Call, annotationType: str, include: list[str], exclude: list[str], options: Options
    ) -> Annotations:
        return self._wire(call, self._specified(call, annotationType, include, exclude, options))

    def countSpecifiedAnnotations(
        self, call: Call, annotationType: str, include: list[str], exclude: list[str], options: Options
    ) -> RLongI:
        return rlong(len(self._specified(call, annotationType, include, exclude, options)))

    def loadSpecifiedAnnotationsLinkedTo(
        self,
        call: Call,
        annotationType: str,
        include: list[str],
        exclude: list[str],
        rootNodeType: str,
        rootNodeIds: list[int],
        options: Options,
    ) -> dict[int, Annotations]:
        kind = self._annotation_class(call, annotationType)
        found = {}
        for root in chosen(call, entity_named(call, rootNodeType), rootNodeIds):
            linked = dict.fromkeys(x["child"] for x in self._links(call, root))
            records = [r for r in linked if r.entity.is_a(kind) and self._in_namespaces(r, include, exclude)]
            annotations = self._wire(call, filtered(call, records, options))
            if annotations:
                found[root.id] = annotations
        return found

    @staticmethod
    def _annotation_class(call: Call, name: str) -> Entity:
        entity = entity_named(call, name)
        if entity.root.name != "Annotation":
            raise errors.api_usage(f"{name} is not a class of annotations.")
        return entity

    @staticmethod
    def _links(call: Call, root: Record) -> list[Record]:
        f = root.entity.fields.get("annotationLinks")
        if f is None:
            raise errors.api_usage(f"{root.entity.name} cannot be annotated.")
        return [x for x in call.store.collection(root, f) if call.visible(x) and call.visible(x["child"])]

    @staticmethod
    def _in_namespaces(annotation: Record, include: Iterable[str], exclude: Iterable[str]) -> bool:
        space = annotation["ns"]
        return (not include or space in include) and (space is None or space not in (exclude or ()))

    def _specified(
        self, call: Call, name: str, include: list[str], exclude: list[str], options: Options
    ) -> list[Record]:
        records = call.store.all(self._annotation_class(call, name))
        return filtered(call, (r for r in records if self._in_namespaces(r, include, exclude)), options)

    @staticmethod
    def _wire(call: Call, annotations: list[Record]) -> Annotations:
        loaded = Loaded()
        for record in annotations:
            loaded.refs.update((record, f"details.{name}") for name in ("owner", "creationEvent"))
            file = record["file"]
            if file is not None:
                loaded.refs.update(((record, "file"), (file, "hasher")))
                loaded.refs.update((file, f"details.{name}") for name in ("owner", "creationEvent", "updateEvent"))
        graph = call.graph(loaded)
        return [graph.wire(r) for r in annotations]

    # -- acquisition

    def loadChannelAcquisitionData(self, call: Call, ids: list[int]) -> list[omero.model.LogicalChannel]:
        return self._wire_deeply(call, chosen(call, call.store.model["LogicalChannel"], ids))

    def loadInstrument(self, call: Call, id: int) -> omero.model.Instrument | None:
        found = self._wire_deeply(call, chosen(call, call.store.model["Instrument"], [id]))
        return found[0] if found else None

    @staticmethod
    def _wire_deeply(call: Call, roots: list[Record]) -> list[omero.model.IObject]:
        """Load everything about the microscope which can be reached, down to the enumerations."""
        loaded = Loaded()
        seen: set[Record] = set()
        queue = list(roots)
        while queue:
            record = queue.pop()
            if record in seen:
                continue
            seen.add(record)
            for f in record.entity.references():
                target = record[f.name]
                if target is not None and (_is_acquisition(target.entity) or is_enumeration(target.entity)):
                    loaded.refs.add((record, f.name))
                    queue.append(target)
            for f in record.entity.collections():
                if _is_acquisition(call.store.model[f.type]):
                    elements = call.store.collection(record, f)
                    loaded.fetch_collection(record, f.name, elements)
                    queue.extend(elements)
        graph = call.graph(loaded)
        return [graph.wire(r) for r in roots]


def _is_acquisition(entity: Entity) -> bool:
    return ".acquisition." in entity.java

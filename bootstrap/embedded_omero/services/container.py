"""IContainer: projects, datasets, screens and plates with what they hold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import omero
import omero.model
from omero.rtypes import unwrap

from .. import errors
from ..context import Call
from ..metamodel import Entity
from ..store import Record
from ..wiring import Loaded
from .selecting import Options, chosen, entity_named, filtered, has_owner

# Collection of links from a container to its contents.
_LINKS = {"Project": "datasetLinks", "Dataset": "imageLinks", "Screen": "plateLinks"}
_ROOTS = (*_LINKS, "Plate")


class Container:
    """omero.api.IContainer."""

    def getImages(self, call: Call, rootType: str, rootIds: list[int], options: Options) -> list[omero.model.Image]:
        entity = self._entity(call, rootType, (*_ROOTS, "Well", "Image"))
        if not rootIds:
            raise errors.api_usage("List of ids may not be empty.")
        images: dict[Record, None] = {}
        for record in chosen(call, entity, rootIds):
            images.update(dict.fromkeys(_images_below(call, record)))
        return self._wire_images(call, filtered(call, images, options))

    def getUserImages(self, call: Call, options: Options) -> list[omero.model.Image]:
        if not has_owner(options):
            raise errors.api_usage("A user or a group must be given.")
        return self._wire_images(call, filtered(call, call.store.all("Image"), options))

    def loadContainerHierarchy(
        self, call: Call, rootType: str, rootIds: list[int] | None, options: Options
    ) -> list[omero.model.IObject]:
        entity = self._entity(call, rootType, _ROOTS)
        if rootIds:
            roots = filtered(call, chosen(call, entity, rootIds), options)
        elif has_owner(options):
            roots = filtered(call, call.store.all(entity), options)
            if self._option(options, "orphan") and entity.name in ("Project", "Screen"):
                name, links = ("Dataset", "projectLinks") if entity.name == "Project" else ("Plate", "screenLinks")
                f = call.store.model[name].fields[links]
                below = filtered(call, call.store.all(name), options)
                roots += [r for r in below if not call.store.collection(r, f)]
        else:
            raise errors.api_usage("Set of ids may not be empty, unless an owner or a group is given.")
        loaded = Loaded()
        leaves = self._option(options, "leaves")
        for root in roots:
            self._load_container(call, loaded, root, leaves)
            loaded.refs.update((root, f"details.{event}") for event in ("creationEvent", "updateEvent"))
        graph = call.graph(loaded)
        return [graph.wire(r) for r in roots]

    def getCollectionCount(
        self, call: Call, type: str, property: str, ids: list[int], options: Options
    ) -> dict[int, int]:
        entity = entity_named(call, type)
        f = entity.fields.get(property.rpartition("_")[2])
        if f is None or f.kind != "collection":
            raise errors.api_usage(f"{type}.{property} is an invalid property string.")
        return {
            record.id: sum(1 for element in call.store.collection(record, f) if call.visible(element))
            for record in chosen(call, entity, ids or ())
        }

    def getImagesBySplitFilesets(
        self, call: Call, included: dict[str, list[int]], options: Options
    ) -> dict[int, dict[bool, list[int]]]:
        """Filesets of which these hold some images, but not all: ids of those inside and of those outside."""
        images: set[Record] = set()
        for name, ids in included.items():
            for record in chosen(call, entity_named(call, name), ids):
                if record.entity.name == "Fileset":
                    images.update(call.store.where("Image", fileset=record))
                else:
                    images.update(_images_below(call, record))
        split = {}
        for fileset in {i["fileset"] for i in images} - {None}:
            all_images = list(call.store.where("Image", fileset=fileset))
            outside = sorted(i.id for i in all_images if i not in images)
            if outside:
                split[fileset.id] = {True: sorted(i.id for i in all_images if i in images), False: outside}
        return split

    @staticmethod
    def _entity(call: Call, name: str, allowed: Iterable[str]) -> Entity:
        entity = entity_named(call, name)
        if entity.name not in allowed:
            raise errors.api_usage(f"{name} is not one of the classes possible here: {', '.join(allowed)}.")
        return entity

    @staticmethod
    def _option(options: Options, name: str) -> bool:
        given = options.theOptions if options is not None else None
        return given is not None and bool(unwrap(getattr(given, name)))

    def _load_container(self, call: Call, loaded: Loaded, record: Record, leaves: bool) -> None:
        name = _LINKS.get(record.entity.name)
        if name is None or (name == "imageLinks" and not leaves):
            return
        links = [x for x in call.store.collection(record, record.entity.fields[name]) if call.visible(x["child"])]
        loaded.fetch_collection(record, name, links)
        for link in links:
            loaded.refs.add((link, "child"))
            if link["child"].entity.name == "Image":
                _load_image(call, loaded, link["child"])
            else:
                self._load_container(call, loaded, link["child"], leaves)

    @staticmethod
    def _wire_images(call: Call, images: list[Record]) -> list[omero.model.Image]:
        loaded = Loaded()
        for image in images:
            _load_image(call, loaded, image)
        graph = call.graph(loaded)
        return [graph.wire(i) for i in images]


def _load_image(call: Call, loaded: Loaded, image: Record) -> None:
    """Load an image's pixels with their type, and its events."""
    loaded.refs.update((image, f"details.{event}") for event in ("creationEvent", "updateEvent"))
    pixels = call.store.collection(image, image.entity.fields["pixels"])
    loaded.fetch_collection(image, "pixels", pixels)
    for one in pixels:
        loaded.refs.add((one, "pixelsType"))
        # An event which is loaded in one place is loaded in all.
        for name, event in (("creationEvent", one.created), ("updateEvent", one.updated)):
            if event in (image.created, image.updated):
                loaded.refs.add((one, f"details.{name}"))


def _images_below(call: Call, record: Record) -> Iterator[Record]:
    """Visible images of a container of any kind."""
    name = record.entity.name
    if name == "Image":
        if call.visible(record):
            yield record
    elif name in _LINKS:
        for link in call.store.collection(record, record.entity.fields[_LINKS[name]]):
            if call.visible(link["child"]):
                yield from _images_below(call, link["child"])
    elif name == "Plate":
        for well in call.store.collection(record, record.entity.fields["wells"]):
            yield from _images_below(call, well)
    elif name == "Well":
        for sample in call.store.collection(record, record.entity.fields["wellSamples"]):
            yield from _images_below(call, sample["image"])

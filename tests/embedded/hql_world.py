"""A small database for tests of the query engine, without a server."""

from __future__ import annotations

from typing import Any

from omero.rtypes import rlist, rlong, rstring
from omero_sys_ParametersI import ParametersI

from embedded_omero.hql.engine import Engine
from embedded_omero.hql.params import from_sys
from embedded_omero.hql.parser import parse
from embedded_omero.permissions import ALL, permissions_object
from embedded_omero.store import Quantity, Record, Store


class Caller:
    """Stands for the call: sees everything except what is in ``hidden``."""

    def __init__(self, store: Store, user: Record) -> None:
        self.store = store
        self.user = user
        self.hidden: set[Record] = set()
        self.is_admin = True

    def visible(self, record: Record) -> bool:
        return record not in self.hidden

    def rights_on(self, record: Record):
        holder = record if record.entity.name == "ExperimenterGroup" else record.group
        return holder.permissions if holder is not None else "rwra--", ALL, ()

    def permissions_of(self, record: Record):
        return permissions_object(*self.rights_on(record))


class World:
    """Two users, one group, projects, datasets, images, annotations and a plate.

    Parameters
    ----------
    rows, columns, fields : int
        Size of the plate.
    """

    def __init__(self, rows: int = 2, columns: int = 2, fields: int = 2) -> None:
        self.store = Store()
        self.by_name: dict[str, Record] = {}
        self.group = self.store.add("ExperimenterGroup", {"name": "lab", "ldap": False})
        self.group.permissions = "rwra--"
        self.users = [self.store.add("Experimenter", {"omeName": n, "firstName": n.title(), "lastName": "Tester"})
                      for n in ("ann", "ben")]  # fmt: skip
        for user in self.users:
            self.store.add("GroupExperimenterMap", {"parent": self.group, "child": user, "owner": False})
        self.session = self.store.add("Session", {"uuid": "u", "owner": self.users[0]})
        self.uint8 = self.store.add("PixelsType", {"value": "uint8", "bitSize": 8})
        self.caller = Caller(self.store, self.users[0])
        for step in (self._containers, self._annotations, lambda: self._plate(rows, columns, fields)):
            self.event = self.store.add("Event", {"time": 1_000 * self.store.count("Event"), "session": self.session})
            step()

    def __getitem__(self, name: str) -> Record:
        return self.by_name[name]

    def add(self, entity: str, owner: int = 0, **values: Any) -> Record:
        """A record with details; one with a name (or text) can be found by it."""
        record = self.store.add(entity, values)
        record.owner, record.group = self.users[owner], self.group
        record.created = record.updated = self.event
        name = values.get("name") or values.get("textValue")
        if name:
            self.by_name[name] = record
        return record

    def link(self, entity: str, parent: Record, child: Record, owner: int = 0) -> Record:
        return self.add(entity, owner, parent=parent, child=child)

    def image(self, name: str, size: int = 8, owner: int = 0, **values: Any) -> Record:
        image = self.add("Image", owner, name=name, series=0, **values)
        pixels = self.add("Pixels", owner, image=image, sizeX=size, sizeY=2 * size, sizeZ=1, sizeC=1, sizeT=1,
                          pixelsType=self.uint8)  # fmt: skip
        channel = self.add("LogicalChannel", owner)
        self.add("Channel", owner, pixels=pixels, logicalChannel=channel)
        return image

    def _containers(self) -> None:
        p1 = self.add("Project", name="P1", description="first")
        p2 = self.add("Project", name="p2")
        d1, d2, d3 = (self.add("Dataset", name=n) for n in ("D1", "d2", "D3"))
        for parent, child in ((p1, d1), (p1, d2), (p2, d1)):
            self.link("ProjectDatasetLink", parent, child)
        images = [self.image("a.tif", 8), self.image("b.tif", 16, description="bee"), self.image("c.tif", 32, 1),
                  self.image("orphan", 4)]  # fmt: skip
        for parent, child in ((d1, images[0]), (d1, images[1]), (d2, images[1]), (d2, images[2])):
            self.link("DatasetImageLink", parent, child)
        pixels = self.store.find("Pixels", image=images[1])
        self.store.set(pixels, "physicalSizeX", Quantity(0.5, "MICROMETER"))
        self.store.set(self.store.find("Channel", pixels=pixels)["logicalChannel"], "name", "DAPI")
        self.add("Channel", pixels=pixels, logicalChannel=self.add("LogicalChannel", name="GFP"))
        fileset = self.add("Fileset", templatePrefix="ann/")
        file = self.add("OriginalFile", name="a.ome", path="/x/", size=12)
        self.add("FilesetEntry", fileset=fileset, originalFile=file, clientPath="a.ome")
        self.store.set(images[0], "fileset", fileset)
        roi = self.add("Roi", image=images[1])
        self.add("Rectangle", roi=roi, x=1.0, y=2.0, theZ=0)
        self.add("Point", roi=roi, x=3.0, y=4.0)

    def _annotations(self) -> None:
        a, b = self["a.tif"], self["b.tif"]
        tag, other, tagset = (self.add("TagAnnotation", textValue=t) for t in ("tag", "other", "set"))
        self.store.set(tagset, "ns", "tagset")
        self.link("AnnotationAnnotationLink", tagset, tag)
        pairs = self.add("MapAnnotation", ns="map", mapValue=[("k", "1"), ("l", "2")])
        rating = self.add("LongAnnotation", ns="rating", longValue=5)
        attached = self.add("FileAnnotation", ns="file", file=self["a.ome"])
        for parent, child in ((a, tag), (b, tag), (b, other), (b, pairs), (b, rating), (a, attached)):
            self.link("ImageAnnotationLink", parent, child)

    def _plate(self, rows: int, columns: int, fields: int) -> None:
        screen, plate = self.add("Screen", name="S"), self.add("Plate", name="PL", rows=rows, columns=columns)
        self.add("Plate", name="pl orphan")
        self.link("ScreenPlateLink", screen, plate)
        run = self.add("PlateAcquisition", name="run", plate=plate)
        for row in range(rows):
            for column in range(columns):
                well = self.add("Well", plate=plate, row=row, column=column)
                for field in range(fields):
                    name = f"{'ABCDEFGHIJKLMNOP'[row]}{column + 1}.{field}"
                    self.add("WellSample", well=well, image=self.image(name), plateAcquisition=run)

    def params(self, **values: Any) -> ParametersI:
        """Parameters from plain values; records stand for their ids."""
        params = ParametersI()
        for name, value in values.items():
            params.add(name, _rtype(value))
        return params

    def rows(self, hql: str, *, indexes: bool = True, **values: Any) -> list[tuple]:
        """Rows of a query as plain Python values."""
        engine = Engine(self.caller, from_sys(self.params(**values)), use_indexes=indexes)
        return [row.values for row in engine.rows(engine.prepare(parse(hql)))]

    def column(self, hql: str, **values: Any) -> list[Any]:
        """The only column of a query."""
        return [value for (value,) in self.rows(hql, **values)]


def _rtype(value: Any):
    if isinstance(value, Record):
        return rlong(value.id)
    if isinstance(value, list):
        return rlist([_rtype(v) for v in value])
    if isinstance(value, int):
        return rlong(value)
    return rstring(value) if isinstance(value, str) else value

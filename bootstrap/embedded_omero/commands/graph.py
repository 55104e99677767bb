"""How records belong together: what a command on an object also does to others.

The model itself tells most of it: a record which cannot be without another one (a reference which may not be null) is a
part of it, and a link is nothing without both its ends. The tables below name the rest.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator

from ..context import Call
from ..metamodel import Entity, Field, metamodel
from ..store import Record, Store
from .base import graph_refused, label, refused

# References to something that several may share; it stays as long as one of them does.
SHARED = {
    "Channel.logicalChannel", "Channel.statsInfo", "FileAnnotation.file", "FilesetEntry.originalFile",
    "Filter.transmittanceRange", "Image.experiment", "Image.fileset", "Image.imagingEnvironment", "Image.instrument",
    "Image.stageLabel", "Instrument.microscope", "LogicalChannel.lightPath", "RenderingDef.quantization", "Roi.source",
    "Shape.transform", "WellSample.image",
}  # fmt: skip
# References which may be null, and yet what has them is part of what they lead to.
PARTS = {"FileAnnotation.file", "Image.fileset", "WellSample.plateAcquisition"}
# References from members to their whole; a member can be on its own.
MEMBERS = {"Folder.parentFolder", "Roi.image"}
# References to a whole without which a record does not go along.
WHOLES = MEMBERS | {"Image.fileset"}
# References whose target must not go as long as the referrer is there.
PINNED = {"FilesetEntry.originalFile", "WellSample.image"}
# Links from a container to what it holds: the end of the container, the end of the content.
_CONTAINERS = {
    "DatasetImageLink": ("parent", "child"), "FilesetJobLink": ("parent", "child"),
    "FolderImageLink": ("parent", "child"), "FolderRoiLink": ("parent", "child"),
    "JobOriginalFileLink": ("parent", "child"), "PixelsOriginalFileMap": ("child", "parent"),
    "ProjectDatasetLink": ("parent", "child"), "ScreenPlateLink": ("parent", "child"),
    "WellReagentLink": ("parent", "child"),
}  # fmt: skip
# Classes which every command may be asked to work on; some take more.
_TARGETS = {
    "Annotation", "Dataset", "Experiment", "Fileset", "Folder", "Image", "Instrument", "Job", "OriginalFile", "Plate",
    "Project", "RenderingDef", "Roi", "Screen", "Thumbnail",
}  # fmt: skip


def is_annotation_link(entity: Entity) -> bool:
    return entity.name.endswith("AnnotationLink")


def ends(entity: Entity) -> tuple[str, str] | None:
    """Names of the container's and the content's end of a link; None for anything else."""
    return ("parent", "child") if is_annotation_link(entity) else _CONTAINERS.get(entity.name)


def key(entity: Entity, f: Field) -> str:
    """Name of a reference in the tables above, such as ``Image.fileset``."""
    owner = entity
    while owner.parent is not None and f.name in owner.parent.fields:
        owner = owner.parent
    return f"{owner.name}.{f.name}"


@functools.cache
def incoming(entity: Entity) -> tuple[tuple[Entity, Field, str], ...]:
    """References which can lead to a record of this class: class of the referrer, reference, name in the tables."""
    model = metamodel()
    return tuple(
        (other, f, key(other, f))
        for other in model.entities.values()
        for f in other.own.values()
        if f.kind == "ref" and entity.is_a(model[f.type]) and not other.is_global
    )


def referrers(store: Store, record: Record) -> Iterator[tuple[Record, Field, str]]:
    """What refers to a record: referrer, reference, name of the reference in the tables."""
    for entity, f, name in incoming(record.entity):
        for other in store.referrers(record, entity, f.name):
            if other.entity.is_a(entity):
                yield other, f, name


def resolve(call: Call, request, more: set[str], readable: Callable[[Record], bool]) -> list[Record]:
    """The records which a request names in ``targetObjects``; ``more`` names classes which only this command takes.

    Raises
    ------
    Refused
        For classes which cannot be targets, and for what is not there or not readable.
    """
    found: dict[Record, None] = {}
    for name, ids in sorted((request.targetObjects or {}).items()):
        entity = call.store.model.get(name)
        if entity is None:
            raise refused("graph-fail", "")
        if entity.root.name not in _TARGETS | more and not (more and is_annotation_link(entity)):
            raise refused("bad-target", f"cannot target {entity.name}")
        for id in ids or ():
            record = call.store.get(entity, id)
            if record is None or not readable(record):
                one = f"cannot read {entity.java}[{id}]"
                raise graph_refused(
                    f"cannot read all the specified objects of class {entity.java}" if entity.abstract else one, 0
                )
            found[record] = None
    return list(found)


class Selection:
    """Targets, all that belongs to them, and what nothing else would need any more.

    Parameters
    ----------
    call : Call
    targets : list of Record
    joins : callable
        ``joins(record, because)``: whether a record which may stay alone goes along with ``because``.
    options : list of omero.cmd.graphs.ChildOption, optional
        The client's exceptions to that.
    backwards : bool
        Whether a link goes with its content too, not only with its container.
    sharing : set of str, optional
        Only these shared references, and no containers, keep something from going along; all of them unless given.

    Attributes
    ----------
    records : dict of Record to bool
        What was selected; true for targets, what the client wants to go along and their parts, false for the rest.
    because : dict of Record to Record
        Which record brought another one in.
    """

    def __init__(
        self,
        call: Call,
        targets: list[Record],
        joins: Callable[[Record, Record], bool],
        options: Iterable | None = None,
        backwards: bool = True,
        sharing: set[str] | None = None,
    ) -> None:
        self.call, self.store, self.targets = call, call.store, dict.fromkeys(targets)
        self._joins, self._options, self._backwards, self._sharing = joins, list(options or ()), backwards, sharing
        self.because: dict[Record, Record] = {}
        self.records: dict[Record, bool] = {}
        kept: set[Record] = set()
        while True:  # take what joined and is needed elsewhere out again, until nothing of that kind is left
            self._grow(kept)
            needed = {r for r, certain in self.records.items() if not certain and self._held(r)}
            if not needed:
                break
            kept |= needed

    def __contains__(self, record: Record) -> bool:
        return record in self.records

    def __iter__(self) -> Iterator[Record]:
        return iter(self.records)

    def _grow(self, kept: set[Record]) -> None:
        self.records = dict.fromkeys(self.targets, True)
        self.because.clear()
        queue = list(self.targets)
        while queue:
            record = queue.pop()
            for other, certain in self._following(record, self.records[record]):
                if other in kept or (other in self.records and (self.records[other] or not certain)):
                    continue
                self.records[other] = certain
                self.because.setdefault(other, record)
                queue.append(other)

    def _following(self, record: Record, certain: bool) -> Iterator[tuple[Record, bool]]:
        for other, f, name in referrers(self.store, record):
            link = ends(other.entity)
            if link is not None:
                if self._backwards or f.name == "parent":
                    yield other, certain
                if f.name == link[0]:
                    yield from self._joining(other[link[1]], record)
            elif name in MEMBERS:
                yield from self._joining(other, record)
            elif name in PINNED or (name in SHARED and not certain):
                continue
            elif name in PARTS or not f.nullable:
                yield other, certain
        for f in record.entity.references():
            target = record[f.name]
            leads = key(record.entity, f) in SHARED or (f.name == "child" and is_annotation_link(record.entity))
            if target is not None and leads:
                yield from self._joining(target, record)

    def _joining(self, record: Record, because: Record) -> Iterator[tuple[Record, bool]]:
        """A record which may stay alone, if it goes along; for certain if the client wants that."""
        option = self._option(record)
        if option or (option is None and self._joins(record, because)):
            yield record, bool(option)

    def _option(self, record: Record) -> bool | None:
        for option in self._options:
            if record.entity.root.name == "Annotation":
                space, include, exclude = record["ns"], option.includeNs, option.excludeNs
                if (include and space not in include) or (exclude and space in exclude):
                    continue
            for names, answer in ((option.excludeType, False), (option.includeType, True)):
                if any(is_named(record.entity, name) for name in names or ()):
                    return answer
        return None

    def _held(self, record: Record) -> bool:
        """Whether something that stays still needs a record."""
        stays = self._stays
        if self._sharing is not None:
            return any(n in self._sharing and stays(other) for other, _, n in referrers(self.store, record))
        for other, f, name in referrers(self.store, record):
            link = ends(other.entity)
            if name in SHARED and stays(other):
                return True
            if link is not None and f.name == link[1] and other not in self.targets and stays(other[link[0]]):
                return True
        return any(stays(record[f.name]) for f in record.entity.references() if key(record.entity, f) in WHOLES)

    def _stays(self, record: Record | None) -> bool:
        return record is not None and record not in self.records

    def check_filesets(self, verb: str, wording: str = "while {} remains") -> None:
        """Refuse to tear images out of their fileset."""
        for record in self:
            fileset = record["fileset"] if record.entity.name == "Image" else None
            if fileset is not None and fileset not in self:
                images = self.store.collection(fileset, fileset.entity.fields["images"])
                gone = [i for i in images if i in self][-1]
                rest = [i for i in images if i not in self]
                if rest:
                    what = f"within {label(fileset)} may not {verb} {label(gone)} "
                    raise graph_refused(what + wording.format(label(rest[-1])))

    def check_tags(self, verb: str, wording: str) -> None:
        """Refuse to take a tag off data which the caller could not delete."""
        for tag in self:
            if tag.entity.name == "TagAnnotation":
                for link, f, _ in referrers(self.store, tag):
                    tagged = link["parent"] if f.name == "child" else tag
                    if tagged not in self and not self.call.flags(tagged).delete:
                        raise graph_refused(f"may not {verb} {label(tag)} " + wording.format(label(tagged)))


def is_named(entity: Entity, name: str) -> bool:
    """Whether a class goes by a name, also one of its superclasses, with or without package."""
    simple = name.rsplit(".", 1)[-1]
    if simple == "IAnnotationLink":
        return is_annotation_link(entity)
    named = metamodel().get(simple)
    if named is None:
        raise refused("bad-class", f"there is no class {name}")
    return entity.is_a(named)

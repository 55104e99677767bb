"""Duplicate: copy objects with all that belongs to them, their files included."""

from __future__ import annotations

import copy
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

import omero
import omero.cmd

from ..context import Call
from ..metamodel import Entity
from ..store import Record
from .base import by_class
from .graph import Selection, ends, is_named, resolve

MORE_TARGETS = {
    "AffineTransform", "Channel", "ChannelBinding", "CodomainMapContext", "DatasetImageLink", "FilesetJobLink",
    "FolderImageLink", "FolderRoiLink", "JobOriginalFileLink", "LogicalChannel", "MicrobeamManipulation", "Pixels",
    "PlaneInfo", "PlateAcquisition", "ProjectDatasetLink", "QuantumDef", "Reagent", "ScreenPlateLink", "Shape",
    "StatsInfo", "Well", "WellReagentLink", "WellSample",
}  # fmt: skip
# Copied only if everything which uses it is copied; otherwise the copies share it.
_WHOLE = {"Channel.logicalChannel", "Image.experiment", "Image.fileset"}
_OWNERS_ONLY = {"RenderingDef", "Thumbnail"}


class _Types:
    """Which classes the client wants copied, only referred to, or left out; the most special class named decides."""

    def __init__(self, request: omero.cmd.Duplicate) -> None:
        self._named = (
            ("duplicate", request.typesToDuplicate or ()),
            ("reference", request.typesToReference or ()),
            ("ignore", request.typesToIgnore or ()),
        )

    def of(self, entity: Entity | None) -> str:
        while entity is not None:
            for answer, names in self._named:
                if any(name.rsplit(".", 1)[-1] == entity.name for name in names):
                    return answer
            entity = entity.parent
        return "duplicate"


def duplicate(call: Call, request: omero.cmd.Duplicate) -> omero.cmd.DuplicateResponse:
    """Run a Duplicate; the copies belong to the caller and are in the group of the call."""
    for names in (request.typesToDuplicate, request.typesToReference, request.typesToIgnore):
        for name in names or ():
            is_named(call.group.entity, name)  # refuses what is no class
    types = _Types(request)

    def joins(record: Record, because: Record) -> bool:
        return not record.entity.is_global and types.of(record.entity) == "duplicate"

    targets = resolve(call, request, MORE_TARGETS, call.visible)
    selection = Selection(call, targets, joins, request.childOptions, backwards=False, sharing=_WHOLE)
    selection.check_filesets("duplicate", "without {} also")
    chosen: dict[Record, None] = {}
    for record in selection:  # what brought a record in comes before it
        because = selection.because.get(record)
        if because is None or (because in chosen and _is_copied(selection, types, record, because)):
            chosen[record] = None
    if request.dryRun:
        return omero.cmd.DuplicateResponse(by_class(chosen))
    return omero.cmd.DuplicateResponse(by_class(_copy(call, chosen, types)))


def _is_copied(selection: Selection, types: _Types, record: Record, because: Record) -> bool:
    if types.of(record.entity) != "duplicate" or (
        record.entity.name in _OWNERS_ONLY and record.owner is not because.owner
    ):
        return False
    return all(record[e] in selection or types.of(record[e].entity) != "ignore" for e in ends(record.entity) or ())


def _copy(call: Call, originals: Iterable[Record], types: _Types) -> list[Record]:
    originals = sorted(originals, key=lambda r: (r.entity.name, r.id))  # lists stay in their order
    copies: dict[Record, Record] = {}
    for record in originals:
        plain = [f.name for f in record.entity.fields.values() if f.kind not in ("ref", "collection")]
        copies[record] = call.add(record.entity.name, {n: copy.copy(record[n]) for n in plain})
    for record, twin in copies.items():
        for f in record.entity.references():
            target = record[f.name]
            if target is not None and (target in copies or types.of(target.entity) != "ignore"):
                call.store.set(twin, f.name, copies.get(target, target))
    for record, twin in copies.items():
        for f in record.entity.collections():
            if f.ordered:
                elements = call.store.collection(record, f)
                call.store.reorder(twin, f, [copies[e] for e in elements if e in copies])
        _copy_file(call, record, twin)
    return list(copies.values())


def _copy_file(call: Call, record: Record, twin: Record) -> None:
    repositories = call.core.repositories
    if record.entity.name == "Pixels":
        _copy_on_disk(repositories.pixels_path(record), repositories.pixels_path(twin))
    elif record.entity.name == "OriginalFile":
        if record["repo"]:  # another path, since a repository has every path once
            call.store.set(twin, "path", f"{record['path'].rstrip('/')}-copy-{twin.id}/")
        _copy_on_disk(repositories.path_of(record), repositories.path_of(twin))


def _copy_on_disk(source: Path, target: Path) -> None:
    if not source.is_file():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    shutil.copyfile(source, part)
    os.replace(part, target)

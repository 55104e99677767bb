"""Delete2: objects, what belongs to them, what nobody else uses, and their files."""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterable

import omero
import omero.cmd

from .. import permissions
from ..context import Call
from ..metamodel import Entity
from ..store import Record
from .base import by_class, graph_refused, label, refused
from .graph import PINNED, Selection, ends, referrers, resolve

log = logging.getLogger(__name__)
MORE_TARGETS = {
    "AffineTransform", "Channel", "DatasetImageLink", "DetectorSettings", "FilesetJobLink", "FolderImageLink",
    "FolderRoiLink", "ImagingEnvironment", "JobOriginalFileLink", "LightSettings", "LogicalChannel", "Microscope",
    "MicrobeamManipulation", "ObjectiveSettings", "PixelsOriginalFileMap", "PlateAcquisition", "ProjectDatasetLink",
    "ProjectionDef", "Reagent", "ScreenPlateLink", "Shape", "StageLabel", "StatsInfo", "TransmittanceRange", "Well",
    "WellReagentLink", "WellSample",
}  # fmt: skip
# These stay where they are unless the caller may delete them.
_OPTIONAL = {"Annotation", "Dataset", "Experiment", "Folder", "Image", "Plate", "Reagent", "Roi"}
# These go with what they belong to, whoever owns them.
_WITHOUT_ASKING = {
    "BasicAnnotation", "ChannelBinding", "CodomainMapContext", "CommentAnnotation", "OriginalFile", "ProjectionDef",
    "QuantumDef", "RenderingDef", "StatsInfo", "Thumbnail",
}  # fmt: skip


def goes_unasked(selection: Selection, record: Record) -> bool:
    """Whether a record follows what it belongs to without regard to the caller's rights on it."""
    because = selection.because.get(record)
    if because is None:
        return False
    if record.entity.name == "FileAnnotation":  # with its file, but not with what it annotates
        return because.entity.name == "OriginalFile"
    entity: Entity | None = record.entity
    while entity is not None and entity.name not in _WITHOUT_ASKING:
        entity = entity.parent
    return entity is not None or ends(record.entity) is not None


def is_simple_annotation(record: Record) -> bool:
    """Comments, numbers and the like: worth nothing without what they describe."""
    return record.entity.name == "CommentAnnotation" or any(
        record.entity.is_a(e) for e in record.entity.root.subclasses if e.name == "BasicAnnotation"
    )


def _joins(call: Call, record: Record, because: Record) -> bool:
    root = record.entity.root.name
    if root == "Annotation" and is_simple_annotation(record):
        return True
    if because.entity.root.name == "Job" and root == "OriginalFile":  # log files of imports, not files of scripts
        return because.entity.name not in ("ScriptJob", "ParseJob") and because.owner is record.owner
    if root in _OPTIONAL and not call.flags(record).delete:
        return False
    if record.entity.name in ("FileAnnotation", "TagAnnotation"):  # kept when only unlinked
        return ends(because.entity) is None and because.owner is record.owner
    return True


def select(call: Call, targets: list[Record], options: Iterable | None = None) -> Selection:
    """What deleting these records deletes.

    Raises
    ------
    Refused
        If something which stays needs what would go, or the caller may not delete something.
    """
    selection = Selection(call, targets, functools.partial(_joins, call), options)
    selection.check_filesets("delete")
    selection.check_tags("delete", "while {} remains")
    for record in selection:
        for other, _, name in referrers(call.store, record):
            if name in PINNED and other not in selection:
                raise graph_refused(f"may not delete {label(record)} while {label(other)} remains")
    for record in selection:
        if not goes_unasked(selection, record) and not call.flags(record).delete:
            raise graph_refused(f"not permitted to delete {label(record, java=True)}", 2)
    return selection


def remove(call: Call, records: Iterable[Record]) -> None:
    """Take records out of the store and their files off the disk; what may refer to nothing then does."""
    gone = dict.fromkeys(records)
    external = dict.fromkeys(r.external for r in gone if r.external is not None)
    for record in gone:
        for other, f, _ in list(referrers(call.store, record)):
            if other not in gone:
                call.store.set(other, f.name, None)
    repositories = call.core.repositories
    for record in [*gone, *external]:
        if call.store.get(record.entity, record.id) is not record:
            continue
        path = None
        if record.entity.name == "OriginalFile":
            path = repositories.path_of(record)
        elif record.entity.name == "Pixels":
            path = repositories.pixels_path(record)
        call.store.remove(record)
        if path is not None and path.is_file():  # folders stay
            try:
                path.unlink()
            except OSError as exc:  # the objects are gone all the same, as on a server
                log.warning("cannot remove the file of %r: %s", record, exc)


def delete(call: Call, request: omero.cmd.Delete2) -> omero.cmd.Delete2Response:
    """Run a Delete2."""
    if request.typesToIgnore:
        raise refused("not-implemented", "Delete2 with typesToIgnore is not implemented")
    targets = resolve(call, request, MORE_TARGETS, functools.partial(permissions.readable, call))
    selection = select(call, targets, request.childOptions)
    response = omero.cmd.Delete2Response(by_class(selection))
    if not request.dryRun:
        remove(call, selection)
    return response

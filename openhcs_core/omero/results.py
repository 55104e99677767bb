"""Results of a script in OMERO: attached files, found again, replaced."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import Ice
import omero
from omero.constants.namespaces import NSCREATED
from omero.gateway import BlitzGateway, BlitzObjectWrapper
from omero.model import FileAnnotationI, OriginalFileI
from omero.rtypes import rstring, rtime, unwrap
from omero.sys import ParametersI

from openhcs_core.omero.deletion import delete
from openhcs_core.omero.errors import OmeroError
from openhcs_core.omero.names import unique_name
from openhcs_core.omero.scratch import KEPT_DAYS
from openhcs_core.omero.session import in_group, session_is_over
from openhcs_core.omero.upload import UPLOADS, original_file, send_file

logger = logging.getLogger(__name__)

NAMESPACE = f"{NSCREATED}/openhcs/export_scripts/IMS_Export"
DELETE_S = 60.0


@dataclass(frozen=True)
class Origin:
    """What an attached file was made from; kept in the description of its annotation.

    Attributes
    ----------
    options : str
        For people: the wanted part and the compression. A new file with the same options replaces the old one.
    fingerprint : str
        Of everything that the content depends on.
    """

    options: str
    fingerprint: str

    def description(self) -> str:
        """Text for the annotation."""
        return f"Imaris file made by OpenHCS\nOptions: {self.options}\nFingerprint: {self.fingerprint}"

    @classmethod
    def from_description(cls, text: str) -> Origin | None:
        """The origin behind the text of an annotation; None if it tells none."""
        found = re.search(r"^Options: (.*)\nFingerprint: (\w+)$", text, re.MULTILINE)
        return cls(*found.groups()) if found else None


def sweep_uploads(conn: BlitzGateway) -> None:
    """Remove files of this user whose upload was killed days ago: nobody sees them, but they take space."""
    parameters = ParametersI().addLong("user", conn.getUserId()).addString("path", UPLOADS)
    parameters.add("before", rtime((time.time() - KEPT_DAYS * 86400) * 1000))
    found = conn.getQueryService().projection(
        "select f.id, f.details.group.id from OriginalFile f where f.path = :path and f.hash is null "
        "and f.details.owner.id = :user and f.details.creationEvent.time < :before",
        parameters,
        conn.SERVICE_OPTS,
    )
    for number, group in unwrap(found):
        _delete(conn, "OriginalFile", [number], in_group(conn, group))


def find_attachment(conn: BlitzGateway, target: BlitzObjectWrapper, fingerprint: str) -> Any | None:
    """The file annotation of an object whose file has this fingerprint and is there, with its file; None if none."""
    for annotation in _attachments(conn, target):
        origin = Origin.from_description(annotation.description.val if annotation.description else "")
        if origin is not None and origin.fingerprint == fingerprint and _file_exists(conn, annotation):
            return annotation
    return None


def attach(
    conn: BlitzGateway,
    target: BlitzObjectWrapper,
    path: Path,
    name: str,
    origin: Origin,
    progress: Callable[[int, int], object],
) -> Any:
    """Upload a file, attach it to an object, and remove older files of the same user and options.

    Parameters
    ----------
    conn : BlitzGateway
    target : BlitzObjectWrapper
        Image, well, plate or anything else that takes annotations.
    path : Path
        Of the file.
    name : str
        Wanted for the file in OMERO; it gets a number if another attached file has it.
    origin : Origin
    progress : callable
        ``progress(bytes_done, bytes_total)`` before every block. What it raises ends the upload.

    Returns
    -------
    omero.model.FileAnnotation
        With its file.

    Raises
    ------
    OmeroError
        If OMERO refuses the file, or what it has received is not what was sent. Nothing is left then.
    """
    kind = target.OMERO_CLASS
    context = in_group(conn, target.getDetails().getGroup().getId())
    others = [found for found in _attachments(conn, target) if not _replaceable(conn, found, origin)]
    name = unique_name(name, {found.file.name.val.casefold() for found in others})
    file = _save(conn, original_file(path, name), kind, context)
    try:
        send_file(conn, file, path, context, progress)
        annotation = FileAnnotationI()
        annotation.ns = rstring(NAMESPACE)
        annotation.description = rstring(origin.description())
        annotation.file = OriginalFileI(file.id.val, False)
        link = getattr(omero.model, f"{kind}AnnotationLinkI")()
        link.parent = getattr(omero.model, f"{kind}I")(target.getId(), False)
        link.child = annotation
        number = _save(conn, link, kind, context).child.id.val
    except BaseException:
        _delete(conn, "OriginalFile", [file.id.val], context)
        raise
    # Asked for only now, and by their order: of two uploads at once, from two machines, the later one stays.
    found = [older for older in _attachments(conn, target) if _replaceable(conn, older, origin)]
    older = [annotation.id.val for annotation in found if annotation.id.val < number]
    if older:
        _delete(conn, "FileAnnotation", older, context)
    return conn.getQueryService().findByQuery(
        "select a from FileAnnotation a join fetch a.file where a.id = :id",
        ParametersI().addLong("id", number),
        conn.SERVICE_OPTS,
    )


def _attachments(conn: BlitzGateway, target: BlitzObjectWrapper) -> list[Any]:
    parameters = ParametersI().addLong("id", target.getId()).addString("ns", NAMESPACE)
    return list(
        conn.getQueryService().findAllByQuery(
            "select a from FileAnnotation a join fetch a.file where a.ns = :ns and a.id in "
            f"(select l.child.id from {target.OMERO_CLASS}AnnotationLink l where l.parent.id = :id) order by a.id desc",
            parameters,
            conn.SERVICE_OPTS,
        )
    )


def _replaceable(conn: BlitzGateway, annotation: Any, origin: Origin) -> bool:
    found = Origin.from_description(annotation.description.val if annotation.description else "")
    mine = annotation.details.owner.id.val == conn.getUserId()
    return mine and found is not None and found.options == origin.options


def _file_exists(conn: BlitzGateway, annotation: Any) -> bool:
    file = annotation.file
    if file.hash is None or not file.size or not file.size.val:
        return False
    context = in_group(conn, annotation.details.group.id.val)
    store = conn.c.sf.createRawFileStore(context)
    try:
        store.setFileId(file.id.val, context)
        return bool(store.exists(context))
    except omero.ServerError as error:
        if session_is_over(error):
            raise
        return False
    finally:
        store.close()


def _save(conn: BlitzGateway, value: Any, kind: str, context: dict[str, str]) -> Any:
    try:
        return conn.getUpdateService().saveAndReturnObject(value, context)
    except (omero.SecurityViolation, omero.ValidationException) as error:
        raise OmeroError(f"OMERO does not let you attach a file to the {kind.lower()}: {error.message}.") from error


def _delete(conn: BlitzGateway, kind: str, ids: list[int], context: dict[str, str]) -> None:
    """Remove objects; what cannot be removed is logged, for nothing that the user asked for depends on it."""
    try:
        delete(conn, {kind: ids}, context, DELETE_S)
    except (OmeroError, omero.ServerError, Ice.Exception) as error:
        problem = getattr(error, "message", None) or str(error) or type(error).__name__
        logger.warning("%s %s could not be removed: %s", kind, ids, problem)

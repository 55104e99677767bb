"""Files made of bytes: attached to objects of OMERO, and records of what is done."""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omero.gateway import BlitzGateway, BlitzObjectWrapper
from omero.model import FileAnnotationI, OriginalFileI
from omero.rtypes import rstring, unwrap
from omero.sys import ParametersI

from openhcs_core.omero.provenance import NAMESPACE, link
from openhcs_core.omero.upload import UPLOADS, original_file, send_file

logger = logging.getLogger(__name__)

READ_BYTES = 4 << 20
Context = Mapping[str, str]


def upload(
    conn: BlitzGateway, data: bytes, name: str, mimetype: str, context: Context, folder: str = UPLOADS
) -> OriginalFileI:
    """Make a file in OMERO; it counts once its checksum is there, which is compared.

    Parameters
    ----------
    conn : BlitzGateway
    data : bytes
    name, mimetype, folder : str
        `folder` is its path in OMERO, which nobody but this program looks at.
    context : mapping

    Raises
    ------
    OmeroError
        If OMERO does not take it.
    """
    with tempfile.NamedTemporaryFile() as source:
        source.write(data)
        source.flush()
        path = Path(source.name)
        file = original_file(path, name)
        file.path, file.mimetype = rstring(folder), rstring(mimetype)
        (number,) = conn.getUpdateService().saveAndReturnIds([file], context)
        file = OriginalFileI(number, False)
        send_file(conn, file, path, dict(context), lambda *_: None)
    return file


def download(conn: BlitzGateway, file_id: int, context: Context) -> bytes:
    """The content of a file in OMERO."""
    store = conn.c.sf.createRawFileStore(context)
    try:
        store.setFileId(file_id, context)
        size, parts = store.size(context), []
        for start in range(0, size, READ_BYTES):
            parts.append(store.read(start, min(READ_BYTES, size - start), context))
        return b"".join(parts)
    finally:
        store.close()


def attach_file(
    conn: BlitzGateway,
    targets: Sequence[BlitzObjectWrapper],
    file: OriginalFileI,
    description: str,
    context: Context,
    namespace: str = NAMESPACE,
) -> int:
    """Attach a file of OMERO to objects; return the id of its annotation."""
    annotation = FileAnnotationI()
    annotation.ns, annotation.description = rstring(namespace), rstring(description)
    annotation.file = file
    (number,) = conn.getUpdateService().saveAndReturnIds([annotation], context)
    link(conn, targets, [FileAnnotationI(number, False)], context)
    return number


def attached(conn: BlitzGateway, description: str, context: Context) -> list[int]:
    """Ids of this user's file annotations with a description."""
    rows = conn.getQueryService().projection(
        "select a.id from FileAnnotation a where a.description = :text and a.details.owner.id = :user",
        ParametersI().addString("text", description).addLong("user", conn.getUserId()),
        context,
    )
    return [row[0] for row in unwrap(rows)]


class Records:
    """What is known of each finished well of a run, as small files which OMERO shows to nobody.

    Parameters
    ----------
    conn : BlitzGateway
    annotation_id : int
        Of the run.
    context : mapping
    """

    def __init__(self, conn: BlitzGateway, annotation_id: int, context: Context) -> None:
        self._conn, self._context = conn, context
        self._folder = f"{UPLOADS}runs/{annotation_id}/"

    def files(self, *, complete: bool = True) -> dict[str, list[int]]:
        """Ids of the files by well; without `complete` also those whose upload was interrupted."""
        rows = self._conn.getQueryService().projection(
            f"select f.name, f.id from OriginalFile f where f.path = :path {'and f.hash is not null' * complete} "
            "order by f.id",
            ParametersI().addString("path", self._folder),
            self._context,
        )
        found: dict[str, list[int]] = {}
        for name, number in unwrap(rows):
            found.setdefault(name.removesuffix(".json"), []).append(number)
        return found

    def save(self, well: str, record: Mapping[str, Any]) -> None:
        """Note that a well is finished."""
        upload(self._conn, json.dumps(record).encode(), f"{well}.json", "application/json", self._context, self._folder)

    def load(self) -> dict[str, dict[str, Any]]:
        """The records of all finished wells."""
        return {
            well: json.loads(download(self._conn, numbers[-1], self._context)) for well, numbers in self.files().items()
        }

"""Files sent to OMERO."""

from __future__ import annotations

import hashlib
import logging
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import Ice
import omero
from omero.gateway import BlitzGateway
from omero.model import ChecksumAlgorithmI, OriginalFileI
from omero.model.enums import ChecksumAlgorithmSHA1160
from omero.rtypes import rlong, rstring

from openhcs_core.omero.errors import OmeroError
from openhcs_core.omero.session import session_is_over

logger = logging.getLogger(__name__)

BLOCK_BYTES = 4 << 20
BLOCKS_AT_ONCE = 3
UPLOADS = "/openhcs/"
"""Path of uploaded files in OMERO, by which those are found whose upload was never completed."""


def original_file(path: Path, name: str) -> OriginalFileI:
    """What OMERO is told of a local file before it is sent."""
    file = OriginalFileI()
    file.name, file.path = rstring(name), rstring(UPLOADS)
    file.size = rlong(path.stat().st_size)
    file.mimetype = rstring("application/octet-stream")
    hasher = ChecksumAlgorithmI()
    hasher.value = rstring(ChecksumAlgorithmSHA1160)
    file.hasher = hasher
    return file


def send_file(
    conn: BlitzGateway, file: Any, path: Path, context: dict[str, str], progress: Callable[[int, int], object]
) -> None:
    """Send a file; blocks are read and summed up while others are on their way.

    Parameters
    ----------
    conn : BlitzGateway
    file : omero.model.OriginalFile
        Saved; see `original_file`.
    path : Path
        Of the local file.
    context : dict of str to str
        Of the calls.
    progress : callable
        ``progress(bytes_done, bytes_total)`` before every block. What it raises ends the upload.

    Raises
    ------
    OmeroError
        If OMERO refuses the file, or its checksum is not that of what was sent.
    """
    digest, offset, total = hashlib.sha1(usedforsecurity=False), 0, path.stat().st_size
    store = conn.c.sf.createRawFileStore(context)
    try:
        store.setFileId(file.id.val, context)
        with ThreadPoolExecutor(BLOCKS_AT_ONCE, "upload") as senders, path.open("rb") as source:
            sent: deque[tuple[int, Future[None]]] = deque()
            while block := source.read(BLOCK_BYTES):
                progress(sent[0][0] if sent else offset, total)
                sent.append((offset, senders.submit(store.write, block, offset, len(block), context)))
                digest.update(block)
                offset += len(block)
                if len(sent) == BLOCKS_AT_ONCE:
                    sent.popleft()[1].result()
            for _, future in sent:
                future.result()
        saved = store.save(context)
    except omero.ServerError as error:
        if session_is_over(error):
            raise
        raise OmeroError(f"OMERO did not take the file: {error.message}. Is its disk full?") from error
    finally:
        try:
            store.close()
        except Ice.ObjectNotExistException:
            logger.debug("The session ended before the upload did")
    if saved is None or saved.hash is None or saved.hash.val != digest.hexdigest():
        raise OmeroError("what OMERO received is not what was sent; nothing was attached. Export again.")

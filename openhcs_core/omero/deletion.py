"""Deletion of objects of OMERO."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress

import Ice
import omero
from omero.gateway import BlitzGateway

from openhcs_core.omero.errors import OmeroError

DELETE_S, POLL_S = 600.0, 0.02
"""Seconds that a deletion may take, and between looks whether it is done."""


def delete(
    conn: BlitzGateway, objects: Mapping[str, Sequence[int]], context: Mapping[str, str], limit_s: float = DELETE_S
) -> None:
    """Delete objects of OMERO with what belongs to them.

    Parameters
    ----------
    conn : BlitzGateway
    objects : mapping of str to sequence of int
        Ids by type.
    context : mapping
    limit_s : float
        Seconds that it may take.

    Raises
    ------
    OmeroError
        If OMERO refuses.
    """
    targets = {kind: list(ids) for kind, ids in objects.items() if ids}
    if not targets:
        return
    handle = conn.c.sf.submit(omero.cmd.Delete2(targetObjects=targets), context)
    try:
        deadline = time.monotonic() + limit_s
        while (response := handle.getResponse()) is None:
            if time.monotonic() > deadline:
                raise OmeroError(f"OMERO has not deleted {targets} within {limit_s:g} s. Start the same run again.")
            time.sleep(POLL_S)
    finally:
        with suppress(Ice.Exception):
            handle.close()
    if isinstance(response, omero.cmd.ERR):
        reason = (response.parameters or {}).get("message", response.name)
        raise OmeroError(f"OMERO could not delete {targets}: {reason}")

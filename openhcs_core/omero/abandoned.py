"""What runs of pipelines have left in OMERO that nobody came back to."""

from __future__ import annotations

import logging
import time

import omero
from omero.gateway import BlitzGateway
from omero.rtypes import rtime, unwrap
from omero.sys import ParametersI

from openhcs_core.omero.attachments import Records
from openhcs_core.omero.deletion import delete
from openhcs_core.omero.errors import OmeroError
from openhcs_core.omero.provenance import NAMESPACE, PipelineRun, read_run
from openhcs_core.omero.scratch import KEPT_DAYS
from openhcs_core.omero.session import in_group, session_is_over

logger = logging.getLogger(__name__)


def sweep_runs(conn: BlitzGateway, now: float | None = None) -> None:
    """Remove what interrupted runs of this user left days ago: images on no plate, and records of their wells.

    Runs that gave any results keep these, their masks and their annotation; of others nothing stays.

    Parameters
    ----------
    conn : BlitzGateway
    now : float, optional
        Seconds since 1970.
    """
    before = rtime(((time.time() if now is None else now) - KEPT_DAYS * 86400) * 1000)
    parameters = ParametersI().addString("ns", NAMESPACE).addLong("user", conn.getUserId()).add("before", before)
    rows = conn.getQueryService().projection(
        "select a.id, a.details.group.id from MapAnnotation a where a.ns = :ns and a.details.owner.id = :user "
        "and a.details.updateEvent.time < :before "
        "and a.id not in (select f.id from MapAnnotation f join f.mapValue v where f.ns = :ns and v.name = 'Finished')",
        parameters,
        conn.SERVICE_OPTS,
    )
    for number, group in unwrap(rows):
        try:
            _remove(conn, read_run(conn, number), in_group(conn, group))
        except (OmeroError, omero.ServerError) as error:
            if session_is_over(error):
                raise
            logger.warning("What a run has left could not be removed: %s", error)


def _remove(conn: BlitzGateway, run: PipelineRun, context: dict[str, str]) -> None:
    assert run.annotation_id is not None
    parameters = ParametersI().addLong("id", run.annotation_id).addString("text", f"{run.maker}: %")
    loose = conn.getQueryService().projection(
        "select i.id from ImageAnnotationLink l join l.parent i where l.child.id = :id and i.description like :text "
        "and not exists (select s.id from WellSample s where s.image.id = i.id) "
        "and not exists (select d.id from DatasetImageLink d where d.child.id = i.id)",
        parameters,
        context,
    )
    files = Records(conn, run.annotation_id, context).files(complete=False)
    found = {"Image": [row[0] for row in unwrap(loose)], "OriginalFile": [id for ids in files.values() for id in ids]}
    if not run.results:
        rois = conn.getQueryService().projection(
            "select r.id from Roi r where r.description = :text and r.details.owner.id = :user",
            ParametersI().addString("text", run.maker).addLong("user", conn.getUserId()),
            context,
        )
        found |= {"Roi": [row[0] for row in unwrap(rois)], "MapAnnotation": [run.annotation_id]}
    if any(found.values()):
        logger.warning("What the run of %s, %s, has left is removed", run.source, run.started)
        delete(conn, found, context)

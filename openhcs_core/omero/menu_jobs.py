"""Scripts that a person starts from the menu of OMERO, as seen from the desk with the viewer."""

from __future__ import annotations

from typing import Any, NamedTuple

import omero.sys

from openhcs_core.omero.viewers import STREAM

_JOBS = (
    "select j.id, j.message from ScriptJob j where j.id > :last and j.details.owner.id = :me and j.message like :stream"
)


class StreamingJob(NamedTuple):
    """A script that streams: its job, and where it listens or its public key."""

    id: int
    stream: str


class MenuJobs:
    """Scripts of the user of a session that stream; only this user's own, started after this was made.

    Parameters
    ----------
    client : omero.client
    """

    def __init__(self, client: Any) -> None:
        self._query = client.sf.getQueryService()
        self._me = client.sf.getAdminService().getEventContext().userId
        self._known: set[StreamingJob] = set()
        rows = self._query.projection("select max(j.id) from ScriptJob j", None, {"omero.group": "-1"})
        self._last = rows[0][0].val if rows and rows[0] and rows[0][0] else 0

    def new(self) -> list[StreamingJob]:
        """Those that have begun to stream since this was asked last."""
        params = omero.sys.ParametersI().addLong("last", self._last).addLong("me", self._me)
        params.addString("stream", f"{STREAM}%")
        found = []
        for number, message in self._query.projection(_JOBS, params, {"omero.group": "-1"}):
            stream = message.val.partition("\n")[0].removeprefix(STREAM).strip()
            found.append(StreamingJob(number.val, stream))
        new = [job for job in found if job not in self._known]
        self._known.update(new)
        return new

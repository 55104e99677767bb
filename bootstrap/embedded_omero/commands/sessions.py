"""Commands about sessions: who is logged in, and how long a session may last."""

from __future__ import annotations

import time

import omero
import omero.cmd
import omero.sys
from omero.rtypes import rint, rtime

from ..context import Call
from ..sessions import Session
from ..store import now_ms
from .base import refused

MAX_USER_IDLE_MS = 6_000_000  # how long an ordinary user may let a session idle


def current_sessions(call: Call, request: omero.cmd.CurrentSessionsRequest) -> omero.cmd.CurrentSessionsResponse:
    """All open sessions; of other people's only administrators see more than user and group."""
    response = omero.cmd.CurrentSessionsResponse([], [], [])
    for session in call.core.sessions.open.values():
        if session.user is call.user or call.is_admin:
            response.sessions.append(call.wire(session.record))
            response.contexts.append(Call(call.core, session).event_context())
            idle = int((time.monotonic() - session.last_access) * 1000)
            response.data.append({"hitCount": rint(session.hits), "lastAccessTime": rtime(now_ms() - idle)})
        else:
            response.sessions.append(None)
            response.contexts.append(_outline(session))
            response.data.append({})
    return response


def _outline(session: Session) -> omero.sys.EventContext:
    context = omero.sys.EventContext()
    context.userId, context.userName = session.user.id, session.user["omeName"]
    context.groupId, context.groupName = session.group.id, session.group["name"]
    return context


def update_timeout(call: Call, request: omero.cmd.UpdateSessionTimeoutRequest) -> omero.cmd.OK:
    """Change how long a session may idle or live."""
    session = call.core.sessions.open.get(request.session)
    if session is None or (session.user is not call.user and not call.is_admin):
        raise refused("no-session", f"no session of yours: {request.session}")
    limits = {"timeToIdle": MAX_USER_IDLE_MS, "timeToLive": session.record["timeToLive"] or 0}
    for name, most in limits.items():
        value = getattr(request, name)
        if value is None:
            continue
        if value.val < 0:
            raise refused("bad-timeout", f"{name} cannot be negative: {value.val}")
        # 0 means for ever, which is more than anything else
        if not call.is_admin and most and (value.val == 0 or value.val > most):
            raise refused("non-admin-increase", f"only administrators may raise {name} above {most} ms")
        call.store.set(session.record, name, value.val)
    return omero.cmd.OK()

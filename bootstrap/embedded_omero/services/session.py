"""ISession: sessions of other users, inputs and outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import omero

from .. import errors
from ..permissions import OWNER, permissions_object
from ..sessions import IDLE_MS, Session
from ..wiring import Loaded

if TYPE_CHECKING:
    from ..context import Call


class SessionService:
    """omero.api.ISession."""

    # -- making and ending

    def createSession(self, call: Call, principal, credentials: str):
        return self._answer(call, self._sudo(call, principal, 0, IDLE_MS))

    def createSessionWithTimeout(self, call: Call, principal, timeToLiveMilliseconds: int):
        return self._answer(call, self._sudo(call, principal, timeToLiveMilliseconds, IDLE_MS))

    def createSessionWithTimeouts(
        self, call: Call, principal, timeToLiveMilliseconds: int, timeToIdleMilliseconds: int
    ):
        return self._answer(call, self._sudo(call, principal, timeToLiveMilliseconds, timeToIdleMilliseconds))

    def _sudo(self, call: Call, principal, live: int, idle: int) -> Session:
        accounts = call.core.accounts
        user = accounts.user(principal.name)
        group = accounts.group(principal.group) if principal.group else None
        if principal.group and group is None:
            raise errors.api_usage(f"No such group: {principal.group}")
        if "Sudo" not in call.privileges:
            target = group or (accounts.default_group(user) if user else None)
            if target is None or target not in call.leader_of:
                raise errors.security(
                    f"Group sudo is not permitted for group {target['name'] if target else None} "
                    f"(gid={target.id if target else None})"
                )
        if user is None:
            raise errors.server_error(omero.RemovedSessionException, f"Cannot find a user with name {principal.name}")
        return call.core.sessions.create(
            user, group, live_ms=live, idle_ms=idle, sudoer=call.user, event_type=principal.eventType or "User"
        )

    def createUserSession(
        self, call: Call, timeToLiveMilliseconds: int, timeToIdleMilliseconds: int, defaultGroup: str
    ):
        group = call.core.accounts.group(defaultGroup) if defaultGroup else call.session.group
        if group is None:
            raise errors.api_usage(f"No such group: {defaultGroup}")
        # Recorded: the group is not checked here, only when the session is used.
        session = call.core.sessions.open_unchecked(
            call.user, group, live_ms=timeToLiveMilliseconds, idle_ms=timeToIdleMilliseconds
        )
        return self._answer(call, session)

    def getSession(self, call: Call, sessionUuid: str):
        session = self._mine(call, sessionUuid)
        loaded = Loaded()
        loaded.refs.add((session.record, "owner"))
        obj = call.wire(session.record, loaded)
        group = obj.details.group = call.wire(session.group)
        group.details.permissions = permissions_object(session.group.permissions, OWNER)  # recorded
        return obj

    def _answer(self, call: Call, session: Session):
        record = session.record
        loaded = Loaded()
        for name in ("annotationLinks", "events"):
            loaded.collections[(record, name)] = []
        obj = call.wire(record, loaded)
        obj._owner = None
        details = obj.details
        details.owner = omero.model.ExperimenterI(session.user.id, False)
        details.group = omero.model.ExperimenterGroupI(session.group.id, False)
        if record.created is None:
            record.created = record.updated = call.event
        details.creationEvent = omero.model.EventI(record.created.id, False)
        details.updateEvent = omero.model.EventI(record.updated.id, False)
        return obj

    def getReferenceCount(self, call: Call, sessionUuid: str) -> int:
        return call.core.sessions.get(sessionUuid).references

    def closeSession(self, call: Call, session) -> int:
        """Drop one reference; the session ends with the last one (recorded: then the answer is -2)."""
        sessions = call.core.sessions
        found = sessions.open.get(session.uuid.val)
        if found is None:
            return -2
        others = [c for c in found.clients.values() if c is not call.client]
        if others:
            sessions.drop_reference(found, others[0])
            return found.references
        sessions.close(found)
        return -2

    def getMyOpenSessions(self, call: Call) -> list:
        return self._list(call, lambda s: s.user is call.user)

    def getMyOpenAgentSessions(self, call: Call, agent: str) -> list:
        return self._list(call, lambda s: s.user is call.user and s.record["userAgent"] == agent)

    def getMyOpenClientSessions(self, call: Call) -> list:
        return self._list(call, lambda s: s.user is call.user and s.record["userAgent"] != "createSession")

    def _list(self, call: Call, wanted) -> list:
        return [call.wire(s.record) for s in call.core.sessions.open.values() if wanted(s)]

    # -- inputs and outputs

    def _mine(self, call: Call, session_uuid: str) -> Session:
        session = call.core.sessions.get(session_uuid)
        if session.user is not call.user and "ReadSession" not in call.privileges:
            raise errors.security(f"Session {session_uuid} belongs to another user")
        return session

    def getInput(self, call: Call, sess: str, key: str):
        return self._mine(call, sess).inputs.get(key)

    def getInputs(self, call: Call, sess: str) -> dict[str, Any]:
        return dict(self._mine(call, sess).inputs)

    def getInputKeys(self, call: Call, sess: str) -> list[str]:
        return sorted(self._mine(call, sess).inputs)

    def setInput(self, call: Call, sess: str, key: str, value) -> None:
        self._set(self._mine(call, sess).inputs, key, value)

    def getOutput(self, call: Call, sess: str, key: str):
        return self._mine(call, sess).outputs.get(key)

    def getOutputs(self, call: Call, sess: str) -> dict[str, Any]:
        return dict(self._mine(call, sess).outputs)

    def getOutputKeys(self, call: Call, sess: str) -> list[str]:
        return sorted(self._mine(call, sess).outputs)

    def setOutput(self, call: Call, sess: str, key: str, value) -> None:
        self._set(self._mine(call, sess).outputs, key, value)

    @staticmethod
    def _set(values: dict[str, Any], key: str, value) -> None:
        if value is None:
            raise errors.api_usage("Can't handle input class java.lang.Object")
        obj = getattr(value, "_val", None)
        details = getattr(obj, "_details", None)
        if details is not None and details.permissions is not None:
            details.permissions._restrictions = None  # they were the answer to one caller: the server forgets them
        values[key] = value

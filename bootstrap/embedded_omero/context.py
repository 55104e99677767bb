"""One call: who calls, in which group, and what that allows."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import omero

from . import errors, permissions
from .accounts import USER
from .store import Record, Store, now_ms
from .wiring import Graph, Loaded

if TYPE_CHECKING:
    from .server import Core
    from .sessions import Client, Session


class Call:
    """The context in which a service method runs.

    Parameters
    ----------
    core : Core
        The server.
    session : Session
        The session of the caller.
    client : Client, optional
        The client which called; None for the server's own work.
    ctx : dict of str to str
        The Ice context of the call. ``omero.group`` selects a group or, with -1, all groups.
    """

    def __init__(
        self, core: Core, session: Session, client: Client | None = None, ctx: dict[str, str] | None = None
    ) -> None:
        self.core = core
        self.store: Store = core.store
        self.session = session
        self.client = client
        self.ctx = ctx or {}
        self.user: Record = session.user
        self.all_groups = False
        self.group: Record = self._effective_group()
        self.deleted: list[Record] = []

    def _effective_group(self) -> Record:
        text = self.ctx.get("omero.group", "")
        try:
            wanted = int(text)
        except ValueError:  # recorded: what is not a number is ignored
            return self.session.group
        if wanted < 0:
            self.all_groups = True
            return self.session.group
        group = self.store.get("ExperimenterGroup", wanted)
        if group is None:
            raise errors.no_row("ome.model.meta.ExperimenterGroup", wanted)
        if group not in self.member_of and not self.is_admin:
            raise errors.security(f"User {self.user.id} is not a member of group {wanted} and cannot login")
        return group

    # -- roles

    @functools.cached_property
    def member_of(self) -> set[Record]:
        return set(self.core.accounts.groups_of(self.user))

    @functools.cached_property
    def leader_of(self) -> set[Record]:
        return set(self.core.accounts.led_by(self.user))

    @functools.cached_property
    def is_admin(self) -> bool:
        return self.core.accounts.is_admin(self.user)

    @functools.cached_property
    def privileges(self) -> set[str]:
        """Privileges of an administrator; empty for everybody else."""
        if not self.is_admin:
            return set()
        restricted = self.core.accounts.privileges(self.user)
        return set(permissions.PRIVILEGES) if restricted is None else restricted

    @property
    def has_write_privileges(self) -> bool:
        return "WriteOwned" in self.privileges

    def require_admin(self, privilege: str, message: str = "") -> None:
        """Raise SecurityViolation unless the caller is an administrator with that privilege."""
        if privilege not in self.privileges:
            raise errors.security(message or f"Current user lacks the privilege {privilege}")

    # -- rights on records

    def visible(self, record: Record) -> bool:
        """Whether a query of this call may return the record."""
        group = record.group
        if group is None:
            return True
        if not self.all_groups and group is not self.group and group.id != USER:
            return False
        return permissions.readable(self, record)

    def read(self, entity: str, id: int) -> Record:
        """The record, or the exception a server raises."""
        meta = self.store.model[entity]
        record = self.store.get(meta, id)
        if record is None:
            raise errors.no_row(meta.java, id)
        if not self.visible(record):
            raise errors.cannot_read(record.entity.java, id)
        return record

    def flags(self, record: Record) -> permissions.Flags:
        return permissions.flags(self, record)

    def rights_on(self, record: Record) -> tuple[str, permissions.Flags, tuple[str, ...]]:
        """What a permissions object of a record says to this caller: rights string, flags, further restrictions."""
        if record.entity.name == "ExperimenterGroup":
            text = record.permissions
        elif record.entity.name == "Session":
            text = "rw----"
        elif record.group is not None:
            text = record.group.permissions
        elif self.all_groups:
            # What no group owns shows the rights with which it was made: people by an administrator, enumerations with
            # the server. In the context of one group it shows the rights of that group.
            text = "rw----" if record.entity.name in ("Experimenter", "GroupExperimenterMap") else "rwr-r-"
        else:
            text = self.group.permissions
        extended = () if permissions.downloadable(self, record) else (omero.constants.permissions.BINARYACCESS,)
        return text or "rw----", self.flags(record), extended

    def permissions_of(self, record: Record) -> omero.model.PermissionsI:
        """Permissions object of a record as this caller sees it."""
        return permissions.permissions_object(*self.rights_on(record))

    # -- changes

    @functools.cached_property
    def event(self) -> Record:
        """The event of this call; everything which the call changes refers to it."""
        kind = self.store.find("EventType", value=self.session.event_type)
        values: dict[str, Any] = {"time": now_ms(), "type": kind, "experimenter": self.user,
                                  "experimenterGroup": self.group, "session": self.session.record}  # fmt: skip
        return self.store.add("Event", values)

    def add(self, entity: str, values: dict[str, Any] | None = None) -> Record:
        """Make a record which belongs to the caller and the call's group."""
        if self.all_groups and not self.store.model[entity].is_global:
            raise errors.api_usage(
                "No valid permissions available! DUMMY permissions are not intended for copying. "
                "Make sure that you have not passed omero.group=-1 for a save without context"
            )
        record = self.store.add(entity, values)
        if not record.entity.is_global:
            record.owner, record.group = self.user, self.group
        record.created = record.updated = self.event
        log = {"action": "INSERT", "entityType": record.entity.java, "entityId": record.id, "event": self.event}
        self.store.add("EventLog", log)
        return record

    def change(self, record: Record, name: str, value: Any) -> None:
        """Change one value and note it."""
        self.store.set(record, name, value)
        self.store.touch(record, self.event)

    def enum(self, entity: str, value: str) -> Record:
        """An enumeration value by name."""
        found = self.store.find(entity, value=value)
        if found is None:
            raise errors.api_usage(f"An {self.store.model[entity].java} enum does not exist with the value: {value}")
        return found

    # -- answers

    def graph(self, loaded: Loaded | None = None) -> Graph:
        return Graph(self, loaded)

    def wire(self, record: Record | None, loaded: Loaded | None = None):
        """Object of one record with nothing but itself loaded."""
        return self.graph(loaded).wire(record)

    def own(self) -> Call:
        """The same caller without a group context of the call."""
        return Call(self.core, self.session, self.client)

    def event_context(self) -> omero.sys.EventContext:
        """What getEventContext answers: always the session's own group, whatever the call's context."""
        session, group = self.session, self.session.group
        ec = omero.sys.EventContext()
        ec.shareId, ec.sessionId, ec.sessionUuid = -1, session.record.id, session.uuid
        ec.userId, ec.userName = self.user.id, self.user["omeName"]
        ec.groupId, ec.groupName = group.id, group["name"]
        ec.isAdmin = self.is_admin
        ec.eventId, ec.eventType = -1, session.event_type
        groups = self.core.accounts.groups_of(self.user)
        ec.memberOfGroups = [group.id] + [g.id for g in groups if g is not group]
        ec.leaderOfGroups = [g.id for g in groups if g in self.leader_of]
        ec.adminPrivileges = sorted(self.privileges)
        ec.groupPermissions = permissions.permissions_object(group.permissions or "", permissions.ALL)
        sudoer = session.sudoer
        ec.sudoerId = omero.rtypes.rlong(sudoer.id) if sudoer else None
        ec.sudoerName = omero.rtypes.rstring(sudoer["omeName"]) if sudoer else None
        return ec

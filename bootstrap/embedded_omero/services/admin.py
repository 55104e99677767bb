"""IAdmin: users, groups, memberships, passwords, the event context."""

from __future__ import annotations

from typing import TYPE_CHECKING

import omero

from .. import errors
from ..accounts import GUEST, SYSTEM, USER
from ..store import Record
from ..wiring import Loaded

if TYPE_CHECKING:
    from ..context import Call

_SELF_FIELDS = ("firstName", "middleName", "lastName", "institution", "email")


class Admin:
    """omero.api.IAdmin."""

    # -- who am I

    def getEventContext(self, call: Call):
        return call.event_context()

    def getSecurityRoles(self, call: Call):
        roles = omero.sys.Roles()
        roles.rootId, roles.rootName = 0, "root"
        roles.guestId, roles.guestName = 1, "guest"
        roles.systemGroupId, roles.systemGroupName = SYSTEM, "system"
        roles.userGroupId, roles.userGroupName = USER, "user"
        roles.guestGroupId, roles.guestGroupName = GUEST, "guest"
        return roles

    def getCurrentAdminPrivileges(self, call: Call) -> list:
        return self._privileges(call, call.privileges)

    def getAdminPrivileges(self, call: Call, user) -> list:
        record = self._user(call, user.id.val)
        if not call.core.accounts.is_admin(record):
            return []
        names = call.core.accounts.privileges(record)
        return self._privileges(call, self._all_names(call) if names is None else names)

    def getAdminsWithPrivileges(self, call: Call, privileges) -> list:
        wanted = {p.value.val for p in privileges}
        admins = [u for u in call.store.all("Experimenter") if call.core.accounts.is_admin(u)]
        names = {u: call.core.accounts.privileges(u) for u in admins}
        return [self._experimenter(call, u) for u in admins if names[u] is None or wanted <= names[u]]

    def setAdminPrivileges(self, call: Call, user, privileges) -> None:
        call.require_admin("ModifyUser")
        self._restrict(call, self._user(call, user.id.val), privileges)

    @staticmethod
    def _all_names(call: Call) -> set[str]:
        return {p["value"] for p in call.store.all("AdminPrivilege")}

    @staticmethod
    def _privileges(call: Call, names: set[str]) -> list:
        return [call.wire(p) for p in call.store.all("AdminPrivilege") if p["value"] in names]

    @staticmethod
    def _restrict(call: Call, user: Record, privileges) -> None:
        values = [("AdminPrivilege", p.value.val) for p in privileges] or [("AdminPrivilege", "")]
        rest = [pair for pair in user.values.get("config", ()) if pair[0] != "AdminPrivilege"]
        call.store.set(user, "config", rest + values)

    # -- users

    def getExperimenter(self, call: Call, id: int):
        return self._experimenter(call, self._user(call, id))

    def lookupExperimenter(self, call: Call, name: str):
        user = call.core.accounts.user(name)
        if user is None:
            raise errors.api_usage(f"No such experimenter: {name}")
        return self._experimenter(call, user)

    def lookupExperimenters(self, call: Call) -> list:
        return [self._experimenter(call, u) for u in call.store.all("Experimenter")]

    def containedExperimenters(self, call: Call, groupId: int) -> list:
        return [self._experimenter(call, u) for u in call.core.accounts.members(self._group(call, groupId))]

    def lookupLdapAuthExperimenter(self, call: Call, id: int):
        self._user(call, id)
        return

    def lookupLdapAuthExperimenters(self, call: Call):
        return omero.rtypes.rlist([])

    def createUser(self, call: Call, newUser, group: str) -> int:
        call.require_admin("ModifyUser")
        found = call.core.accounts.group(group)
        if found is None:
            raise errors.validation(f"No such group: {group}")
        return self._create(call, newUser, [found, call.core.accounts.group("user")])

    def createExperimenter(self, call: Call, user, defaultGroup, groups) -> int:
        return self.createExperimenterWithPassword(call, user, None, defaultGroup, groups)

    def createExperimenterWithPassword(self, call: Call, user, password, defaultGroup, groups) -> int:
        call.require_admin("ModifyUser")
        all_groups = [self._group(call, g.id.val) for g in [defaultGroup, *groups]]
        return self._create(call, user, all_groups, password)

    def createSystemUser(self, call: Call, newUser) -> int:
        call.require_admin("ModifyUser")
        return self._create(call, newUser, [self._group(call, SYSTEM), self._group(call, USER)])

    def createRestrictedSystemUser(self, call: Call, newUser, privileges) -> int:
        return self.createRestrictedSystemUserWithPassword(call, newUser, privileges, None)

    def createRestrictedSystemUserWithPassword(self, call: Call, newUser, privileges, password) -> int:
        id = self._create(call, newUser, [self._group(call, SYSTEM), self._group(call, USER)], password, "ModifyUser")
        self._restrict(call, self._user(call, id), privileges)
        return id

    def _create(self, call: Call, user, groups: list[Record], password=None, privilege: str = "ModifyUser") -> int:
        call.require_admin(privilege)
        for name in ("omeName", "firstName", "lastName"):
            if getattr(user, name) is None:
                raise errors.validation(
                    f"not-null property references a null or transient value: ome.model.meta.Experimenter.{name}"
                )
        more = {n: getattr(user, n).val for n in ("middleName", "institution", "email") if getattr(user, n) is not None}
        record = call.core.accounts.add_user(
            user.omeName.val, user.firstName.val, user.lastName.val, groups, password.val if password else None, **more
        )
        return record.id

    def updateSelf(self, call: Call, experimenter) -> None:
        self._update(call, call.user, experimenter)

    def updateExperimenter(self, call: Call, experimenter) -> None:
        user = self._user(call, experimenter.id.val)
        if "ModifyUser" not in call.privileges and not self._leads(call, user):
            raise errors.security("Current user is not admin for the given user(s)")
        self._update(call, user, experimenter)

    def updateExperimenterWithPassword(self, call: Call, experimenter, password) -> None:
        self.updateExperimenter(call, experimenter)
        call.core.accounts.set_password(self._user(call, experimenter.id.val), password.val)

    @staticmethod
    def _leads(call: Call, user: Record) -> bool:
        return bool(call.leader_of & set(call.core.accounts.groups_of(user)))

    @staticmethod
    def _update(call: Call, user: Record, experimenter) -> None:
        fields = _SELF_FIELDS + (("omeName",) if "ModifyUser" in call.privileges else ())
        for name in fields:
            value = getattr(experimenter, name)
            call.store.set(user, name, value.val if value is not None else None)

    def deleteExperimenter(self, call: Call, user) -> None:
        call.require_admin("ModifyUser")
        record = self._user(call, user.id.val)
        for link in call.core.accounts.memberships(record):
            call.store.remove(link)
        call.store.remove(record)

    # -- passwords

    def changePassword(self, call: Call, newPassword) -> None:
        call.core.accounts.set_password(call.user, newPassword.val)

    def changePasswordWithOldPassword(self, call: Call, oldPassword, newPassword) -> None:
        if not call.core.accounts.check_password(call.user, oldPassword.val):
            raise errors.security("Old password is invalid")
        call.core.accounts.set_password(call.user, newPassword.val)

    def changeUserPassword(self, call: Call, omeName: str, newPassword) -> None:
        call.require_admin("ModifyUser")
        user = call.core.accounts.user(omeName)
        if user is None:
            raise errors.api_usage(f"No such experimenter: {omeName}")
        call.core.accounts.set_password(user, newPassword.val)

    def synchronizeLoginCache(self, call: Call) -> None:
        pass

    # -- groups

    def getGroup(self, call: Call, id: int):
        return self._group_object(call, self._group(call, id))

    def lookupGroup(self, call: Call, name: str):
        group = call.core.accounts.group(name)
        if group is None:
            raise errors.api_usage(f"No such group: {name}")
        return self._group_object(call, group)

    def lookupGroups(self, call: Call) -> list:
        return [self._group_object(call, g) for g in call.store.all("ExperimenterGroup")]

    def containedGroups(self, call: Call, experimenterId: int) -> list:
        groups = call.core.accounts.groups_of(self._user(call, experimenterId))
        return [self._group_object(call, g) for g in groups]

    def getDefaultGroup(self, call: Call, experimenterId: int):
        return call.wire(call.core.accounts.default_group(self._user(call, experimenterId)))

    def getMemberOfGroupIds(self, call: Call, experimenter) -> list[int]:
        return [g.id for g in call.core.accounts.groups_of(self._user(call, experimenter.id.val))]

    def getLeaderOfGroupIds(self, call: Call, experimenter) -> list[int]:
        return [g.id for g in call.core.accounts.led_by(self._user(call, experimenter.id.val))]

    def createGroup(self, call: Call, group) -> int:
        call.require_admin("ModifyGroup")
        permissions = group.details.permissions if group.details is not None else None
        text = str(permissions) if permissions is not None else "rw----"
        values = {} if group.description is None else {"description": group.description.val}
        return call.core.accounts.add_group(group.name.val, text, values).id

    def updateGroup(self, call: Call, group) -> None:
        record = self._group(call, group.id.val)
        if "ModifyGroup" not in call.privileges and record not in call.leader_of:
            raise errors.security(f"Updating {record.entity.java}:Id_{record.id} not allowed.")
        for name in ("name", "description"):
            value = getattr(group, name)
            call.store.set(record, name, value.val if value is not None else None)
        permissions = group.details.permissions if group.details is not None else None
        if permissions is not None:
            record.permissions = str(permissions)

    def changePermissions(self, call: Call, obj, permissions) -> None:
        record = self._group(call, obj.id.val)
        if "ModifyGroup" not in call.privileges and record not in call.leader_of:
            raise errors.security(f"Updating {record.entity.java}:Id_{record.id} not allowed.")
        record.permissions = str(permissions)

    def addGroups(self, call: Call, user, groups) -> None:
        self._membership(call, user, groups, call.core.accounts.add_member)

    def removeGroups(self, call: Call, user, groups) -> None:
        self._membership(call, user, groups, call.core.accounts.remove_member)

    def _membership(self, call: Call, user, groups, change) -> None:
        record = self._user(call, user.id.val)
        for group in groups:
            found = self._group(call, group.id.val)
            if "ModifyGroupMembership" not in call.privileges and found not in call.leader_of:
                raise errors.security("Current user is neither admin nor group-leader for the given user(s)/group(s)")
            change(record, found)

    def setDefaultGroup(self, call: Call, user, group) -> None:
        record = self._user(call, user.id.val)
        if record is not call.user:
            call.require_admin("ModifyUser")
        call.core.accounts.set_default_group(record, self._group(call, group.id.val))

    def setGroupOwner(self, call: Call, group, owner) -> None:
        self._leader(call, group, [owner], True)

    def unsetGroupOwner(self, call: Call, group, owner) -> None:
        self._leader(call, group, [owner], False)

    def addGroupOwners(self, call: Call, group, owners) -> None:
        self._leader(call, group, owners, True)

    def removeGroupOwners(self, call: Call, group, owners) -> None:
        self._leader(call, group, owners, False)

    def _leader(self, call: Call, group, owners, leader: bool) -> None:
        found = self._group(call, group.id.val)
        if "ModifyGroupMembership" not in call.privileges and found not in call.leader_of:
            raise errors.security("Current user is neither admin nor group-leader for the given user(s)/group(s)")
        for owner in owners:
            call.core.accounts.set_leader(self._user(call, owner.id.val), found, leader)

    def canUpdate(self, call: Call, obj) -> bool:
        return call.flags(call.read(call.store.model.of(obj).name, obj.id.val)).edit

    # -- helpers

    @staticmethod
    def _user(call: Call, id: int) -> Record:
        user = call.store.get("Experimenter", id)
        if user is None:
            raise errors.api_usage(f"No such experimenter: {id}")
        return user

    @staticmethod
    def _group(call: Call, id: int) -> Record:
        group = call.store.get("ExperimenterGroup", id)
        if group is None:
            raise errors.api_usage(f"No such group: {id}")
        return group

    @staticmethod
    def _experimenter(call: Call, user: Record):
        """A user with its groups loaded, the default group first."""
        loaded = Loaded()
        links = call.core.accounts.memberships(user)
        loaded.fetch_collection(user, "groupExperimenterMap", list(links))
        loaded.refs.update((link, "parent") for link in links)
        return call.wire(user, loaded)

    @staticmethod
    def _group_object(call: Call, group: Record):
        """A group with its members loaded."""
        loaded = Loaded()
        links = call.store.collection(group, group.entity.fields["groupExperimenterMap"])
        loaded.fetch_collection(group, "groupExperimenterMap", list(links))
        loaded.refs.update((link, "child") for link in links)
        return call.wire(group, loaded)

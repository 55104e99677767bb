"""Users, groups and memberships."""

from __future__ import annotations

import hashlib
import hmac
import os

from . import errors
from .store import Record, Store

SYSTEM, USER, GUEST = 0, 1, 2  # ids of the groups every server has
GUEST_NAME = "guest"
_ROUNDS = 20_000


class Accounts:
    """Users and groups of a store, and their passwords (salted hashes)."""

    def __init__(self, store: Store, root_password: str) -> None:
        self.store = store
        self._passwords: dict[int, tuple[bytes, bytes]] = {}
        for name, level in (("system", "rw----"), ("user", "rwr-r-"), ("guest", "rw----")):
            self.add_group(name, level)
        root = self.add_user("root", "root", "root", [self.group("system"), self.group("user")], root_password)
        self.set_leader(root, self.group("system"), True)
        self.add_user(GUEST_NAME, "Guest", "Account", [self.group("guest")], None)

    # -- look-up

    def user(self, name: str) -> Record | None:
        return self.store.find("Experimenter", omeName=name)

    def group(self, name: str) -> Record | None:
        return self.store.find("ExperimenterGroup", name=name)

    def memberships(self, user: Record) -> list[Record]:
        """Links to groups, the default group first."""
        return self.store.collection(user, user.entity.fields["groupExperimenterMap"])

    def groups_of(self, user: Record) -> list[Record]:
        return [m["parent"] for m in self.memberships(user)]

    def led_by(self, user: Record) -> list[Record]:
        return [m["parent"] for m in self.memberships(user) if m["owner"]]

    def members(self, group: Record) -> list[Record]:
        links = self.store.collection(group, group.entity.fields["groupExperimenterMap"])
        return [m["child"] for m in links]

    def default_group(self, user: Record) -> Record | None:
        """First group which is not the common group "user"."""
        groups = self.groups_of(user)
        return next((g for g in groups if g.id != USER), groups[0] if groups else None)

    def is_admin(self, user: Record) -> bool:
        return any(g.id == SYSTEM for g in self.groups_of(user))

    def privileges(self, user: Record) -> set[str] | None:
        """Names an administrator is restricted to; None if there is no restriction."""
        pairs = [v for k, v in user.values.get("config", ()) if k == "AdminPrivilege"]
        return {v for v in pairs if v} if pairs else None

    # -- changes

    def add_group(self, name: str, level: str, values: dict | None = None) -> Record:
        if self.group(name) is not None:
            raise errors.validation(f"Group already exists: {name}")
        group = self.store.add("ExperimenterGroup", {"ldap": False, **(values or {}), "name": name})
        group.permissions = level
        return group

    def add_user(
        self, name: str, first: str, last: str, groups: list[Record], password: str | None, **values
    ) -> Record:
        """Make a user; the first group becomes the default group."""
        if self.user(name) is not None:
            raise errors.validation(f"User already exists: {name}")
        names = {"omeName": name, "firstName": first, "lastName": last, "ldap": False}
        user = self.store.add("Experimenter", {**values, **names})
        for group in groups:
            self.add_member(user, group)
        if password is not None:
            self.set_password(user, password)
        return user

    def membership(self, user: Record, group: Record) -> Record | None:
        return next((m for m in self.memberships(user) if m["parent"] is group), None)

    def add_member(self, user: Record, group: Record) -> Record:
        return self.membership(user, group) or self.store.add(
            "GroupExperimenterMap", {"parent": group, "child": user, "owner": False}
        )

    def remove_member(self, user: Record, group: Record) -> None:
        link = self.membership(user, group)
        if link is not None:
            self.store.remove(link)

    def set_leader(self, user: Record, group: Record, leader: bool) -> None:
        link = self.membership(user, group)
        if link is None:
            link = self.add_member(user, group)
        self.store.set(link, "owner", leader)

    def set_default_group(self, user: Record, group: Record) -> None:
        link = self.membership(user, group)
        if link is None:
            raise errors.api_usage(f"Group {group.id} was not found for user {user.id}")
        rest = [m for m in self.memberships(user) if m is not link]
        self.store.reorder(user, user.entity.fields["groupExperimenterMap"], [link, *rest])

    # -- passwords

    def set_password(self, user: Record, password: str) -> None:
        salt = os.urandom(16)
        self._passwords[user.id] = (salt, self._hash(password, salt))

    def check_password(self, user: Record, password: str) -> bool:
        if user["omeName"] == GUEST_NAME:  # its password is empty, which any other matches
            return True
        salt, digest = self._passwords.get(user.id, (b"", b""))
        return bool(digest) and hmac.compare_digest(digest, self._hash(password, salt))

    @staticmethod
    def _hash(password: str, salt: bytes) -> bytes:
        return hashlib.pbkdf2_hmac("sha256", password.encode(), salt, _ROUNDS)

"""Who may see, annotate, edit, link, delete and move what.

The rules follow from the permission level of the object's group (private ``rw----``, read-only ``rwr---``,
read-annotate ``rwra--``, read-write ``rwrw--``) and from the caller's role: owner, member, leader, administrator.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import omero
import omero.model

from .accounts import USER
from .store import Record

if TYPE_CHECKING:
    from .context import Call

PRIVILEGES = (
    "Chgrp", "Chown", "DeleteFile", "DeleteManagedRepo", "DeleteOwned", "DeleteScriptRepo", "ModifyGroup",
    "ModifyGroupMembership", "ModifyUser", "ReadSession", "Sudo", "WriteFile", "WriteManagedRepo", "WriteOwned",
    "WriteScriptRepo",
)  # fmt: skip
# Objects of these classes are never moved to another group on their own.
_MOVABLE = (
    "Project", "Dataset", "Image", "Screen", "Plate", "Annotation", "OriginalFile", "Folder", "Roi", "Fileset",
    "Experiment", "Instrument", "Reagent",
)  # fmt: skip

# What a user's names are for those who may not learn them.
NAMES, HIDDEN = ("omeName", "firstName", "lastName"), "<hidden>"
_KNOWN_TO_ALL = ("root", "guest")


@dataclass(frozen=True)
class Flags:
    """What the caller may do with one object."""

    link: bool = False
    edit: bool = False
    delete: bool = False
    annotate: bool = False
    chgrp: bool = False
    chown: bool = False


ALL = Flags(True, True, True, True, True, True)
OWNER = Flags(True, True, True, True)


def levels(permissions: str) -> tuple[str, str, str]:
    """("rw", "ra", "--") of "rwra--"."""
    return permissions[:2], permissions[2:4], permissions[4:]


def readable(call: Call, record: Record) -> bool:
    """Whether the caller may read the record at all, whatever group the call is in."""
    group = record.group
    if group is None or record.owner is None:
        return True
    if call.is_admin or record.owner is call.user:
        return True
    return group_readable(call, group, record)


def group_readable(call: Call, group: Record, record: Record) -> bool:
    store_name = group.values.get("name")
    if store_name == "user":  # everybody is a member of this group and may read what is in it
        return True
    if group not in call.member_of:
        return False
    return group in call.leader_of or levels(group.permissions or "rw----")[1][0] == "r"


def knows(call: Call, user: Record) -> bool:
    """Whether the caller may learn the names of a user.

    Administrators may, and who is in a group with that user. Recorded: everybody knows root and the guest.
    """
    if call.is_admin or user is call.user or user["omeName"] in _KNOWN_TO_ALL:
        return True
    memberships = call.store.where("GroupExperimenterMap", child=user)
    return any(m["parent"] in call.member_of and m["parent"].id != USER for m in memberships)


def flags(call: Call, record: Record) -> Flags:
    """Rights of the caller on a record."""
    if record.group is None or record.owner is None:
        return _global_flags(call, record)
    group = record.group
    movable = record.entity.root.name in _MOVABLE
    if call.is_admin and call.has_write_privileges:
        private = levels(group.permissions or "")[1] == "--" and record.owner is not call.user
        return Flags(not private, True, True, not private, movable, True)
    if record.owner is call.user:
        return Flags(True, True, True, True, movable, False)
    if group in call.leader_of:
        private = levels(group.permissions or "")[1] == "--"
        return Flags(not private, True, True, not private, False, True)
    if group not in call.member_of:
        return Flags()
    level = levels(group.permissions or "rw----")[1]
    if level == "rw":
        return Flags(True, True, True, True)
    return Flags(annotate=level == "ra")


def _global_flags(call: Call, record: Record) -> Flags:
    if record.entity.name == "Session" and record["owner"] is call.user:
        return OWNER
    if call.is_admin and call.has_write_privileges:
        return Flags(True, True, True, True, True, True)
    if record.entity.name == "ExperimenterGroup":
        leads = record in call.leader_of
        other = call.all_groups or record is not call.group
        return Flags(link=True, edit=leads, delete=leads, annotate=leads or other)
    return Flags(link=True, annotate=True)


@functools.lru_cache(maxsize=64)
def bits(text: str) -> int:
    """Rights string as the database stores it."""
    return omero.model.PermissionsI(text).getPerm1()


def permissions_object(text: str, given: Flags, extended: Sequence[str] = ()) -> omero.model.PermissionsI:
    """Permissions as clients get them: the rights string, the flags and further restrictions by name."""
    permissions = omero.model.PermissionsI(bits(text))
    restrictions = [not given.link, not given.edit, not given.delete, not given.annotate, not given.chgrp,
                    not given.chown]  # fmt: skip
    permissions._restrictions = restrictions
    permissions._extendedRestrictions = list(extended)
    return permissions


def downloadable(call: Call, record: Record) -> bool:
    """Whether files may be downloaded: those of plates may not, by anybody, unless the server's policy says so."""
    if "+plate" in call.core.config.get("omero.policy.binary_access", ""):
        return True
    store, name = call.store, record.entity.name
    if name == "Plate":
        return False
    images = [record] if name == "Image" else []
    if name == "OriginalFile":
        entries = store.collection(record, record.entity.fields["filesetEntries"])
        filesets = {e["fileset"] for e in entries}
        images = [i for f in filesets for i in store.collection(f, f.entity.fields["images"])]
    return not any(store.collection(i, i.entity.fields["wellSamples"]) for i in images)

"""Chgrp2: move objects and what belongs to them to another group."""

from __future__ import annotations

import functools

import omero
import omero.cmd

from .. import permissions
from ..accounts import USER
from ..context import Call
from ..store import Record
from .base import by_class, graph_refused, label, refused
from .delete import goes_unasked, remove
from .graph import Selection, ends, referrers, resolve

# What others made for an image does not follow it into a private group.
_PERSONAL = {
    "ChannelBinding", "CodomainMapContext", "ProjectionDef", "QuantumDef", "RenderingDef", "Roi", "Shape", "Thumbnail",
}  # fmt: skip


def _owns(call: Call, record: Record) -> bool:
    return record.owner is call.user or "Chgrp" in call.privileges


def _joins(call: Call, private: bool, record: Record, because: Record) -> bool:
    if record.group is None or ends(because.entity) is not None:
        return False
    if record.owner is because.owner or record.entity.name == "Roi":
        return True
    return not private and (_owns(call, record) or call.flags(record).delete)


def _check(call: Call, selection: Selection) -> None:
    for record, certain in selection.records.items():
        if certain and not goes_unasked(selection, record) and not _owns(call, record):
            raise graph_refused(f"does not own {label(record, java=True)}")
    selection.check_filesets("move")
    selection.check_tags("move", "while used by {}")
    for record in selection:
        if ends(record.entity) is not None:
            continue
        related = [other for other, _, _ in referrers(call.store, record) if ends(other.entity) is None]
        related += [record[f.name] for f in record.entity.references() if record[f.name] is not None]
        for other in related:  # what is in no group or in everybody's can be used from everywhere
            if other not in selection and other.group is not None and other.group.id != USER:
                raise graph_refused(f"may not move {label(record)} while {label(other)} remains")


def _left_behind(selection: Selection, private: bool) -> dict[Record, None]:
    """What is deleted instead of moved: others' settings on the way to a private group, and then links with one end."""
    left: dict[Record, None] = {}
    if private:
        for record in selection:  # what brought a record in comes before it
            because = selection.because.get(record)
            personal = because is not None and record.entity.root.name in _PERSONAL
            if personal and (because in left or record.owner is not because.owner):
                left[record] = None
    for record in selection:
        if any(record[end] not in selection or record[end] in left for end in ends(record.entity) or ()):
            left[record] = None
    return left


def chgrp(call: Call, request: omero.cmd.Chgrp2) -> omero.cmd.Chgrp2Response:
    """Run a Chgrp2; links which would lead from one group to another are deleted."""
    group = call.store.get("ExperimenterGroup", request.groupId)
    if group is None or (group not in call.member_of and "Chgrp" not in call.privileges):
        raise refused("not-in-group", "not a member of the chgrp destination group")
    private = permissions.levels(group.permissions or "rw----")[1][0] != "r"
    targets = resolve(call, request, set(), functools.partial(permissions.readable, call))
    selection = Selection(call, targets, functools.partial(_joins, call, private), request.childOptions)
    _check(call, selection)
    left = _left_behind(selection, private)
    moved = [r for r in selection if r not in left]
    response = omero.cmd.Chgrp2Response(by_class(moved), by_class(left))
    if not request.dryRun:
        remove(call, left)
        for record in moved:
            record.group = group
    return response

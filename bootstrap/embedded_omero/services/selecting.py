"""What the read services share: classes by name, filters and pages of the parameters they take."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

import omero
import omero.sys

from .. import errors
from ..context import Call
from ..hql.params import page_of
from ..metamodel import Entity
from ..store import Record

Options: TypeAlias = "omero.sys.Parameters | None"


def entity_named(call: Call, name: str) -> Entity:
    """The class with a simple or full name.

    Raises
    ------
    omero.ApiUsageException
        If there is none.
    """
    entity = call.store.model.get(name or "")
    if entity is None:
        raise errors.api_usage(f"{name} does not specify a valid class.")
    return entity


def chosen(call: Call, entity: Entity, ids: Iterable[int]) -> list[Record]:
    """Records with these ids in their order; what is not there or not visible is left out."""
    found = (call.store.get(entity, id) for id in dict.fromkeys(ids))
    return [r for r in found if r is not None and call.visible(r)]


def filtered(call: Call, records: Iterable[Record], params: Options) -> list[Record]:
    """Visible records of the owner and group which the parameters name, and their page of them."""
    given = params.theFilter if params is not None else None
    owner = given.ownerId.val if given is not None and given.ownerId is not None else -1
    group = given.groupId.val if given is not None and given.groupId is not None else -1
    found = [
        r
        for r in records
        if call.visible(r)
        and (owner < 0 or (r.owner is not None and r.owner.id == owner))
        and (group < 0 or (r.group is not None and r.group.id == group))
    ]
    offset, limit = page_of(params)
    return found[offset : None if limit is None else offset + limit]


def has_owner(params: Options) -> bool:
    """Whether the parameters name an owner or a group."""
    given = params.theFilter if params is not None else None
    return given is not None and (given.ownerId is not None or given.groupId is not None)

"""SharedResources: processors and repositories."""

from __future__ import annotations

from typing import TYPE_CHECKING

import omero.grid

from ..repositories import SCRIPT_REPO
from .repository import proxies

if TYPE_CHECKING:
    from ..context import Call


class SharedResources:
    """omero.grid.SharedResources."""

    def addProcessor(self, call: Call, proc) -> None:
        call.core.processors.add(call.client, proc)

    def removeProcessor(self, call: Call, proc) -> None:
        call.core.processors.remove(proc)

    def repositories(self, call: Call) -> omero.grid.RepositoryMap:
        records, found = proxies(call)
        return omero.grid.RepositoryMap([call.wire(r) for r in records], found)

    def getScriptRepository(self, call: Call):
        return next(p for r, p in zip(*proxies(call), strict=True) if r["hash"] == SCRIPT_REPO)

    def areTablesEnabled(self, call: Call) -> bool:
        return False

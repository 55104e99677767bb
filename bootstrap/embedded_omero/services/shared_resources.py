"""SharedResources: processors and repositories."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

import omero.grid

from .. import errors
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

    # -- tables

    def areTablesEnabled(self, call: Call) -> bool:
        return importlib.util.find_spec("tables") is not None

    def newTable(self, call: Call, repo: int, path: str):
        return self._tables(call).new_table(call, path)

    def openTable(self, call: Call, file):
        if file is None or file.id is None:
            raise errors.validation("file must be a managed instance.")
        return self._tables(call).open_table(call, call.read("OriginalFile", file.id.val))

    def _tables(self, call: Call):
        if not self.areTablesEnabled(call):
            raise errors.internal("OMERO.tables need PyTables: pip install tables")
        from .. import tables  # not before somebody wants one: it brings HDF5

        return tables

"""IRepositoryInfo: how much room there is for data."""

from __future__ import annotations

import shutil

from ..context import Call


class RepositoryInfo:
    """omero.api.IRepositoryInfo."""

    def getFreeSpaceInKilobytes(self, call: Call) -> int:
        return shutil.disk_usage(call.core.data_dir).free // 1024

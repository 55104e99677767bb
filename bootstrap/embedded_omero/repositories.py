"""Where files are: the managed repository for imported images, plain folders for everything else."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from .store import Record

if TYPE_CHECKING:
    from .core import Core

SCRIPT_REPO = "ScriptRepo"


class Repositories:
    """Folders below the data directory, laid out as on a server.

    ``ManagedRepository/`` holds imported files under their import path, ``Files/`` attachments by id, ``Pixels/``
    planes of images which were made through the API.
    """

    def __init__(self, core: Core) -> None:
        self.core = core
        self.root: Path = core.data_dir
        self.managed_uuid = str(uuid.uuid4())
        for name in ("ManagedRepository", "Files", "Pixels", "lib/scripts"):
            (self.root / name).mkdir(parents=True, exist_ok=True)

    @property
    def managed(self) -> Path:
        """Root of the managed repository."""
        return self.root / "ManagedRepository"

    @property
    def scripts(self) -> Path:
        """Folder of the official scripts."""
        return self.root / "lib" / "scripts"

    def path_of(self, file: Record) -> Path:
        """Path on disk of an OriginalFile, whether it exists or not."""
        repo = file["repo"]
        if repo == self.managed_uuid:
            return self.managed / (file["path"] + file["name"]).lstrip("/")
        if repo == SCRIPT_REPO:
            return self.scripts / (file["path"] + file["name"]).lstrip("/")
        return self.root / "Files" / str(file.id)

    def pixels_path(self, pixels: Record) -> Path:
        """Path of the planes of an image made through the API (big-endian, XYZCT)."""
        return self.root / "Pixels" / str(pixels.id)

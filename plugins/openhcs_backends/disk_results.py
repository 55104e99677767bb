"""The backend "disk": results as TIFF files."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import numpy as np
import tifffile

from openhcs_backends.folder_results import FolderResults
from openhcs_backends.plate_file import PLATE_FILE, plate_text
from openhcs_backends.run_folder import write_text
from openhcs_core.plate import PlaneAddress
from openhcs_core.storage.backend import Results

LABELS = "labels"


class DiskResults(FolderResults):
    """Results as TIFF files of one plane each, such as ``<step>/B03_s001_w1_z001_t001.tif``.

    Labels are in ``<step>/labels``. Beside the files lies what their names do not say, in a file of
    `openhcs_backends.plate_file`, so that each such folder can be opened as a plate.
    """

    def __init__(self, results: Results) -> None:
        super().__init__(results, "disk")
        self._sizes = _resolution(results.layout.voxel_size_um)

    def save_plane(self, parts: Path, address: PlaneAddress, plane: np.ndarray, step_name: str, kind: str) -> None:
        folder = parts / step_name
        if kind == "labels":
            folder = folder / LABELS
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / address.path
        tifffile.imwrite(path, plane, photometric="minisblack", metadata=None, software=False, **self._sizes)

    def place_well(self, parts: Path, well: str) -> list[tuple[Path, Path]]:
        moves = []
        for folder, _, names in os.walk(parts):
            here = Path(folder)
            moves += [(here / name, here.relative_to(parts) / name) for name in names]
        return moves

    def complete(self) -> tuple[list[Path], list[str]]:
        made, statements = [], []
        folders = Counter(target.parent for targets in self.folder.results().values() for target in targets)
        for folder, planes in sorted(folders.items()):
            path = self.folder.path / folder
            about = path / PLATE_FILE
            write_text(about, plate_text(self.layout))
            made.append(about)
            statements.append(f"{path}: {planes} planes")
        return made, statements


def _resolution(voxel_size_um: tuple[float | None, float | None, float | None]) -> dict:
    """Arguments of tifffile for the size of the pixels."""
    _, y, x = voxel_size_um
    return {"resolution": (1e4 / x, 1e4 / y), "resolutionunit": "CENTIMETER"} if y and x else {}

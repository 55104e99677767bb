"""Planes that wait for their well to be complete: in a file without a name, which nothing can leave behind."""

from __future__ import annotations

import tempfile
from collections.abc import Hashable
from pathlib import Path

import numpy as np

from openhcs_core.storage.backend import StorageError


class PlaneSpool:
    """Planes by key.

    Parameters
    ----------
    folder : Path
        With room for the results of a well.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        try:
            self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 (closed by close)
        except OSError as error:
            raise self._problem(error) from error
        self._index: dict[Hashable, tuple[int, tuple[int, ...], np.dtype]] = {}
        self._end = 0

    def add(self, key: Hashable, plane: np.ndarray) -> None:
        """Keep a plane; one with the same key is forgotten.

        Raises
        ------
        StorageError
            If there is no room.
        """
        plane = np.ascontiguousarray(plane)
        try:
            self._file.seek(self._end)
            self._file.write(plane.data)
        except OSError as error:
            raise self._problem(error) from error
        self._index[key] = self._end, plane.shape, plane.dtype
        self._end += plane.nbytes

    def read(self, key: Hashable) -> np.ndarray | None:
        """A plane; None if there is none."""
        if key not in self._index:
            return None
        start, shape, dtype = self._index[key]
        self._file.seek(start)
        count = int(np.prod(shape))
        return np.frombuffer(self._file.read(count * dtype.itemsize), dtype).reshape(shape)

    def clear(self) -> None:
        """Forget all."""
        self._index.clear()
        self._file.truncate(0)
        self._end = 0

    def close(self) -> None:
        """Give the file back."""
        self._file.close()

    def _problem(self, error: OSError) -> StorageError:
        return StorageError(
            f"Results cannot be kept in the scratch folder {self._folder}: {error.strerror}. Free some space, or set "
            "another folder as scratch in openhcs.toml."
        )

"""The open plates and results of one process."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from openhcs_core.plate import PlaneAddress
from openhcs_core.plugins import problems
from openhcs_core.storage.backend import Plate, Results, ResultWriter, StorageBackend, StorageError


class FileManager(contextlib.AbstractContextManager["FileManager"]):
    """The plates and results that are open in this process: of each backend one plate, and the results of one run.

    A context manager, which closes them.

    Parameters
    ----------
    storage_registry : mapping of str to StorageBackend
        Such as `openhcs_core.storage.create_storage_registry` gives; a dict will do.
    """

    def __init__(self, storage_registry: Mapping[str, StorageBackend]) -> None:
        self._registry = storage_registry
        self._plates: dict[str, tuple[str, Plate]] = {}
        self._results: dict[str, tuple[Results, ResultWriter]] = {}

    def backend(self, name: str) -> StorageBackend:
        """The backend of a name.

        Raises
        ------
        StorageError
            If there is none, or what it needs is missing.
        """
        if name not in self._registry:
            broken = [f"The plugin '{plugin}' is left out: {reason}." for plugin, reason in problems().items()]
            raise StorageError(" ".join([f"There is no backend '{name}'. {self._known}", *broken]))
        try:
            return self._registry[name]
        except ImportError as error:
            raise StorageError(f"The backend '{name}' cannot be used: {error}. Install what it needs.") from error

    def backend_of(self, location: str) -> str:
        """Name of the backend that a plate belongs to, by its location.

        Raises
        ------
        StorageError
            If no backend, or more than one, recognises it.
        """
        found, reasons = [], []
        for name in self._registry:
            try:
                if self.backend(name).recognises(location):
                    found.append(name)
            except StorageError as error:
                reasons.append(str(error))
        if len(found) == 1:
            return found[0]
        if found:
            raise StorageError(f"'{location}' could belong to several backends: {', '.join(found)}. Say which.")
        if not os.path.exists(location):
            reasons.insert(0, "There is no folder of this name.")
        raise StorageError(" ".join([f"No backend recognises '{location}' as a plate. {self._known}", *reasons]))

    def open_plate(self, location: str, backend: str | None = None) -> Plate:
        """Open a plate, or give back the one that is open already.

        Parameters
        ----------
        location : str
        backend : str, optional
            Its name; found by the location unless given. Another plate that is open there is closed.

        Raises
        ------
        StorageError
            If it cannot be opened.
        """
        name = backend or self.backend_of(location)
        if name in self._plates:
            if self._plates[name][0] == location:
                return self._plates[name][1]
            self._plates.pop(name)[1].close()
        plate = self.backend(name).open_plate(location)
        self._plates[name] = location, plate
        return plate

    def open_results(self, results: Results, backend: str) -> ResultWriter:
        """Begin to take results of a run, or go on with it; those of another run that are open there are closed.

        Raises
        ------
        StorageError
            If the backend cannot take them.
        """
        if backend in self._results:
            known, writer = self._results[backend]
            if (known.location, known.run, known.parent) == (results.location, results.run, results.parent):
                return writer
            self._results.pop(backend)[1].close()
        writer = self.backend(backend).open_results(results)
        self._results[backend] = results, writer
        return writer

    def load_batch(self, file_paths: Sequence[str], backend: str) -> list[np.ndarray]:
        """Planes (Y, X) of the plate that is open in a backend.

        Parameters
        ----------
        file_paths : sequence of str
            Such as ``B03_s001_w1_z001_t001.tif``.
        backend : str

        Raises
        ------
        StorageError
            If no plate is open, or a plane cannot be read.
        """
        if backend not in self._plates:
            raise StorageError(f"No plate is open in the backend '{backend}'.")
        return self._plates[backend][1].read([PlaneAddress.from_path(path) for path in file_paths])

    def save_batch(
        self,
        data_list: Sequence[np.ndarray],
        file_paths: Sequence[str],
        backend: str,
        *,
        step_name: str,
        kind: str = "image",
        **kwargs: Any,
    ) -> None:
        """Save planes; see `ResultWriter.save_batch`."""
        self._writer(backend).save_batch(data_list, file_paths, step_name=step_name, kind=kind, **kwargs)

    def save_table(self, table: Mapping[str, Sequence[Any]], well: str, backend: str, *, step_name: str) -> None:
        """Save rows of a table; see `ResultWriter.save_table`."""
        self._writer(backend).save_table(table, well, step_name=step_name)

    def begin_well(self, well: str) -> None:
        """Begin a well anew in all results that are open."""
        for _, writer in self._results.values():
            writer.begin_well(well)

    def finish_well(self, well: str) -> None:
        """All results of a well are saved, in all results that are open."""
        for _, writer in self._results.values():
            writer.finish_well(well)

    def close(self) -> None:
        """Close everything, whatever fails on the way."""
        with contextlib.ExitStack() as stack:
            for _, plate in self._plates.values():
                stack.callback(plate.close)
            for _, writer in self._results.values():
                stack.callback(writer.close)
            self._plates, self._results = {}, {}

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def _known(self) -> str:
        return f"Backends: {', '.join(self._registry)}."

    def _writer(self, backend: str) -> ResultWriter:
        if backend not in self._results:
            raise StorageError(f"No results are open in the backend '{backend}'.")
        return self._results[backend][1]

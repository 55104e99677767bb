"""The backend "memory": plates and results as arrays within one process, for tests and notebooks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from openhcs_core.plate import PlaneAddress, PlateChannel, PlateLayout, sorted_wells
from openhcs_core.storage.backend import Plate, Results, ResultWriter, StorageBackend, StorageError
from openhcs_core.storage.checks import checked_planes, checked_table

Planes = dict[PlaneAddress, np.ndarray]


class MemoryBackend(StorageBackend):
    """Plates and results in memory.

    Attributes
    ----------
    plates : dict of str to MemoryPlate
        By location. The images and labels of a step are plates too: ``location/step`` and ``location/step/labels``.
    tables : dict of str to dict
        Columns of each table, by ``location/step``.

    Examples
    --------
    >>> backend = MemoryBackend()
    >>> backend.add("cells", {PlaneAddress("A01"): np.zeros((64, 64), np.uint16)})
    >>> backend.open_plate("cells").layout.wells
    ['A01']
    """

    name = "memory"

    def __init__(self) -> None:
        self.plates: dict[str, MemoryPlate] = {}
        self.tables: dict[str, dict[str, list[Any]]] = {}

    def add(self, location: str, planes: Mapping[PlaneAddress, np.ndarray], **facts: Any) -> None:
        """Add a plate.

        Parameters
        ----------
        location : str
            Its name.
        planes : mapping of PlaneAddress to ndarray, (Y, X)
            All of one size and type.
        **facts
            `channels`, `voxel_size_um`, `positions_um` and `source_ids` of its `PlateLayout`.

        Raises
        ------
        StorageError
            If there are none, or they differ.
        """
        if not planes:
            raise StorageError(f"The plate '{location}' has no planes.")
        kinds = {(plane.shape, plane.dtype) for plane in planes.values()}
        shape, dtype = next(iter(kinds))
        if len(kinds) > 1 or dtype.kind not in "iuf" or len(shape) != 2:
            raise StorageError(f"The planes of the plate '{location}' are not of one size (Y, X) and type: {kinds}.")
        channels = max(address.channel for address in planes)
        wells: dict[str, list[PlaneAddress]] = {well: [] for well in sorted_wells({item.well for item in planes})}
        for address in sorted(planes):
            wells[address.well].append(address)
        facts.setdefault("channels", tuple(PlateChannel(str(number + 1)) for number in range(channels)))
        layout = PlateLayout(location, wells, (shape[0], shape[1]), dtype.newbyteorder("="), **facts)
        self.plates[location] = MemoryPlate(layout, dict(planes))

    def recognises(self, location: str) -> bool:
        return location in self.plates

    def open_plate(self, location: str) -> MemoryPlate:
        if location not in self.plates:
            raise StorageError(f"There is no plate '{location}' in memory. Plates: {', '.join(self.plates) or 'none'}.")
        return self.plates[location]

    def open_results(self, results: Results) -> MemoryResults:
        if not results.in_parent:
            raise StorageError(
                "The backend 'memory' holds results within one process, but this run has workers of its own. "
                "Save to another backend."
            )
        return MemoryResults(self, results)


class MemoryPlate(Plate):
    """A plate of arrays; see `MemoryBackend.add`."""

    def __init__(self, layout: PlateLayout, planes: Planes) -> None:
        self.layout, self._planes = layout, planes
        self.source = f"memory, '{layout.name}'"

    def read(self, addresses: Sequence[PlaneAddress]) -> list[np.ndarray]:
        missing = [address.stem for address in addresses if address not in self._planes]
        if missing:
            raise StorageError(f"The plate '{self.layout.name}' has no plane {', '.join(missing)}.")
        return [self._planes[address].astype(self.layout.dtype) for address in addresses]


class MemoryResults(ResultWriter):
    """Results in memory; they become plates and tables of their backend in the end."""

    def __init__(self, backend: MemoryBackend, results: Results) -> None:
        self._backend, self._results = backend, results
        self._open: dict[str, tuple[dict[str, Planes], dict[str, dict[str, list[Any]]]]] = {}
        self._finished: dict[str, tuple[dict[str, Planes], dict[str, dict[str, list[Any]]]]] = {}

    def finished_wells(self) -> set[str]:
        return set(self._finished)

    def begin_well(self, well: str) -> None:
        self._open.pop(well, None)

    def save_batch(
        self,
        data_list: Sequence[np.ndarray],
        file_paths: Sequence[str],
        *,
        step_name: str,
        kind: str = "image",
        **kwargs: Any,
    ) -> None:
        for address, plane in checked_planes(data_list, file_paths, step_name, kind):
            planes, _ = self._open.setdefault(address.well, ({}, {}))
            planes.setdefault(step_name + ("/labels" if kind == "labels" else ""), {})[address] = plane.copy()

    def save_table(self, table: Mapping[str, Sequence[Any]], well: str, *, step_name: str) -> None:
        _, tables = self._open.setdefault(well, ({}, {}))
        append_rows(tables.setdefault(step_name, {}), checked_table(table, step_name))

    def finish_well(self, well: str) -> None:
        self._finished[well] = self._open.pop(well, ({}, {}))

    def finish(self, wells: Sequence[str]) -> list[str]:
        plates: dict[str, Planes] = {}
        tables: dict[str, dict[str, list[Any]]] = {}
        for well in sorted_wells(self._finished):
            planes_of, tables_of = self._finished[well]
            for name, planes in planes_of.items():
                plates.setdefault(name, {}).update(planes)
            for name, table in tables_of.items():
                append_rows(tables.setdefault(name, {}), table)
        layout, location = self._results.layout, self._results.location
        for name, planes in plates.items():
            self._backend.add(
                f"{location}/{name}",
                planes,
                channels=layout.channels,
                voxel_size_um=layout.voxel_size_um,
                positions_um=layout.positions_um,
            )
        self._backend.tables |= {f"{location}/{name}": table for name, table in tables.items()}
        return [f"{name}: {len(planes)} planes in memory" for name, planes in plates.items()]

    def close(self) -> None:
        self._open.clear()


def append_rows(table: dict[str, list[Any]], more: Mapping[str, Sequence[Any]]) -> None:
    """Append the rows of a table to another; a column that one of them lacks is None there."""
    before = len(next(iter(table.values()), ()))
    rows = len(next(iter(more.values()), ()))
    for name in [*table, *(name for name in more if name not in table)]:
        table.setdefault(name, [None] * before).extend(more.get(name, [None] * rows))

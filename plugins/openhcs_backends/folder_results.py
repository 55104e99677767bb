"""What writers of results into folders have in common: tables, the facts of the run, and the order of things."""

from __future__ import annotations

import csv
import io
import itertools
import json
import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from openhcs_backends.faults import writing
from openhcs_backends.run_folder import RunFolder, write_text
from openhcs_core.plate import PlaneAddress, PlateLayout
from openhcs_core.storage.backend import Results, ResultWriter
from openhcs_core.storage.checks import checked_planes, checked_table
from openhcs_core.storage.memory import append_rows


class FolderResults(ResultWriter):
    """Results in a folder: planes as a format has them, tables as ``<step>.csv``, ``pipeline.py`` and ``run.json``.

    Parameters
    ----------
    results : Results
    backend : str
        Its name.

    Attributes
    ----------
    results : Results
    layout : PlateLayout
        Of the plate that the run reads.
    folder : RunFolder
    """

    def __init__(self, results: Results, backend: str) -> None:
        self.results = results
        self.layout = _plain(results.layout)
        self.folder = RunFolder(results, backend)
        self._tables: dict[str, dict[str, dict[str, list[Any]]]] = {}

    @abstractmethod
    def save_plane(self, parts: Path, address: PlaneAddress, plane: np.ndarray, step_name: str, kind: str) -> None:
        """Save a plane below the folder for the parts of its well."""

    @abstractmethod
    def place_well(self, parts: Path, well: str) -> list[tuple[Path, Path]]:
        """Complete the parts of a well; return where from and, in the folder of results, where to."""

    @abstractmethod
    def complete(self) -> tuple[list[Path], list[str]]:
        """Write what belongs to no well; return the paths of it, and statements about what was made."""

    def finished_wells(self) -> set[str]:
        return self.folder.finished_wells()

    def begin_well(self, well: str) -> None:
        self._tables.pop(well, None)
        self.folder.begin_well(well)

    def save_batch(
        self,
        data_list: Sequence[np.ndarray],
        file_paths: Sequence[str],
        *,
        step_name: str,
        kind: str = "image",
        **kwargs: Any,
    ) -> None:
        planes = checked_planes(data_list, file_paths, step_name, kind)
        for address, plane in planes:
            parts = self.folder.parts(address.well)
            with writing(self.folder.path):
                self.save_plane(parts, address, plane, step_name, kind)

    def save_table(self, table: Mapping[str, Sequence[Any]], well: str, *, step_name: str) -> None:
        append_rows(self._tables.setdefault(well, {}).setdefault(step_name, {}), checked_table(table, step_name))

    def finish_well(self, well: str) -> None:
        with writing(self.folder.path):
            moves = self.place_well(self.folder.parts(well), well)
        tables = {step: csv_text(table) for step, table in self._tables.get(well, {}).items()}
        self.folder.finish_well(well, moves, tables)
        self._tables.pop(well, None)

    def finish(self, wells: Sequence[str]) -> list[str]:
        self.folder.tidy()
        with writing(self.folder.path):
            made, statements = self.complete()
            for step, parts in self.folder.tables().items():
                path = self.folder.path / f"{step}.csv"
                rows = join_tables(parts, path)
                made.append(path)
                statements.append(f"{path}: {rows} rows")
            made += self._facts()
        self.folder.made(made)
        if self.folder.replaced:
            statements.append(f"{self.folder.path}: the results of an earlier run were replaced")
        missing = sorted(set(wells) - self.finished_wells())
        if missing:
            statements.append(f"{self.folder.path}: not finished, and left out: {', '.join(missing)}")
        return statements

    def close(self) -> None:
        self.folder.close()

    def _facts(self) -> list[Path]:
        """Write the pipeline and what is known of the run."""
        finished = self.finished_wells()
        text, facts = self.folder.path / "pipeline.py", self.folder.path / "run.json"
        write_text(text, self.results.pipeline)
        known = {
            "plate": self.layout.name,
            "run": self.results.run,
            "wells": [well for well in self.layout.wells if well in finished],
            "metadata": dict(self.results.metadata or {}),
        }
        write_text(facts, json.dumps(known, indent=1, ensure_ascii=False, default=str))
        return [text, facts]


def _plain(layout: PlateLayout) -> PlateLayout:
    """The layout without numbers that are none, which no file can hold."""

    def finite(*numbers: float) -> bool:
        return all(map(math.isfinite, numbers))

    channels = [
        channel if channel.window is None or finite(*channel.window) else replace(channel, window=None)
        for channel in layout.channels
    ]
    positions = {key: position for key, position in layout.positions_um.items() if finite(*position)}
    return replace(layout, channels=channels, positions_um=positions)


def csv_text(table: Mapping[str, Sequence[Any]]) -> str:
    """A table as CSV: a head, then rows; None is empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table)
    writer.writerows(zip(*table.values(), strict=True))
    return text.getvalue()


def join_tables(parts: Sequence[Path], path: Path) -> int:
    """Write tables one after the other into one; return the number of rows.

    It has every column of the parts; what a part lacks is empty.
    """
    heads = [_head(part) for part in parts]
    columns = list(dict.fromkeys(itertools.chain.from_iterable(heads)))
    aside, rows = path.with_name(path.name + ".part"), 0
    try:
        with aside.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(columns)
            for part, head in zip(parts, heads, strict=True):
                places = [head.index(column) if column in head else None for column in columns]
                with part.open(encoding="utf-8", newline="") as lines:
                    for row in itertools.islice(csv.reader(lines), 1, None):
                        writer.writerow(["" if place is None else row[place] for place in places])
                        rows += 1
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
    return rows


def _head(part: Path) -> list[str]:
    with part.open(encoding="utf-8", newline="") as lines:
        return next(csv.reader(lines), [])

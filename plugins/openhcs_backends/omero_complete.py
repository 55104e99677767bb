"""The end of a run in OMERO: plates of its images, tables of all wells, and what it was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from omero.constants.namespaces import NSBULKANNOTATIONS

from openhcs_core.omero.attachments import Records, attach_file, attached, upload
from openhcs_core.omero.containers import (
    NewField,
    add_to_dataset,
    add_wells,
    containers_of,
    save_dataset,
    save_plate,
)
from openhcs_core.omero.deletion import delete
from openhcs_core.omero.plates import parse_location, well_places
from openhcs_core.omero.provenance import PipelineRun, now, update_run
from openhcs_core.omero.tables import csv_bytes, save_table
from openhcs_core.plate import sorted_wells
from openhcs_core.storage.backend import Results
from openhcs_core.storage.memory import append_rows

if TYPE_CHECKING:
    from omero.gateway import BlitzGateway, BlitzObjectWrapper

Context = Mapping[str, str]
WellRecords = Mapping[str, Mapping[str, Any]]


def complete_run(
    conn: BlitzGateway,
    results: Results,
    run: PipelineRun,
    targets: Sequence[BlitzObjectWrapper],
    records: Records,
    wells: Sequence[str],
    context: Context,
) -> tuple[PipelineRun, list[str]]:
    """Make of the results of all finished wells what they are as a whole; what an earlier attempt made is completed.

    Parameters
    ----------
    conn : BlitzGateway
    results : Results
    run : PipelineRun
        Its annotation gets to know the results.
    targets : sequence of BlitzObjectWrapper
        What they are attached to.
    records : Records
        Of the finished wells.
    wells : sequence of str
        Those that were wanted.
    context : mapping

    Returns
    -------
    run : PipelineRun
        As its annotation tells it now.
    statements : list of str
        What was made, for people.
    """
    done = records.load()
    if is_complete(run, results) and not done:
        found = ", ".join(f"{name}: {result}" for name, result in run.results.items())
        return run, [f"All of it was finished before, on {run.finished}: {found}"]
    ordered = {well: done[well] for well in sorted_wells(done)}
    ending = _Ending(conn, results, run, targets, ordered, context)
    made = {**ending.containers(), **ending.masks(), **ending.tables()}
    missing = sorted_wells(set(wells) - set(done))
    run = replace(
        run,
        wells=tuple(ordered),
        finished="" if missing else now(),
        results={name: result for name, (result, _) in made.items()},
    )
    update_run(conn, run, context)
    statements = [statement for _, statement in made.values()]
    if is_complete(run, results):  # else the records are needed to add the other wells some day
        files = [number for found in records.files(complete=False).values() for number in found]
        delete(conn, {"OriginalFile": files}, context)
    if missing:
        statements.append(f"not finished, and left out: {', '.join(missing)}. Start the same run again to complete it")
    return run, statements


def is_complete(run: PipelineRun, results: Results) -> bool:
    """Whether a run has all wells that there are."""
    return set(run.wells) >= set(results.layout.wells)


class _Ending:
    """What is made of the records of wells; each method gives name -> (object of OMERO, statement)."""

    def __init__(
        self,
        conn: BlitzGateway,
        results: Results,
        run: PipelineRun,
        targets: Sequence[BlitzObjectWrapper],
        records: WellRecords,
        context: Context,
    ) -> None:
        assert run.annotation_id is not None
        self._conn, self._layout, self._run, self._targets = conn, results.layout, run, targets
        self._records, self._context, self._annotation = records, context, run.annotation_id
        self._kind, self._ids = parse_location(results.location)
        self._of_plate = self._kind in ("Plate", "Well")
        self._places = well_places(conn, targets[0].getId()) if self._of_plate else {}

    def containers(self) -> dict[str, tuple[str, str]]:
        """A plate, or dataset, for the images of each step."""
        images: dict[str, list[tuple[str, int, int]]] = {}
        for well, record in self._records.items():
            for step, site, number in record["images"]:
                images.setdefault(step, []).append((well, site, number))
        kind = "Plate" if self._of_plate else "Dataset"
        known = containers_of(self._conn, kind, self._annotation, self._context)
        made = {}
        for step, found in images.items():
            name = f"{self._layout.name} {step}"
            found.sort(key=lambda entry: entry[1])
            save = self._plate if self._of_plate else self._dataset
            number = save(name, step, found, known.get(name))
            made[f"images of {step}"] = (f"{kind}:{number}", f"{kind}:{number} ({name}): {len(found)} images")
        return made

    def masks(self) -> dict[str, tuple[str, str]]:
        """Nothing to be made: the masks are on their images."""
        counts: dict[str, int] = {}
        for record in self._records.values():
            for step, count in record["masks"].items():
                counts[step] = counts.get(step, 0) + count
        return {
            f"masks of {step}": (f"{count} objects", f"{count} objects of '{step}' as masks on their images")
            for step, count in counts.items()
        }

    def tables(self) -> dict[str, tuple[str, str]]:
        """Each table, as CSV and as OMERO.table where there are these."""
        tables: dict[str, dict[str, list[Any]]] = {}
        for record in self._records.values():
            for step, table in record["tables"].items():
                append_rows(tables.setdefault(step, {}), table)
        made = {}
        for step, table in tables.items():
            description = f"Table of '{step}', map annotation {self._annotation}"
            old = attached(self._conn, description, self._context)
            ids = self._ids_of(table)
            named = {f"{title} Name" if title in ids else title: values for title, values in table.items()}
            rows = len(next(iter(table.values()), ()))
            file = upload(self._conn, csv_bytes({**ids, **named}), f"{step}.csv", "text/csv", self._context)
            annotation = attach_file(self._conn, self._targets, file, description, self._context)
            made[f"CSV of {step}"] = (f"FileAnnotation:{annotation}", f"{step}.csv: {rows} rows")
            file = save_table(self._conn, f"{step}.h5", table, ids, self._context)
            if file is None:
                made[f"table of {step}"] = ("", "no OMERO.table: this server has none")
            else:
                annotation = attach_file(self._conn, self._targets, file, description, self._context, NSBULKANNOTATIONS)
                made[f"table of {step}"] = (f"FileAnnotation:{annotation}", f"{step}: OMERO.table of {rows} rows")
            delete(self._conn, {"FileAnnotation": old}, self._context)
        return made

    def _plate(self, name: str, step: str, found: Sequence[tuple[str, int, int]], known: int | None) -> int:
        fields = [
            NewField(*self._places[well][1:], number, self._layout.positions_um.get((well, site)))
            for well, site, number in found
        ]
        if known is not None:
            add_wells(self._conn, known, fields, self._context)
            return known
        return save_plate(
            self._conn, name, self._text(step), self._targets[0].getId(), fields, self._annotation, self._context
        )

    def _dataset(self, name: str, step: str, found: Sequence[tuple[str, int, int]], known: int | None) -> int:
        images = [number for *_, number in found]
        if known is not None:
            add_to_dataset(self._conn, known, images, self._context)
            return known
        like = self._ids[0] if self._kind == "Dataset" else None
        return save_dataset(self._conn, name, self._text(step), like, images, self._annotation, self._context)

    def _text(self, step: str) -> str:
        return f"{self._run.maker}: {self._run.source}, step '{step}'"

    def _ids_of(self, table: Mapping[str, Sequence[Any]]) -> dict[str, list[int]]:
        """Ids in OMERO for each row, as far as it is of one."""
        wells, sites = table.get("Well", []), table.get("Site")
        ids: dict[str, list[int]] = {}
        if self._of_plate:
            ids["Plate"] = [self._targets[0].getId()] * len(wells)
            ids["Well"] = [self._places[well][0] for well in wells]
        if sites is not None and None not in sites:
            sources = self._layout.source_ids
            ids["Image"] = [sources[well, site] for well, site in zip(wells, sites, strict=True)]
        return ids

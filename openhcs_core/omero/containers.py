"""Plates and datasets that hold the images a pipeline made."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from omero.gateway import BlitzGateway
from omero.model import (
    DatasetI,
    DatasetImageLinkI,
    ImageI,
    LengthI,
    MapAnnotationI,
    PlateI,
    ProjectDatasetLinkI,
    ProjectI,
    ScreenI,
    ScreenPlateLinkI,
    WellI,
    WellSampleI,
)
from omero.model.enums import UnitsLength
from omero.rtypes import rint, rstring, unwrap
from omero.sys import ParametersI

from openhcs_core.omero.deletion import delete
from openhcs_core.omero.derived import Context


@dataclass(frozen=True)
class NewField:
    """A derived image on its plate.

    Attributes
    ----------
    row, column : int
        Of the well, from 0.
    image_id : int
    position_um : (y, x) or None
    """

    row: int
    column: int
    image_id: int
    position_um: tuple[float, float] | None


def save_plate(
    conn: BlitzGateway,
    name: str,
    description: str,
    like: int,
    fields: Sequence[NewField],
    annotation_id: int,
    context: Context,
) -> int:
    """Make a plate of images; beside another one in its screens as far as these may be written to.

    Parameters
    ----------
    conn : BlitzGateway
    name, description : str
    like : int
        Id of the plate that gives size and naming of wells.
    fields : sequence of NewField
        In order within each well.
    annotation_id : int
        Linked to the plate.
    context : mapping

    Returns
    -------
    int
        Id of the plate.
    """
    source = conn.getQueryService().get("Plate", like, conn.SERVICE_OPTS)
    plate = PlateI()
    plate.name, plate.description = rstring(name), rstring(description)
    for what in ("rows", "columns", "rowNamingConvention", "columnNamingConvention"):
        setattr(plate, what, getattr(source, what))
    for well in _wells(fields):
        plate.addWell(well)
    plate.linkAnnotation(MapAnnotationI(annotation_id, False))
    (number,) = conn.getUpdateService().saveAndReturnIds([plate], context)
    _link_like(conn, "Screen", "Plate", ScreenPlateLinkI, ScreenI, PlateI, like, number, context)
    return number


def add_wells(conn: BlitzGateway, plate_id: int, fields: Sequence[NewField], context: Context) -> None:
    """Add wells to a plate; those that are there already with other images are replaced."""
    rows = conn.getQueryService().projection(
        "select w.row, w.column, w.id, s.image.id from Well w join w.wellSamples s where w.plate.id = :id",
        ParametersI().addId(plate_id),
        context,
    )
    wanted = {(field.row, field.column, field.image_id) for field in fields}
    old, kept = set(), set()
    for row, column, well, image in unwrap(rows):
        if (row, column, image) in wanted:
            kept.add((row, column))
        elif any((field.row, field.column) == (row, column) for field in fields):
            old.add(well)
    if old:
        delete(conn, {"Well": sorted(old)}, context)
    wells = _wells([field for field in fields if (field.row, field.column) not in kept])
    for well in wells:
        well.plate = PlateI(plate_id, False)
    if wells:
        conn.getUpdateService().saveAndReturnIds(wells, context)


def save_dataset(
    conn: BlitzGateway,
    name: str,
    description: str,
    like: int | None,
    image_ids: Sequence[int],
    annotation_id: int,
    context: Context,
) -> int:
    """Make a dataset of images; in the projects of another one as far as these may be written to; return its id."""
    dataset = DatasetI()
    dataset.name, dataset.description = rstring(name), rstring(description)
    dataset.linkAnnotation(MapAnnotationI(annotation_id, False))
    (number,) = conn.getUpdateService().saveAndReturnIds([dataset], context)
    add_to_dataset(conn, number, image_ids, context)
    if like is not None:
        _link_like(conn, "Project", "Dataset", ProjectDatasetLinkI, ProjectI, DatasetI, like, number, context)
    return number


def add_to_dataset(conn: BlitzGateway, dataset_id: int, image_ids: Sequence[int], context: Context) -> None:
    """Put those images into a dataset that are not in it yet."""
    found = conn.getQueryService().projection(
        "select l.child.id from DatasetImageLink l where l.parent.id = :id", ParametersI().addId(dataset_id), context
    )
    links = []
    for number in sorted(set(image_ids) - {row[0] for row in unwrap(found)}):
        link = DatasetImageLinkI()
        link.parent, link.child = DatasetI(dataset_id, False), ImageI(number, False)
        links.append(link)
    if links:
        conn.getUpdateService().saveAndReturnIds(links, context)


def containers_of(conn: BlitzGateway, kind: str, annotation_id: int, context: Context) -> dict[str, int]:
    """Ids of the plates or datasets linked to an annotation, by name.

    Parameters
    ----------
    conn : BlitzGateway
    kind : {"Plate", "Dataset"}
    annotation_id : int
    context : mapping
    """
    rows = conn.getQueryService().projection(
        f"select o.name, o.id from {kind}AnnotationLink l join l.parent o where l.child.id = :id order by o.id",
        ParametersI().addId(annotation_id),
        context,
    )
    return dict(unwrap(rows))


def _wells(fields: Sequence[NewField]) -> list[WellI]:
    wells: dict[tuple[int, int], WellI] = {}
    for field in fields:
        place = field.row, field.column
        if place not in wells:
            wells[place] = WellI()
            wells[place].row, wells[place].column = rint(field.row), rint(field.column)
        sample = WellSampleI()
        sample.image = ImageI(field.image_id, False)
        if field.position_um is not None:
            y, x = field.position_um
            sample.posY, sample.posX = LengthI(y, UnitsLength.MICROMETER), LengthI(x, UnitsLength.MICROMETER)
        wells[place].addWellSample(sample)
    return list(wells.values())


def _link_like(
    conn: BlitzGateway,
    parent: str,
    child: str,
    link_class: Any,
    parent_class: Any,
    child_class: Any,
    like: int,
    number: int,
    context: Context,
) -> None:
    """Link something to the parents of another one, where the user may."""
    rows: Iterator[Any] = conn.getQueryService().projection(
        f"select l.parent.id from {parent}{child}Link l where l.child.id = :id", ParametersI().addId(like), context
    )
    for parent_id in sorted({row[0] for row in unwrap(rows)}):
        if not conn.getObject(parent, parent_id).canLink():
            continue
        link = link_class()
        link.parent, link.child = parent_class(parent_id, False), child_class(number, False)
        conn.getUpdateService().saveObject(link, context)

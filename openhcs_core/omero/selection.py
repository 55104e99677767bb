"""From what a person selected (Data_Type and IDs) to images, and to what becomes one file each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from omero.gateway import BlitzGateway, ImageWrapper
from omero.sys import ParametersI

from openhcs_core.omero.errors import OmeroError
from openhcs_core.omero.mosaic import MosaicSubject
from openhcs_core.omero.subject import ImageSubject, Subject

if TYPE_CHECKING:
    from openhcs_core.omero.request import ExportRequest

# One row per image: id of what was selected, then what its images are ordered by, then the image's id.
_IMAGES_OF = {
    "Image": "select i.id, i.id from Image i where i.id in (:ids)",
    "Dataset": "select l.parent.id, l.child.id from DatasetImageLink l where l.parent.id in (:ids)",
    "Well": "select w.id, index(s), s.image.id from Well w join w.wellSamples s where w.id in (:ids)",
    "Plate": (
        "select w.plate.id, w.row, w.column, index(s), s.image.id "
        "from Well w join w.wellSamples s where w.plate.id in (:ids)"
    ),
}

DATA_TYPES = tuple(_IMAGES_OF)

LAYOUTS = {"One file per image": None, "Mosaic per well": "Well", "Mosaic per plate": "Plate"}
"""What becomes one file: an image, or all selected fields of an object of that type."""


@dataclass(frozen=True)
class Selection:
    """Images that were selected.

    Attributes
    ----------
    images : list of ImageWrapper
        Each once: in the order of the ids; those of a dataset by id, of a plate and well by row, column, field.
    missing : list of str
        One statement for every selected object that gives no image.
    notes : list of str
        What else is worth saying.
    """

    images: list[ImageWrapper]
    missing: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def select_images(conn: BlitzGateway, data_type: str, ids: Sequence[int]) -> Selection:
    """Images of the selected objects, as far as the user may see them, in all groups.

    Parameters
    ----------
    conn : BlitzGateway
        Reading in all groups.
    data_type : {"Image", "Dataset", "Well", "Plate"}
    ids : sequence of int
        Of objects of that type.

    Raises
    ------
    OmeroError
        If `data_type` is none of these, or there are no ids.
    """
    if data_type not in DATA_TYPES:
        raise OmeroError(f"Data_Type is '{data_type}'. Choose one of: {', '.join(DATA_TYPES)}.")
    if not ids:
        raise OmeroError(f"Nothing is selected: give the ids of one or more objects of type {data_type} as IDs.")
    unique, repeated = _once(ids)
    notes = []
    if repeated:
        notes.append(f"given more than once, used once: {_named(data_type, repeated)}")
    visible = {row[0] for row in id_rows(conn, f"select o.id from {data_type} o where o.id in (:ids)", unique)}
    missing = [
        f"{data_type}:{number} does not exist, or you may not see it" for number in unique if number not in visible
    ]
    members: dict[int, list[int]] = {number: [] for number in unique}
    for row in sorted(id_rows(conn, _IMAGES_OF[data_type], unique)):
        members[row[0]].append(row[-1])
    missing += [
        f"{data_type}:{number} holds no images that you may see"
        for number in unique
        if number in visible and not members[number]
    ]
    wanted, shared = _once(image for number in unique for image in members[number])
    if shared:
        notes.append(f"in more than one selected {data_type.lower()}, used once: {_named('Image', shared)}")
    images = {image.getId(): image for image in conn.getObjects("Image", wanted)} if wanted else {}
    missing += [f"Image:{number} is not to be seen any more" for number in wanted if number not in images]
    return Selection([images[number] for number in wanted if number in images], missing, notes)


@dataclass(frozen=True)
class Subjects:
    """What was selected, as that which becomes one file each.

    Attributes
    ----------
    subjects : list of Subject
        In the order of the selection.
    missing, notes : list of str
        As of `Selection`.
    """

    subjects: list[Subject]
    missing: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def select_subjects(conn: BlitzGateway, request: ExportRequest) -> Subjects:
    """What becomes one file each: the selected images, or their wells or plates with those images as fields.

    Raises
    ------
    OmeroError
        As of `select_images`.
    """
    selected = select_images(conn, request.data_type, request.ids)
    kind = LAYOUTS[request.layout]
    if kind is None:
        return Subjects([ImageSubject(conn, image) for image in selected.images], selected.missing, selected.notes)
    places = _places(conn, kind, request, [image.getId() for image in selected.images])
    missing = selected.missing + [
        f"Image:{number} belongs to no well, so that no mosaic holds it. Choose the layout 'One file per image'"
        for number, found in places.items()
        if not found
    ]
    members: dict[int, list[tuple[int, int]]] = {}
    for number, found in places.items():
        for target, well in found:
            members.setdefault(target, []).append((well, number))
    targets = {target.getId(): target for target in conn.getObjects(kind, list(members))} if members else {}
    missing += [f"{kind}:{number} is not to be seen any more" for number in members if number not in targets]
    subjects: list[Subject] = [
        MosaicSubject(conn, targets[number], _once(well for well, _ in pairs)[0], _once(image for _, image in pairs)[0])
        for number, pairs in members.items()
        if number in targets
    ]
    return Subjects(subjects, missing, selected.notes + _partial(conn, request.data_type, places))


def _places(conn: BlitzGateway, kind: str, request: ExportRequest, images: list[int]) -> dict[int, list[tuple]]:
    """Of each image the wells it is a field of, as (id of what the mosaic is of, id of the well)."""
    parent = {"Well": "w.id", "Plate": "w.plate.id"}
    places: dict[int, list[tuple]] = {number: [] for number in images}
    if not images:
        return places
    query = f"select s.image.id, {parent[kind]}, w.id from Well w join w.wellSamples s where s.image.id in (:ids)"
    parameters = ParametersI().addLongs("ids", images)
    if request.data_type in parent:  # an image may be a field of other wells, too
        query += f" and {parent[request.data_type]} in (:selected)"
        parameters.addLongs("selected", list(request.ids))
    for image, target, well in conn.getQueryService().projection(query, parameters, conn.SERVICE_OPTS):
        places[image.val].append((target.val, well.val))
    return places


def _partial(conn: BlitzGateway, data_type: str, places: dict[int, list[tuple]]) -> list[str]:
    """Notes about wells of which only some fields were selected."""
    selected = Counter(well for found in places.values() for _, well in found)
    if data_type != "Image" or not selected:
        return []
    every = Counter(row[0] for row in id_rows(conn, _IMAGES_OF["Well"], selected))
    return [
        f"{number} of {every[well]} fields of Well:{well} are selected: the mosaic shows these"
        for well, number in selected.items()
        if number < every[well]
    ]


def _once(numbers: Iterable[int]) -> tuple[list[int], list[int]]:
    """Numbers without repetition, in their order, and those that were repeated."""
    counts = Counter(numbers)
    return list(counts), [number for number, count in counts.items() if count > 1]


def id_rows(conn: BlitzGateway, query: str, ids: Iterable[int]) -> list[tuple[Any, ...]]:
    """What a query selects, row by row, unwrapped; it names `ids` as ``:ids``."""
    parameters = ParametersI().addLongs("ids", list(ids))
    rows = conn.getQueryService().projection(query, parameters, conn.SERVICE_OPTS)
    return [tuple(column.val for column in row) for row in rows]


def _named(data_type: str, ids: Sequence[int]) -> str:
    return ", ".join(f"{data_type}:{number}" for number in ids)

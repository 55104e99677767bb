"""What there is in OMERO, level by level and page by page; no windows here, and nothing is kept."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from omero.gateway import BlitzGateway
from omero.rtypes import rint, unwrap
from omero.sys import ParametersI

from openhcs_core.omero.raw_pixels import DTYPES
from openhcs_core.omero.session import in_group
from openhcs_core.plate import well_name

PAGE = 200
"""Containers that are asked for at a time."""

IMAGES_PAGE = 2000
"""Images whose facts are asked for at a time."""

THUMBNAIL = 96
"""Longest side of a thumbnail in pixels: what servers keep ready."""


@dataclass(frozen=True)
class Member:
    """A user of OMERO: id, full name, and the name to log in with."""

    id: int
    name: str
    user: str


@dataclass(frozen=True)
class Group:
    """A group of OMERO, with those of its members whose data may be seen."""

    id: int
    name: str
    members: tuple[Member, ...]


@dataclass(frozen=True)
class Account:
    """Who is logged in.

    Attributes
    ----------
    user : Member
    group_id : int
        The user's default group.
    groups : tuple of Group
    """

    user: Member
    group_id: int
    groups: tuple[Group, ...]


@dataclass(frozen=True)
class Scope:
    """Whose data is shown: a group's, of one owner or (None) of all."""

    group_id: int
    owner_id: int | None


@dataclass(frozen=True)
class Node:
    """A container in the tree.

    Attributes
    ----------
    kind : str
        A type of OMERO ("Project", "Dataset", "Screen", "Plate", "PlateAcquisition"), or one of `SECTIONS`.
    id : int
        0 for a section.
    name : str
    count : int
        Of what the tree shows below it; of a dataset and the orphaned images, its images.
    """

    kind: str
    id: int
    name: str
    count: int

    @property
    def is_branch(self) -> bool:
        """Whether other containers are below it. The one run of a plate is the plate itself."""
        if self.kind == "Plate":
            return self.count > 1
        return self.kind in _CHILDREN and self.count > 0

    @property
    def has_images(self) -> bool:
        """Whether it is shown as thumbnails."""
        return self.kind in _IMAGES

    @property
    def is_plate(self) -> bool:
        """Whether its images lie in wells."""
        return self.kind in ("Plate", "PlateAcquisition")


@dataclass(frozen=True)
class ImageFacts:
    """One image.

    Attributes
    ----------
    id : int
    name : str
    pixels_id : int or None
        None if its import failed.
    shape : (T, C, Z, Y, X)
    dtype : str
        OMERO's name of the type of its pixels.
    well_id : int or None
    row, column, field : int
        Its place on the plate, from 0.
    """

    id: int
    name: str
    pixels_id: int | None
    shape: tuple[int, int, int, int, int]
    dtype: str
    well_id: int | None = None
    row: int = 0
    column: int = 0
    field: int = 0

    @property
    def well(self) -> str:
        """Name of its well, such as "B03"; "" if it is in none."""
        return "" if self.well_id is None else well_name(self.row, self.column)

    @property
    def planes(self) -> int:
        """How many planes it has."""
        t, c, z, *_ = self.shape
        return t * c * z

    @property
    def nbytes(self) -> int:
        """Size of all its pixels."""
        *_, y, x = self.shape
        return self.planes * y * x * (DTYPES[self.dtype].itemsize if self.dtype in DTYPES else 1)


_ORDER = "order by lower({0}.name), {0}.id"
_ONE_OWNER, _ANY_OWNER = "details.owner.id = :owner", "details.owner.id >= 0"
_OWNED = f"{{0}}.{_ONE_OWNER}"
_PROJECT = "select p.id, p.name, (select count(l.id) from ProjectDatasetLink l where l.parent = p.id)"
_DATASET = "select d.id, d.name, (select count(l.id) from DatasetImageLink l where l.parent = d.id)"
_SCREEN = "select s.id, s.name, (select count(l.id) from ScreenPlateLink l where l.parent = s.id)"
_PLATE = "select p.id, p.name, (select count(a.id) from PlateAcquisition a where a.plate = p.id)"
_PROJECTS = f"from Project p where {_OWNED.format('p')}"
_LOOSE_DATASETS = (
    f"from Dataset d where {_OWNED.format('d')} "
    "and not exists (select l.id from ProjectDatasetLink l where l.child = d.id)"
)
_SCREENS = f"from Screen s where {_OWNED.format('s')}"
_LOOSE_PLATES = (
    f"from Plate p where {_OWNED.format('p')} and not exists (select l.id from ScreenPlateLink l where l.child = p.id)"
)
_ORPHANS = (
    f"{_OWNED.format('i')} and not exists (select l.id from DatasetImageLink l where l.child = i.id) "
    "and not exists (select s.id from WellSample s where s.image = i.id)"
)

SECTIONS = {
    "Projects": f"select count(p.id) {_PROJECTS}",
    "Datasets without a project": f"select count(d.id) {_LOOSE_DATASETS}",
    "Screens": f"select count(s.id) {_SCREENS}",
    "Plates without a screen": f"select count(p.id) {_LOOSE_PLATES}",
    "Orphaned images": f"select count(i.id) from Image i where {_ORPHANS}",
}
"""The top level of the tree, and how much is in each part."""

# By kind of the parent: kind of the children, and a query for id, name and count.
_CHILDREN = {
    "Projects": ("Project", f"{_PROJECT} {_PROJECTS} {_ORDER.format('p')}"),
    "Datasets without a project": ("Dataset", f"{_DATASET} {_LOOSE_DATASETS} {_ORDER.format('d')}"),
    "Screens": ("Screen", f"{_SCREEN} {_SCREENS} {_ORDER.format('s')}"),
    "Plates without a screen": ("Plate", f"{_PLATE} {_LOOSE_PLATES} {_ORDER.format('p')}"),
    "Project": (
        "Dataset",
        f"{_DATASET} from ProjectDatasetLink k join k.child d where k.parent.id = :id {_ORDER.format('d')}",
    ),
    "Screen": (
        "Plate",
        f"{_PLATE} from ScreenPlateLink k join k.child p where k.parent.id = :id {_ORDER.format('p')}",
    ),
    "Plate": (
        "PlateAcquisition",
        "select a.id, a.name, (select count(s.id) from WellSample s where s.plateAcquisition = a.id) "
        "from PlateAcquisition a where a.plate.id = :id order by a.id",
    ),
}

_FACTS = "i.id, i.name, p.id, p.sizeT, p.sizeC, p.sizeZ, p.sizeY, p.sizeX, t.value"
_PIXELS = "left outer join i.pixels p left outer join p.pixelsType t"
_WELLS = (
    f"select {_FACTS}, w.id, w.row, w.column, index(s) from Well w join w.wellSamples s join s.image i {_PIXELS} "
    "where {} = :id order by w.row, w.column, index(s)"
)
_IMAGES = {
    "Dataset": f"select {_FACTS} from DatasetImageLink k join k.child i {_PIXELS} "
    f"where k.parent.id = :id {_ORDER.format('i')}",
    "Orphaned images": f"select {_FACTS} from Image i {_PIXELS} where {_ORPHANS} {_ORDER.format('i')}",
    "Plate": _WELLS.format("w.plate.id"),
    "PlateAcquisition": _WELLS.format("s.plateAcquisition.id"),
}


def account(conn: BlitzGateway) -> Account:
    """Who is logged in, with the groups and members whose data that user may see."""
    admin = conn.getAdminService()
    context = admin.getEventContext()
    roles = admin.getSecurityRoles()
    query, options = conn.getQueryService(), conn.SERVICE_OPTS
    own = ParametersI().addLongs("ids", context.memberOfGroups)
    which = "" if context.isAdmin else "where g.id in (:ids) "
    found = query.findAllByQuery(f"select g from ExperimenterGroup g {which}order by lower(g.name)", own, options)
    all_ids = ParametersI().addLongs("ids", [group.id.val for group in found])
    rows = unwrap(
        query.projection(
            "select m.parent.id, e.id, e.firstName, e.lastName, e.omeName from GroupExperimenterMap m join m.child e "
            "where m.parent.id in (:ids) order by lower(e.lastName), lower(e.firstName), e.id",
            all_ids,
            options,
        )
    )
    people: dict[int, list[Member]] = {}
    for group_id, user_id, first, last, user in rows:
        people.setdefault(group_id, []).append(Member(user_id, f"{first} {last}".strip() or user, user))
    me = next(member for members in people.values() for member in members if member.id == context.userId)
    groups = []
    for group in found:
        number = group.id.val
        if number in (roles.userGroupId, roles.guestGroupId):
            continue
        shared = context.isAdmin or number in context.leaderOfGroups or group.details.permissions.isGroupRead()
        groups.append(Group(number, group.name.val, tuple(people.get(number, ())) if shared else (me,)))
    return Account(me, context.groupId, tuple(groups))


def sections(conn: BlitzGateway, scope: Scope) -> list[Node]:
    """The parts of the top level that hold something."""
    counts = {name: _rows(conn, scope, query)[0][0] for name, query in SECTIONS.items()}
    return [Node(name, 0, name, count) for name, count in counts.items() if count]


def children(conn: BlitzGateway, scope: Scope, node: Node, offset: int = 0, limit: int = PAGE) -> list[Node]:
    """One page of the containers in another one, by name; shorter than `limit` if it is the last."""
    kind, query = _CHILDREN[node.kind]
    rows = _rows(conn, scope, query, node.id, offset, limit)
    return [Node(kind, number, name or f"Run {number}", count) for number, name, count in rows]


def images(conn: BlitzGateway, scope: Scope, node: Node, offset: int = 0, limit: int = IMAGES_PAGE) -> list[ImageFacts]:
    """One page of the images of a container: by name, on plates by well and field."""
    found = []
    rows = _rows(conn, scope, _IMAGES[node.kind], node.id, offset, limit)
    for number, name, pixels, t, c, z, y, x, dtype, *place in rows:
        shape = (t or 0, c or 0, z or 0, y or 0, x or 0)
        found.append(ImageFacts(number, name, pixels, shape, dtype or "", *place))
    return found


def thumbnails(conn: BlitzGateway, scope: Scope, pixels_ids: Iterable[int]) -> dict[int, bytes]:
    """Thumbnails as JPEG, by id of the pixels, all in one call; absent where the server has none."""
    store = conn.createThumbnailStore()
    try:
        found = store.getThumbnailByLongestSideSet(rint(THUMBNAIL), list(pixels_ids), in_group(conn, scope.group_id))
    finally:
        store.close()
    return {number: jpeg for number, jpeg in found.items() if jpeg}


def describe(selected: Sequence[ImageFacts]) -> str:
    """For people: how many wells, images and planes these are, and how large."""
    if not selected:
        return "nothing"
    wells = len({image.well_id for image in selected} - {None})
    parts = [
        *([_number(wells, "well")] if wells else []),
        _number(len(selected), "image"),
        _number(sum(image.planes for image in selected), "plane"),
        size_text(sum(image.nbytes for image in selected)),
    ]
    text = ", ".join(parts)
    kinds = {(image.shape, image.dtype) for image in selected}
    if len(kinds) == 1:
        (((t, c, z, y, x), dtype),) = kinds
        text += f" (each {x} × {y}, {_number(c, 'channel')}, {z} Z, {t} T, {dtype or 'no pixels'})"
    return text


def size_text(nbytes: float) -> str:
    """For people: an amount of memory."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("KB", 1e3)):
        if nbytes >= size:
            return f"{nbytes / size:.1f} {unit}"
    return f"{nbytes:.0f} B"


def _number(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _rows(
    conn: BlitzGateway, scope: Scope, query: str, parent: int = 0, offset: int = 0, limit: int | None = None
) -> list[Any]:
    parameters = ParametersI()
    if scope.owner_id is None:
        query = query.replace(_ONE_OWNER, _ANY_OWNER)
    elif _ONE_OWNER in query:
        parameters.addLong("owner", scope.owner_id)
    if ":id" in query:
        parameters.addId(parent)
    if limit is not None:
        parameters.page(offset, limit)
    return unwrap(conn.getQueryService().projection(query, parameters, in_group(conn, scope.group_id)))

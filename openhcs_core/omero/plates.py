"""Plates, wells, datasets and images of OMERO as plates of a pipeline."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from omero.gateway import BlitzGateway, BlitzObjectWrapper
from omero.sys import ParametersI

from openhcs_core.omero.errors import OmeroError
from openhcs_core.omero.fields import load_fields, positions
from openhcs_core.omero.metadata import Crop, image_metadata
from openhcs_core.omero.raw_pixels import DTYPES
from openhcs_core.omero.selection import id_rows
from openhcs_core.plate import PlaneAddress, PlateChannel, PlateLayout, well_name

DATASET_COLUMNS = 12
"""Images without wells fill a plate of so many columns, row by row: A01 to A12, then B01 ..."""

LISTED = 3
_LOCATION = re.compile(r"(Plate|Well|Dataset|Image):(\d+(?:,\d+)*)")


def is_location(location: str) -> bool:
    """Whether a text reads as a place in OMERO, such as "Plate:12" or "Image:5,6"."""
    return _LOCATION.fullmatch(location) is not None


def parse_location(location: str) -> tuple[str, list[int]]:
    """Type and ids behind a location such as "Plate:12" or "Image:5,6".

    Raises
    ------
    OmeroError
        If it is none.
    """
    found = _LOCATION.fullmatch(location)
    if found is None:
        raise OmeroError(
            f"'{location}' is no place in OMERO. Give Plate:ID, Dataset:ID, Well:ID,ID... or Image:ID,ID..."
        )
    return found[1], list(dict.fromkeys(int(number) for number in found[2].split(",")))


def locations(conn: BlitzGateway, data_type: str, ids: Sequence[int]) -> list[str]:
    """What is selected, one location per run: each plate, the wells of each plate, each dataset, all images together.

    Raises
    ------
    OmeroError
        If a well does not exist, or may not be seen.
    """
    ids = list(dict.fromkeys(ids))
    if data_type == "Image":
        return [f"Image:{','.join(map(str, ids))}"]
    if data_type != "Well":
        return [f"{data_type}:{number}" for number in ids]
    rows = id_rows(conn, "select w.plate.id, w.id from Well w where w.id in (:ids)", ids)
    _all_there("Well", ids, (well for _, well in rows))
    plates: dict[int, list[int]] = {}
    for plate, well in sorted(rows):
        plates.setdefault(plate, []).append(well)
    return [f"Well:{','.join(map(str, wells))}" for wells in plates.values()]


def alike(conn: BlitzGateway, location: str) -> list[str]:
    """The place itself; of images or a dataset that hold several sizes or types of pixels, a place for each of these.

    Parameters
    ----------
    conn : BlitzGateway
        Reading in all groups.
    location : str
    """
    kind, ids = parse_location(location)
    if kind in ("Plate", "Well"):
        return [location]
    wanted, found = _members(conn, kind, ids)
    kinds = {image.id.val: _kind(pixels) for image in found if (pixels := _pixels(image)) is not None}
    if len(set(kinds.values())) < 2:
        return [location]
    places: dict[Any, list[int]] = {}
    for number in wanted:
        places.setdefault(kinds.get(number), []).append(number)
    return [f"Image:{','.join(map(str, numbers))}" for numbers in places.values()]


def load_layout(conn: BlitzGateway, location: str) -> PlateLayout:
    """A place in OMERO as a plate, by a few queries whatever its size.

    A plate gives its wells and fields, wells these only. Images of datasets, and single ones, become one well with
    one site each, in the order of their names (of the ids for single ones): A01 to A12, B01 ...

    Parameters
    ----------
    conn : BlitzGateway
        Reading in all groups.
    location : str

    Raises
    ------
    OmeroError
        If it does not exist, may not be seen, is empty, or if its images differ in size or type of pixels.
    """
    kind, ids = parse_location(location)
    if kind in ("Plate", "Well"):
        return _plate(conn, location, kind, ids)
    return _images(conn, location, kind, ids)


def load_targets(conn: BlitzGateway, location: str) -> list[BlitzObjectWrapper]:
    """What results of a place are attached to: its plate, the datasets, or the images.

    Raises
    ------
    OmeroError
        If one does not exist, or may not be seen.
    """
    kind, ids = parse_location(location)
    if kind == "Well":
        rows = id_rows(conn, "select w.id, w.plate.id from Well w where w.id in (:ids)", ids)
        _all_there("Well", ids, (well for well, _ in rows))
        kind, ids = "Plate", sorted({plate for _, plate in rows})
    return _targets(conn, kind, ids)


def well_places(conn: BlitzGateway, plate_id: int) -> dict[str, tuple[int, int, int]]:
    """Id, row and column (from 0) of each well of a plate, by its name."""
    rows = id_rows(conn, "select w.id, w.row, w.column from Well w where w.plate.id in (:ids)", [plate_id])
    return {well_name(row, column): (number, row, column) for number, row, column in rows}


def _plate(conn: BlitzGateway, location: str, kind: str, ids: list[int]) -> PlateLayout:
    own = "w.plate.id" if kind == "Plate" else "w.id"
    rows = id_rows(
        conn, f"select w.plate.id, w.id, s.image.id from Well w join w.wellSamples s where {own} in (:ids)", ids
    )
    if kind == "Well":
        _all_there("Well", ids, (well for _, well, _ in rows), "has no fields, ")
    plates = {plate for plate, _, _ in rows} or set(ids)
    if len(plates) > 1:
        raise OmeroError(f"{location} is of {len(plates)} plates. Run the pipeline on one plate at a time.")
    (plate,) = _targets(conn, "Plate", list(plates))
    fields = load_fields(conn, sorted({well for _, well, _ in rows}), sorted({image for *_, image in rows}))
    if not fields:
        raise OmeroError(f"{location} holds no images that you may see.")
    images = {}
    positions_um = {}
    wells: dict[str, list[Any]] = {}
    for found in fields:
        name = well_name(found.row, found.column)
        wells.setdefault(name, []).append(found)
        images[name, found.index + 1] = (found.image_id, found.pixels)
    for name, of_well in wells.items():
        for found, (y, x) in zip(of_well, positions(of_well), strict=True):
            if y is not None and x is not None:
                positions_um[name, found.index + 1] = (y, x)
    return _layout(conn, plate.getName(), images, positions_um)


def _images(conn: BlitzGateway, location: str, kind: str, ids: list[int]) -> PlateLayout:
    targets = _targets(conn, kind, ids)
    wanted, found = _members(conn, kind, ids)
    pixels = {image.id.val: _pixels(image) for image in found}
    groups = {image.details.group.id.val for image in found}
    if not found:
        raise OmeroError(f"{location} holds no images that you may see.")
    if len(groups) > 1:
        raise OmeroError(f"{location} is of {len(groups)} groups of OMERO. Run the pipeline on one group at a time.")
    images = {
        (well_name(*divmod(number, DATASET_COLUMNS)), 1): (image, pixels[image])
        for number, image in enumerate(image for image in wanted if image in pixels)
    }
    name = targets[0].getName() + (f" and {len(targets) - 1} more" if len(targets) > 1 else "")
    return _layout(conn, name, images, {})


def _members(conn: BlitzGateway, kind: str, ids: list[int]) -> tuple[list[int], list[Any]]:
    """Ids of the images of a place in order, and the images with their pixels, in any order."""
    wanted = ids
    if kind == "Dataset":
        links = "select l.child.name, l.child.id from DatasetImageLink l where l.parent.id in (:ids)"
        wanted = list(dict.fromkeys(number for _, number in sorted(id_rows(conn, links, ids))))
    found = conn.getQueryService().findAllByQuery(
        "select distinct i from Image i left outer join fetch i.pixels p left outer join fetch p.pixelsType "
        "where i.id in (:ids)",
        ParametersI().addLongs("ids", wanted or [-1]),
        conn.SERVICE_OPTS,
    )
    return wanted, found


def _pixels(image: Any) -> Any:
    return image.getPrimaryPixels() if image.sizeOfPixels() else None


def _layout(
    conn: BlitzGateway,
    name: str,
    images: Mapping[tuple[str, int], tuple[int, Any]],
    positions_um: Mapping[tuple[str, int], tuple[float, float]],
) -> PlateLayout:
    """Layout of images with their pixels, by well and site in order."""
    for (well, site), (number, pixels) in images.items():
        if pixels is None:
            raise OmeroError(
                f"{well} field {site} (Image:{number}) has no pixels in OMERO; its import may have "
                "failed. Import it again."
            )
    kinds = {place: _kind(pixels) for place, (_, pixels) in images.items()}
    usual = Counter(kinds.values()).most_common(1)[0][0]
    odd = [place for place in images if kinds[place] != usual]
    if odd:
        listed = ", ".join(
            f"{_kind_text(kinds[place])} in {place[0]} field {place[1]} (Image:{images[place][0]})"
            for place in odd[:LISTED]
        )
        more = f" and {len(odd) - LISTED} more" if len(odd) > LISTED else ""
        raise OmeroError(
            f"its images differ: {_kind_text(usual)} in most, but {listed}{more}. Choose images that are alike."
        )
    planes: dict[str, list[PlaneAddress]] = {}
    for (well, site), (_, pixels) in images.items():
        planes.setdefault(well, []).extend(
            PlaneAddress(well, site, c + 1, z + 1, t + 1)
            for c in range(pixels.sizeC.val)
            for z in range(pixels.sizeZ.val)
            for t in range(pixels.sizeT.val)
        )
    typical, _ = max(images.values(), key=lambda found: found[1].sizeC.val)
    image = conn.getObject("Image", typical)
    crop = Crop(range(image.getSizeC()), z=range(image.getSizeZ()), t=range(image.getSizeT()))
    metadata = image_metadata(conn, image, crop).ims
    height, width, kind = usual
    return PlateLayout(
        name=name,
        planes=planes,
        size_yx=(height, width),
        dtype=DTYPES[kind].newbyteorder("="),
        channels=[
            PlateChannel(channel.name or str(number), channel.color, channel.window)
            for number, channel in enumerate(metadata.channels, start=1)
        ],
        voxel_size_um=metadata.voxel_size_um,
        positions_um=positions_um,
        source_ids={place: number for place, (number, _) in images.items()},
    )


def _kind(pixels: Any) -> tuple[int, int, str]:
    return pixels.sizeY.val, pixels.sizeX.val, pixels.pixelsType.value.val


def _kind_text(kind: tuple[int, int, str]) -> str:
    return f"{kind[1]} x {kind[0]} pixels of type {kind[2]}"


def _targets(conn: BlitzGateway, kind: str, ids: list[int]) -> list[BlitzObjectWrapper]:
    found = {target.getId(): target for target in conn.getObjects(kind, ids)}
    _all_there(kind, ids, found)
    return [found[number] for number in ids]


def _all_there(kind: str, ids: Iterable[int], found: Iterable[int], either: str = "") -> None:
    missing = sorted(set(ids) - set(found))
    if missing:
        listed = ", ".join(f"{kind}:{number}" for number in missing)
        raise OmeroError(f"{listed} {either}does not exist, or you may not see it.")

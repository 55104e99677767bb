"""The fields of a well, or of the wells of a plate, as one image."""

from __future__ import annotations

import dataclasses
import zlib
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from omero.gateway import BlitzGateway, ImageWrapper, PlateWrapper, WellWrapper

from openhcs_core.omero.errors import OmeroError
from openhcs_core.omero.fields import LISTED, Field, check_alike, load_fields, positions, value_range
from openhcs_core.omero.metadata import Crop, ImageMetadata, channel_names, image_metadata, micrometres, traced_to
from openhcs_core.omero.pixels import ImagePixels
from openhcs_core.omero.raw_pixels import DTYPES
from openhcs_core.omero.subject import pixels_identity
from openhcs_core.placement import Placement, place_fields, place_wells
from openhcs_core.plate import well_name
from openhcs_core.settings import Settings

MAX_OPEN = 64
"""Fields that are open at a time: as many as usually lie beside each other on a plate."""

READERS = 3
"""Fields that are read at a time."""

MARGIN = 0.05
"""Of the larger side of a well: what stays empty between wells."""


@dataclass(frozen=True)
class Tile:
    """A field and the place of its first pixel on the canvas."""

    field: Field
    y: int
    x: int

    def touches(self, t: int, z0: int, y0: int, y1: int) -> bool:
        """Whether it has voxels at a time point, in sections from `z0` on, and in rows `y0` to `y1` of the canvas."""
        sizes = self.field.sizes
        return t < sizes["T"] and z0 < sizes["Z"] and self.y < y1 and y0 < self.y + sizes["Y"]


@dataclass(frozen=True)
class Layout:
    """All tiles, the canvas they are on, and what is to be said of them.

    Attributes
    ----------
    tiles : tuple of Tile
        Later ones cover earlier ones.
    shape : (height, width)
    origin_um : (y, x) or None
        Position of the stage at the upper left corner; None if there is none for all of it.
    statements : tuple of str
    """

    tiles: tuple[Tile, ...]
    shape: tuple[int, int]
    origin_um: tuple[float, float] | None
    statements: tuple[str, ...]


class MosaicSubject:
    """A well, or a plate, with some or all of its fields.

    Fields of a well lie as their positions tell, else in a grid; wells lie as on their plate. What no field
    covers is 0. Channels, times and rendering settings are those of the first field; fields with fewer
    sections or time points than others are filled with 0.

    Parameters
    ----------
    conn : BlitzGateway
        Reading in all groups.
    target : WellWrapper or PlateWrapper
    well_ids, image_ids : sequence of int
        The images are the fields that are wanted, of these wells of the target.
    """

    def __init__(
        self,
        conn: BlitzGateway,
        target: WellWrapper | PlateWrapper,
        well_ids: Sequence[int],
        image_ids: Sequence[int],
    ) -> None:
        self._conn = conn
        self._well_ids, self._image_ids = list(well_ids), list(image_ids)
        self.target = target
        kind, number = target.OMERO_CLASS, target.getId()
        self.name = str(target.getName() or "Plate") if kind == "Plate" else _well_title(target)
        self.label = f"{kind}:{number} ({self.name})"
        self.key = f"{kind.lower()}_{number}_mosaic"
        digest = zlib.crc32(repr(sorted(self._image_ids)).encode())
        self.content = f"mosaic of {len(self._image_ids)} fields ({digest:08x})"

    @cached_property
    def layout(self) -> Layout:
        """Which field lies where.

        Raises
        ------
        OmeroError
            If there is no field, or they do not fit together.
        """
        found = load_fields(self._conn, self._well_ids, self._image_ids)
        fields = [field for field in found if field.pixels is not None]
        if not fields:
            raise OmeroError("none of its fields has pixels in OMERO; their import may have failed. Import them again.")
        statements = [f"{field.label} has no pixels: left empty" for field in found if field.pixels is None]
        statements += check_alike(fields)
        wells: dict[tuple[int, int], list[Field]] = defaultdict(list)
        for field in fields:
            wells[field.row, field.column].append(field)
        placed = {place: _place(members) for place, members in wells.items()}
        shapes = [placement.shape for placement in placed.values()]
        margin = 1 + round(MARGIN * max(map(max, shapes)))
        plate = place_wells(list(placed), shapes, margin)
        tiles = tuple(
            Tile(field, top + y, left + x)
            for (top, left), (place, placement) in zip(plate.offsets, placed.items(), strict=True)
            for field, (y, x) in zip(wells[place], placement.offsets, strict=True)
        )
        statements += [*_of_wells(placed), *plate.statements]
        origin = next(iter(placed.values())).origin_um if len(placed) == 1 else None
        return Layout(tiles, plate.shape, origin, tuple(statements))

    @cached_property
    def sizes(self) -> Mapping[str, int]:
        """Of the axes "T", "C", "Z", "Y" and "X"."""
        of_fields = [tile.field.sizes for tile in self.layout.tiles]
        height, width = self.layout.shape
        return {axis: max(sizes[axis] for sizes in of_fields) for axis in "TCZ"} | {"Y": height, "X": width}

    @cached_property
    def channel_names(self) -> Sequence[str]:
        """Of the first field."""
        return channel_names(self._conn, self._first)

    @cached_property
    def _first(self) -> ImageWrapper:
        """The image that stands for all: the first one of those with the most time points and sections."""
        fields = [tile.field for tile in self.layout.tiles]
        fullest = max(fields, key=lambda field: (field.sizes["T"], field.sizes["Z"]))
        return _images(self._conn, [fullest])[fullest.image_id]

    def metadata(self, crop: Crop) -> ImageMetadata:
        """What is known of the wanted part besides its voxels, with the place of each field."""
        found = image_metadata(self._conn, self._first, crop)
        origin = self.layout.origin_um or (0.0, 0.0)
        ims = dataclasses.replace(
            found.ims,
            name=self.name,
            description="",
            origin_um=(found.ims.origin_um[0], *origin),
            sections={
                "OMERO": traced_to(self._conn, self.target) | {"Pixel type": found.ims.sections["OMERO"]["Pixel type"]},
                "Mosaic": {
                    tile.field.name: f"Image:{tile.field.image_id} at column {tile.x}, row {tile.y}, "
                    f"{tile.field.sizes['X']} x {tile.field.sizes['Y']} pixels"
                    for tile in self.layout.tiles
                },
            },
        )
        known = value_range(self._conn, [tile.field for tile in self.layout.tiles], crop.channels)
        extremes = None if known is None else (min(known[0], 0.0), max(known[1], 0.0))
        return ImageMetadata(ims, extremes, [*self.layout.statements, *found.statements])

    def pixels(self, settings: Settings) -> MosaicPixels:
        """The voxels, to be closed by the caller."""
        return MosaicPixels(self._conn, self.layout, self.sizes, settings)

    def identity(self) -> list[Any]:
        """Pixels, as of images, and the place of each on the canvas."""
        places = [[tile.field.pixels.id.val, tile.y, tile.x] for tile in self.layout.tiles]
        return [list(self.layout.shape), places, pixels_identity(self._conn, [number for number, _, _ in places])]


class MosaicPixels:
    """Voxels of a mosaic: each read touches only the fields in its rows, and few of them are open at a time.

    Parameters
    ----------
    conn : BlitzGateway
    layout : Layout
    sizes : mapping of str to int
        Of the axes "T", "C", "Z", "Y" and "X" of the mosaic.
    settings : Settings

    Attributes
    ----------
    shape : (T, C, Z, Y, X)
    dtype : dtype
        Big-endian.
    source : str
        For people: where the voxels of the fields that were read came from.

    Raises
    ------
    OmeroError
        If the type of the pixels is unknown.
    """

    def __init__(self, conn: BlitzGateway, layout: Layout, sizes: Mapping[str, int], settings: Settings) -> None:
        kind = layout.tiles[0].field.pixels.pixelsType.value.val
        if kind not in DTYPES:
            raise OmeroError(f"pixels of type '{kind}' are unknown to this version of OpenHCS.")
        self.dtype = DTYPES[kind]
        self.shape = (sizes["T"], sizes["C"], sizes["Z"], sizes["Y"], sizes["X"])
        self.chunk = (1, 1)
        self._conn, self._layout, self._settings = conn, layout, settings
        self._open: OrderedDict[int, ImagePixels] = OrderedDict()
        self._sources: dict[int, str] = {}
        self.source = ""
        self._pool = ThreadPoolExecutor(READERS)

    def read(self, t: int, c: int, z0: int, z1: int, y0: int, y1: int) -> np.ndarray:
        """Voxels (z1 - z0, y1 - y0, X) of one channel at one time point; all numbers count from 0.

        Raises
        ------
        OmeroError
            If the server cannot deliver a field; the message names it.
        """
        slab = np.zeros((z1 - z0, y1 - y0, self.shape[4]), self.dtype)

        def rows(tile: Tile) -> np.ndarray:
            sizes = tile.field.sizes
            first, end = max(y0 - tile.y, 0), min(y1 - tile.y, sizes["Y"])
            try:
                return self._open[tile.field.image_id].read(t, c, z0, min(z1, sizes["Z"]), first, end)
            except OmeroError as error:
                raise OmeroError(f"{tile.field.label}: {error}") from error

        touched = [tile for tile in self._layout.tiles if tile.touches(t, z0, y0, y1)]
        for first in range(0, len(touched), MAX_OPEN):
            batch = touched[first : first + MAX_OPEN]
            self._use([tile.field for tile in batch])
            for tile, voxels in zip(batch, self._pool.map(rows, batch), strict=True):
                depth, height, width = voxels.shape
                top = max(tile.y - y0, 0)
                slab[:depth, top : top + height, tile.x : tile.x + width] = voxels
        return slab

    def check(self) -> None:
        """Raise OmeroError if the file of a field has changed or vanished since it was opened."""
        for pixels in self._open.values():
            pixels.check()

    def close(self) -> None:
        """Close all fields."""
        self._pool.shutdown()
        while self._open:
            self._close_oldest()

    def _use(self, fields: Sequence[Field]) -> None:
        """Open some fields; if too many are open, those that were not used for longest are closed."""
        for field in fields:
            if field.image_id in self._open:
                self._open.move_to_end(field.image_id)
        closed = {field.image_id: field for field in fields if field.image_id not in self._open}
        images = _images(self._conn, list(closed.values()))
        for number, field in closed.items():
            while len(self._open) >= MAX_OPEN:
                next(iter(self._open.values())).check()
                self._close_oldest()
            try:
                pixels = self._open[number] = ImagePixels(self._conn, images[number], self._settings)
            except OmeroError as error:
                raise OmeroError(f"{field.label}: {error}") from error
            self._tell(number, pixels)

    def _close_oldest(self) -> None:
        number, pixels = self._open.popitem(last=False)
        self._tell(number, pixels)
        pixels.close()

    def _tell(self, number: int, pixels: ImagePixels) -> None:
        """Bring `source` up to date with one field."""
        if self._sources.get(number) != pixels.source:
            self._sources[number] = pixels.source
            counts = Counter(self._sources.values()).most_common()
            told = [f"{text} ({count} of {len(self._sources)} fields)" for text, count in counts[:LISTED]]
            others = sum(count for _, count in counts[LISTED:])
            self.source = "; ".join(told) + (f"; and others ({others})" if others else "")


def _images(conn: BlitzGateway, fields: Sequence[Field]) -> dict[int, ImageWrapper]:
    """The images of fields by their id."""
    numbers = [field.image_id for field in fields]
    images = {image.getId(): image for image in conn.getObjects("Image", numbers)} if numbers else {}
    for field in fields:
        if field.image_id not in images:
            raise OmeroError(f"{field.label} is not to be seen any more. It may have been deleted; start again.")
    return images


def _well_title(well: WellWrapper) -> str:
    plate = well.getParent()
    name = well_name(well.row, well.column)
    return f"{plate.getName()} {name}" if plate is not None and plate.getName() else f"Well {name}"


def _place(fields: Sequence[Field]) -> Placement:
    """Lay out the fields of one well."""
    pixels = fields[0].pixels
    pixel_um = tuple(micrometres(getattr(pixels, f"physicalSize{axis}"), axis, []) for axis in "YX")
    shapes = [(field.sizes["Y"], field.sizes["X"]) for field in fields]
    return place_fields(positions(fields), shapes, (pixel_um[0], pixel_um[1]))


def _of_wells(placed: Mapping[tuple[int, int], Placement]) -> list[str]:
    """Statements of wells, equal ones together."""
    wells: dict[str, list[str]] = defaultdict(list)
    for (row, column), placement in placed.items():
        for statement in placement.statements:
            wells[statement].append(well_name(row, column))
    return [
        f"{names[0] if len(names) == 1 else f'{names[0]} and {len(names) - 1} more wells'}: {statement}"
        for statement, names in wells.items()
    ]

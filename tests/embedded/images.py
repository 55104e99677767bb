"""Small image files for the tests of the embedded OMERO, and how to look at what was imported."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import tifffile
from omero.rtypes import unwrap
from omero.sys import ParametersI

CHANNELS = {
    "Name": ["DAPI", "GFP"],
    "EmissionWavelength": [461.5, 509.0],
    "EmissionWavelengthUnit": ["nm", "nm"],
    "Color": [0x0000FFFF, 0x00FF00FF],
}


def sha1(array: np.ndarray) -> str:
    return hashlib.sha1(np.ascontiguousarray(array).tobytes()).hexdigest()


def five_d(folder: Path) -> tuple[Path, np.ndarray]:
    """OME-TIFF with two of everything and units of its own; array of axes TCZYX."""
    data = np.arange(24000, dtype="<u2").reshape(2, 2, 3, 40, 50)
    path = folder / "five d.ome.tif"
    tifffile.imwrite(
        path,
        data,
        byteorder="<",
        photometric="minisblack",
        metadata={
            "axes": "TCZYX", "Name": "my five d", "Description": "a description", "Channel": CHANNELS,
            "PhysicalSizeX": 0.25, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": 0.5, "PhysicalSizeYUnit": "µm",
            "PhysicalSizeZ": 1500.0, "PhysicalSizeZUnit": "nm", "TimeIncrement": 2.0, "TimeIncrementUnit": "s",
        },
    )  # fmt: skip
    return path, data


def three(folder: Path, name: str = "three.ome.tiff") -> tuple[Path, list[np.ndarray]]:
    """OME-TIFF with three images of different width."""
    path, images = folder / name, []
    with tifffile.TiffWriter(path, ome=True) as writer:
        for number, width in enumerate((16, 24, 32)):
            image = (np.arange(2 * 16 * width) % 251).astype("u1").reshape(2, 16, width)
            said = {"axes": "ZYX"} | ({"Name": ("zeta", "alpha")[number]} if number < 2 else {})
            writer.write(image, photometric="minisblack", metadata=said)
            images.append(image)
    return path, images


def slope(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return ((x + y) % 251).astype("u1")


def pyramid(folder: Path) -> tuple[Path, list[np.ndarray]]:
    """Tiled OME-TIFF with two smaller resolutions in sub-pages."""
    path = folder / "pyramid.ome.tif"
    levels = [slope(300, 500).astype("u2") * 7]
    levels += [levels[0][::2, ::2].copy(), levels[0][::4, ::4].copy()]
    with tifffile.TiffWriter(path, ome=True) as writer:
        options = {"tile": (64, 128), "photometric": "minisblack", "compression": "zlib"}
        writer.write(levels[0], subifds=2, metadata={"axes": "YX"}, **options)
        for level in levels[1:]:
            writer.write(level, subfiletype=1, **options)
    return path, levels


def ome_xml(images: str, plates: str = "") -> str:
    """An OME-XML document around images and plates."""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        f'<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">{plates}{images}</OME>'
    )


def ome_image(number: int, data: str = "", *, name: str = "", sizes: str = "8 6 1 1 1", kind: str = "uint8",
              more: str = "", attributes: str = "") -> str:  # fmt: skip
    x, y, z, c, t = sizes.split()
    return (
        f'<Image ID="Image:{number}" Name="{name or f"image {number}"}">{more}'
        f'<Pixels ID="Pixels:{number}" DimensionOrder="XYZCT" Type="{kind}" SizeX="{x}" SizeY="{y}" SizeZ="{z}" '
        f'SizeC="{c}" SizeT="{t}" {attributes}>{data}</Pixels></Image>'
    )


def ome_plate_file(folder: Path, rows: int = 2, columns: int = 3, fields: int = 2) -> tuple[Path, np.ndarray]:
    """One OME-TIFF which is a plate; array of shape (fields of all wells, Y, X)."""
    count = rows * columns * fields
    data = (np.arange(count * 48) % 200).astype("u1").reshape(count, 6, 8)
    wells, images, number = [], [], 0
    for row in range(rows):
        for column in range(columns):
            samples = ""
            for field in range(fields):
                samples += (
                    f'<WellSample ID="WellSample:{number}" Index="{field}" PositionX="{10.5 * field}" '
                    f'PositionXUnit="reference frame" PositionY="1" PositionYUnit="reference frame" '
                    f'Timepoint="2024-05-06T07:08:09"><ImageRef ID="Image:{number}"/></WellSample>'
                )
                images.append(ome_image(number, f'<TiffData IFD="{number}" PlaneCount="1"/>'))
                number += 1
            wells.append(f'<Well ID="Well:{len(wells)}" Row="{row}" Column="{column}" Type="Control" Color="255" '
                         f'ExternalIdentifier="X{row}{column}">{samples}</Well>')  # fmt: skip
    references = "".join(f'<WellSampleRef ID="WellSample:{n}"/>' for n in range(count))
    plate = (
        f'<Plate ID="Plate:0" Name="Plate Zero" Rows="{rows}" Columns="{columns}" RowNamingConvention="letter" '
        'ColumnNamingConvention="number" Status="fine" ExternalIdentifier="EXT" WellOriginX="0.5" '
        'WellOriginXUnit="µm">'
        f'<Description>of the plate</Description>{"".join(wells)}<PlateAcquisition ID="PlateAcquisition:0" '
        'Name="Run 1" '
        f'StartTime="2024-05-06T07:00:00" MaximumFieldCount="{fields}">{references}</PlateAcquisition></Plate>'
    )
    path = folder / "plate.ome.tif"
    with tifffile.TiffWriter(path) as writer:
        for n, plane in enumerate(data):
            text = ome_xml("".join(images), plate).encode() if n == 0 else None
            writer.write(plane, photometric="minisblack", description=text, metadata=None)
    return path, data


def rows(conn, query: str, **values) -> list[list]:
    """What a projection over all groups finds."""
    params = ParametersI()
    for name, value in values.items():
        params.addLong(name, value) if isinstance(value, int) else params.addString(name, value)
    context = {**conn.c.getImplicitContext().getContext(), "omero.group": "-1"}
    return unwrap(conn.getQueryService().projection(query, params, context))


def fetch(conn, query: str, id: int):
    """The object with that id which a query loads."""
    return conn.getQueryService().findByQuery(query, ParametersI().addId(id))


def everything(server):
    """Number of records of every kind but sessions and events, and all files of the repository."""
    core = server.core
    with core.store.lock:
        counts = {n: core.store.count(n) for n in core.store.model.entities if n not in ("Session", "Event")}
    return counts, sorted(core.repositories.managed.rglob("*"))

"""Plates whose fields have positions, as OME-TIFF."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import tifffile

from tests.embedded.images import ome_image, ome_xml

KINDS = {"u1": "uint8", "u2": "uint16", "i2": "int16", "f4": "float"}


@dataclass(frozen=True)
class PlateField:
    """One field: its voxels (T, C, Z, Y, X), and where it is: (y, x) with unit, in the well and of the stage."""

    voxels: np.ndarray
    sample: tuple[float, float] | None = None
    sample_unit: str = "µm"
    stage: tuple[float, float] | None = None
    stage_unit: str = "µm"
    calibration: str = 'PhysicalSizeX="0.5" PhysicalSizeY="0.5" PhysicalSizeZ="2"'
    channels: Sequence[str] = field(default=("DAPI", "GFP"))


def write_plate(path: Path, wells: Mapping[tuple[int, int], Sequence[PlateField]], name: str = "P") -> Path:
    """Write an OME-TIFF which is a plate; wells by row and column from 0."""
    written, images, planes = [], [], []
    for row, column in wells:
        samples = ""
        for index, at in enumerate(wells[row, column]):
            number = len(images)
            samples += (
                f'<WellSample ID="WellSample:{number}" Index="{index}" {_position(at.sample, at.sample_unit)}>'
                f'<ImageRef ID="Image:{number}"/></WellSample>'
            )
            t, c, z, y, x = at.voxels.shape
            data = "".join(f'<Channel ID="Channel:{number}:{n}" Name="{at.channels[n % 2]}"/>' for n in range(c))
            data += f'<TiffData IFD="{len(planes)}" PlaneCount="{t * c * z}"/>'
            if at.stage is not None:
                data += f'<Plane TheZ="0" TheC="0" TheT="0" {_position(at.stage, at.stage_unit)}/>'
            images.append(
                ome_image(
                    number,
                    data,
                    sizes=f"{x} {y} {z} {c} {t}",
                    kind=KINDS[at.voxels.dtype.str[1:]],
                    attributes=at.calibration,
                )  # fmt: skip
            )
            planes += [at.voxels[n, m, k] for n in range(t) for m in range(c) for k in range(z)]
        written.append(f'<Well ID="Well:{len(written)}" Row="{row}" Column="{column}">{samples}</Well>')
    plate = f'<Plate ID="Plate:0" Name="{name}">{"".join(written)}</Plate>'
    with tifffile.TiffWriter(path) as writer:
        for number, plane in enumerate(planes):
            text = ome_xml("".join(images), plate).encode() if number == 0 else None
            writer.write(plane, photometric="minisblack", description=text, metadata=None)
    return path


def _position(position: tuple[float, float] | None, unit: str) -> str:
    if position is None:
        return ""
    y, x = position
    return f'PositionX="{x}" PositionXUnit="{unit}" PositionY="{y}" PositionYUnit="{unit}"'

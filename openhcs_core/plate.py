"""Plates: addresses of planes, and what a plate looks like."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any, NamedTuple

import numpy as np

from openhcs_core.errors import OpenHCSError

COMPONENTS = ("well", "site", "channel", "z_index", "timepoint")
"""What tells one plane from another."""

_STEM = re.compile(
    r"(?P<well>[A-Za-z]+\d+)_s(?P<site>\d+)_w(?P<channel>\d+)_z(?P<z_index>\d+)(?:_t(?P<timepoint>\d+))?"
)


class PlateError(OpenHCSError):
    """A plate does not have what is wanted, or its planes do not fit together."""


class PlaneAddress(NamedTuple):
    """One plane of a plate. All numbers count from 1.

    Attributes
    ----------
    well : str
        Row in letters and column from 1 with at least two digits, such as "B03".
    site : int
        Field of view.
    channel, z_index, timepoint : int
    """

    well: str
    site: int = 1
    channel: int = 1
    z_index: int = 1
    timepoint: int = 1

    @property
    def stem(self) -> str:
        """Name without ending, such as ``B03_s001_w1_z001_t001``."""
        return f"{self.well}_s{self.site:03}_w{self.channel}_z{self.z_index:03}_t{self.timepoint:03}"

    @property
    def path(self) -> str:
        """Name as a file, such as ``B03_s001_w1_z001_t001.tif``."""
        return f"{self.stem}.tif"

    @classmethod
    def from_path(cls, path: str) -> PlaneAddress:
        """The address behind such a name, with or without folders and ending; the time may be absent.

        Raises
        ------
        PlateError
            If it is none.
        """
        found = _STEM.fullmatch(PurePath(path).stem)
        if found is None:
            raise PlateError(f"{path!r} is no name of a plane such as B03_s001_w1_z001_t001.tif.")
        well, *numbers = found.groups("1")
        return cls(well, *map(int, numbers))


@dataclass(frozen=True)
class PlateChannel:
    """One channel of a plate.

    Attributes
    ----------
    name : str
        Its number if it has no other.
    color : (red, green, blue), optional
        From 0 to 1.
    window : (low, high), optional
        Values shown black and full.
    """

    name: str
    color: tuple[float, float, float] | None = None
    window: tuple[float, float] | None = None


@dataclass(frozen=True)
class PlateLayout:
    """What there is on a plate.

    Attributes
    ----------
    name : str
    planes : mapping of str to sequence of PlaneAddress
        All planes of each well, sorted; the wells in order of row and column.
    size_yx : (height, width)
        Of every plane, in pixels.
    dtype : dtype
    channels : sequence of PlateChannel
        That of channel 1 first.
    voxel_size_um : (z, y, x)
        Micrometres; None where unknown.
    positions_um : mapping of (well, site) to (y, x)
        Position of the field in its well, in micrometres; y grows downwards, as in the image. Absent where unknown.
    source_ids : mapping of (well, site) to int
        Ids of the images in OMERO, if they come from there.
    """

    name: str
    planes: Mapping[str, Sequence[PlaneAddress]]
    size_yx: tuple[int, int]
    dtype: np.dtype
    channels: Sequence[PlateChannel]
    voxel_size_um: tuple[float | None, float | None, float | None] = (None, None, None)
    positions_um: Mapping[tuple[str, int], tuple[float, float]] = field(default_factory=dict)
    source_ids: Mapping[tuple[str, int], int] = field(default_factory=dict)

    @property
    def wells(self) -> list[str]:
        """Names of the wells, by row and column."""
        return list(self.planes)

    def values(self, component: str, well: str) -> list[Any]:
        """The values that a component takes in a well, sorted: names of wells, else numbers."""
        place = COMPONENTS.index(component)
        return sorted({address[place] for address in self.planes[well]})


def component_values(addresses: Collection[PlaneAddress]) -> dict[str, list[Any]]:
    """The values that each component takes, in order: wells by row and column, else numbers."""
    wells, *numbers = ({address[place] for address in addresses} for place in range(len(COMPONENTS)))
    ordered: list[list[Any]] = [sorted_wells(map(str, wells)), *map(sorted, numbers)]
    return dict(zip(COMPONENTS, ordered, strict=True))


def sorted_wells(wells: Iterable[str]) -> list[str]:
    """Names of wells by row and column: B2 before B10, Z1 before AA1."""

    def key(well: str) -> tuple[int, str, int]:
        found = re.fullmatch(r"([A-Za-z]*)(\d*)", well)
        letters, digits = found.groups() if found else (well, "")
        return len(letters), letters.upper(), int(digits or 0)

    return sorted(wells, key=key)


def well_name(row: int, column: int) -> str:
    """Name of the well in a row and column, both from 0: (1, 2) is "B03", row 26 "AA"."""
    letters = ""
    row += 1
    while row:
        row, rest = divmod(row - 1, 26)
        letters = chr(ord("A") + rest) + letters
    return f"{letters}{column + 1:02}"

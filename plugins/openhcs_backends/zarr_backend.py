"""The backend "zarr": OME-Zarr plates."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from openhcs_backends.ome_zarr_format import OWN, array_facts, attributes, is_zarr, own_channels
from openhcs_backends.zarr_results import ZarrResults
from openhcs_core.local import LocalError, LocalImage, open_image
from openhcs_core.local.units import micrometres
from openhcs_core.plate import PlaneAddress, PlateChannel, PlateLayout, sorted_wells, well_name
from openhcs_core.storage.backend import Plate, Results, StorageBackend, StorageError

_OPEN_IMAGES = 8


class ZarrBackend(StorageBackend):
    """Plates and results as OME-Zarr: any plate of version 0.4 or 0.5 is read, version 0.4 is written."""

    name = "zarr"

    def recognises(self, location: str) -> bool:
        return is_zarr(Path(location))

    def open_plate(self, location: str) -> ZarrPlate:
        return ZarrPlate(Path(location).absolute())

    def open_results(self, results: Results) -> ZarrResults:
        return ZarrResults(results)


@dataclass(frozen=True)
class ZarrField:
    """One field of a plate.

    Attributes
    ----------
    path : Path
        Of its image.
    timepoints, channels, z_indexes : sequence of int
        Numbers along its axes.
    size_yx : (height, width)
    dtype : dtype
    position_um : (y, x) or None
    missing : set of (t, c, z)
        Numbers of planes that are not there.
    """

    path: Path
    timepoints: Sequence[int]
    channels: Sequence[int]
    z_indexes: Sequence[int]
    size_yx: tuple[int, int]
    dtype: np.dtype
    position_um: tuple[float, float] | None = None
    missing: frozenset[tuple[int, int, int]] = field(default_factory=frozenset)

    def __str__(self) -> str:
        return f"{self.path} ({self.size_yx[0]} x {self.size_yx[1]} pixels of {self.dtype})"


class ZarrPlate(Plate):
    """An OME-Zarr plate.

    Parameters
    ----------
    folder : Path

    Raises
    ------
    StorageError
        If it is none, or its fields differ in size or type.
    """

    def __init__(self, folder: Path) -> None:
        self._open: OrderedDict[Path, LocalImage] = OrderedDict()
        self.source = str(folder)
        if not folder.is_dir():
            raise StorageError(f"{folder} does not exist.")
        known = attributes(folder)
        about = known.get("plate")
        if not isinstance(about, dict):
            what = "an image" if "multiscales" in known else "no OME-Zarr plate, or one that is not finished"
            raise StorageError(f"{folder} is {what}. Give the folder of a plate.")
        try:
            self._fields = dict(_fields(folder, about))
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
            raise StorageError(f"The metadata of {folder} make no sense: {type(error).__name__} {error}.") from error
        if not self._fields:
            raise StorageError(f"The plate {folder} has no fields.")
        self._check_alike()
        planes: dict[str, list[PlaneAddress]] = {well: [] for well in sorted_wells({well for well, _ in self._fields})}
        for (well, site), item in sorted(self._fields.items()):
            planes[well] += sorted(
                PlaneAddress(well, site, c, z, t)
                for c in item.channels
                for z in item.z_indexes
                for t in item.timepoints
                if (t, c, z) not in item.missing
            )
        first = next(iter(self._fields.values()))
        self.layout = PlateLayout(
            str(about.get("name") or folder.name.split(".")[0]),
            planes,
            first.size_yx,
            first.dtype,
            self._channels(known.get(OWN) or {}, first),
            self._image(first.path).metadata.voxel_size_um,
            {key: item.position_um for key, item in self._fields.items() if item.position_um is not None},
        )

    def read(self, addresses: Sequence[PlaneAddress]) -> list[np.ndarray]:
        planes: list[np.ndarray] = []
        while len(planes) < len(addresses):
            planes += self._sections(addresses, len(planes))
        return planes

    def close(self) -> None:
        while self._open:
            self._open.popitem()[1].close()

    def _sections(self, addresses: Sequence[PlaneAddress], begin: int) -> list[np.ndarray]:
        """Planes from one on as far as they are neighbours in one array: what is stored together is read once."""
        first = addresses[begin]
        item = self._fields.get((first.well, first.site))
        try:
            if item is None:
                raise ValueError
            t, c = item.timepoints.index(first.timepoint), item.channels.index(first.channel)
            z = item.z_indexes.index(first.z_index)
        except ValueError:
            raise StorageError(f"{self.source} has no plane {first.stem}.") from None
        end = z + 1
        for address in addresses[begin + 1 :]:
            if end == len(item.z_indexes) or address != first._replace(z_index=item.z_indexes[end]):
                break
            end += 1
        try:
            slab = self._image(item.path).read(t, c, z, end, 0, item.size_yx[0])
        except LocalError as error:
            raise StorageError(str(error)) from error
        except Exception as error:  # a damaged chunk makes its decoder fail in any way
            raise StorageError(f"{item.path} cannot be read at {first.stem}: {error}.") from error
        return [np.array(plane, item.dtype) for plane in slab]

    def _image(self, path: Path) -> LocalImage:
        """The image of a field; the last few stay open."""
        if path not in self._open:
            try:
                self._open[path] = open_image(path)
            except LocalError as error:
                raise StorageError(str(error)) from error
            if len(self._open) > _OPEN_IMAGES:
                self._open.popitem(last=False)[1].close()
        self._open.move_to_end(path)
        return self._open[path]

    def _check_alike(self) -> None:
        kinds: dict[tuple, ZarrField] = {}
        for item in self._fields.values():
            kinds.setdefault((item.size_yx, item.dtype), item)
        if len(kinds) > 1:
            raise StorageError(f"The fields of {self.source} are not alike: {'; '.join(map(str, kinds.values()))}.")

    def _channels(self, own: Mapping[str, Any], first: ZarrField) -> list[PlateChannel]:
        if own.get("channels"):
            channels = own_channels(own["channels"])
        else:
            channels = [
                PlateChannel(item.name or str(place + 1), item.color, item.window)
                for place, item in enumerate(self._image(first.path).metadata.channels)
            ]
        most = max(number for item in self._fields.values() for number in item.channels)
        return channels + [PlateChannel(str(number + 1)) for number in range(len(channels), most)]


def _fields(folder: Path, about: Mapping[str, Any]) -> Iterator[tuple[tuple[str, int], ZarrField]]:
    """Every field of a plate by well and site; what metadata lack raises KeyError and the like."""
    for well in about["wells"]:
        below = _inside(folder, well["path"])
        name = _well(well, about)
        for place, image in enumerate(attributes(below)["well"]["images"]):
            path = _inside(below, image["path"])
            known = attributes(path)
            own = known.get(OWN) or {}
            yield (name, int(own.get("site", place + 1))), _field(path, known["multiscales"][0], own)


def _field(path: Path, scales: Mapping[str, Any], own: Mapping[str, Any]) -> ZarrField:
    full = scales["datasets"][0]
    shape, dtype = array_facts(_inside(path, full["path"]))
    axes = [axis if isinstance(axis, dict) else {"name": axis} for axis in scales.get("axes", list("tczyx"))]
    sizes = dict(zip((axis["name"] for axis in axes), shape, strict=True))
    times, channels, sections = (
        [int(number) for number in own.get(name) or range(1, sizes.get(axis, 1) + 1)]
        for name, axis in (("timepoints", "t"), ("channels", "c"), ("z_indexes", "z"))
    )
    if [len(times), len(channels), len(sections)] != [sizes.get(axis, 1) for axis in "tcz"]:
        raise ValueError(f"{path}: the numbers under '{OWN}' do not fit its axes")
    missing = frozenset((int(t), int(c), int(z)) for t, c, z in own.get("missing", ()))
    return ZarrField(
        path, times, channels, sections, (sizes["y"], sizes["x"]), dtype, _position(full, axes, own), missing
    )


def _position(
    full: Mapping[str, Any], axes: Sequence[Mapping[str, Any]], own: Mapping[str, Any]
) -> tuple[float, float] | None:
    """Where a field lies in its well (y, x), in micrometres."""
    if "position_um" in own:
        y, x = own["position_um"]
        return float(y), float(x)
    for change in full.get("coordinateTransformations", ()):
        if change.get("type") == "translation":
            offsets = {
                axis["name"]: micrometres(float(offset), axis.get("unit", ""))
                for axis, offset in zip(axes, change["translation"], strict=True)
            }
            if offsets["y"] is not None and offsets["x"] is not None:
                return offsets["y"], offsets["x"]
    return None


def _well(well: Mapping[str, Any], about: Mapping[str, Any]) -> str:
    """Name such as B03: from the names of row and column if they are a letter and a number, else by their places."""
    row, _, column = str(well["path"]).partition("/")
    if row.isalpha() and row.isascii() and column.isdecimal() and int(column):
        return f"{row.upper()}{int(column):02}"
    names = [[item["name"] for item in about[key]] for key in ("rows", "columns")]
    return well_name(names[0].index(row), names[1].index(column))


def _inside(folder: Path, path: str) -> Path:
    """A path below a folder; raises ValueError if it leads out of it."""
    parts = PurePosixPath(path)
    if parts.is_absolute() or ".." in parts.parts:
        raise ValueError(f"the path {path!r} leads out of {folder}")
    return folder / parts

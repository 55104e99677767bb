"""The backend "zarr": results as OME-Zarr plates."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numcodecs  # type: ignore[import-untyped]
import numpy as np

from openhcs_backends.folder_results import FolderResults
from openhcs_backends.ome_zarr_format import OWN, VERSION, multiscales, omero, plate, write_array, write_group
from openhcs_core.plate import PlaneAddress, PlateChannel
from openhcs_core.storage.backend import Results, StorageError

_SMALLEST = 256
"""Levels are made until neither height nor width is larger."""
_CHUNK = 2048
"""Planes that are no larger are one chunk; larger ones are cut into chunks of half that."""
_CODEC = numcodecs.Blosc("zstd", clevel=1, shuffle=numcodecs.Blosc.SHUFFLE)


@dataclass
class Field:
    """What has been saved of the images, or the labels, that a step gives of a field."""

    shape: tuple[int, int]
    dtype: np.dtype
    ranges: dict[PlaneAddress, tuple[float, float]] = field(default_factory=dict)


class ZarrResults(FolderResults):
    """Results as one OME-Zarr plate per step, ``<step>.zarr``; labels are those of the images of the step.

    Where a step gives labels only, they are its images, too, without being stored twice. Each plane is stored on its
    own, and each well by one process; the plate is there for readers once it is finished.
    """

    def __init__(self, results: Results) -> None:
        super().__init__(results, "zarr")
        self._fields: dict[str, dict[tuple[str, int, str], Field]] = {}

    def begin_well(self, well: str) -> None:
        self._fields.pop(well, None)
        super().begin_well(well)

    def save_plane(self, parts: Path, address: PlaneAddress, plane: np.ndarray, step_name: str, kind: str) -> None:
        shape, dtype = (plane.shape[0], plane.shape[1]), plane.dtype.newbyteorder("<")
        fields = self._fields.setdefault(address.well, {})
        known = fields.setdefault((step_name, address.site, kind), Field(shape, dtype))
        if (known.shape, known.dtype) != (shape, dtype):
            raise StorageError(
                f"Step '{step_name}', {address.stem}: {shape} pixels of {dtype}, but others of the field are "
                f"{known.shape} of {known.dtype}. Planes of a field are stored together and must be alike."
            )
        for level, reduced in enumerate(levels(plane.astype(dtype, copy=False), kind == "labels")):
            folder = parts / step_name / kind / address.stem / str(level)
            height, width = chunk_size(reduced.shape)
            for y in range(0, reduced.shape[0], height):
                row = folder / str(y // height)
                row.mkdir(parents=True, exist_ok=True)
                for x in range(0, reduced.shape[1], width):
                    block = reduced[y : y + height, x : x + width]
                    if block.shape != (height, width):  # chunks are stored whole
                        block = np.pad(block, [(0, height - block.shape[0]), (0, width - block.shape[1])])
                    (row / str(x // width)).write_bytes(_CODEC.encode(np.ascontiguousarray(block)))
        known.ranges[address] = value_range(plane)

    def place_well(self, parts: Path, well: str) -> list[tuple[Path, Path]]:
        steps: dict[str, dict[int, dict[str, Field]]] = defaultdict(lambda: defaultdict(dict))
        for (step, site, kind), known in sorted(self._fields.pop(well, {}).items()):
            steps[step][site][kind] = known
        moves = []
        for step, sites in steps.items():
            made = parts / f"{step}.zarr"
            for place, (site, kinds) in enumerate(sites.items()):
                self._place_field(parts / step, made / str(place), step, (well, site), kinds)
            images = [{"path": str(place)} for place in range(len(sites))]
            write_group(made, {"well": {"version": VERSION, "images": images}})
            moves.append((made, Path(f"{step}.zarr", *row_and_column(well))))
        return moves

    def complete(self) -> tuple[list[Path], list[str]]:
        steps: dict[str, list[Path]] = defaultdict(list)
        for targets in self.folder.results().values():
            for target in targets:
                steps[target.parts[0]].append(target)
        made, statements = [], []
        for name, targets in sorted(steps.items()):
            path = self.folder.path / name
            wells = [(target.parts[1], target.parts[2]) for target in targets]
            fields = max(sum(entry.is_dir() for entry in os.scandir(self.folder.path / target)) for target in targets)
            for row in {row for row, _ in wells}:
                write_group(path / row)
                made.append(path / row / ".zgroup")
            title = f"{self.layout.name} {name.removesuffix('.zarr')}"
            write_group(path, plate(title, wells, fields, self.layout))
            made += [path / ".zattrs", path / ".zgroup"]
            statements.append(f"{path}: {len(wells)} wells")
        return made, statements

    def _place_field(
        self, planes: Path, image: Path, step: str, where: tuple[str, int], kinds: dict[str, Field]
    ) -> None:
        """Make the image of a field of what has been saved of it, with its labels."""
        if "labels" in kinds:
            labels, known = image / "labels", kinds["labels"]
            paths = self._place_planes(planes / "labels", labels / step, known)
            write_group(labels / step, self._about(step, where, known, paths) | {"image-label": _LABELS})
            write_group(labels, {"labels": [step]})
        if "image" in kinds:
            known = kinds["image"]
            paths = self._place_planes(planes / "image", image, known)
        else:
            paths = [f"labels/{step}/{path}" for path in paths]
        about = self._about(step, where, known, paths)
        numbers = about[OWN]["channels"]
        channels = [self._channel(number, known) for number in numbers]
        ranges = [
            [values for address, values in known.ranges.items() if address.channel == number] for number in numbers
        ]
        limits = [(min(low for low, _ in found), max(high for _, high in found)) for found in ranges]
        write_group(image, about | {"omero": omero(step, channels, limits, known.dtype)})

    def _place_planes(self, planes: Path, image: Path, known: Field) -> list[str]:
        """Bring planes to their place in an array per level; return the paths of the arrays."""
        times, channels, sections = grid(known)
        shape, paths = known.shape, []
        for level, size in enumerate(level_shapes(shape)):
            array = image / str(level)
            for address in known.ranges:
                index = (
                    times.index(address.timepoint), channels.index(address.channel), sections.index(address.z_index)
                )  # fmt: skip
                target = array.joinpath(*map(str, index))
                target.parent.mkdir(parents=True, exist_ok=True)
                os.rename(planes / address.stem / str(level), target)
            whole = (len(times), len(channels), len(sections), *size)
            write_array(array, whole, (1, 1, 1, *chunk_size(size)), known.dtype, _CODEC.get_config())
            paths.append(str(level))
        return paths

    def _about(self, step: str, where: tuple[str, int], known: Field, paths: Sequence[str]) -> dict:
        """Attributes of an image."""
        times, channels, sections = grid(known)
        there = {(address.timepoint, address.channel, address.z_index) for address in known.ranges}
        own: dict[str, Any] = {
            "site": where[1],
            "timepoints": times,
            "channels": channels,
            "z_indexes": sections,
            "missing": [
                [t, c, z] for t in times for c in channels for z in sections if (t, c, z) not in there
            ],
        }  # fmt: skip
        position = self.layout.positions_um.get(where)
        if position is not None:
            own["position_um"] = [float(offset) for offset in position]
        scales = multiscales(step, paths, self.layout.voxel_size_um, position)
        return {"multiscales": scales, OWN: own}

    def _channel(self, number: int, known: Field) -> PlateChannel:
        """Channel of the plate; its window only where values can mean the same."""
        if number > len(self.layout.channels):
            return PlateChannel(str(number))
        channel = self.layout.channels[number - 1]
        same = known.dtype.newbyteorder("=") == self.layout.dtype.newbyteorder("=")
        return PlateChannel(channel.name, channel.color, channel.window if same else None)


_LABELS = {"version": VERSION, "source": {"image": "../../"}}


def value_range(plane: np.ndarray) -> tuple[float, float]:
    """The lowest and the highest value that is a number; 0 if there is none."""
    numbers = plane[np.isfinite(plane)] if plane.dtype.kind == "f" else plane
    return (float(numbers.min()), float(numbers.max())) if numbers.size else (0.0, 0.0)


def grid(known: Field) -> tuple[list[int], list[int], list[int]]:
    """Time points, channels and sections of a field."""
    numbers = ("timepoint", "channel", "z_index")
    times, channels, sections = (sorted({getattr(address, name) for address in known.ranges}) for name in numbers)
    return times, channels, sections


def row_and_column(well: str) -> tuple[str, str]:
    """Names of the row and column of a well: "B03" is row "B", column "03"."""
    found = re.fullmatch(r"([A-Za-z]+)(\d+)", well)
    if found is None:
        raise StorageError(f"{well!r} is no name of a well such as B03.")
    return found[1], found[2]


def level_shapes(shape: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Height and width of each level of resolution."""
    height, width = shape
    yield height, width
    while max(height, width) > _SMALLEST:
        height, width = -(-height // 2), -(-width // 2)
        yield height, width


def chunk_size(shape: Sequence[int]) -> tuple[int, int]:
    """Height and width of the chunks of a plane."""
    height, width = (size if size <= _CHUNK else _CHUNK // 2 for size in shape)
    return height, width


def levels(plane: np.ndarray, labels: bool) -> Iterator[np.ndarray]:
    """The plane at each level of resolution: means of 2 x 2 pixels; of labels every other pixel."""
    yield plane
    for _ in list(level_shapes(plane.shape))[1:]:
        plane = plane[::2, ::2] if labels else halved(plane)
        yield plane


def halved(plane: np.ndarray) -> np.ndarray:
    """Means of 2 x 2 pixels, in the type of the plane; a last odd row or column is its own neighbour."""
    if plane.shape[0] % 2 or plane.shape[1] % 2:
        plane = np.pad(plane, [(0, plane.shape[0] % 2), (0, plane.shape[1] % 2)], mode="edge")
    corners = [plane[y::2, x::2] for y in (0, 1) for x in (0, 1)]
    if plane.dtype.kind == "f":
        wide = max(plane.dtype, np.dtype(np.float32), key=lambda dtype: dtype.itemsize)
        return (sum((corner.astype(wide) for corner in corners), np.zeros((), wide)) / 4).astype(plane.dtype)
    if plane.dtype.itemsize == 8:  # no wider type: at most 3 too low
        return sum((corner // 4 for corner in corners), np.zeros((), plane.dtype))
    wide = np.dtype(np.int64 if plane.dtype.itemsize == 4 else np.int32)
    return ((sum((corner.astype(wide) for corner in corners), np.full((), 2, wide))) // 4).astype(plane.dtype)

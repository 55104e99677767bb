"""The backend "disk": folders of TIFF files."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile

from openhcs_backends.disk_names import NamedFile, image_files, named_files, some_names
from openhcs_backends.disk_results import LABELS, DiskResults
from openhcs_backends.harmony import read_index
from openhcs_backends.ome_zarr_format import is_zarr
from openhcs_backends.plate_file import PLATE_FILE, PlateFile, read_plate_file
from openhcs_backends.run_folder import STATE
from openhcs_core.imaris import ImsMetadata
from openhcs_core.local import LocalError, LocalImage, open_image
from openhcs_core.local.image import reason
from openhcs_core.local.tiff_metadata import tiff_metadata
from openhcs_core.plate import PlaneAddress, PlateChannel, PlateLayout, sorted_wells
from openhcs_core.storage.backend import Plate, Results, StorageBackend, StorageError

_OPEN_STACKS = 4


class DiskBackend(StorageBackend):
    """Plates as folders of TIFF files, and results as such."""

    name = "disk"

    def recognises(self, location: str) -> bool:
        """Whether it is a folder with TIFF files, or one of results, of which a step may be meant."""
        folder = Path(location)
        try:
            if not folder.is_dir() or is_zarr(folder):
                return False
            known = any((folder / name).exists() for name in (PLATE_FILE, STATE))
            return known or bool(_listed(folder, PlateFile())[1])
        except OSError:
            return False

    def open_plate(self, location: str) -> DiskPlate:
        return DiskPlate(Path(location).absolute())

    def open_results(self, results: Results) -> DiskResults:
        return DiskResults(results)


@dataclass(frozen=True)
class FileShape:
    """What a file holds.

    Attributes
    ----------
    sizes : (T, C, Z)
    size_yx : (height, width)
    dtype : dtype
        In the byte order of the machine.
    metadata : ImsMetadata
    """

    sizes: tuple[int, int, int]
    size_yx: tuple[int, int]
    dtype: np.dtype
    metadata: ImsMetadata

    @property
    def is_plane(self) -> bool:
        return self.sizes == (1, 1, 1)

    def __str__(self) -> str:
        t, c, z = self.sizes
        stack = "" if self.is_plane else f", T {t}, C {c}, Z {z}"
        return f"{self.size_yx[0]} x {self.size_yx[1]} pixels of {self.dtype}{stack}"


class DiskPlate(Plate):
    """A folder of TIFF files as a plate.

    Which plane a file holds its name says (`openhcs_backends.disk_names`), or its axes where it holds several. Names,
    calibration and positions are those of ``openhcs_plate.toml`` beside the files, or else of the index that the
    microscope wrote, or else those of the first files.

    One file of each well is opened for its size and type; the others are held to it when they are read.

    Parameters
    ----------
    folder : Path

    Raises
    ------
    StorageError
        If it is no plate: nothing that is known, or files that contradict each other. The message names files.
    """

    def __init__(self, folder: Path) -> None:
        self._stacks: OrderedDict[str, LocalImage] = OrderedDict()
        about = read_plate_file(folder)
        try:
            self._folder, paths = _listed(folder, about)
            inside = [] if paths else sorted(path.parent.name for path in folder.glob(f"*/{PLATE_FILE}"))
        except OSError as error:
            raise StorageError(f"{folder} cannot be opened as a plate: {error.strerror or error}.") from error
        if not paths:
            advice = (
                f"Give one of the folders in it: {', '.join(inside)}." if inside else "Give a folder that has some."
            )
            raise StorageError(f"There are no TIFF files in {folder}. {advice}")
        if self._folder != folder:
            about = read_plate_file(self._folder)
        index = read_index(self._folder)
        self.source = str(self._folder)
        files, left, texts = named_files(paths, about, self._folder)
        if left:
            self.statements = [f"{len(left)} files with other names are left out: {some_names(left)}"]
        wells: dict[str, list[NamedFile]] = {well: [] for well in sorted_wells({file.well for file in files})}
        for file in files:
            wells[file.well].append(file)
        self._shapes = {well: self._probed(named[0]) for well, named in wells.items()}
        self._check_shapes(wells)
        self._places = self._placed(files)
        first = next(iter(wells))
        planes: dict[str, list[PlaneAddress]] = {well: [] for well in wells}
        for address in sorted(self._places):
            planes[address.well].append(address)
        shape = self._shapes[first]
        self.layout = PlateLayout(
            about.name or self._folder.name,
            planes,
            shape.size_yx,
            shape.dtype,
            self._channels(
                about.channels or index.channels,
                wells[first],
                texts,
                max(address.channel for address in self._places),
            ),
            _first_known(about.voxel_size_um, index.voxel_size_um, shape.metadata.voxel_size_um),
            {**index.positions_um, **about.positions_um},
        )

    def read(self, addresses: Sequence[PlaneAddress]) -> list[np.ndarray]:
        return [self._plane(address) for address in addresses]

    def close(self) -> None:
        while self._stacks:
            self._stacks.popitem()[1].close()

    def _plane(self, address: PlaneAddress) -> np.ndarray:
        if address not in self._places:
            raise StorageError(f"{self._folder} has no plane {address.stem}.")
        name, t, c, z = self._places[address]
        path, expected = self._folder / name, self._shapes[address.well]
        try:
            if expected.is_plane:
                with tifffile.TiffFile(path, _multifile=False) as tiff:
                    if tiff.pages.is_multipage and len(tiff.series[0]) > 1:
                        raise StorageError(f"{path} holds several planes, others of its well one. Convert it.")
                    plane = tiff.pages[0].asarray()
            else:
                plane = self._stack(name, expected).read(t, c, z, z + 1, 0, expected.size_yx[0])[0]
        except StorageError:
            raise
        except LocalError as error:
            raise StorageError(str(error)) from error
        except Exception as error:  # a damaged file makes its reader fail in any way
            raise StorageError(f"{path} cannot be read: {reason(error)}.") from error
        if plane.shape != expected.size_yx or plane.dtype.newbyteorder("=") != expected.dtype:
            raise StorageError(
                f"{path} has the shape {plane.shape} and type {plane.dtype}, the plate is of {expected}. "
                "All files of a plate are alike: move it elsewhere, or convert it."
            )
        return plane.astype(expected.dtype, copy=False)

    def _stack(self, name: str, expected: FileShape) -> LocalImage:
        """A file of several planes; the last few stay open."""
        if name not in self._stacks:
            image = open_image(self._folder / name)
            if image.shape[:3] != expected.sizes or len(image.files) > 1:
                image.close()
                raise StorageError(
                    f"{self._folder / name} has T, C, Z of {image.shape[:3]}, others of its well {expected.sizes}. "
                    "All files of a well are alike: move it elsewhere, or convert it."
                )
            self._stacks[name] = image
            if len(self._stacks) > _OPEN_STACKS:
                self._stacks.popitem(last=False)[1].close()
        self._stacks.move_to_end(name)
        return self._stacks[name]

    def _probed(self, file: NamedFile) -> FileShape:
        """What a file holds."""
        path = self._folder / file.path
        try:
            with tifffile.TiffFile(path, _multifile=False) as tiff:
                page = tiff.pages[0]
                if tiff.pages.is_multipage or page.ndim != 2 or len(tiff.series[0]) > 1:
                    return self._probed_stack(path)
                metadata, _ = tiff_metadata(tiff, 0, 1, 1, path)
                dtype = np.dtype(page.dtype).newbyteorder("=")
                return FileShape((1, 1, 1), (page.shape[0], page.shape[1]), dtype, metadata)
        except StorageError:
            raise
        except LocalError as error:
            raise StorageError(str(error)) from error
        except Exception as error:
            raise StorageError(f"{path} cannot be read: {reason(error)}.") from error

    @staticmethod
    def _probed_stack(path: Path) -> FileShape:
        with open_image(path) as image:
            t, c, z, y, x = image.shape
            if len(image.files) > 1:
                raise StorageError(
                    f"{path} is one of several files that are one image. Save it as one file, or as one per plane."
                )
            return FileShape((t, c, z), (y, x), image.dtype.newbyteorder("="), image.metadata)

    def _check_shapes(self, wells: Mapping[str, Sequence[NamedFile]]) -> None:
        """Raise StorageError if wells differ in size or type, naming a file of each kind."""
        kinds: dict[tuple, str] = {}
        for well, shape in self._shapes.items():
            kinds.setdefault((shape.size_yx, shape.dtype), f"{wells[well][0].path} ({shape})")
        if len(kinds) > 1:
            raise StorageError(
                f"The files in {self._folder} are not alike: {'; '.join(kinds.values())}. "
                "Put those of one size and type into a folder of their own."
            )
        dtype = next(iter(self._shapes.values())).dtype
        if dtype.kind not in "iuf":
            raise StorageError(f"The files in {self._folder} have pixels of type {dtype}, which cannot be worked on.")

    def _placed(self, files: Iterable[NamedFile]) -> dict[PlaneAddress, tuple[str, int, int, int]]:
        """Where each plane is: file, and T, C and Z in it."""
        places: dict[PlaneAddress, tuple[str, int, int, int]] = {}
        for file in files:
            sizes = self._shapes[file.well].sizes
            said = (file.timepoint, file.channel, file.z_index)
            for name, number, size in zip(("time point", "channel", "section"), said, sizes, strict=True):
                if number is not None and size > 1:
                    raise StorageError(
                        f"{self._folder / file.path} is of one {name} by its name, but holds {size}. Convert it."
                    )
            for index in np.ndindex(*sizes):
                t, c, z = (place + 1 if number is None else number for place, number in zip(index, said, strict=True))
                address = PlaneAddress(file.well, file.site, c, z, t)
                if address in places:
                    raise StorageError(
                        f"In {self._folder}, {places[address][0]} and {file.path} are both {address.stem}. Keep one."
                    )
                places[address] = file.path, *index
        return places

    def _channels(
        self, told: Sequence[PlateChannel], files: Sequence[NamedFile], texts: Sequence[str], number: int
    ) -> list[PlateChannel]:
        """Channels as they are told beside the files, or else by the files of one well, or else by their names."""
        described: dict[int, PlateChannel] = {}
        for file in files:
            shape = self._shapes[file.well]
            if file.channel is None:
                described = {place + 1: _described(item) for place, item in enumerate(shape.metadata.channels)}
                break
            if file.channel not in described:
                channels = (self._probed(file) if shape.is_plane else shape).metadata.channels
                described[file.channel] = _described(channels[0]) if len(channels) == 1 else PlateChannel("")
        uses = Counter(channel.name for channel in described.values())
        named = []
        for place in range(number):
            known = described.get(place + 1, PlateChannel(""))
            name = known.name if uses[known.name] == 1 else ""  # one name for several channels tells nothing
            name = name or (texts[place] if place < len(texts) else "") or str(place + 1)
            named.append(PlateChannel(name, known.color, known.window))
        return [*told, *named[len(told) :]]


def _listed(folder: Path, about: PlateFile) -> tuple[Path, list[str]]:
    """The folder that holds the files, and their paths below it; labels if there is nothing else."""
    everywhere = about.pattern is not None and "/" in about.pattern.pattern
    paths = image_files(folder, everywhere)
    if not paths and (folder / LABELS).is_dir():
        return _listed(folder / LABELS, about)
    return folder, paths


def _described(channel: object) -> PlateChannel:
    known = {name: getattr(channel, name) for name in ("name", "color", "window")}
    return PlateChannel(**known)


def _first_known(*sizes: Sequence[float | None]) -> tuple[float | None, float | None, float | None]:
    z, y, x = (next((size for size in axis if size is not None), None) for axis in zip(*sizes, strict=True))
    return z, y, x

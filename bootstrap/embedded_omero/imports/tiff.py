"""The structure of TIFF files: which images they hold, and where each plane is.

OME-TIFF (in one file, in several, or with a companion file), ImageJ hyperstacks and plain TIFF are known. Only
metadata are read here.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import numpy as np
import tifffile

from ..store import Quantity
from . import omexml
from .errors import ImportFailed

# Pixel types as OMERO names them.
PIXEL_TYPES = {
    "int8": "int8", "int16": "int16", "int32": "int32", "uint8": "uint8", "uint16": "uint16", "uint32": "uint32",
    "float32": "float", "float64": "double", "complex64": "complex", "complex128": "double-complex",
}  # fmt: skip
_DTYPES = {omero: np.dtype(numpy) for numpy, omero in PIXEL_TYPES.items()} | {"bit": np.dtype("uint8")}
COMPANION = ".companion.ome"


def dtype_of(pixels_type: str) -> np.dtype:
    """NumPy type of a pixel type ("uint16", "float", ...)."""
    try:
        return _DTYPES[pixels_type]
    except KeyError:
        raise ImportFailed(f"Pixel type {pixels_type!r} is unknown; known are {', '.join(_DTYPES)}.") from None


@dataclass(frozen=True)
class Layout:
    """Where the planes of one image are.

    Attributes
    ----------
    files : tuple of Path
    file, page : ndarray of int, shape (T, C, Z)
        Index into ``files`` and number of the page (IFD) there; -1 where the file holds no such plane.
    samples : int
        Samples which lie in one page; channel c is sample ``c % samples``.
    dtype : numpy.dtype
        In native byte order.
    size_x, size_y : int
    reduced : int
        How many reduced versions follow every page as pages of their own (others are sub-pages, which need no count).
    contiguous : bool
        Whether only the first page is described and the planes follow each other, as in large ImageJ files.
    """

    files: tuple[Path, ...]
    file: np.ndarray
    page: np.ndarray
    samples: int
    dtype: np.dtype
    size_x: int
    size_y: int
    reduced: int = 0
    contiguous: bool = False


@dataclass
class Series:
    """One image: what is said about it, and where its planes are."""

    image: omexml.Image
    layout: Layout


@dataclass
class Structure:
    """What a file, with the files it refers to, holds.

    Attributes
    ----------
    format : str
        As the OMERO model names it ("OMETiff", "TiffDelegate").
    files : list of Path
        Every file which is needed, the one that was named first.
    series : list of Series
    plates : list of omexml.Plate
    """

    format: str
    files: list[Path]
    series: list[Series]
    plates: list[omexml.Plate] = field(default_factory=list)


def read_structure(path: Path) -> Structure:
    """What ``path`` holds.

    Raises
    ------
    ImportFailed
        If the file is missing, unreadable, no TIFF, or says something which cannot be.
    """
    if path.name.lower().endswith(COMPANION):
        return _ome(path, omexml.parse(_read_text(path)), None)
    try:
        with _Complaints() as complaints, tifffile.TiffFile(path) as tiff:
            found = _of_tiff(path, tiff)
        if complaints.text:
            raise ImportFailed(f"{path} is damaged: {complaints.text}.")
        return found
    except FileNotFoundError:
        raise ImportFailed(f"{path} does not exist.") from None
    except OSError as exc:
        raise ImportFailed(f"Cannot read {path}: {exc.strerror or exc}.") from exc
    except tifffile.TiffFileError as exc:
        raise ImportFailed(f"{path} is not a TIFF file or is damaged: {exc}.") from exc


class _Complaints(logging.Handler):
    """Collects what tifffile complains about in this thread: it goes on after errors which mean a damaged file."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.text = ""
        self._thread = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self._thread and not self.text:
            self.text = record.getMessage()

    def __enter__(self) -> _Complaints:
        logging.getLogger("tifffile").addHandler(self)
        return self

    def __exit__(self, *exc: object) -> None:
        logging.getLogger("tifffile").removeHandler(self)


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ImportFailed(f"{path} does not exist.") from None
    except (OSError, UnicodeDecodeError) as exc:
        raise ImportFailed(f"Cannot read {path}: {exc}.") from exc


def _of_tiff(path: Path, tiff: tifffile.TiffFile) -> Structure:
    if not len(tiff.pages):
        raise ImportFailed(f"{path} holds no image.")
    first = _page(tiff, 0)
    if first.is_ome:
        document = omexml.parse(first.description)
        if document.metadata_file is not None:
            return read_structure(_sibling(path, document.metadata_file))
        return _ome(path, document, tiff)
    if first.is_imagej:
        return Structure("TiffDelegate", [path], [_imagej(path, tiff)])
    return Structure("TiffDelegate", [path], _plain(path, tiff))


# -- OME-TIFF


def _ome(path: Path, document: omexml.Document, tiff: tifffile.TiffFile | None) -> Structure:
    if not document.images:
        raise ImportFailed(f"The OME-XML of {path} describes no image.")
    numbers: dict[str | None, int] = {None: 0, path.name: 0}
    files = [path]

    def number(name: str | None) -> int:
        if name is None and tiff is None:
            raise ImportFailed(f"{path} does not say in which file a plane is (TiffData without FileName).")
        if name not in numbers:
            numbers[name] = len(files)
            files.append(_sibling(path, name or ""))
        return numbers[name]

    layouts = [_ome_layout(image, number, lambda: len(tiff.pages) if tiff else 1) for image in document.images]
    everything = tuple(files)
    return Structure(
        "OMETiff",
        files,
        [
            Series(image, Layout(everything, file, page, samples, dtype_of(image.type), *image.sizes[:2]))
            for image, (file, page, samples) in zip(document.images, layouts, strict=True)
        ],
        document.plates,
    )


def _sibling(path: Path, name: str) -> Path:
    """A file which another one names; it must lie in the same folder or below."""
    other = Path(name)
    if other.is_absolute() or ".." in other.parts or not name:
        raise ImportFailed(f"{path.name} refers to {name!r}; files must lie in the same folder or below.")
    return path.parent / other


def _ome_layout(image: omexml.Image, number: Callable[[str | None], int], pages: Callable[[], int]):
    _, _, size_z, size_c, size_t = image.sizes
    samples = {c.samples for c in image.channels} or {1}
    if len(samples) > 1:
        raise ImportFailed(
            f"Image {image.id!r} has channels with different numbers of samples, which is not supported."
        )
    per_page = samples.pop()
    if per_page < 1 or size_c % per_page:
        raise ImportFailed(f"Image {image.id!r} has {size_c} channels, but {per_page} samples in each pixel.")
    sizes = {"Z": size_z, "C": size_c // per_page, "T": size_t}
    axes = image.order[2:]  # the first varies fastest
    total = sizes["Z"] * sizes["C"] * sizes["T"]
    file, page = (np.full((size_t, sizes["C"], size_z), -1, np.int32) for _ in range(2))
    for data in image.data or [omexml.TiffData(0, 0, 0, 0, total, None)]:
        first = {"Z": data.z, "C": data.c // per_page, "T": data.t}
        if any(not 0 <= first[a] < sizes[a] for a in axes):
            raise ImportFailed(f"TiffData of image {image.id!r} begins outside the image: {first}.")
        position = first[axes[0]] + sizes[axes[0]] * (first[axes[1]] + sizes[axes[1]] * first[axes[2]])
        start = data.ifd or 0
        count = data.count
        if count is None:
            count = 1 if data.ifd is not None else min(pages(), total - position)
        if start < 0 or not 0 <= count <= total - position:
            raise ImportFailed(
                f"TiffData of image {image.id!r} names {count} planes where {total - position} are left."
            )
        run = np.arange(position, position + count)
        index = {axes[0]: run % sizes[axes[0]]}
        index[axes[1]] = run // sizes[axes[0]] % sizes[axes[1]]
        index[axes[2]] = run // (sizes[axes[0]] * sizes[axes[1]])
        where = index["T"], index["C"], index["Z"]
        file[where], page[where] = number(data.file), np.arange(start, start + count)
    return np.repeat(file, per_page, axis=1), np.repeat(page, per_page, axis=1), per_page


# -- ImageJ and plain TIFF

# Names of units which are not their symbols.
_IMAGEJ_UNITS = {"micron": "MICROMETER", "microns": "MICROMETER", "um": "MICROMETER", "inch": "INCH"}
_MICROMETERS = {2: 25_400.0, 3: 10_000.0}  # of one unit of TIFF's ResolutionUnit


def _imagej(path: Path, tiff: tifffile.TiffFile) -> Series:
    page = _page(tiff, 0)
    says = tiff.imagej_metadata or {}
    images = int(says.get("images", 1))
    size_c, size_z, size_t = (int(says.get(n, 1)) for n in ("channels", "slices", "frames"))
    if size_c * size_z * size_t != images:
        size_c, size_z, size_t = 1, 1, images
    sizes = (size_c, size_z, size_t)
    series = _series(path, page, range(images), sizes, contiguous=len(tiff.pages) < images)
    unit = _imagej_unit(str(says.get("unit", "")))
    pixels = series.image.pixels
    for name, tag in (("physicalSizeX", "XResolution"), ("physicalSizeY", "YResolution")):
        resolution = _resolution(page, tag)
        if resolution:
            pixels[name] = Quantity(1 / resolution, unit)
    if says.get("spacing"):
        pixels["physicalSizeZ"] = Quantity(abs(float(says["spacing"])), unit)
    if says.get("finterval"):
        pixels["timeIncrement"] = Quantity(float(says["finterval"]), "SECOND")
    return series


def _imagej_unit(text: str) -> str:
    text = re.sub(r"\\u([0-9a-fA-F]{4})", lambda m: chr(int(m[1], 16)), text)  # ImageJ writes the micro sign so
    return omexml.unit_named(text) or _IMAGEJ_UNITS.get(text.lower(), "MICROMETER")


def _plain(path: Path, tiff: tifffile.TiffFile) -> list[Series]:
    """Images of a TIFF file without more metadata: pages of one kind are the time points of one image."""
    groups: list[list[int]] = []
    kinds: list[tuple] = []
    reduced = 0
    for number in range(len(tiff.pages)):
        page = _page(tiff, number)
        kind = (page.shape, page.dtype, page.samplesperpixel, page.planarconfig)
        if kinds and page.is_reduced:
            reduced += len(groups) == 1 and len(groups[0]) == 1
        elif kinds and kind == kinds[-1]:
            groups[-1].append(number)
        else:
            kinds.append(kind)
            groups.append([number])
    found = []
    for numbers in groups:
        page = _page(tiff, numbers[0])
        series = _series(path, page, numbers, (1, 1, len(numbers)), reduced=reduced)
        if page.description:
            series.image.values["description"] = page.description
        scale = _MICROMETERS.get(int(page.resolutionunit), 1.0)
        for name, tag in (("physicalSizeX", "XResolution"), ("physicalSizeY", "YResolution")):
            resolution = _resolution(page, tag)
            if resolution:
                series.image.pixels[name] = Quantity(scale / resolution, "MICROMETER")
        found.append(series)
    return found


def _page(tiff: tifffile.TiffFile, number: int) -> tifffile.TiffPage:
    return cast(tifffile.TiffPage, tiff.pages[number])


def _resolution(page: tifffile.TiffPage, tag: str) -> float:
    """Pixels in one unit of length; 0 if the file does not say."""
    value = page.tags.valueof(tag)
    return value[0] / value[1] if value and value[1] else 0.0


def _series(
    path: Path,
    page: tifffile.TiffPage,
    numbers: Iterable[int],
    sizes: tuple[int, int, int],
    reduced: int = 0,
    contiguous: bool = False,
) -> Series:
    """An image of pages with these numbers; ``sizes`` are C, Z and T, of which C varies fastest."""
    stored = page.dtype
    if stored is None or stored.name not in (*PIXEL_TYPES, "bool", "float16"):
        raise ImportFailed(
            f"{path}: pixels of {page.bitspersample} bits (sample format {page.sampleformat}) cannot be imported."
        )
    if page.imagedepth > 1:
        raise ImportFailed(f"{path}: pages with a depth cannot be imported.")
    dtype = np.dtype({"bool": "uint8", "float16": "float32"}.get(stored.name, stored.name))
    size_c, size_z, size_t = sizes
    samples = page.samplesperpixel
    cube = np.fromiter(numbers, np.int32).reshape(size_t, size_z, size_c).transpose(0, 2, 1)
    cube = np.repeat(cube, samples, axis=1)
    layout = Layout((path,), np.zeros_like(cube), cube, samples, dtype, page.imagewidth, page.imagelength, reduced,
                    contiguous)  # fmt: skip
    image = omexml.Image(
        id="Image:0",
        name=None,
        sizes=(page.imagewidth, page.imagelength, size_z, size_c * samples, size_t),
        type=PIXEL_TYPES[dtype.name],
        channels=[omexml.Channel() for _ in range(size_c * samples)],
    )
    return Series(image, layout)

"""Checks of an Imaris file: is it built by the rules, and does it hold what it should?"""

from __future__ import annotations

import os
import re
from itertools import pairwise
from math import prod
from typing import Any

import h5py
import numpy as np
from h5py import h5a, h5d, h5g, h5l, h5s, h5t

from openhcs_core.imaris.datasetinfo import is_misread_name
from openhcs_core.imaris.errors import ImsError
from openhcs_core.imaris.hdf5 import ROOT_TEXTS, channel_path
from openhcs_core.imaris.histogram import Histogram, histogram_for
from openhcs_core.imaris.layout import Level, Shape3, level_shapes, reduction_factors
from openhcs_core.imaris.pixeltypes import STORED, pixel_conversion
from openhcs_core.imaris.pyramid import reduce_box

_SHUFFLE, _DEFLATE = 2, 1
_TIME = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?$")


def check_ims(path: str | os.PathLike[str], *, full: bool = True, source: Any = None) -> list[str]:
    """Look for faults in an Imaris file.

    Parameters
    ----------
    path : path
    full : bool
        Also decode every chunk: each level is compared with the reduction of the level before, and
        histograms are counted again. Without it only the structure is looked at, which is quick.
    source : array-like (T, C, Z, Y, X), optional
        The image as it should be, indexed plane range by plane range; every voxel is compared.

    Returns
    -------
    list of str
        One line per fault, empty for a sound file.
    """
    problems: list[str] = []
    try:
        with h5py.File(path, "r", locking=False) as file:
            for check in (_check_tree, _check_texts, _check_info):
                problems += check(file)
            if not problems:
                problems += _check_arrays(file)
            if not problems and (full or source is not None):
                problems += _check_voxels(file, full, source)
    except (ImsError, OSError, RuntimeError, KeyError, ValueError) as error:
        problems.append(f"cannot be read: {error}")
    return problems


def read_text(item: h5py.Group | h5py.File, name: str) -> str:
    """Text stored as an array of one-byte strings, as attribute or (long ones) as dataset.

    Raises
    ------
    ImsError
        If there is none of that name, or it is stored in another way.
    """
    key = name.encode()
    if h5a.exists(item.id, key):
        return _text(h5a.open(item.id, key), f"{item.name}@{name}")
    if key in item.id:
        return _text(h5d.open(item.id, key), f"{item.name}/{name}")
    raise ImsError(f"{item.name} has no text {name!r}")


def read_texts(item: h5py.Group | h5py.File) -> dict[str, str]:
    """All attributes of a group that holds nothing but texts; raises as `read_text`."""
    names: list[bytes] = []
    h5a.iterate(item.id, names.append)
    return {name.decode(): _text(h5a.open(item.id, name), f"{item.name}@{name.decode()}") for name in names}


def _text(stored: Any, title: str) -> str:
    """Content of an attribute or dataset."""
    kind, shape = stored.get_type(), stored.shape
    if not isinstance(kind, h5t.TypeStringID) or kind.is_variable_str() or kind.get_size() != 1 or len(shape) != 1:
        raise ImsError(f"{title} is not a one-dimensional array of one-byte strings, as Imaris needs it")
    content = np.empty(shape, "S1")
    if isinstance(stored, h5d.DatasetID):
        stored.read(h5s.ALL, h5s.ALL, content)
    else:
        stored.read(content)
    return content.tobytes().rstrip(b"\0").decode("utf-8", "replace")


def stored_text(path: str | os.PathLike[str], section: str, name: str) -> str | None:
    """A parameter of an Imaris file, None if there is no such file or parameter."""
    try:
        with h5py.File(path, "r", locking=False) as file:
            return read_text(file["DataSetInfo"][section], name)
    except (ImsError, OSError, RuntimeError, KeyError):
        return None


def dimensions(file: h5py.File) -> tuple[int, int, int]:
    """Number of resolution levels, time points and channels."""
    level = file["DataSet/ResolutionLevel 0"]
    return len(file["DataSet"]), len(level), len(level["TimePoint 0"])


def true_size(channel: h5py.Group) -> Shape3:
    """Size (z, y, x) without padding."""
    z, y, x = (int(read_text(channel, f"ImageSize{axis}")) for axis in "ZYX")
    return z, y, x


def _check_tree(file: h5py.File) -> list[str]:
    """Groups are numbered without gaps, hold nothing else, and no link leads elsewhere."""
    problems = []

    def members(path: bytes) -> list[str]:
        group = h5g.open(file.id, path)
        names = list(group)
        for name in names:
            if group.links.get_info(name).type != h5l.TYPE_HARD:
                problems.append(f"{(path + b'/' + name).decode()} is a link")
        return [name.decode() for name in names]

    def numbered(path: bytes, prefix: str) -> list[bytes]:
        names = members(path)
        expected = {f"{prefix} {number}" for number in range(len(names))}
        if set(names) != expected or not expected:
            problems.append(f"{path.decode()} holds {sorted(names)[:5]}, not {prefix} 0, 1, 2 …")
        return [path + b"/" + name.encode() for name in expected & set(names)]

    for name in ("DataSet", "DataSetInfo", "Thumbnail"):
        if name not in file:
            return [f"/{name} is missing"]
    members(b"/")
    members(b"/DataSetInfo")
    sizes = set()
    for level in numbered(b"/DataSet", "ResolutionLevel"):
        times = numbered(level, "TimePoint")
        for time in times:
            channels = numbered(time, "Channel")
            sizes.add((len(times), len(channels)))
            for channel in channels:
                extra = set(members(channel)) ^ {"Data", "Histogram"}
                if extra - {"Histogram1024"}:
                    problems.append(f"{channel.decode()} lacks or has too much of {sorted(extra)}")
    if len(sizes) != 1:
        problems.append("time points or channels are missing in some level")
    return problems


def _check_texts(file: h5py.File) -> list[str]:
    """Every attribute of the parameters is a text, and those at the root are as they should be."""
    problems = []
    for section in file["DataSetInfo"].values():
        try:
            read_texts(section)
        except ImsError as error:
            problems.append(str(error))
    number = file.attrs.get("NumberOfDataSets")
    if not isinstance(number, np.ndarray) or number.shape != (1,) or number.dtype != "<u4":
        problems.append("/@NumberOfDataSets is not one uint32")
    for name, text in ROOT_TEXTS.items():
        if read_text(file, name) != text:
            problems.append(f"/@{name} is not {text!r}")
    return problems


def _check_info(file: h5py.File) -> list[str]:
    """The parameters agree with the arrays, and none of them misleads a reader."""
    problems = []
    _, times, channels = dimensions(file)
    info = file["DataSetInfo"]
    own = {"Image", "TimeInfo", *(f"Channel {number}" for number in range(channels))}
    for missing in own - set(info):
        return [f"/DataSetInfo/{missing} is missing"]
    for name, section in info.items():
        if name.startswith("Channel") and name not in own:
            problems.append(f"/DataSetInfo/{name} has no image channel")
        for entry in [*section.attrs, *section]:
            if name not in {"Image", "TimeInfo"} and is_misread_name(entry):
                problems.append(f"/DataSetInfo/{name}@{entry} would be taken for a property of the image")
    image = info["Image"]
    size = true_size(file[channel_path(0, 0, 0)])
    for index, axis in enumerate("XYZ"):
        if int(read_text(image, axis)) != size[2 - index]:
            problems.append(f"/DataSetInfo/Image@{axis} is not the size of the image")
        low, high = (float(read_text(image, f"Ext{end}{index}")) for end in ("Min", "Max"))
        if not (np.isfinite(low) and np.isfinite(high) and low < high):
            problems.append(f"extent {axis} from {low} to {high} is empty")
    if read_text(image, "Unit") != "um":
        problems.append("the unit is not um")
    stamps = [read_text(info["TimeInfo"], f"TimePoint{number}") for number in range(1, times + 1)]
    if int(read_text(info["TimeInfo"], "FileTimePoints")) != times:
        problems.append("FileTimePoints is not the number of time points")
    if not all(map(_TIME.match, stamps)) or any(a >= b for a, b in pairwise(stamps)):
        problems.append("the time stamps do not increase")
    for number in range(channels):
        section = info[f"Channel {number}"]
        colour = [float(part) for part in read_text(section, "Color").split()]
        low, high = (float(part) for part in read_text(section, "ColorRange").split())
        if len(colour) != 3 or not all(0 <= part <= 1 for part in colour) or not low < high:
            problems.append(f"colour or range of channel {number} makes no sense")
    thumbnail = file["Thumbnail/Data"]
    if thumbnail.dtype != np.uint8 or thumbnail.ndim != 2 or thumbnail.shape[1] % 4 or max(thumbnail.shape) > 1024:
        problems.append("the thumbnail is not RGBA of at most 256 × 256")
    return problems


def _check_arrays(file: h5py.File) -> list[str]:
    """Sizes, types, chunks, filters and histogram sums of all levels."""
    problems = []
    size = true_size(file[channel_path(0, 0, 0)])
    kind = file[channel_path(0, 0, 0)]["Data"].dtype
    if kind not in STORED:
        return [f"the pixel type {kind} is not one of Imaris"]
    shapes = level_shapes(size, kind.itemsize)
    if len(shapes) != dimensions(file)[0]:
        return [f"there are {dimensions(file)[0]} resolution levels instead of {len(shapes)}"]
    chunks: dict[int, Shape3] = {}
    for r, t, c in np.ndindex(*dimensions(file)):
        channel = file[channel_path(r, t, c)]
        problem = _check_channel(channel, kind, shapes[r], chunks.get(r))
        if problem:
            problems.append(f"{channel.name} {problem}")
        elif r not in chunks:
            chunks[r] = channel["Data"].chunks
    return problems


def _check_channel(channel: h5py.Group, kind: np.dtype, shape: Shape3, expected: Shape3 | None) -> str | None:
    """What is wrong with one channel at one time point; `expected` are the chunks of another one of its level."""
    texts = read_texts(channel)
    size = tuple(int(texts[f"ImageSize{axis}"]) for axis in "ZYX")
    if size != shape:
        return f"has size {size} instead of {shape}"
    data = h5d.open(channel.id, b"Data")
    properties = data.get_create_plist()
    if properties.get_layout() != h5d.CHUNKED:
        return "is not made of chunks"
    chunks = properties.get_chunk()
    if data.dtype != kind or data.dtype.byteorder == ">" or chunks != (expected or chunks):
        return "differs in type or chunks from the others"
    level = Level(shape, chunks, (1, 1, 1))
    if data.shape != level.padded:
        return "is not made of whole chunks"
    filters = [properties.get_filter(number)[0] for number in range(properties.get_nfilters())]
    if filters not in ([], [_DEFLATE], [_SHUFFLE, _DEFLATE]):
        return f"has filters other than shuffle and deflate: {filters}"
    if data.get_num_chunks() != prod(level.grid):
        return "lacks chunks"
    bins = _bins(channel, b"Histogram")
    low, high = (float(texts[f"Histogram{end}"]) for end in ("Min", "Max"))
    total = int(bins.sum())
    if bins.shape != (256,) or not low < high or total > prod(shape) or (kind.kind != "f" and total != prod(shape)):
        return f"has a wrong histogram: {total} counts for {prod(shape)} voxels"
    if (b"Histogram1024" in channel.id) != (kind.itemsize > 1):
        return f"has a Histogram1024 that does not fit {kind}"
    if kind.itemsize > 1 and int(_bins(channel, b"Histogram1024").sum()) != total:
        return "has two histograms that differ"
    return None


def _bins(channel: h5py.Group, name: bytes) -> np.ndarray:
    data = h5d.open(channel.id, name)
    bins = np.empty(data.shape, np.uint64)
    data.read(h5s.ALL, h5s.ALL, bins)
    return bins


def _check_voxels(file: h5py.File, full: bool, source: Any) -> list[str]:
    """Level 0 equals the source, each level the reduction of the one before, histograms the counts."""
    problems = []
    levels, times, channels = dimensions(file)
    if source is not None and tuple(source.shape) != (times, channels, *true_size(file[channel_path(0, 0, 0)])):
        return [f"the source has size {tuple(source.shape)}"]
    for t, c in np.ndindex(times, channels):
        for r in range(levels if full else 1):
            channel = file[channel_path(r, t, c)]
            finer = file[channel_path(r - 1, t, c)] if r else None
            size, data = true_size(channel), channel["Data"]
            histogram = histogram_for(data.dtype)
            for z in range(0, size[0], data.chunks[0]):
                stored = data[z : z + data.chunks[0]]
                planes = stored[: size[0] - z, : size[1], : size[2]]
                if np.any(stored[:, size[1] :]) or np.any(stored[:, :, size[2] :]) or np.any(stored[len(planes) :]):
                    problems.append(f"{channel.name} is not padded with zeros")
                if r == 0 and source is not None and not _same(planes, source[t, c, z : z + len(planes)]):
                    problems.append(f"{channel.name} differs from the source in planes from {z}")
                if finer is not None and not _same(planes, _reduced(finer, size, z, z + len(planes))):
                    problems.append(f"{channel.name} is not the reduction of the level before in planes from {z}")
                histogram.add(np.ascontiguousarray(planes), planes.shape)
            if full:
                problems += _compare_histograms(channel, histogram)
    return problems


def _reduced(finer: h5py.Group, size: Shape3, z0: int, z1: int) -> np.ndarray:
    """Planes z0 to z1 of a level as the reduction of the finer one."""
    fine_size = true_size(finer)
    fz, fy, fx = reduction_factors(fine_size, size)
    fine = finer["Data"][z0 * fz : z1 * fz, : fine_size[1], : fine_size[2]]
    return reduce_box(fine, (fz, fy, fx))


def _same(stored: np.ndarray, expected: Any) -> bool:
    expected = np.asarray(expected)
    if expected.dtype != stored.dtype:
        low, high = (expected.min(), expected.max()) if expected.dtype.kind == "i" and expected.size else (0, 0)
        conversion = pixel_conversion(expected.dtype, (float(low), float(high)))
        expected = conversion(expected).astype(stored.dtype)
    return np.array_equal(stored, expected, equal_nan=stored.dtype.kind == "f")


def _compare_histograms(channel: h5py.Group, histogram: Histogram) -> list[str]:
    expected = histogram.result()
    low, high = (float(read_text(channel, f"Histogram{end}")) for end in ("Min", "Max"))
    right = expected.minimum, expected.maximum
    if not np.allclose((low, high), right, atol=5e-4):
        return [f"{channel.name} has histogram range {low} to {high} instead of {right[0]} to {right[1]}"]
    exact = channel["Data"].dtype.itemsize <= 2
    stored = channel["Histogram"][()]
    if int(stored.sum()) != int(expected.bins.sum()) or exact and not np.array_equal(stored, expected.bins):
        return [f"{channel.name} has a histogram that does not fit its voxels"]
    return []

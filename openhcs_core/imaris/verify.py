"""Checks of an Imaris file: is it built by the rules, and does it hold what it should?"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import h5py
import numpy as np

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
    value = item.attrs[name] if name in item.attrs else item[name][()] if name in item else None
    if not isinstance(value, np.ndarray) or value.dtype != "S1" or value.ndim != 1:
        raise ImsError(f"{item.name} has no text {name!r} that Imaris could read.")
    return value.tobytes().rstrip(b"\0").decode("utf-8", "replace")


def dimensions(file: h5py.File) -> tuple[int, int, int]:
    """Number of resolution levels, time points and channels."""
    level = file["DataSet/ResolutionLevel 0"]
    return len(file["DataSet"]), len(level), len(level["TimePoint 0"])


def true_size(channel: h5py.Group) -> Shape3:
    """Size (z, y, x) without padding."""
    z, y, x = (int(read_text(channel, f"ImageSize{axis}")) for axis in "ZYX")
    return z, y, x


def _channels(file: h5py.File) -> Iterator[tuple[int, int, int, h5py.Group]]:
    numbers = dimensions(file)
    for r, t, c in np.ndindex(*numbers):
        yield r, t, c, file[channel_path(r, t, c)]


def _check_tree(file: h5py.File) -> list[str]:
    """Groups are numbered without gaps, hold nothing else, and no link leads elsewhere."""
    problems = []

    def numbered(parent: h5py.Group, prefix: str) -> list[str]:
        expected = {f"{prefix} {number}" for number in range(len(parent))}
        if set(parent) != expected or not expected:
            problems.append(f"{parent.name} holds {sorted(parent)[:5]}, not {prefix} 0, 1, 2 …")
        return sorted(expected & set(parent))

    def hard(parent: h5py.Group) -> None:
        for name in parent:
            if not isinstance(parent.get(name, getlink=True), h5py.HardLink):
                problems.append(f"{parent.name}/{name} is a link")

    for name in ("DataSet", "DataSetInfo", "Thumbnail"):
        if name not in file:
            return [f"/{name} is missing"]
    hard(file)
    hard(file["DataSetInfo"])
    sizes = set()
    for level in numbered(file["DataSet"], "ResolutionLevel"):
        hard(file["DataSet"])
        group = file["DataSet"][level]
        hard(group)
        for time in numbered(group, "TimePoint"):
            hard(group[time])
            channels = numbered(group[time], "Channel")
            sizes.add((len(group), len(channels)))
            for channel in channels:
                hard(group[time][channel])
                extra = set(group[time][channel]) ^ {"Data", "Histogram"}
                if extra - {"Histogram1024"}:
                    problems.append(f"{group[time][channel].name} lacks or has too much of {sorted(extra)}")
    if len(sizes) != 1:
        problems.append("time points or channels are missing in some level")
    return problems


def _check_texts(file: h5py.File) -> list[str]:
    """Every attribute is an array of one-byte strings; NumberOfDataSets alone is a number."""
    problems = []

    def check(item: h5py.Group) -> None:
        for name in item.attrs:
            kind = item.attrs.get_id(name)
            h5type = kind.get_type()
            if item.name == "/" and name == "NumberOfDataSets":
                if kind.shape != (1,) or kind.dtype != "<u4":
                    problems.append("/@NumberOfDataSets is not one uint32")
            elif not isinstance(h5type, h5py.h5t.TypeStringID) or h5type.is_variable_str() or h5type.get_size() != 1:
                problems.append(f"{item.name}@{name} is not made of one-byte strings")
            elif len(kind.shape) != 1:
                problems.append(f"{item.name}@{name} is not one-dimensional")

    check(file)
    for section in file["DataSetInfo"].values():
        check(section)
    for _, _, _, channel in _channels(file):
        check(channel)
    for name, text in ROOT_TEXTS.items():
        if name not in file.attrs or not problems and read_text(file, name) != text:
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
    for r, _, _, channel in _channels(file):
        data = channel["Data"]
        name = channel.name
        if true_size(channel) != shapes[r]:
            problems.append(f"{name} has size {true_size(channel)} instead of {shapes[r]}")
            continue
        if data.dtype != kind or data.dtype.byteorder == ">" or data.chunks != chunks.setdefault(r, data.chunks):
            problems.append(f"{name} differs in type or chunks from the others")
            continue
        if data.chunks is None or data.shape != Level(shapes[r], data.chunks, (1, 1, 1)).padded:
            problems.append(f"{name} is not made of whole chunks")
            continue
        properties = data.id.get_create_plist()
        filters = [properties.get_filter(number)[0] for number in range(properties.get_nfilters())]
        if filters not in ([], [_DEFLATE], [_SHUFFLE, _DEFLATE]):
            problems.append(f"{name} has filters other than shuffle and deflate: {filters}")
        if data.id.get_num_chunks() != np.prod(Level(shapes[r], data.chunks, (1, 1, 1)).grid):
            problems.append(f"{name} lacks chunks")
        bins = channel["Histogram"]
        low, high = (float(read_text(channel, f"Histogram{end}")) for end in ("Min", "Max"))
        voxels = int(np.prod(shapes[r]))
        total = int(bins[()].sum())
        if bins.shape != (256,) or not low < high or total > voxels or (kind.kind != "f" and total != voxels):
            problems.append(f"{name} has a wrong histogram: {total} counts for {voxels} voxels")
        if ("Histogram1024" in channel) != (kind.itemsize > 1):
            problems.append(f"{name} has a Histogram1024 that does not fit {kind}")
        elif kind.itemsize > 1 and int(channel["Histogram1024"][()].sum()) != total:
            problems.append(f"the two histograms of {name} differ")
    return problems


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

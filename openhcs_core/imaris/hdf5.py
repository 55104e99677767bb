"""The HDF5 side of an Imaris file: groups, texts, chunked arrays."""

from __future__ import annotations

from collections.abc import Mapping

import h5py
import numpy as np
from h5py import h5a, h5d, h5g, h5p, h5s, h5t
from h5py._objects import phil

from openhcs_core.imaris.compression import Codec
from openhcs_core.imaris.datasetinfo import number_text
from openhcs_core.imaris.histogram import HistogramResult
from openhcs_core.imaris.layout import Level
from openhcs_core.imaris.partfile import PartFile
from openhcs_core.imaris.thumbnail import projection

LONG_TEXT = 1024
"""Parameters with more bytes than this are stored as datasets; attributes are for short ones."""

ROOT_TEXTS = {
    "ImarisDataSet": "ImarisDataSet",
    "ImarisVersion": "5.5.0",
    "DataSetInfoDirectoryName": "DataSetInfo",
    "ThumbnailDirectoryName": "Thumbnail",
    "DataSetDirectoryName": "DataSet",
}


def channel_path(level: int, t: int, c: int) -> str:
    """Group of one channel at one time point and resolution level."""
    return f"DataSet/ResolutionLevel {level}/TimePoint {t}/Channel {c}"


class ImsFile:
    """An Imaris file open for writing.

    Every method may be called from any thread: all take h5py's own lock. (h5py itself forgets it for the
    writing of chunks in some versions, and a file object lets other threads run in the middle of that.)
    Those that write raise ImsWriteError if the disk refused something.

    Parameters
    ----------
    part : PartFile
        Empty, or to be gone on with; stays open.
    """

    def __init__(self, part: PartFile) -> None:
        self._part = part
        self._create_groups = h5p.create(h5p.LINK_CREATE)
        self._create_groups.set_create_intermediate_group(True)
        # Readers in Java refuse the newest HDF5 structures.
        mode = "w" if part.state is None else "r+"
        self._file = h5py.File(part.path, mode, libver=("earliest", "v108"), driver="fileobj", fileobj=part)
        if mode == "r+":
            return
        root = self._file.id
        for name, text in ROOT_TEXTS.items():
            _write_text(root, name, text)
        space = h5s.create_simple((1,))
        h5a.create(root, b"NumberOfDataSets", h5t.STD_U32LE, space).write(np.array([1], "<u4"))

    def create_data(self, path: str, level: Level, dtype: np.dtype, codec: Codec) -> h5d.DatasetID:
        """Make the group of a channel with its empty, chunked ``Data``."""
        with phil:
            group = h5g.create(self._file.id, path.encode(), lcpl=self._create_groups)
            for axis, size in zip("ZYX", level.shape, strict=True):
                _write_text(group, f"ImageSize{axis}", str(size))
            properties = h5p.create(h5p.DATASET_CREATE)
            properties.set_chunk(level.chunks)
            properties.set_fill_time(h5d.FILL_TIME_NEVER)
            if codec.shuffle:
                properties.set_shuffle()
            if codec.level:
                properties.set_deflate(codec.level)
            space = h5s.create_simple(level.padded)
            kind = h5t.py_create(np.dtype(dtype).newbyteorder("<"))
            return h5d.create(group, b"Data", kind, space, properties)

    def write_chunk(self, data: h5d.DatasetID, start: tuple[int, int, int], encoded: bytes | np.ndarray) -> None:
        """Store an encoded chunk whose first voxel is `start` (z, y, x)."""
        with phil:
            place = self._part.place(encoded, lambda: data.write_direct_chunk(start, encoded))
        self._part.fill(place)
        self._part.check()

    def write_histogram(self, path: str, histogram: HistogramResult) -> None:
        """Store the histogram of one channel."""
        with phil:
            group = h5g.open(self._file.id, path.encode())
            for suffix, bins in (("", histogram.bins), ("1024", histogram.fine_bins)):
                if bins is None:
                    continue
                _write_text(group, f"HistogramMin{suffix}", _value_text(histogram.minimum))
                _write_text(group, f"HistogramMax{suffix}", _value_text(histogram.maximum))
                _write_array(group, f"Histogram{suffix}", bins.astype("<u8"))

    def write_sections(self, sections: Mapping[str, Mapping[str, str]]) -> None:
        """Store the parameters under ``DataSetInfo``."""
        with phil:
            parent = self._new_group(b"DataSetInfo")
            for title, entries in sections.items():
                group = h5g.create(parent, _encoded_name(title))
                for name, text in entries.items():
                    _write_text(group, name, text, long_as_dataset=True)

    def write_thumbnail(self, rgba: np.ndarray) -> None:
        """Store the thumbnail, (y, x, 4) uint8."""
        with phil:
            group = self._new_group(b"Thumbnail")
            _write_array(group, "Data", np.ascontiguousarray(rgba, np.uint8).reshape(rgba.shape[0], -1))

    def read_projection(self, path: str, level: Level) -> np.ndarray:
        """Maximum projection along z, (y, x), of a channel that is complete."""
        with phil:
            return projection(self._file[path]["Data"], level.shape)

    def flush(self) -> None:
        """Have HDF5 write out what it holds back."""
        with phil:
            self._file.flush()
        self._part.check()

    def close(self) -> None:
        """Close the file; what HDF5 still holds back is written now."""
        with phil:
            self._file.close()
        self._part.check()

    def _new_group(self, name: bytes) -> h5g.GroupID:
        """An empty group; an export that was killed at its very end has made it before."""
        if name in self._file.id:
            self._file.id.unlink(name)
        return h5g.create(self._file.id, name)


def _value_text(value: float) -> str:
    """At least three decimals, and more where a float needs them."""
    text = f"{value:.3f}"
    return text if float(text) == value else number_text(value)


def _encoded_name(name: str) -> bytes:
    """Slashes cannot be part of an HDF5 name."""
    return name.replace("%", "%p").replace("/", "%s").encode()


def _write_text(group: h5g.GroupID, name: str, text: str, long_as_dataset: bool = False) -> None:
    """Store text the only way that all readers know: an array of one-byte strings, at least one."""
    content = np.frombuffer(text.encode() or b"\0", "S1")
    space = h5s.create_simple(content.shape)
    kind = h5t.C_S1.copy()
    if long_as_dataset and content.size > LONG_TEXT:
        data = h5d.create(group, _encoded_name(name), kind, space)
        data.write(h5s.ALL, h5s.ALL, content, mtype=kind)
    else:
        h5a.create(group, name.encode(), kind, space).write(content, mtype=kind)


def _write_array(group: h5g.GroupID, name: str, values: np.ndarray) -> None:
    data = h5d.create(group, name.encode(), h5t.py_create(values.dtype), h5s.create_simple(values.shape))
    data.write(h5s.ALL, h5s.ALL, values)

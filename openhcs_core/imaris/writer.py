"""Writing of Imaris files: slabs of voxels in, a complete file or nothing out."""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path
from types import TracebackType

import numpy as np

from openhcs_core._version import __version__
from openhcs_core.imaris.compression import Codec, check_preset, codec_for
from openhcs_core.imaris.datasetinfo import dataset_info, safe_sections
from openhcs_core.imaris.errors import ImsCancelled, ImsError, ImsWriteError
from openhcs_core.imaris.hdf5 import ImsFile, channel_path
from openhcs_core.imaris.histogram import display_range
from openhcs_core.imaris.layout import Shape3, levels, slab_regions
from openhcs_core.imaris.metadata import (
    ImsMetadata,
    replaced_characters,
    resolved_channels,
    resolved_times,
    resolved_voxel_size,
)
from openhcs_core.imaris.partfile import PartFile
from openhcs_core.imaris.pixeltypes import pixel_conversion
from openhcs_core.imaris.thumbnail import thumbnail, thumbnail_level
from openhcs_core.imaris.verify import check_ims
from openhcs_core.imaris.volume import StoreChunk, Volume

ReadSlab = Callable[[int, int, int, int], np.ndarray]
"""``read(z0, z1, y0, y1)`` gives voxels (z1 - z0, y1 - y0, X) of the volume being written."""

SLAB_BYTES = 64 << 20
CREATOR = "OpenHCS"


class ImsWriter:
    """Writes one Imaris file; a context manager.

    The file grows as ``<path>.part`` and gets its name when the ``with`` block ends and the file has
    passed a check. After an error, a cancel or an exception of any kind nothing is left; a file that
    was there before stays as it was.

    Parameters
    ----------
    path : path
        Target, ending in ``.ims``. An existing file is replaced.
    shape_tczyx : (T, C, Z, Y, X)
        Size of the image.
    dtype : dtype
        Type of the voxels that will be given; see `openhcs_core.imaris.pixeltypes` for what becomes of it.
    metadata : ImsMetadata, optional
    preset : {"fast", "small", "uncompressed"}
    value_range : (low, high), optional
        Known extremes of the voxels; lets signed types without negative values stay integers.
    progress : callable, optional
        ``progress(bytes_done, bytes_total)`` after every slab, in bytes of the image as given.
    cancelled : callable, optional
        Asked before every slab; when it returns true, `ImsCancelled` is raised.
    threads : int, optional
        Threads that reduce and compress; as many as the process may use CPUs if not given.
    slab_bytes : int
        Memory for one slab. Two are held, and less than another two for the lower levels.

    Attributes
    ----------
    statements : list of str
        What was converted, assumed or renamed; also stored in the file.
    levels : list of Level
        Resolution levels.

    Raises
    ------
    ImsError
        If the image or its metadata cannot become an Imaris file.
    ImsWriteError
        If the file system refuses the file.

    Examples
    --------
    >>> image = np.zeros((1, 1, 4, 32, 32), np.uint16)
    >>> with ImsWriter("cells.ims", image.shape, image.dtype) as writer:
    ...     writer.write_volume(0, 0, lambda z0, z1, y0, y1: image[0, 0, z0:z1, y0:y1])
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        shape_tczyx: tuple[int, int, int, int, int],
        dtype: np.dtype | str,
        metadata: ImsMetadata | None = None,
        *,
        preset: str = "fast",
        value_range: tuple[float, float] | None = None,
        progress: Callable[[int, int], object] | None = None,
        cancelled: Callable[[], bool] | None = None,
        threads: int | None = None,
        slab_bytes: int = SLAB_BYTES,
    ) -> None:
        target = Path(path).absolute()
        if target.suffix.lower() != ".ims":
            raise ImsError(f"{target.name} does not end in .ims; readers would not know it.")
        shape = tuple(int(size) for size in shape_tczyx)
        if len(shape) != 5 or min(shape) < 1:
            raise ImsError(f"An image of size {shape} cannot be written: T, C, Z, Y and X must be at least 1.")
        check_preset(preset)
        self._t, self._c, *volume_shape = shape
        self._zyx = (volume_shape[0], volume_shape[1], volume_shape[2])
        self._convert = pixel_conversion(dtype, value_range)
        metadata = metadata or ImsMetadata()
        self._metadata = metadata if metadata.name else replace(metadata, name=target.stem)
        self._channels = resolved_channels(metadata, self._c)
        self._voxel_um, calibration = resolved_voxel_size(metadata, self._zyx[0])
        self._times, timing = resolved_times(metadata, self._t)
        self._sections, renamed = safe_sections(metadata.sections)
        conversion = [self._convert.statement] if self._convert.statement else []
        self.statements: list[str] = [*conversion, *calibration, *timing, *renamed, *replaced_characters(metadata)]
        itemsize = self._convert.target.itemsize
        self.levels = levels(self._zyx, itemsize, self._t)
        self._projected_level = thumbnail_level(self.levels)
        self._preset = preset
        self._codec: Codec | None = None
        self._progress = progress
        self._cancelled = cancelled
        self._slab_bytes = slab_bytes
        self._bytes_done = 0
        self._bytes_total = int(np.prod(shape, dtype=object)) * self._convert.source.itemsize
        self._written: set[tuple[int, int]] = set()
        self._ranges: list[list[tuple[float, float] | None]] = [[] for _ in range(self._c)]
        self._projections: dict[int, np.ndarray] = {}
        self._in_flight: deque[tuple[int, list[Future[None]]]] = deque()
        self._bytes_in_flight = 0
        self._part = PartFile(target)
        try:
            self._file = ImsFile(self._part)
        except BaseException:
            self._part.discard()
            raise
        self._pool = ThreadPoolExecutor(threads or _usable_cpus(), "ims")

    def __enter__(self) -> ImsWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()

    def regions(self) -> Iterator[tuple[int, int, int, int]]:
        """The arguments z0, z1, y0, y1 of all calls of `read` for one volume, in order."""
        return slab_regions(self.levels[0], self._convert.source.itemsize, self._slab_bytes)

    def write_volume(self, t: int, c: int, read: ReadSlab) -> None:
        """Write one channel at one time point.

        Returns when all of it is read; the rest goes on while the next volume is read.

        Parameters
        ----------
        t, c : int
            Time point and channel, from 0. Every pair is written once, in any order.
        read : callable
            ``read(z0, z1, y0, y1)`` returns voxels (z1 - z0, y1 - y0, X); called once per region, see
            `regions`. What it returned must not be overwritten later.

        Raises
        ------
        ImsError
            If the volume does not exist or was written, or `read` returns another size or type.
        ImsCancelled
            If `cancelled` returned true.
        ImsWriteError
            If the file system refuses the data.
        """
        if not (0 <= t < self._t and 0 <= c < self._c):
            raise ImsError(f"There is no time point {t}, channel {c} in an image of {self._t} × {self._c}.")
        if (t, c) in self._written:
            raise ImsError(f"Time point {t}, channel {c} was written already.")
        self._written.add((t, c))
        store = None
        volume = None
        for region in self.regions():
            self._check_cancelled()
            slab = self._read(read, region)
            if store is None or volume is None:
                store = self._store_into(t, c, slab)
                projected = self._projected_level if t == 0 else None
                volume = Volume(
                    self.levels, self._convert.target, store, lambda done: self._finish(t, c, done), projected
                )
            self._submit(volume, slab, region)
            del slab  # or it would be held while the next one is read

    def close(self) -> None:
        """Complete the file: the last chunks, the parameters, a check; then give it its name."""
        try:
            missing = [
                f"T{t} C{c}" for t in range(self._t) for c in range(self._c) if (t, c) not in self._written
            ]
            if missing:
                raise ImsError(f"{len(missing)} volumes were not written, first {missing[0]}.")
            while self._in_flight:
                self._wait_for_oldest()
            self._pool.shutdown()
            channels = [
                channel if channel.window else replace(channel, window=display_range(ranges))
                for channel, ranges in zip(self._channels, self._ranges, strict=True)
            ]
            notes = {f"Note {number}": text for number, text in enumerate(self.statements, start=1)}
            if notes:
                self._sections.setdefault(CREATOR, {}).update(notes)
            info = dataset_info(
                self._metadata,
                shape_zyx=self._zyx,
                voxel_um=self._voxel_um,
                channels=channels,
                times=self._times,
                sections=self._sections,
                creator=CREATOR,
                version=__version__,
            )
            self._file.write_thumbnail(thumbnail([self._projections[c] for c in range(self._c)], channels))
            self._file.write_sections(info)
            self._file.close()
            problems = check_ims(self._part.path, full=False)
            if problems:
                raise ImsWriteError(f"The file written for {self._part.target} is damaged: {'; '.join(problems[:5])}")
            self._part.commit()
        except BaseException:
            self.abort()
            raise

    def abort(self) -> None:
        """Stop and remove what was written."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._in_flight.clear()
        with contextlib.suppress(ImsWriteError):
            self._file.close()
        self._part.discard()

    def _check_cancelled(self) -> None:
        if self._cancelled is not None and self._cancelled():
            raise ImsCancelled(f"Export of {self._part.target} was cancelled; nothing was left.")

    def _read(self, read: ReadSlab, region: tuple[int, int, int, int]) -> np.ndarray:
        z0, z1, y0, y1 = region
        expected = (z1 - z0, y1 - y0, self._zyx[2])
        size = int(np.prod(expected)) * self._convert.source.itemsize
        while self._in_flight and size + self._bytes_in_flight > 2 * self._slab_bytes:
            self._wait_for_oldest()
        slab = np.asarray(read(z0, z1, y0, y1))
        if slab.shape != expected or slab.dtype.newbyteorder("=") != self._convert.source.newbyteorder("="):
            raise ImsError(
                f"The source gave {slab.dtype} voxels of size {slab.shape} for planes {z0} to {z1}, rows {y0} to {y1}; "
                f"{self._convert.source} of size {expected} was expected."
            )
        return slab

    def _store_into(self, t: int, c: int, slab: np.ndarray) -> StoreChunk:
        """Make the groups of one volume; the result puts finished chunks into them."""
        if self._codec is None:
            self._codec = codec_for(self._preset, self._convert.target, self._samples(slab))
        codec = self._codec
        data = [
            self._file.create_data(channel_path(number, t, c), level, self._convert.target, codec)
            for number, level in enumerate(self.levels)
        ]

        def store(number: int, start: Shape3, chunk: np.ndarray, uniform: bool) -> None:
            self._file.write_chunk(data[number], start, codec.encode(chunk, uniform))

        return store

    def _samples(self, slab: np.ndarray) -> list[np.ndarray]:
        """Up to eight bands of rows out of the first slab, for a choice that depends on the image."""
        if self._convert.target.kind != "f":
            return []
        step = max(1, slab.shape[1] // 8)
        return [self._convert(slab[: self.levels[0].chunks[0], y : y + 16]) for y in range(0, slab.shape[1], step)][:8]

    def _submit(self, volume: Volume, slab: np.ndarray, region: tuple[int, int, int, int]) -> None:
        z0, _, y0, y1 = region
        level = self.levels[0]

        def take(start: tuple[int, int, int]) -> None:
            chunk, (depth, height, width) = volume.new_chunk(0, start)
            y, x = start[1] - y0, start[2]
            self._convert(slab[:depth, y : y + height, x : x + width], out=chunk[:depth, :height, :width])
            volume.add(0, start, chunk)

        futures = [
            self._pool.submit(take, (z0, y, x))
            for y in range(y0, y1, level.chunks[1])
            for x in range(0, self._zyx[2], level.chunks[2])
        ]
        self._in_flight.append((slab.nbytes, futures))
        self._bytes_in_flight += slab.nbytes

    def _wait_for_oldest(self) -> None:
        size, futures = self._in_flight[0]
        for future in wait(futures, return_when=FIRST_EXCEPTION).done:
            future.result()
        self._in_flight.popleft()
        self._bytes_in_flight -= size
        self._bytes_done += size
        if self._progress is not None:
            self._progress(self._bytes_done, self._bytes_total)

    def _finish(self, t: int, c: int, volume: Volume) -> None:
        """Store the histograms of a complete volume."""
        for number, histogram in enumerate(volume.histograms):
            self._file.write_histogram(channel_path(number, t, c), histogram.result())
        self._ranges[c].append(volume.histograms[0].value_range())
        if volume.projection is not None:
            self._projections[c] = volume.projection


def _usable_cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

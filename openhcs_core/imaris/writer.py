"""Writing of Imaris files: slabs of voxels in, a complete file or nothing out."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import logging
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from openhcs_core._version import __version__
from openhcs_core.imaris import kernels
from openhcs_core.imaris.compression import Codec, check_preset, codec_for
from openhcs_core.imaris.datasetinfo import CREATOR, ImageInfo
from openhcs_core.imaris.errors import ImsCancelled, ImsError, ImsWriteError
from openhcs_core.imaris.hdf5 import ImsFile, channel_path
from openhcs_core.imaris.histogram import display_range
from openhcs_core.imaris.layout import Shape3, levels, slab_regions
from openhcs_core.imaris.metadata import ImsMetadata
from openhcs_core.imaris.partfile import PartFile
from openhcs_core.imaris.pixeltypes import pixel_conversion
from openhcs_core.imaris.thumbnail import thumbnail, thumbnail_level
from openhcs_core.imaris.verify import check_ims, stored_text
from openhcs_core.imaris.volume import StoreChunk, Volume
from openhcs_core.imaris.workers import Workers

ReadSlab = Callable[[int, int, int, int], np.ndarray]
"""``read(z0, z1, y0, y1)`` gives voxels (z1 - z0, y1 - y0, X) of the volume being written."""

Ranges = dict[tuple[int, int], tuple[float, float] | None]

SLAB_BYTES = 32 << 20
IDENTITY = "Export identity"
"""Parameter of a file, in section CREATOR: what `resume` and the layout made of it."""

COMPILED_FROM = 1 << 30
"""Bytes of an image from which it pays to load the compiled loops."""

SAVE_SHARE = 10
"""Progress is saved only when the last saving took less than this part of the time since."""

_log = logging.getLogger(__name__)


class ImsWriter:
    """Writes one Imaris file; a context manager.

    The file grows as ``<path>.part`` and gets its name when the ``with`` block ends and the file has
    passed a check. After an error, a cancel or an exception of any kind nothing is left; a file that
    was there before stays as it was.

    With `resume`, an interrupted export is kept up to its last complete volumes, whatever ended it:
    kill, crash, cancel, a full disk, an error of the source. The next writer of the same path with the same
    `resume`, size, type and preset goes on there: `write_volume` returns at once, without reading, for
    a volume that is complete. Anything else finds nothing to go on with and begins anew. What is kept are
    ``<path>.part`` and ``<path>.part.journal``. Voxels and attributes of the result are those of an
    undisturbed export; the order of its bytes may be another.

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
        Memory for one slab, the piece in which voxels are read. Two are held; for images with wide planes
        they are larger, since one row of chunks is the least.
    resume : str, optional
        Identity of the image: whatever changes when its voxels, or what is wanted of them, change.
    wait : bool
        Whether to wait while another export writes the same path; else that is an error. If it made
        the very same file (same `resume`), that one is shared and nothing is written.
    durable : bool
        Whether to bring the file to disk before it gets its name. Without it a crash of the machine,
        not of the program, may damage a file that was just made.

    Attributes
    ----------
    statements : list of str
        What was converted, assumed or renamed; also stored in the file.
    levels : list of Level
        Resolution levels.
    resumed : int
        Number of volumes that an earlier export had completed.
    shared : bool
        Whether another export made the file in the meantime.

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
        resume: str | None = None,
        wait: bool = False,
        durable: bool = True,
    ) -> None:
        target = Path(path).absolute()
        if target.suffix.lower() != ".ims":
            raise ImsError(f"{target.name} does not end in .ims; readers would not know it.")
        if len(shape_tczyx) != 5 or min(shape_tczyx) < 1:
            raise ImsError(
                f"An image of size {tuple(shape_tczyx)} cannot be written: T, C, Z, Y and X must be at least 1."
            )
        check_preset(preset)
        self._t, self._c, z, y, x = (int(size) for size in shape_tczyx)
        self._zyx, shape = (z, y, x), (self._t, self._c, z, y, x)
        self._convert = pixel_conversion(dtype, value_range)
        conversion = [self._convert.statement] if self._convert.statement else []
        self._info = ImageInfo(metadata or ImsMetadata(), shape, target.stem, conversion)
        self.statements = self._info.statements
        self.levels = levels(self._zyx, self._convert.target.itemsize, self._t)
        self._projected_level = thumbnail_level(self.levels)
        self._preset = preset
        self._codec: Codec | None = None
        self._progress = progress
        self._cancelled = cancelled
        self._slab_bytes = slab_bytes
        self._durable = durable
        self._volume_bytes = int(np.prod(self._zyx, dtype=object)) * self._convert.source.itemsize
        self._bytes_done = 0
        self._bytes_total = self._volume_bytes * self._t * self._c
        self._written: set[tuple[int, int]] = set()
        self._ranges: Ranges = {}
        self._shuffle: bool | None = None
        self._projections: dict[int, np.ndarray] = {}
        self._next_save = 0.0
        self._target = target
        self._identity = None if resume is None else self._identity_of(resume, shape)
        self._part = PartFile(target, self._identity, self._keep_waiting if wait else None)
        made = self._part.waited and resume is not None
        self.shared = made and stored_text(target, CREATOR, IDENTITY) == self._identity
        try:
            self._present = set(np.ndindex(self._t, self._c)) if self.shared else self._open()
        except BaseException:
            self._part.suspend()
            raise
        self.resumed = 0 if self.shared else len(self._present)
        self._workers = Workers(threads, 2 * slab_bytes, self._advance)
        if self._bytes_total >= COMPILED_FROM and not self.shared:
            kernels.prepare_in_background()

    def __enter__(self) -> ImsWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            self.abort(keep=_is_interruption(error))

    def regions(self) -> Iterator[tuple[int, int, int, int]]:
        """The arguments z0, z1, y0, y1 of all calls of `read` for one volume, in order."""
        return slab_regions(self.levels, self._convert.source.itemsize, self._slab_bytes)

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
        if (t, c) in self._present:
            self._written.add((t, c))
            self._advance(self._volume_bytes)
            return
        self._save_progress()
        self._written.add((t, c))
        volume = None
        for region in self.regions():
            self._check_cancelled()
            slab = self._read(read, region)
            if volume is None:
                store = self._store_into(t, c, slab)
                projected = self._projected_level if t == 0 else None
                finish = functools.partial(self._finish, t, c)
                volume = Volume(self.levels, self._convert, store, finish, projected)
            self._submit(volume, slab, region)
            del slab  # or it would be held while the next one is read

    def close(self) -> None:
        """Complete the file: the last chunks, the parameters, a check; then give it its name."""
        try:
            volumes = np.ndindex(self._t, self._c)
            missing = [f"T{t} C{c}" for t, c in volumes if (t, c) not in self._written]
            if missing:
                raise ImsError(f"{len(missing)} volumes were not written, first {missing[0]}.")
            self._workers.drain()
            self._workers.stop()
            if self.shared:
                self._part.discard()
                return
            self._write_info()
            self._file.close()
            if self._part.saved:
                self._part.save(self._state())
            problems = check_ims(self._part.path, full=False)
            if problems:
                self._part.discard()
                raise ImsWriteError(f"The file written for {self._target} is damaged: {'; '.join(problems[:5])}")
            self._part.commit(self._durable)
        except BaseException as error:
            self.abort(keep=_is_interruption(error))
            raise

    def abort(self, keep: bool = False) -> None:
        """Stop; remove what was written, unless it is to be kept for a writer that goes on."""
        self._workers.stop()
        if not self.shared:
            with contextlib.suppress(ImsWriteError):
                self._file.close()
        if keep:
            self._part.suspend()
        else:
            self._part.discard()

    def _open(self) -> set[tuple[int, int]]:
        """Open the file; return the volumes that are complete."""
        try:
            self._file = ImsFile(self._part)
        except OSError as error:
            if self._part.state is None:
                raise
            _log.warning("%s cannot be gone on with: %s", self._part.path, error)
            self._part.restart()
            self._file = ImsFile(self._part)
        state = self._part.state or {"volumes": [], "shuffle": None}
        self._shuffle = state["shuffle"]
        self._ranges = {(t, c): tuple(known) if known else None for t, c, known in state["volumes"]}
        return set(self._ranges)

    def _state(self) -> dict[str, Any]:
        """What a writer that goes on has to know."""
        volumes = [[t, c, known] for (t, c), known in self._ranges.items()]
        return {"volumes": volumes, "shuffle": self._codec.shuffle if self._codec else self._shuffle}

    def _save_progress(self) -> None:
        """Save what is complete, unless that was done a moment ago or would take too large a part of the time."""
        if self._identity is None or time.monotonic() < self._next_save or not self._written - self._present:
            return
        self._workers.drain()
        begin = time.monotonic()
        self._file.flush()
        self._part.save(self._state())
        end = time.monotonic()
        self._next_save = end + SAVE_SHARE * (end - begin)

    def _write_info(self) -> None:
        """Store all that is not voxels."""
        windows = [display_range([self._ranges[t, c] for t in range(self._t)]) for c in range(self._c)]
        channels = [
            channel if channel.window else replace(channel, window=window)
            for channel, window in zip(self._info.channels, windows, strict=True)
        ]
        for c in range(self._c):
            if c not in self._projections:  # of an earlier export
                number = self._projected_level
                self._projections[c] = self._file.read_projection(channel_path(number, 0, c), self.levels[number])
        self._file.write_thumbnail(thumbnail([self._projections[c] for c in range(self._c)], channels))
        self._file.write_sections(self._info.sections(windows))

    def _identity_of(self, resume: str, shape: tuple[int, ...]) -> str:
        """A digest of everything that the voxels and attributes of the file depend on; noted in the file."""
        content = [__version__, resume, shape, self._convert.source.str, self._convert.target.str, self._preset]
        identity = hashlib.sha256(json.dumps([*content, str(self.levels)]).encode()).hexdigest()
        self._info.note(IDENTITY, identity)
        return identity

    def _keep_waiting(self) -> None:
        if self._cancelled is not None and self._cancelled():
            raise ImsCancelled(f"Export of {self._target} was cancelled while it waited for another; nothing was left.")

    def _check_cancelled(self) -> None:
        if self._cancelled is not None and self._cancelled():
            raise ImsCancelled(f"Export of {self._target} was cancelled; {self._part.remains}.")

    def _read(self, read: ReadSlab, region: tuple[int, int, int, int]) -> np.ndarray:
        z0, z1, y0, y1 = region
        expected = (z1 - z0, y1 - y0, self._zyx[2])
        self._workers.make_room(int(np.prod(expected)) * self._convert.source.itemsize)
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
            self._codec = codec_for(self._preset, self._convert.target, self._samples(slab), self._shuffle)
        codec = self._codec
        data = [
            self._file.create_data(channel_path(number, t, c), level, self._convert.target, codec)
            for number, level in enumerate(self.levels)
        ]

        def store(number: int, start: Shape3, chunk: np.ndarray, uniform: bool) -> None:
            self._file.write_chunk(data[number], start, codec.encode(chunk, uniform))

        return store

    def _samples(self, slab: np.ndarray) -> Iterator[np.ndarray]:
        """Up to eight bands of rows out of the first slab, for a choice that depends on the image."""
        step = max(1, slab.shape[1] // 8)
        for y in list(range(0, slab.shape[1], step))[:8]:
            yield self._convert(slab[: self.levels[0].chunks[0], y : y + 16])

    def _submit(self, volume: Volume, slab: np.ndarray, region: tuple[int, int, int, int]) -> None:
        z0, _, y0, y1 = region
        _, height, width = self.levels[0].chunks
        tasks = [
            functools.partial(volume.take, (z0, y, x), slab[:, y - y0 : y - y0 + height, x : x + width])
            for y in range(y0, y1, height)
            for x in range(0, self._zyx[2], width)
        ]
        self._workers.submit(slab.nbytes, tasks)

    def _advance(self, size: int) -> None:
        self._bytes_done += size
        if self._progress is not None:
            self._progress(self._bytes_done, self._bytes_total)

    def _finish(self, t: int, c: int, volume: Volume) -> None:
        """Store the histograms of a complete volume."""
        for number, histogram in enumerate(volume.histograms):
            self._file.write_histogram(channel_path(number, t, c), histogram.result())
        self._ranges[t, c] = volume.histograms[0].value_range()
        if volume.projection is not None:
            self._projections[c] = volume.projection


def _is_interruption(error: BaseException) -> bool:
    """Whether another attempt may succeed: the error is no verdict on the image or on what is wanted of it."""
    return not isinstance(error, ImsError) or isinstance(error, (ImsWriteError, ImsCancelled))

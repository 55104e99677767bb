"""Planes on disk while memory has no room for them, in files of bounded size in scratch.

They go past the cache of the operating system where the disk can do that: through it they take several times the
processor time, which the pipeline needs.
"""

from __future__ import annotations

import errno
import mmap
import os
import shutil
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from openhcs_core.streaming.errors import StreamingError

PAGE = 4096
"""Where what is written begins, in memory and on disk, and what its length is a multiple of."""

_FILE_BYTES = 64 << 20
_DIRECT = getattr(os, "O_DIRECT", 0)


class Place(NamedTuple):
    """Where on disk something is."""

    file: int
    offset: int
    nbytes: int


class Spool:
    """Bytes on disk within a limit. Safe for threads.

    Parameters
    ----------
    scratch : Path
        A folder of its own, for this user only, is made in it with the first bytes.
    limit : int
        Bytes; 0 for none at all.
    """

    def __init__(self, scratch: Path, limit: int) -> None:
        self._scratch, self.limit = scratch, limit
        self._folder: Path | None = None
        self._files: dict[int, int] = {}
        self._live: dict[int, int] = {}
        self._sizes: dict[int, int] = {}
        self._current = 0
        self._lock = threading.Lock()
        self.used = 0
        self.written = 0

    def write(self, data: memoryview, nbytes: int) -> Place | None:
        """Keep bytes; None if the limit leaves no room.

        Parameters
        ----------
        data : memoryview
            Whole pages.
        nbytes : int
            How much of it matters.

        Raises
        ------
        StreamingError
            If the disk does not take them.
        """
        with self._lock:
            if self.used + len(data) > self.limit:
                return None
            try:
                file, offset = self._reserve(len(data))
            except OSError as error:
                raise StreamingError(f"Scratch in {self._scratch} cannot be written: {error.strerror}.") from error
            handle = self._files[file]
        try:
            os.posix_fallocate(handle, offset, len(data))
            done = 0
            while done < len(data):
                done += os.pwrite(handle, data[done:], offset + done)
        except OSError as error:
            self.drop(Place(file, offset, nbytes))
            raise StreamingError(f"Scratch in {self._scratch} cannot be written: {error.strerror}.") from error
        self.written += nbytes
        return Place(file, offset, nbytes)

    def read(self, place: Place) -> memoryview:
        """The bytes again.

        Raises
        ------
        StreamingError
            If the disk does not give them.
        """
        try:
            pages = mmap.mmap(-1, -(-max(place.nbytes, 1) // PAGE) * PAGE)
            done = os.preadv(self._files[place.file], [pages], place.offset)
        except OSError as error:
            raise StreamingError(f"Scratch in {self._scratch} cannot be read: {error.strerror}.") from error
        if done != len(pages):
            raise StreamingError(f"Scratch in {self._scratch} has been tampered with.")
        return memoryview(pages)[: place.nbytes]

    def drop(self, place: Place) -> None:
        """Forget bytes; a file goes once all of it is forgotten."""
        with self._lock:
            self._live[place.file] -= 1
            self._tidy(place.file)

    def close(self) -> None:
        """Remove everything."""
        with self._lock:
            for handle in self._files.values():
                os.close(handle)
            self._files.clear()
            if self._folder:
                shutil.rmtree(self._folder, ignore_errors=True)

    def _reserve(self, nbytes: int) -> tuple[int, int]:
        file = self._current
        if file not in self._files or self._sizes[file] + nbytes > _FILE_BYTES:
            if self._folder is None:
                self._folder = Path(tempfile.mkdtemp(prefix="openhcs-stream-", dir=self._scratch))
            self._current += 1
            path = self._folder / str(self._current)
            self._files[self._current] = _open(path)
            self._live[self._current] = self._sizes[self._current] = 0
            self._tidy(file)  # the one before may have been emptied while it was written to
            file = self._current
        offset = self._sizes[file]
        self._sizes[file] += nbytes
        self._live[file] += 1
        self.used += nbytes
        return file, offset

    def _tidy(self, file: int) -> None:
        if file in self._files and file != self._current and not self._live[file]:
            os.close(self._files.pop(file))
            self.used -= self._sizes.pop(file)
            del self._live[file]
            assert self._folder is not None
            with suppress(OSError):
                (self._folder / str(file)).unlink()


def _open(path: Path) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        return os.open(path, flags | _DIRECT, 0o600)
    except OSError as error:  # the file may have been made nevertheless
        if error.errno != errno.EINVAL:
            raise
        path.unlink(missing_ok=True)
        return os.open(path, flags, 0o600)

"""A file that has its final name only when it is complete."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import io
import os
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from openhcs_core.imaris.errors import ImsWriteError
from openhcs_core.imaris.journal import Patch, Step, read_journal, remove_journal, sync_folder, write_journal

_FULL = {errno.ENOSPC: "the disk is full", errno.EDQUOT: "the quota is used up", errno.EFBIG: "the file grew too large"}
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS)
_POLL_S = 0.1
_WRITABLE = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH


@dataclass
class Place:
    """Where content lies in a file.

    Attributes
    ----------
    content : bytes or ndarray
    address : int
        Of the content in memory.
    offset : int or None
        In the file; None if it is written already.
    """

    content: bytes | np.ndarray
    address: int
    offset: int | None = None


class PartFile:
    """``<name>.part`` beside the target, renamed by `commit`, removed by `discard`.

    It is a file object for HDF5, which does not survive a failed write: closing the file then may end
    the process. So a failure is kept for `check`, HDF5 is told that all is well, and nothing more is
    written.

    Two writers of the same target do not clash: an advisory lock (``flock``) is held on the part until
    it is renamed or removed. The system takes it back from a writer that was killed.

    With an `identity`, `save` keeps how far the work has come in ``<name>.part.journal``, and whoever
    opens the part of the same target and identity next goes on there. What another identity, or a
    killed writer without one, left is overwritten.

    Parameters
    ----------
    target : Path
        Final name. An existing file of that name stays as it is until `commit` replaces it.
    identity : str, optional
        Of the image and of all that decides on the content of the file.
    waiting : callable, optional
        Called again and again while another writer holds the lock; what it raises ends the waiting.
        Without it another writer is an error.

    Attributes
    ----------
    state : dict or None
        As it was given to `save`; None if the part is new.
    waited : bool
        Whether there was another writer.

    Raises
    ------
    ImsWriteError
        If the folder is missing or refuses the file, or another writer is at work.
    """

    def __init__(self, target: Path, identity: str | None = None, waiting: Callable[[], object] | None = None) -> None:
        self.target = target
        self.path = target.with_name(target.name + ".part")
        self.journal = target.with_name(target.name + ".part.journal")
        self.state: dict[str, Any] | None = None
        self.waited = False
        self._identity = identity
        self._waiting = waiting
        self._descriptor: int | None = None
        self._position = 0
        self._size = 0
        self._kept = 0
        self._patches: list[Patch] = []
        self._error: OSError | None = None
        self._expected: Place | None = None
        if target.is_dir():
            raise ImsWriteError(f"{target} is a folder. Give the name of a file.")
        if target.exists() and not target.stat().st_mode & _WRITABLE:
            raise ImsWriteError(f"{target} exists and is write-protected. Remove it, or choose another name.")
        if not target.parent.is_dir():
            raise ImsWriteError(f"The folder {target.parent} does not exist. Make it first, or choose another.")
        with self._reported():
            self._descriptor = self._open_locked()
            try:
                self._resume()
            except BaseException:
                self.close()
                raise

    @property
    def saved(self) -> bool:
        """Whether there is something from which the work can go on."""
        return self._kept > 0

    @property
    def remains(self) -> str:
        """For people: what is left on disk if the work ends here."""
        if self.saved:
            return f"what is complete is kept in {self.path.name}, and the same export goes on there"
        return "nothing was left"

    def check(self) -> None:
        """Raise ImsWriteError if a write has failed."""
        with self._reported():
            if self._error is not None:
                raise self._error

    def save(self, state: dict[str, Any]) -> None:
        """Keep the present content, which HDF5 has written out: from here the work can go on.

        Returns when content and journal are safe on disk.
        """
        assert self._descriptor is not None
        assert self._identity is not None
        self.check()
        with self._reported():
            self._cut(self._size)
            os.fsync(self._descriptor)
            write_journal(self.journal, Step(self._identity, self._size, self._patches, state))
            self._kept = self._size
            self._apply(self._patches)
            self._patches = []

    def commit(self, durable: bool = True) -> None:
        """Give the file its final name.

        Parameters
        ----------
        durable : bool
            Whether to bring the content to disk first.
        """
        assert self._descriptor is not None
        assert not self._patches, "save first: what the journal relies on is changed by way of the journal only"
        self.check()
        with self._reported():
            if durable:
                os.fsync(self._descriptor)
            os.replace(self.path, self.target)
        if durable:
            sync_folder(self.target.parent)
        remove_journal(self.journal)  # after that: a kill in between costs nothing
        self.close()

    def discard(self) -> None:
        """Remove the file and its journal."""
        if self._descriptor is not None:
            remove_journal(self.journal)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.path)
        self.close()

    def suspend(self) -> None:
        """Leave what `save` has kept for the next writer; without that, remove the file."""
        if self._descriptor is None or not self.saved:
            self.discard()
            return
        with contextlib.suppress(OSError):
            self._cut(self._kept)
        self.close()

    def restart(self) -> None:
        """Begin anew with an empty file."""
        assert self._descriptor is not None
        with self._reported():
            remove_journal(self.journal)
            self._cut(0)
        self.state, self._size, self._kept, self._patches = None, 0, 0, []

    def close(self) -> None:
        """Give up the lock; the file stays."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def place(self, content: bytes | np.ndarray, write: Callable[[], object]) -> Place:
        """Have HDF5 find a place for content; `fill` writes it there.

        Parameters
        ----------
        content : bytes or ndarray
        write : callable
            Has HDF5 write the content; to be called under its lock.
        """
        place = self._expected = Place(content, _address(content))
        try:
            write()
        finally:
            self._expected = None
        return place

    def fill(self, place: Place) -> None:
        """Write what was placed. Any number of threads may do this at once, without HDF5's lock."""
        if place.offset is not None:
            self._put(_bytes(place.content), place.offset)

    # What follows is called by HDF5.

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: bytearray | memoryview) -> int:
        assert self._descriptor is not None
        view = _bytes(buffer)
        begin, count = self._position, os.preadv(self._descriptor, [view], self._position)
        for offset, content in self._patches:
            low, high = max(begin, offset), min(begin + count, offset + len(content))
            if low < high:
                view[low - begin : high - begin] = content[low - offset : high - offset]
        self._position += count
        return count

    def write(self, content: bytes | memoryview) -> int:
        view = _bytes(content)
        begin, held = self._position, max(0, min(len(view), self._kept - self._position))
        if held:
            self._patches.append((begin, bytes(view[:held])))
        elif self._expected is not None and _address(view) == self._expected.address:
            self._expected.offset, held = begin, len(view)
        self._put(view[held:], begin + held)
        self._position += len(view)
        self._size = max(self._size, self._position)
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        assert self._descriptor is not None
        self._size = self._position if size is None else size
        try:
            if self._error is None and self._size > self._kept:
                self._cut(self._size)
        except OSError as error:
            self._error = error
        return self._size

    def flush(self) -> None:
        """Nothing is held back but what `save` has to see first."""

    def _put(self, view: memoryview, offset: int) -> None:
        assert self._descriptor is not None
        written = 0
        try:
            while self._error is None and written < len(view):
                written += os.pwrite(self._descriptor, view[written:], offset + written)
        except OSError as error:
            self._error = error

    def _cut(self, size: int) -> None:
        """Set the size of the file. Not needlessly: what was emptied once, ext4 writes to disk when it is closed."""
        assert self._descriptor is not None
        if os.fstat(self._descriptor).st_size != size:
            os.ftruncate(self._descriptor, size)

    def _apply(self, patches: list[Patch]) -> None:
        for offset, content in patches:
            self._put(memoryview(content), offset)
        if self._error is not None:
            raise self._error

    def _resume(self) -> None:
        """Bring the part to the state of its journal, if that is of the same identity; else empty it."""
        assert self._descriptor is not None
        step = read_journal(self.journal) if self._identity else None
        if step and step.identity == self._identity and step.size <= os.fstat(self._descriptor).st_size:
            self._cut(step.size)
            self._apply(step.patches)
            self.state, self._size, self._kept = step.state, step.size, step.size
        else:
            self.restart()

    def _open_locked(self) -> int:
        while True:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            try:
                if self._locked(descriptor) and self._is_current(descriptor):
                    return descriptor
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)
            if self._waiting is not None:
                self._waiting()
                time.sleep(_POLL_S)

    def _locked(self, descriptor: int) -> bool:
        """Try to get the lock."""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if self._waiting is None:
                raise ImsWriteError(
                    f"Another export is writing {self.target} at this moment. Wait for it, or choose another name."
                ) from None
            self.waited = True
            return False
        except OSError as error:
            # Some network file systems know no locks; there the name alone has to do.
            if error.errno not in _NO_LOCKS:
                raise
        return True

    def _is_current(self, descriptor: int) -> bool:
        """Whether the file still has its name: its owner may rename or remove it between open and lock."""
        try:
            return os.path.samestat(os.fstat(descriptor), os.stat(self.path))
        except FileNotFoundError:
            return False

    @contextlib.contextmanager
    def _reported(self) -> Iterator[None]:
        """Turn what the system says into an ImsWriteError with advice."""
        try:
            yield
        except OSError as error:
            if error.errno in _FULL:
                raise ImsWriteError(
                    f"Could not write {self.target}: {_FULL[error.errno]}. Free some space or choose another folder, "
                    f"then export again; {self.remains}."
                ) from error
            raise ImsWriteError(
                f"Could not write {self.target}: {error.strerror or error}. Choose another folder."
            ) from error


def _bytes(content: Any) -> memoryview:
    return memoryview(content).cast("B")


def _address(content: bytes | memoryview | np.ndarray) -> int:
    """Where something lies in memory; it must not be empty."""
    return np.frombuffer(content, np.uint8).__array_interface__["data"][0]

"""A file that has its final name only when it is complete."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import io
import os
from collections.abc import Iterator
from pathlib import Path

from openhcs_core.imaris.errors import ImsWriteError

_FULL = {errno.ENOSPC: "the disk is full", errno.EDQUOT: "the quota is used up", errno.EFBIG: "the file grew too large"}


class PartFile:
    """``<name>.part`` beside the target, renamed by `commit`, removed by `discard`.

    It is a file object for HDF5, which does not survive a failed write: closing the file then may end
    the process. So a failure is kept for `check`, HDF5 is told that all is well, and nothing more is
    written.

    Two writers of the same target do not clash: the second gets an error. What a killed writer left is
    overwritten.

    Parameters
    ----------
    target : Path
        Final name. An existing file of that name stays as it is until `commit` replaces it.

    Raises
    ------
    ImsWriteError
        If the folder is missing or refuses the file, or another writer is at work.
    """

    def __init__(self, target: Path) -> None:
        self.target = target
        self.path = target.with_name(target.name + ".part")
        self._descriptor: int | None = None
        self._position = 0
        self._size = 0
        self._error: OSError | None = None
        if target.is_dir():
            raise ImsWriteError(f"{target} is a folder. Give the name of a file.")
        if not target.parent.is_dir():
            raise ImsWriteError(f"The folder {target.parent} does not exist. Make it first, or choose another.")
        with self._reported():
            self._descriptor = self._open_locked()
            os.ftruncate(self._descriptor, 0)

    def check(self) -> None:
        """Raise ImsWriteError if a write has failed."""
        with self._reported():
            if self._error is not None:
                raise self._error

    def commit(self) -> None:
        """Bring the content to disk and give the file its final name."""
        assert self._descriptor is not None
        self.check()
        with self._reported():
            os.fsync(self._descriptor)
            os.replace(self.path, self.target)
        with contextlib.suppress(OSError):  # the name is as safe as this file system can make it
            folder = os.open(self.target.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        self.close()

    def discard(self) -> None:
        """Remove the file."""
        if self._descriptor is not None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.path)
        self.close()

    def close(self) -> None:
        """Give up the lock; the file stays."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    # What follows is called by HDF5.

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: bytearray | memoryview) -> int:
        assert self._descriptor is not None
        count = os.preadv(self._descriptor, [buffer], self._position)
        self._position += count
        return count

    def write(self, content: bytes | memoryview) -> int:
        assert self._descriptor is not None
        view = memoryview(content).cast("B")
        written = 0
        try:
            while self._error is None and written < len(view):
                written += os.pwrite(self._descriptor, view[written:], self._position + written)
        except OSError as error:
            self._error = error
        self._position += len(view)
        self._size = max(self._size, self._position)
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        assert self._descriptor is not None
        self._size = self._position if size is None else size
        try:
            if self._error is None:
                os.ftruncate(self._descriptor, self._size)
        except OSError as error:
            self._error = error
        return self._size

    def flush(self) -> None:
        """Nothing is held back."""

    def _open_locked(self) -> int:
        while True:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                raise ImsWriteError(
                    f"Another export is writing {self.target} at this moment. Wait for it, or choose another name."
                ) from None
            except OSError as error:
                # Some network file systems know no locks; there the name alone has to do.
                if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS):
                    os.close(descriptor)
                    raise
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(descriptor), os.stat(self.path)):
                    return descriptor
            os.close(descriptor)  # renamed or removed by its owner between open and lock: try anew

    @contextlib.contextmanager
    def _reported(self) -> Iterator[None]:
        """Turn what the system says into an ImsWriteError with advice."""
        try:
            yield
        except OSError as error:
            if error.errno in _FULL:
                raise ImsWriteError(
                    f"Could not write {self.target}: {_FULL[error.errno]}. Free some space or choose another folder, "
                    "then export again; nothing half-written was left."
                ) from error
            raise ImsWriteError(
                f"Could not write {self.target}: {error.strerror or error}. Choose another folder."
            ) from error

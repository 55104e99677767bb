"""Folders for files that are being made: found again by the same export, in use by one at a time, swept when old."""

from __future__ import annotations

import fcntl
import logging
import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from openhcs_core.omero.errors import OmeroError

KEPT_DAYS = 7
"""Days after which what an interrupted export left is removed."""

_LOCK = "lock"
_POLL_S = 0.2

logger = logging.getLogger(__name__)


@contextmanager
def workplace(scratch: Path, user_id: int, name: str, waiting: Callable[[], object]) -> Iterator[tuple[Path, bool]]:
    """The folder of one export, for one process at a time.

    It is ``<scratch>/openhcs-ims-<uid>/<user of OMERO>/<name>``, for nobody else on this machine to see.
    After the work it is removed, unless the work failed and has left something to go on with.

    Parameters
    ----------
    scratch : Path
        Folder of the settings.
    user_id : int
        Of OMERO.
    name : str
        Of the export: the same if, and only if, the same file is made.
    waiting : callable
        Called again and again while another process has the folder; what it raises ends the waiting.

    Yields
    ------
    folder : Path
    waited : bool
        Whether another process had it.

    Raises
    ------
    OmeroError
        If the folder cannot be made, or is of another user of this machine.
    """
    base = scratch / f"openhcs-ims-{os.getuid()}"
    folder = base / str(user_id) / name
    descriptor, waited = _enter(scratch, base, folder, waiting)
    try:
        yield folder, waited
    except BaseException:
        if not _left(folder):
            _remove(folder)
        raise
    else:
        _remove(folder)
    finally:
        os.close(descriptor)
        for empty in (folder.parent, base):
            with suppress(OSError):
                empty.rmdir()


def sweep(scratch: Path, now: float | None = None) -> None:
    """Remove what interrupted exports of this user of the machine left days ago, except what is in use."""
    base = scratch / f"openhcs-ims-{os.getuid()}"
    if not base.is_dir() or not _is_ours(base):
        return
    for folder in base.glob("*/*"):
        if _is_old([folder / _LOCK, *_left(folder)], now):
            with _unless_in_use(folder / _LOCK) as free:
                if free:
                    logger.warning("%s is removed: an export left it more than %d days ago", folder, KEPT_DAYS)
                    _remove(folder)
    for empty in (*base.glob("*"), base):
        with suppress(OSError):
            empty.rmdir()


def sweep_parts(folder: Path, now: float | None = None) -> None:
    """Remove unfinished files below a folder of exports that are days old, except those in use."""
    for part in folder.glob("*/*.ims.part"):
        journal = part.with_name(part.name + ".journal")
        if _is_old([part, journal], now):
            with _unless_in_use(part) as free, suppress(OSError):
                if free:
                    logger.warning("%s is removed: an export left it more than %d days ago", part, KEPT_DAYS)
                    journal.unlink(missing_ok=True)
                    part.unlink()
                    part.parent.rmdir()  # empty unless there are other exports


def _enter(scratch: Path, base: Path, folder: Path, waiting: Callable[[], object]) -> tuple[int, bool]:
    """Make and lock the folder; return what holds the lock, and whether another process had it."""
    waited = False
    try:
        while True:
            with suppress(FileExistsError):
                base.mkdir(mode=0o700)
            if not _is_ours(base):
                raise OmeroError(
                    f"{base} belongs to somebody else or is open to others. Ask the administrator to remove it, "
                    "or to set another folder as scratch in openhcs.toml."
                )
            try:
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            except FileNotFoundError:
                if scratch.is_dir():  # another process has just removed the folder
                    continue
                raise
            try:
                if _lock(descriptor) and _is_current(descriptor, folder / _LOCK):
                    os.utime(descriptor)  # it is in use now, however old it is
                    return descriptor, waited
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)
            waited = True
            waiting()
            time.sleep(_POLL_S)
    except OSError as error:
        raise OmeroError(
            f"the scratch folder {scratch} cannot be used: {error.strerror}. Ask the administrator to set, in "
            "openhcs.toml, a folder that the user of OMERO.server may write to: scratch."
        ) from error


def _is_ours(base: Path) -> bool:
    """Whether it is a folder, no link to one, which nobody else may look into."""
    found = base.lstat()
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:  # some network file systems know no locks
        logger.warning("Exports of the same image at the same time are not kept apart: %s", error.strerror)
    return True


def _is_current(descriptor: int, path: Path) -> bool:
    """Whether the file still has its name: its owner may have removed it between open and lock."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


@contextmanager
def _unless_in_use(path: Path) -> Iterator[bool]:
    """Hold the lock of a file; whether that was possible."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        yield False
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        free = _is_current(descriptor, path)
    except OSError:  # in use, or there are no locks to tell
        free = False
    try:
        yield free
    finally:
        os.close(descriptor)


def _is_old(files: list[Path], now: float | None) -> bool:
    """Whether none of the files was touched lately."""
    limit = (time.time() if now is None else now) - KEPT_DAYS * 86400
    times = []
    for file in files:
        with suppress(OSError):
            times.append(file.stat().st_mtime)
    return bool(times) and max(times) < limit


def _left(folder: Path) -> list[Path]:
    """What an export left in its folder."""
    with suppress(OSError):
        return [item for item in folder.iterdir() if item.name != _LOCK]
    return []


def _remove(folder: Path) -> None:
    """Remove a folder whose lock is held; the lock goes last."""
    for item in _left(folder):
        with suppress(OSError):
            item.unlink()
    with suppress(OSError):
        (folder / _LOCK).unlink()
        folder.rmdir()

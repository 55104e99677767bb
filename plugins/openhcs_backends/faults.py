"""What the system says, for people."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path

from openhcs_core.storage.backend import StorageError

_FULL = {errno.ENOSPC: "the disk is full", errno.EDQUOT: "the quota is used up", errno.EFBIG: "the file grew too large"}
_REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS)


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an OSError into a StorageError that says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL or "requested and" in str(error):  # NumPy says only how much it could not write
            said = _FULL.get(error.errno or 0, "the disk is full")
            advice = "Free some space, then run again: finished wells are kept."
        elif error.errno in _REFUSED:
            said, advice = f"{error.strerror}", "Choose another folder, or have the rights changed."
        else:
            said, advice = f"{error.strerror or error}", "Choose another folder."
        raise StorageError(f"Could not write below {path}: {said}. {advice}") from error

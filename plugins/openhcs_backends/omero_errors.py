"""Errors of the room of OMERO, as errors of storage."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import omero

from openhcs_core.errors import OpenHCSError
from openhcs_core.omero.errors import said_by_server
from openhcs_core.omero.session import session_is_over
from openhcs_core.storage.backend import StorageError


@contextmanager
def as_storage_error(where: str = "") -> Iterator[None]:
    """Turn what OMERO says into a StorageError; that the session is over stays what it is.

    Parameters
    ----------
    where : str
        What the message begins with.
    """
    try:
        yield
    except StorageError:
        raise
    except OpenHCSError as error:
        raise StorageError(f"{where}{error}") from error
    except omero.ServerError as error:
        if session_is_over(error):
            raise
        raise StorageError(f"{where}OMERO refused: {said_by_server(error).rstrip('.')}.") from error

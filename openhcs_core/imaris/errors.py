"""Errors of the Imaris writer."""

from openhcs_core.errors import OpenHCSError


class ImsError(OpenHCSError):
    """An image, its metadata or a request cannot become an Imaris file."""


class ImsWriteError(ImsError):
    """The file system refused the file: disk full, no permission, in use by another export."""


class ImsCancelled(ImsError):
    """The caller's ``cancelled`` function returned true; nothing is left on disk."""

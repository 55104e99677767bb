"""Errors of the work with local files."""

from openhcs_core.errors import OpenHCSError


class LocalError(OpenHCSError):
    """A file cannot be read or exported; the message says why and what to do."""

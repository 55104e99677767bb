"""Errors of the work with an OMERO.server."""

from openhcs_core.errors import OpenHCSError


class OmeroError(OpenHCSError):
    """Something asked of OMERO cannot be done; the message says why and what to do."""


class Stopped(OmeroError):
    """The work was cancelled from outside (SIGTERM)."""

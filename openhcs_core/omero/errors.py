"""Errors of the work with an OMERO.server."""

from openhcs_core.errors import OpenHCSError


class OmeroError(OpenHCSError):
    """Something asked of OMERO cannot be done; the message says why and what to do."""


class SessionOver(OmeroError):
    """The session is over, or never was; somebody has to log in."""


class Unreachable(OmeroError):
    """OMERO.server does not answer; it may do so later."""


class Stopped(OmeroError):
    """The work was cancelled from outside (SIGTERM)."""


def said_by_server(error: Exception) -> str:
    """What the server said, in one line; the type of the error if it said nothing."""
    return (getattr(error, "message", None) or type(error).__name__).strip().splitlines()[0]

"""What can go wrong between a client and an execution server."""

from openhcs_core.errors import OpenHCSError


class ExecutionError(OpenHCSError):
    """The server refuses a request, or an execution has failed.

    Attributes
    ----------
    code : str
        Why, for programs: one of `CODES`.
    field : str
        Field of the request that is wrong, if it is one.
    traceback : str
        Of the server, if it has one to show.
    """

    def __init__(self, message: str, code: str = "failed", field: str = "", traceback: str = "") -> None:
        super().__init__(message)
        self.code, self.field, self.traceback = code, field, traceback


class UnreachableError(ExecutionError):
    """The server does not answer: refused, timeout or reset; the message tells which, and what that means."""

    def __init__(self, message: str) -> None:
        super().__init__(message, "unreachable")


CODES = {
    "bad_request": "the request is malformed, or a field makes no sense",
    "no_session": "the session of OMERO is missing, over, or unknown here",
    "no_access": "the user may not do this, or may not see that",
    "unknown": "there is no such execution, or not for this user",
    "limit": "the user, or the server, has as many executions as allowed",
    "omero": "OMERO.server cannot be reached now; try again later",
    "closing": "the server is ending; it takes nothing new",
    "failed": "it went wrong on the server",
    "unreachable": "the execution server does not answer",
}
"""Codes of errors, and what each means."""

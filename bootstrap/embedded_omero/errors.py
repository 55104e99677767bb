"""Exceptions of OMERO's wire protocol, made with one line each."""

from __future__ import annotations

import omero


def _make(cls, message: str):
    return cls("", cls.__name__, message)


def api_usage(message: str) -> omero.ApiUsageException:
    """The caller used an operation in a way which can never work."""
    return _make(omero.ApiUsageException, message)


def validation(message: str) -> omero.ValidationException:
    """The data given are not valid."""
    return _make(omero.ValidationException, message)


def security(message: str) -> omero.SecurityViolation:
    """The caller's rights do not suffice."""
    return _make(omero.SecurityViolation, message)


def internal(message: str) -> omero.InternalException:
    """What a Java server reports for an exception it did not expect."""
    return _make(omero.InternalException, message)


def resource(message: str) -> omero.ResourceError:
    """A file or another resource failed."""
    return _make(omero.ResourceError, message)


def query(message: str) -> omero.QueryException:
    """A query which cannot be read or evaluated."""
    return _make(omero.QueryException, message)


def wrapped(java_class: str, message: str = "") -> omero.InternalException:
    """An exception of a Java library as the server passes it on."""
    return internal(f"Wrapped Exception: ({java_class}):\n{message}")


def no_row(java_name: str, id: int) -> omero.ValidationException:
    """The object does not exist."""
    return validation(f"No row with the given identifier exists: [{java_name}#{id}]")


def cannot_read(java_name: str, id: int) -> omero.SecurityViolation:
    """The object exists, but the caller may not see it."""
    return security(f"Cannot read {java_name}:Id_{id}")

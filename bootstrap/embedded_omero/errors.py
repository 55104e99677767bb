"""Exceptions of OMERO's wire protocol, made with one line each."""

from __future__ import annotations

import omero


def server_error(cls, message: str):
    """An exception of the server with the name and the first line of the trace that its Java ones have."""
    name = f"ome.conditions.{cls.__name__}"
    return cls(f"{name}: {message}\n", name, message)


def api_usage(message: str) -> omero.ApiUsageException:
    """The caller used an operation in a way which can never work."""
    return server_error(omero.ApiUsageException, message)


def validation(message: str) -> omero.ValidationException:
    """The data given are not valid."""
    return server_error(omero.ValidationException, message)


def security(message: str) -> omero.SecurityViolation:
    """The caller's rights do not suffice."""
    return server_error(omero.SecurityViolation, message)


def internal(message: str) -> omero.InternalException:
    """What a Java server reports for an exception it did not expect."""
    return server_error(omero.InternalException, message)


def resource(message: str) -> omero.ResourceError:
    """A file or another resource failed."""
    return server_error(omero.ResourceError, message)


def query(message: str) -> omero.QueryException:
    """A query which cannot be read or evaluated."""
    return server_error(omero.QueryException, message)


def wrapped(java_class: str, message: str = "") -> omero.InternalException:
    """An exception of a Java library as the server passes it on."""
    return internal(f"Wrapped Exception: ({java_class}):\n{message}")


def no_row(java_name: str, id: int) -> omero.ValidationException:
    """The object does not exist."""
    text = f"No row with the given identifier exists: [{java_name}#{id}]"
    return validation(f"{text}; nested exception is org.hibernate.ObjectNotFoundException: {text}")


def cannot_read(java_name: str, id: int) -> omero.SecurityViolation:
    """The object exists, but the caller may not see it."""
    return security(f"Cannot read {java_name}:Id_{id}")

"""Options of commands that log in to OMERO."""

from __future__ import annotations

import argparse
import getpass
import os
import sys
from contextlib import AbstractContextManager
from typing import Any

from openhcs_core.errors import OpenHCSError

DEFAULT_PORT = 4064


def add_login(parser: argparse.ArgumentParser) -> None:
    """Add the options of the log-in to a parser; see `open_session`."""
    login = parser.add_argument_group(
        "log-in",
        "Without any of these the session of `omero login` is used. A password is asked for, or taken from the "
        "environment variable OMERO_PASSWORD; it is never an argument.",
    )
    login.add_argument("--server", metavar="HOST", help="OMERO.server (default: localhost)")
    login.add_argument("--port", type=int, help=f"its port (default: {DEFAULT_PORT})")
    login.add_argument("--user", help="name of the user (default: root)")
    login.add_argument(
        "--session-key-env", metavar="NAME", help="environment variable with the key of a session to join"
    )


def open_session(options: argparse.Namespace) -> AbstractContextManager[Any]:
    """Context manager: a client in the session that the options ask for.

    Raises
    ------
    OpenHCSError
        If they do not tell how to log in, or that fails.
    """
    from openhcs_core.omero.session import session, stored_session

    host, port = options.server or "localhost", options.port or DEFAULT_PORT
    if options.session_key_env:
        key = os.environ.get(options.session_key_env)
        if not key:
            raise OpenHCSError(f"The environment variable {options.session_key_env} is empty or not set.")
        return session(host, port, key=key)
    if not (options.server or options.port or options.user):
        stored = stored_session()
        if stored is None:
            raise OpenHCSError("Not logged in. Give --server and --user, or run `omero login` first.")
        host, port, key = stored
        return session(host, port, key=key)
    user = options.user or "root"
    password = os.environ.get("OMERO_PASSWORD")
    if password is None:
        if not sys.stdin.isatty():
            raise OpenHCSError(f"No password for {user}: set OMERO_PASSWORD, or run this in a terminal.")
        password = getpass.getpass(f"Password of {user} on {host}: ")
    return session(host, port, user=user, password=password)

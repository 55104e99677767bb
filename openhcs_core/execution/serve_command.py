"""``openhcs serve``: run the execution server, or ask how it is doing."""

from __future__ import annotations

import argparse
import json
import logging
import os
import platform
import sys
from typing import TYPE_CHECKING, Any

from openhcs_core.errors import OpenHCSError

if TYPE_CHECKING:
    from openhcs_core.settings import Settings
    from openhcs_core.streaming.sockets import Server


def add_command(commands: Any) -> None:
    """Add ``serve`` to the sub-commands of a parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "serve",
        help="run pipelines on this machine for users of OMERO, who ask from theirs",
        description="Runs until SIGTERM or Ctrl-C. Where it listens, which OMERO.server it serves, how much it runs "
        "at a time: see server_... in openhcs.toml.",
    )
    parser.add_argument(
        "--local", action="store_true", help="without OMERO: for this user on this machine; plates are folders"
    )
    other = parser.add_mutually_exclusive_group()
    other.add_argument(
        "--show-key", action="store_true", help="only print its address with its public key, as clients need it"
    )
    other.add_argument(
        "--check",
        action="store_true",
        help="only ask the server that runs how it is doing; the exit status is 0 if all is well",
    )
    parser.set_defaults(action=serve)


def serve(options: argparse.Namespace) -> int:
    """Do what the options say; return the exit status.

    Raises
    ------
    OpenHCSError
        If the server cannot be started, or does not answer.
    """
    from openhcs_core.settings import load_settings

    settings = load_settings()
    try:
        if options.show_key:
            print(_address(settings, platform.node()))
            return 0
        if options.check:
            return _check(settings)
        return _run(settings, options.local)
    except ImportError as error:
        raise OpenHCSError(
            f"{error}. The execution server needs more packages; install them with: "
            f'{sys.executable} -m pip install "openhcs-omero[server]"'
        ) from error


def _run(settings: Settings, local: bool) -> int:
    from openhcs_core.execution.server import OpenHCSExecutionServer

    server = OpenHCSExecutionServer(settings, local)
    print(f"Listening: {server.address}\nHealth: {server.health}", flush=True)
    status = server.run()
    logging.shutdown()
    os._exit(status)  # threads that still wait for OMERO.server would hold the end up


def _check(settings: Settings) -> int:
    from openhcs_core.execution.client import ServerClient
    from openhcs_core.execution.requests import Ping
    from openhcs_core.streaming.endpoints import parse, tcp

    server = _address(settings, "localhost")
    health = server._replace(endpoint=tcp(parse(server.endpoint).host, settings.server_health_port))
    answer = ServerClient(health, timeout_s=5.0, retries=1).ask(Ping())
    print(json.dumps(answer, indent=1))
    return 0 if answer["ready"] and not answer["problems"] else 1


def _address(settings: Settings, anywhere: str) -> Server:
    """Where clients find the server of the settings; `anywhere`: the host if it listens at all addresses."""
    from openhcs_core.execution.keys import ServerKeys
    from openhcs_core.execution.places import folders
    from openhcs_core.streaming.endpoints import parse, tcp
    from openhcs_core.streaming.sockets import Server

    host, port = parse(f"tcp://{settings.server_listen}")
    keys = ServerKeys.load(folders(settings).state)
    return Server(tcp(anywhere if host in ("*", "0.0.0.0", "::") else host, port), keys.curve.public)

"""What the programs of viewers have in common: options, how they talk to whoever started them, how they end.

A viewer writes one JSON object per line to its standard output: ``{"phase": "started"}``, ``"imported"``, ``"window"``,
``{"phase": "ready", "address": "tcp://...", "pid": ...}`` in the end, or ``{"phase": "failed", "error": "..."}``. With
``--commands`` it reads such lines from its standard input: ``{"allow": KEY}``, ``{"connect": ADDRESS}``,
``{"shutdown": REASON}``; the end of the input ends it, unless it is ``--persistent``.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from openhcs_core.errors import OpenHCSError
from openhcs_core.streaming.endpoints import is_local, tcp
from openhcs_core.streaming.intake import Viewer
from openhcs_core.streaming.receiver import Receiver
from openhcs_core.streaming.security import CurveKeys, key_from_text
from openhcs_core.streaming.sockets import Server

NOWHERE = "none"
"""As address to listen at: do not."""

END_S = 15.0
"""How long a viewer may take to end when nobody is left who could kill it."""


@dataclass(frozen=True)
class ViewerOptions:
    """What a viewer was asked for on its command line.

    Attributes
    ----------
    listen : str or None
        Endpoint for publishers to come to.
    connect : sequence of Server
        Publishers that listen.
    allow : sequence of str
        Public keys of the publishers that may come in; with any, or with `curve`, connections are encrypted.
    curve : bool
    title : str
        Of the window.
    commands : bool
        Whether commands come through the standard input.
    persistent : bool
        Whether it outlives who started it.
    """

    listen: str | None
    connect: Sequence[Server] = ()
    allow: Sequence[str] = ()
    curve: bool = False
    title: str = ""
    commands: bool = False
    persistent: bool = False

    @classmethod
    def parse(cls, name: str, port: int, arguments: Sequence[str] | None = None) -> ViewerOptions:
        """Options of a command line; ends the process with a message if they make no sense.

        Parameters
        ----------
        name : str
            Of the viewer.
        port : int
            That it listens at unless told otherwise.
        arguments : sequence of str, optional
            Those of the process unless given.
        """
        parser = argparse.ArgumentParser(description=f"Shows results in {name} while they are made.")
        parser.add_argument(
            "--listen",
            metavar="ADDRESS",
            default=tcp("127.0.0.1", port),
            help=f"where publishers come to, port 0 for any, or '{NOWHERE}' (default: %(default)s)",
        )
        parser.add_argument(
            "--connect", metavar="ADDRESS", action="append", default=[], help="of a publisher that listens; repeatable"
        )
        parser.add_argument(
            "--allow", metavar="KEY", action="append", default=[], help="public key of a publisher; repeatable"
        )
        parser.add_argument("--curve", action="store_true", help="encrypt connections on this machine, too")
        parser.add_argument("--title", default="", help="of the window")
        parser.add_argument("--commands", action="store_true", help="take commands from the standard input")
        parser.add_argument("--persistent", action="store_true", help="go on when the standard input ends")
        given = parser.parse_args(arguments)
        try:
            return cls(
                listen=None if given.listen == NOWHERE else given.listen,
                connect=tuple(Server.from_text(text) for text in given.connect),
                allow=tuple(key_from_text(text) for text in given.allow),
                curve=given.curve,
                title=given.title,
                commands=given.commands,
                persistent=given.persistent,
            )
        except OpenHCSError as error:
            parser.error(str(error))


def say(phase: str, **facts: Any) -> None:
    """Tell whoever started this process how far it is."""
    try:
        print(json.dumps({"phase": phase, **facts}), flush=True)
    except BrokenPipeError:  # nobody listens any more
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def make_receiver(
    viewer: Viewer, name: str, options: ViewerOptions, displays: bool = False
) -> tuple[Receiver, CurveKeys | None]:
    """Begin to receive as the options say; `displays` as for `Receiver`.

    Keys are made here, in the viewer itself, where the options ask for encryption or an address needs it.

    Returns
    -------
    Receiver, and its keys if there are any; see `address_of`.

    Raises
    ------
    StreamingError
        If the port is taken, or an address makes no sense.
    """
    away = [end for end in (options.listen, *(server.endpoint for server in options.connect)) if end]
    needed = (
        options.curve or options.allow or not all(map(is_local, away)) or any(s.public_key for s in options.connect)
    )
    keys = CurveKeys.new() if needed else None
    receiver = Receiver(
        viewer, name, options.listen, options.connect, keys=keys, allow=tuple(options.allow), displays=displays
    )
    return receiver.start(), keys


def address_of(receiver: Receiver, keys: CurveKeys | None) -> str | None:
    """Where publishers come to, with the public key, for people to copy; None if it does not listen."""
    if receiver.endpoint is None:
        return None
    return str(Server(receiver.endpoint, keys.public if keys else None))


def start_receiver(viewer: Viewer, name: str, options: ViewerOptions, displays: bool = False) -> Receiver:
    """`make_receiver` and `serve`, for viewers that do not show their address."""
    receiver, keys = make_receiver(viewer, name, options, displays)
    serve(viewer, options, receiver, keys)
    return receiver


def serve(viewer: Viewer, options: ViewerOptions, receiver: Receiver, keys: CurveKeys | None) -> None:
    """Say "ready" with the address for publishers, and take commands if the options say so."""
    say("ready", address=address_of(receiver, keys), public_key=keys.public if keys else None, pid=os.getpid())
    if options.commands:
        arguments = (receiver, viewer, options.persistent)
        threading.Thread(target=_obey, args=arguments, name="openhcs-commands", daemon=True).start()


def _obey(receiver: Receiver, viewer: Viewer, persistent: bool) -> None:
    # Not buffered: this thread may wait in there when the interpreter ends, which must not find a lock taken.
    commands = open(sys.stdin.fileno(), "rb", buffering=0, closefd=False)  # noqa: SIM115
    for line in commands:
        try:
            command = json.loads(line)
            if "allow" in command:
                receiver.allow(key_from_text(str(command["allow"])))
            if "connect" in command:
                server = Server.from_text(str(command["connect"]))
                receiver.connect(server.endpoint, server.public_key)
            if "shutdown" in command:
                viewer.shutdown(str(command["shutdown"]))
        except Exception as error:  # the next command must be heard whatever becomes of this one
            say("refused", error=str(error))
    # Who started it is gone: what prints from now on must not fail for want of a reader.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    if persistent:
        return
    try:
        viewer.shutdown("who started it has ended")
    finally:
        time.sleep(END_S)
        os._exit(1)  # it hangs, and nobody is left who could end it

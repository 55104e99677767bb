"""``openhcs view``: a viewer for results, its address for those who send them, the viewers that run."""

from __future__ import annotations

import argparse
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from openhcs_core.errors import OpenHCSError


def add_command(commands: Any) -> argparse.ArgumentParser:
    """Add ``view`` to the sub-commands of a parser; return its parser.

    Parameters
    ----------
    commands : argparse sub-parsers
        Each sub-command sets ``action``, a function of the options that returns the exit status.
    """
    parser: argparse.ArgumentParser = commands.add_parser(
        "view",
        help="open a viewer that shows results while they are made",
        description="Opens a viewer, or finds one that runs at its port, and says its address, for the parameter "
        "Viewer_Address of the OMERO scripts. Without --listen only this machine reaches it. With --listen the "
        "connections are encrypted, and only those get in whose keys are given by --allow or pasted here while it "
        "runs. It stays until the viewer is closed; Ctrl-C closes it.",
    )
    parser.add_argument("viewer", nargs="?", metavar="VIEWER", help="napari, fiji ...")
    parser.add_argument("--listen", action="store_true", help="be reachable from other machines, encrypted")
    parser.add_argument("--host", metavar="ADDRESS", help="the address of this machine for --listen (default: found)")
    parser.add_argument("--viewer-port", type=int, metavar="N", help="that it listens at (default: that of the viewer)")
    parser.add_argument(
        "--connect", action="append", default=[], metavar="ADDRESS", help="of a publisher that listens; repeatable"
    )
    parser.add_argument(
        "--allow", action="append", default=[], metavar="KEY", help="public key of a publisher; repeatable"
    )
    parser.add_argument("--title", default="", help="of the window")
    parser.add_argument("--keep", action="store_true", help="end at once when all is done, and leave the viewer open")
    parser.add_argument("--list", action="store_true", help="show the viewers that run on this machine")
    parser.add_argument("--stop", action="store_true", help="end them, or only those of a VIEWER or --viewer-port")
    parser.set_defaults(action=view)
    return parser


def view(options: argparse.Namespace) -> int:
    """Do what the options of ``view`` say; return the exit status.

    Raises
    ------
    OpenHCSError
        If they make no sense, or the viewer cannot be started.
    """
    if options.list or options.stop:
        return _list_or_stop(options)
    visualizer = open_viewer(options)
    if visualizer.public_key is None:
        print("Only this machine reaches it; --listen lets others.", flush=True)
    elif not options.connect:
        print(
            "Paste this address as Viewer_Address. The script's job then begins its message with 'Stream:' and a key; "
            "paste that here to let it in.",
            flush=True,
        )
    if options.keep:
        return 0
    return stay(visualizer)


def open_viewer(options: argparse.Namespace, *, towards: str = "", curve: bool = False) -> Any:
    """Start or find the viewer that the options ask for, and say where it is.

    Parameters
    ----------
    options : argparse.Namespace
        Those of ``view``.
    towards : str
        Host of the machine that is to reach it, if it is known.
    curve : bool
        Encrypt connections whatever the options say.

    Returns
    -------
    openhcs_core.streaming.manager.Visualizer

    Raises
    ------
    OpenHCSError
        If the options make no sense, or the viewer cannot be started.
    """
    from openhcs_core import plugins
    from openhcs_core.streaming.endpoints import is_local
    from openhcs_core.streaming.manager import HERE, is_here, manager, own_address
    from openhcs_core.streaming.security import key_from_text
    from openhcs_core.streaming.sockets import Server

    if not options.viewer:
        raise OpenHCSError(f"Which viewer? Known: {', '.join(plugins.viewers()) or 'none'}.")
    keys = [key_from_text(text) for text in options.allow]
    servers = [Server.from_text(text) for text in options.connect]
    host = options.host or (own_address(towards) if options.listen else HERE)
    if host in ("0.0.0.0", "::", "*"):
        raise OpenHCSError(f"--host {host} is no address that others could use; give one of this machine.")
    if not is_here(host):
        raise OpenHCSError(f"--host {host} is not this machine; viewers on other machines are started there.")
    away = any(server.public_key or not is_local(server.endpoint) for server in servers)
    visualizer = manager().get_or_create(
        options.viewer,
        options.viewer_port,
        host=host,
        persistent=options.keep,
        title=options.title,
        curve=curve or away or options.listen or bool(options.host or keys),
    )
    for key in keys:
        visualizer.allow(key)
    for server in servers:
        visualizer.connect(str(server))
    print(f"{visualizer.viewer}: {visualizer.address}", flush=True)
    return visualizer


def stay(visualizer: Any, meanwhile: Callable[[], None] = lambda: None) -> int:
    """Wait until a viewer of this process ends, and let in whose keys come on the standard input.

    Parameters
    ----------
    visualizer : openhcs_core.streaming.manager.Visualizer
    meanwhile : callable
        Called about once a second.

    Returns
    -------
    int
        Exit status.
    """
    from openhcs_core.streaming.visualizer import Found

    if isinstance(visualizer, Found):  # it is nobody's here
        return 0
    threading.Thread(target=_take_keys, args=(visualizer,), name="openhcs-keys", daemon=True).start()
    try:
        called = 0.0
        while visualizer.is_running:
            if time.monotonic() > called + 1:
                meanwhile()
                called = time.monotonic()
            time.sleep(0.1)
    except KeyboardInterrupt:
        visualizer.stop()
        print(f"{visualizer.viewer} is closed.", flush=True)
        return 0
    print(f"{visualizer.viewer} has ended.", flush=True)
    return visualizer.status


def _take_keys(visualizer: Any) -> None:
    """Let in whose keys are pasted; connect to what is pasted as an address."""
    # Not buffered: this thread may wait in there when the interpreter ends, which must not find a lock taken.
    with open(0, "rb", buffering=0, closefd=False) as pasted:
        for line in pasted:
            text = line.decode(errors="replace").strip().removeprefix("Stream:").strip()
            if not text:
                continue
            try:
                if "://" in text:
                    visualizer.connect(text)
                    print("Connecting.", flush=True)
                else:
                    visualizer.allow(text)
                    print("Let in.", flush=True)
            except OpenHCSError as error:
                print(error, file=sys.stderr, flush=True)


def _list_or_stop(options: argparse.Namespace) -> int:
    from openhcs_core.streaming.manager import scan

    ports = None if options.viewer_port is None else [options.viewer_port]
    found = [each for each in scan(ports) if options.viewer in (None, each.viewer)]
    if not found:
        print("No viewer runs here, or only such as were started with encryption.")
        return 1 if options.stop else 0
    for each in found:
        if options.stop:
            each.stop()
            print(f"{each.viewer} at {each.address} (process {each.pid}) is closed.", flush=True)
        else:
            state = each.state()
            counts = f"{state.received} images of {state.publishers} publishers" if state else "no answer"
            print(f"{each.viewer}: {each.address} (process {each.pid}), {counts}", flush=True)
    return 0

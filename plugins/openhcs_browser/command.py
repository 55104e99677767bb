"""``openhcs browse``."""

from __future__ import annotations

import argparse


def add_options(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("--server", default="", metavar="HOST", help="OMERO.server (default: that of `omero login`)")
    parser.add_argument("--port", type=int, default=0, help="its port (default: 4064)")
    parser.add_argument("--user", default="", help="name of the user; the password is asked for in the window")
    parser.set_defaults(action=browse)


def browse(options: argparse.Namespace) -> int:
    """Show the browser until its window is closed."""
    from openhcs_browser.app import run

    return run(options.server, options.port, options.user)

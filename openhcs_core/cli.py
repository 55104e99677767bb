"""The command ``openhcs``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from openhcs_core import __version__
from openhcs_core.errors import OpenHCSError
from openhcs_core.execution.remote_command import add_command as add_remote
from openhcs_core.execution.serve_command import add_command as add_serve
from openhcs_core.local.command import add_command
from openhcs_core.omero.login_options import add_login, open_session
from openhcs_core.omero.rerun_command import add_command as add_rerun
from openhcs_core.omero.view_command import add_options as add_view
from openhcs_core.pipeline.command import add_commands
from openhcs_core.streaming.command import add_command as add_view_command


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status.

    Parameters
    ----------
    arguments : sequence of str, optional
        Those of the process unless given.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        options = _parser(words).parse_args(words)
        return options.action(options)
    except OpenHCSError as error:
        print(f"openhcs: {error}", file=sys.stderr)
    except ImportError as error:
        print(
            f"openhcs: {error}. Working with OMERO needs more packages; install them with: "
            f'{sys.executable} -m pip install "openhcs-omero[omero]"',
            file=sys.stderr,
        )
    except KeyboardInterrupt:
        print("openhcs: stopped", file=sys.stderr)
        return 130
    return 1


def _parser(words: Sequence[str]) -> argparse.ArgumentParser:
    """The parser for these arguments: plugins are asked only for what the core does not have."""
    parser = argparse.ArgumentParser(prog="openhcs", description="OMERO scripts, Imaris export and pipelines.")
    parser.add_argument("--version", action="version", version=f"openhcs {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    scripts = commands.add_parser("scripts", help="the scripts of this distribution on an OMERO.server")
    actions = scripts.add_subparsers(required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="show which scripts the server has, and whether they are current")
    listing.set_defaults(action=_list)
    register = actions.add_parser(
        "register",
        help="bring the scripts onto the server, as an administrator of OMERO",
        description="Uploads what is missing and updates what is outdated; scripts keep their ids. Run it after "
        "every installation or upgrade; what is current is left alone.",
    )
    register.add_argument("--dry-run", action="store_true", help="only show what would be done")
    register.add_argument("--remove", action="store_true", help="remove the scripts from the server")
    register.set_defaults(action=_register)
    for command in (listing, register):
        add_login(command)
    add_command(commands)
    add_commands(commands)
    add_rerun(commands)
    add_view(add_view_command(commands))
    add_serve(commands)
    add_remote(commands)
    wanted = words[0] if words else ""
    if wanted not in commands.choices and wanted != "--version":
        _add_plugins(commands, wanted)
    return parser


def _add_plugins(commands: Any, wanted: str) -> None:
    """Add the sub-commands of plugins: the name of each, and the options of the one that is wanted.

    Raises
    ------
    OpenHCSError
        If the plugin of that one fails.
    """
    from openhcs_core import plugins

    try:
        offered = plugins.commands()
    except OpenHCSError as error:  # of the settings; help must be had all the same
        print(f"openhcs: {error}", file=sys.stderr)
        return
    for spec in offered.values():
        if spec.name in commands.choices:  # of the core
            continue
        parser = commands.add_parser(spec.name, help=spec.help)
        if spec.name == wanted:
            try:
                spec.add(parser)
            except Exception as error:
                raise OpenHCSError(
                    f"The command '{wanted}' of a plugin cannot be used: {type(error).__name__}: {error}"
                ) from error
            if parser.get_default("action") is None:
                raise OpenHCSError(f"The command '{wanted}' of a plugin cannot be used: it sets no action.")


def _list(options: argparse.Namespace) -> int:
    from openhcs_core.omero.scripts import script_states

    with open_session(options) as client:
        states = script_states(client)
    _print_table(("Id", "Script", "State"), [(_shown(script.id), script.path, script.state) for script in states])
    return 0


def _register(options: argparse.Namespace) -> int:
    from openhcs_core.omero.scripts import register_scripts, remove_scripts

    with open_session(options) as client:
        outcomes = (remove_scripts if options.remove else register_scripts)(client, dry_run=options.dry_run)
    _print_table(
        ("Id", "Script", "Action", "Problem"),
        [(_shown(outcome.id), outcome.path, outcome.action, outcome.problem) for outcome in outcomes],
    )
    return 1 if any(outcome.problem for outcome in outcomes) else 0


def _shown(number: int | None) -> str:
    return "-" if number is None else str(number)


def _print_table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    for row in (header, *rows):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


if __name__ == "__main__":
    sys.exit(main())

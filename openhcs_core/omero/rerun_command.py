"""``openhcs rerun``: make results in OMERO again, from what they say of themselves."""

from __future__ import annotations

import argparse
from typing import Any

from openhcs_core.omero.login_options import add_login, open_session


def add_command(commands: Any) -> None:
    """Add ``rerun`` to the sub-commands of a parser.

    Parameters
    ----------
    commands : argparse sub-parsers
    """
    parser: argparse.ArgumentParser = commands.add_parser(
        "rerun",
        help="run a pipeline of OMERO again, as the annotation of its results tells it",
        description="Every result of a pipeline in OMERO has a map annotation with the pipeline and its input. This "
        "runs the same pipeline on the same input again, on this machine; the results are new ones beside the old.",
    )
    parser.add_argument("--from-annotation", type=int, required=True, metavar="ID", help="of the map annotation")
    parser.add_argument("--workers", type=int, default=1, help="wells at a time (default: %(default)s)")
    parser.add_argument("--show", action="store_true", help="only show the pipeline and its input")
    add_login(parser)
    parser.set_defaults(action=rerun)


def rerun(options: argparse.Namespace) -> int:
    """Run again what the options say; return the exit status.

    Raises
    ------
    OpenHCSError
        If the annotation is none of a run, or the run cannot begin.
    """
    from openhcs_core.omero.login import Login
    from openhcs_core.omero.pipeline_request import OUTPUTS
    from openhcs_core.omero.pipeline_run import run_in_omero
    from openhcs_core.omero.provenance import read_run
    from openhcs_core.omero.session import gateway
    from openhcs_core.pipeline import read_pipeline

    with open_session(options) as client:
        known = read_run(gateway(client), options.from_annotation)
        if options.show:
            print(f"# {known.source}, wells {' '.join(known.wells) or 'not told'}, started {known.started}")
            print(known.pipeline)
            return 0
        result = run_in_omero(
            Login.of(client),
            known.source,
            read_pipeline(known.pipeline),
            wells=known.wells,
            workers=options.workers,
            outputs=known.facts.get("Outputs", "").split() or OUTPUTS,
            resume=False,
        )
    print(result)
    for statement in result.statements:
        print(statement)
    for well in result.in_state("failed"):
        print(f"{well} failed: {result.wells[well].error}")
    return 0 if result.complete else 1

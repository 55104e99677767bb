"""``openhcs view VIEWER --run|--show|--menu``: scripts of OMERO that stream to a viewer here."""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from openhcs_core.errors import OpenHCSError
from openhcs_core.omero.login_options import add_login, open_session

RUN = "/openhcs/pipeline_scripts/Run_Pipeline.py"
SHOW = "/openhcs/viewer_scripts/Stream_To_Viewer.py"
POLL_S = 0.5
CANCEL_S = 20.0
"""How long a script may take to end when it is cancelled."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what needs OMERO to the parser of ``view``.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        With an ``action``, for when none of these options is given.
    """
    group = parser.add_argument_group(
        "images of OMERO",
        "Starts a script on the OMERO.server, lets it in, shows its progress, and then waits for the end of the viewer "
        "(--keep: does not). A server on another machine makes --listen the default. Ctrl-C cancels the script. "
        "Exit status: 0 if the script has done all its work, 1 if not, 130 if it was cancelled.",
    )
    what = group.add_mutually_exclusive_group()
    what.add_argument(
        "--run",
        nargs=2,
        metavar=("OBJECT", "PIPELINE"),
        help="run a pipeline (a file, or the name of a preset) on Plate:12 or Image:5,6 and show what it makes",
    )
    what.add_argument("--show", metavar="OBJECT", help="show Plate:12 or Image:5,6 without processing")
    what.add_argument(
        "--menu",
        action="store_true",
        help="start nothing, but let in the scripts that you start from the menu of OMERO while this runs",
    )
    group.add_argument("--wells", metavar="A01,B02", help="only these (default: all)")
    group.add_argument("--workers", type=int, metavar="N", help="wells that are worked on at a time")
    group.add_argument(
        "--from-server", action="store_true", help="the viewer connects to the server, which cannot reach this machine"
    )
    add_login(parser)
    plain = parser.get_default("action")
    parser.set_defaults(action=lambda options: _view(options, plain))


def _view(options: argparse.Namespace, plain: Callable[[argparse.Namespace], int]) -> int:
    if options.run or options.show:
        return view_omero(options)
    if options.menu:
        return view_menu(options)
    for name in ("wells", "workers", "from_server"):
        if getattr(options, name):
            raise OpenHCSError(f"--{name.replace('_', '-')} needs --run or --show.")
    return plain(options)


def view_omero(options: argparse.Namespace) -> int:
    """Run a script of OMERO with a viewer as the options say; return the exit status.

    Raises
    ------
    OpenHCSError
        If the options make no sense, the script is not on the server, or script or viewer cannot be started.
    """
    from openhcs_core.omero.viewers import LISTEN
    from openhcs_core.streaming.command import open_viewer, stay
    from openhcs_core.streaming.manager import is_here
    from openhcs_core.streaming.security import key_text

    with open_session(options) as client:
        run = ScriptRun(client, RUN if options.run else SHOW)
        inputs = _inputs(options, run)
        host = client.getProperty("omero.host")
        options.listen = options.listen or bool(options.host) or not (options.from_server or is_here(host))
        if options.from_server and options.viewer_port is None:
            options.viewer_port = 0  # nobody comes to it
        visualizer = open_viewer(options, towards=host, curve=options.from_server)
        inputs["Viewer_Address"] = LISTEN if options.from_server else visualizer.address
        if options.from_server:
            inputs["Viewer_Key"] = key_text(visualizer.public_key)
        status = run.follow(inputs, visualizer)
    if options.keep or not visualizer.is_running:
        return status
    print(f"Close {visualizer.viewer}, or press Ctrl-C here, when you have seen enough.", flush=True)
    stay(visualizer)
    return status


def view_menu(options: argparse.Namespace) -> int:
    """Open a viewer, and let in the user's scripts as they begin to stream; return the exit status.

    Raises
    ------
    OpenHCSError
        If the options make no sense, the log-in fails, or the viewer cannot be started.
    """
    from openhcs_core.omero.menu_jobs import MenuJobs
    from openhcs_core.streaming.command import open_viewer, stay
    from openhcs_core.streaming.manager import is_here

    if options.keep:
        raise OpenHCSError("--menu stays as long as the viewer; leave --keep out.")
    with open_session(options) as client:
        host = client.getProperty("omero.host")
        options.listen = options.listen or bool(options.host) or not is_here(host)
        with _server_errors("asking for scripts"):
            jobs: MenuJobs | None = MenuJobs(client)
        visualizer = open_viewer(options, towards=host)
        print("Give this as Viewer_Address of a script; those that you start are let in by themselves.", flush=True)

        def let_in() -> None:
            nonlocal jobs
            try:
                with _server_errors("asking for scripts"):
                    new = jobs.new() if jobs else []
            except OpenHCSError as error:  # what is shown already stays
                jobs = None
                print(f"openhcs: {error} Scripts are not let in any more.", file=sys.stderr, flush=True)
                return
            for job in new:
                _let_in(visualizer, job.stream)
                print(f"Script of job {job.id}: let in.", flush=True)

        return stay(visualizer, let_in)


def _inputs(options: argparse.Namespace, run: ScriptRun) -> dict[str, Any]:
    """What the options say, as plain inputs of the script."""
    from openhcs_core.pipeline.command import read_text

    inputs: dict[str, Any] = _selected(options.run[0] if options.run else options.show)
    if options.run:
        name = options.run[1]
        if not Path(name).is_file() and name in run.values("Pipeline"):
            inputs["Pipeline"] = name
        else:
            inputs["Pipeline_Text"] = read_text(name)
    if options.wells:
        inputs["Wells"] = [well.strip() for well in options.wells.split(",")]
    if options.workers is not None:
        if not options.run:
            raise OpenHCSError("--workers needs --run.")
        inputs["Workers"] = options.workers
    return inputs


def _selected(text: str) -> dict[str, Any]:
    found = re.fullmatch(r"(Plate|Well|Dataset|Image):(\d+(?:,\d+)*)", text.strip())
    if found is None:
        raise OpenHCSError(f"'{text}' is nothing of OMERO; write it like Plate:12, Well:3, Dataset:4 or Image:5,6.")
    return {"Data_Type": found[1], "IDs": [int(number) for number in found[2].split(",")]}


class ScriptRun:
    """A script that is on the server, and one run of it.

    Parameters
    ----------
    client : omero.client
    path : str
        On the server.

    Raises
    ------
    OmeroError
        If the server does not have it, or an old version that does not stream.
    """

    def __init__(self, client: Any, path: str) -> None:
        from openhcs_core.omero.errors import OmeroError

        self._client, self._name = client, path.rpartition("/")[2]
        self._service = client.sf.getScriptService()
        with _server_errors(f"asking for {self._name}"):
            self._id = self._service.getScriptID(path)
            params = self._service.getParams(self._id) if self._id >= 0 else None
        if params is None or "Viewer_Address" not in params.inputs:
            state = "not" if params is None else "only in an old version"
            raise OmeroError(
                f"{self._name} is {state} on this server. An administrator of OMERO brings it there with: "
                "openhcs scripts register"
            )
        self._params = params.inputs
        self._shown = ""

    def values(self, name: str) -> list[str]:
        """What an input of the script can be."""
        given = self._params[name].values if name in self._params else None
        return [value.val for value in given.val] if given is not None else []

    def follow(self, inputs: dict[str, Any], visualizer: Any) -> int:
        """Run it to its end, let it in, and print what it says.

        Parameters
        ----------
        inputs : mapping
        visualizer : Visualizer

        Returns
        -------
        int
            0, 1 if it has failed, 130 if it was cancelled.
        """
        with _server_errors(f"starting {self._name}"):
            process = self._service.runScript(self._id, self._typed(inputs), None)
        try:
            with _server_errors(f"watching {self._name}"):
                status = self._watch(process, visualizer)
            with _server_errors(f"asking for the results of {self._name}"):
                self._say_outcome(process, status)
        finally:
            self._close(process)
        return status

    def _watch(self, process: Any, visualizer: Any) -> int:
        """Until it ends; return the status."""
        job = process.getJob().id.val
        print(f"{self._name} runs as job {job}; Ctrl-C cancels it.", flush=True)
        let_in, there, cancelled, deadline = "", True, False, float("inf")
        while True:
            try:
                if (code := process.poll()) is not None:
                    return 130 if cancelled else min(abs(code.val), 1)
                stream = self._say_progress(job)
                if stream and stream != let_in:
                    let_in = stream
                    _let_in(visualizer, stream)
                if there and not visualizer.is_running:
                    there = False
                    print(f"{visualizer.viewer} has ended; the script goes on.", flush=True)
                if time.monotonic() > deadline:
                    process.kill()
                    deadline = float("inf")
                time.sleep(POLL_S)
            except KeyboardInterrupt:
                if cancelled:
                    raise
                cancelled, deadline = True, time.monotonic() + CANCEL_S
                print("Cancelling ...", flush=True)
                process.cancel()

    def _say_progress(self, job: int) -> str:
        """Print what is new in the job's message; return what it says of its stream."""
        import omero.sys

        from openhcs_core.omero.viewers import STREAM

        rows = self._client.sf.getQueryService().projection(
            "select j.message from ScriptJob j where j.id = :id",
            omero.sys.ParametersI().addId(job),
            {"omero.group": "-1"},
        )
        message = (rows[0][0].val if rows and rows[0][0] else "") or ""
        first, _, rest = message.partition("\n")
        stream = ""
        if first.startswith(STREAM):
            stream, message = first.removeprefix(STREAM).strip(), rest
        if message.strip() and message != self._shown:
            self._shown = message
            print(message.strip(), flush=True)
        return stream

    def _say_outcome(self, process: Any, status: int) -> None:
        from omero.rtypes import unwrap

        from openhcs_core.omero.attachments import download
        from openhcs_core.omero.session import gateway

        results = process.getResults(0) or {}
        message = unwrap(results["Message"]) if "Message" in results else ""
        if message:
            print(message, flush=True)
        elif status and "stderr" in results:
            conn = gateway(self._client)
            text = download(conn, results["stderr"].val.id.val, conn.SERVICE_OPTS).decode(errors="replace")
            print("\n".join(text.strip().splitlines()[-10:]), flush=True)

    def _close(self, process: Any) -> None:
        """Let go of it; what still runs is ended."""
        with _server_errors(f"letting go of {self._name}"):
            process.close(False)

    def _typed(self, inputs: dict[str, Any]) -> dict[str, Any]:
        from omero.rtypes import rint, rlist, rlong, rstring

        def typed(value: Any) -> Any:
            if isinstance(value, list):
                return rlist([rlong(item) if isinstance(item, int) else rstring(item) for item in value])
            return rint(value) if isinstance(value, int) else rstring(value)

        unknown = sorted(set(inputs) - set(self._params))
        if unknown:
            raise OpenHCSError(f"{self._name} of this server has no {', '.join(unknown)}.")
        return {name: typed(value) for name, value in inputs.items()}


def _let_in(visualizer: Any, stream: str) -> None:
    """Do what the first line of a job's message asks for; the script goes on whatever becomes of it."""
    try:
        (visualizer.connect if "://" in stream else visualizer.allow)(stream)
    except OpenHCSError as error:
        print(f"openhcs: {error}", file=sys.stderr, flush=True)


@contextmanager
def _server_errors(doing: str) -> Iterator[None]:
    """What the server refuses, or a lost connection, as an error for people."""
    import Ice
    import omero

    from openhcs_core.omero.errors import OmeroError, said_by_server

    try:
        yield
    except omero.ServerError as error:
        raise OmeroError(f"The server refused {doing}: {said_by_server(error)}") from error
    except Ice.Exception as error:
        raise OmeroError(f"The connection to the server was lost while {doing} ({type(error).__name__}).") from error

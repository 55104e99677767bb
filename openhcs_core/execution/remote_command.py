"""``openhcs remote``: pipelines on an execution server."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openhcs_core.errors import OpenHCSError
from openhcs_core.execution.record import OUTPUTS, STATES, Execution
from openhcs_core.omero.login_options import add_login, open_session

if TYPE_CHECKING:
    from openhcs_core.execution.remote import RemoteOrchestrator
    from openhcs_core.execution.sinks import Sink


Begin = Callable[["RemoteOrchestrator", dict[str, Any]], str]
"""Begins an execution whose images go where is told; returns its id."""

CANNOT_RUN, DETACHED = 2, 130
CANCEL_S = 20.0
"""How long an execution may take to end when it is cancelled."""

_WATCHING = (
    "Ctrl-C only ends the watching: the execution goes on, and can be watched again (status --wait) or ended (cancel). "
    "Exit status: 0 if all wells are done, 1 if not, 2 if nothing was begun, 130 after Ctrl-C."
)


def add_command(commands: Any) -> None:
    """Add ``remote`` to the sub-commands of a parser.

    Parameters
    ----------
    commands : argparse sub-parsers
    """
    parser: argparse.ArgumentParser = commands.add_parser(
        "remote",
        help="run pipelines on another machine, on an execution server",
        description="An execution server (`openhcs serve`) runs pipelines beside the data; what comes out goes into "
        "OMERO. SERVER is its address as it prints it when it starts, tcp://HOST:PORT/KEY; or HOST or HOST:PORT, if "
        "its key is in known_servers of openhcs.toml.",
    )
    actions = parser.add_subparsers(required=True, metavar="ACTION")

    def add(name: str, action: Callable[..., int], help: str, description: str = "", login: bool = True) -> Any:
        command = actions.add_parser(name, help=help, description=description or f"{help[0].upper()}{help[1:]}.")
        command.add_argument("execution_server", metavar="SERVER", help="its address: tcp://HOST:PORT/KEY, or its name")
        if login:
            command.add_argument(
                "--local", action="store_true", help="the server is your own on this machine, without OMERO (no log-in)"
            )
            add_login(command)
        command.set_defaults(action=action)
        return command

    command = add("run", run, "run a pipeline", f"Hands a pipeline over to the server and watches it. {_WATCHING}")
    _add_run(command)
    command = add("status", status, "show how an execution is doing", f"Shows how an execution is doing. {_WATCHING}")
    _add_id(command)
    command.add_argument("--wait", action="store_true", help="watch it to its end")
    command = add("list", list_all, "show your executions, newest first")
    command.add_argument("--state", choices=STATES, help="only those")
    command.add_argument("--everyone", action="store_true", help="of all users; for administrators of OMERO")
    command.add_argument("--limit", type=int, default=20, metavar="N", help="not more (default: %(default)s)")
    _add_id(add("cancel", cancel, "end an execution; finished wells stay"))
    command = add("resume", resume, "go on with an execution that has failed, or was cancelled or interrupted")
    command.description += f" Finished wells are skipped. {_WATCHING}"
    _add_id(command)
    _add_images(command)
    command = add("logs", logs, "show the log of an execution")
    _add_id(command)
    command.add_argument("--follow", action="store_true", help="and what is still written, to its end")
    add("ping", ping, "ask whether the server is there; the exit status is 0 if it takes executions", login=False)


def _add_id(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("execution_id", metavar="ID", help="of the execution, as run and list show it")


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("plate", metavar="PLATE", help="12, Plate:12 or Image:5,6 of OMERO; with --local, a folder")
    parser.add_argument("pipeline", metavar="PIPELINE", help="file with the text of a pipeline, or name of a preset")
    parser.add_argument("--config", metavar="FILE", help="with the text of a configuration, if the pipeline has none")
    parser.add_argument("--wells", metavar="A01,B02", help="only these (default: all)")
    parser.add_argument("--workers", type=int, metavar="N", help="wells at a time, if fewer than the server gives")
    parser.add_argument("--outputs", metavar=",".join(OUTPUTS), help="what is saved in OMERO (default: everything)")
    parser.add_argument("--no-resume", action="store_true", help="work on wells again that are finished")
    _add_images(parser)


def _add_images(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--detach", action="store_true", help="only hand it over, and do not watch it")
    images = parser.add_argument_group("images, while they are made")
    images.add_argument("--view", metavar="VIEWER", help="show them in a viewer of this machine: napari, fiji ...")
    images.add_argument("--viewer-port", type=int, metavar="N", help="that it listens at (default: that of the viewer)")
    images.add_argument("--save", metavar="FOLDER", help="keep them as TIFF files on this machine")
    images.add_argument(
        "--from-server", action="store_true", help="this machine connects to the server, which cannot reach it"
    )


def run(options: argparse.Namespace) -> int:
    """Run a pipeline as the options say; return the exit status."""

    def prepare() -> Begin:
        given = _given(options)
        return lambda remote, told: remote.execute_remote(**given, **told)

    return _begin(options, prepare)


def resume(options: argparse.Namespace) -> int:
    """Go on with an execution; return the exit status."""
    return _begin(options, lambda: lambda remote, told: remote.resume(options.execution_id, **told).execution_id)


def _begin(options: argparse.Namespace, prepare: Callable[[], Begin]) -> int:
    """Begin an execution, and watch it; return the exit status."""
    begun = False
    try:
        from openhcs_core.execution.sinks import opened

        begin, sinks = prepare(), _sinks(options)
        with _remote(options) as remote:
            with opened(sinks, remote.server_host, print) as told:
                execution_id = begin(remote, told)
                begun = True
                print(f"Execution {execution_id}", flush=True)
                outcome = 0 if options.detach else _watch(options, remote, execution_id, sinks)
            if outcome != DETACHED:
                _stay(sinks)
            return outcome
    except OpenHCSError as error:
        if begun:
            raise
        print(f"openhcs: {error}", file=sys.stderr)
        if getattr(error, "field", "") == "client_address" and not options.from_server:
            print("With --from-server this machine connects to the server, instead of the other way.", file=sys.stderr)
        return CANNOT_RUN


def status(options: argparse.Namespace) -> int:
    """Show an execution as the options say; return the exit status."""
    with _remote(options) as remote:
        if options.wait:
            return _watch(options, remote, options.execution_id)
        return _tell(options, remote.status(options.execution_id))


def list_all(options: argparse.Namespace) -> int:
    """Show executions as the options say; return the exit status."""
    with _remote(options) as remote:
        found = remote.list(options.state, everyone=options.everyone, limit=options.limit)
    for execution in found:
        when = datetime.fromtimestamp(execution.created).astimezone().strftime("%Y-%m-%d %H:%M")
        user = f"  {execution.user}" if options.everyone else ""
        print(f"{execution.execution_id}  {when}{user}  {execution.plate}  {_state(execution)}")
    if not found:
        print("There are no such executions." if options.state else "There are no executions.")
    return 0


def cancel(options: argparse.Namespace) -> int:
    """Cancel an execution; return the exit status."""
    with _remote(options) as remote:
        execution = remote.cancel(options.execution_id)
        try:
            execution = remote.wait(execution.execution_id, timeout_s=CANCEL_S)
        except TimeoutError:
            print("It is being cancelled.")
            return 0
    print(f"It is {execution.state}." if execution.state == "cancelled" else f"It has ended before: {execution.state}.")
    return 0 if execution.state == "cancelled" else 1


def logs(options: argparse.Namespace) -> int:
    """Show a log; return the exit status."""
    with _remote(options) as remote:
        for part in remote.log_parts(options.execution_id, follow=options.follow):
            print(part, end="", flush=True)
    return 0


def ping(options: argparse.Namespace) -> int:
    """Ask whether the server is there; return the exit status."""
    from openhcs_core.execution.remote import RemoteOrchestrator

    remote = RemoteOrchestrator(options.execution_server)
    answer = remote.ping()
    ready = bool(answer.get("ready"))
    state = "ready" if ready else "ending, takes nothing new"
    print(f"{remote.server.endpoint}: {state}, version {answer.get('version')}")
    return 0 if ready else 1


@contextmanager
def _remote(options: argparse.Namespace) -> Iterator[RemoteOrchestrator]:
    from openhcs_core.execution.remote import RemoteOrchestrator

    if options.local:
        yield RemoteOrchestrator(options.execution_server)
        return
    RemoteOrchestrator(options.execution_server)  # a wrong address is said before a password is asked for
    with open_session(options) as client:
        yield RemoteOrchestrator(options.execution_server, omero_conn=client)


def _given(options: argparse.Namespace) -> dict[str, Any]:
    """What the options say about the run, for `RemoteOrchestrator.execute_remote`."""
    from openhcs_core.pipeline.command import read_text

    plate = str(Path(options.plate).resolve()) if options.local else options.plate
    outputs = _words(options.outputs)
    if not set(outputs) <= set(OUTPUTS):
        raise OpenHCSError(f"--outputs are some of {', '.join(OUTPUTS)}, not {options.outputs}.")
    return {
        "plate_id": int(plate) if plate.isdecimal() else plate,
        "pipeline": read_text(options.pipeline),
        "config": read_text(options.config) if options.config else None,
        "wells": _words(options.wells),
        "workers": options.workers,
        "outputs": outputs,
        "resume": not options.no_resume,
    }


def _words(text: str | None) -> list[str]:
    return [word.strip() for word in (text or "").split(",") if word.strip()]


def _sinks(options: argparse.Namespace) -> list[Sink]:
    from openhcs_core.execution.receiving import DirectorySink
    from openhcs_core.execution.sinks import ViewerSink

    if options.detach and (options.view or options.save):
        raise OpenHCSError("--detach does not go with --view and --save, which stay to take the images.")
    sinks: list[Sink] = []
    if options.view:
        sinks.append(ViewerSink(options.view, options.viewer_port, persistent=False, from_server=options.from_server))
    if options.save:
        sinks.append(DirectorySink(options.save, from_server=options.from_server))
    if not sinks and (options.from_server or options.viewer_port is not None):
        raise OpenHCSError("--from-server and --viewer-port need --view or --save.")
    return sinks


def _watch(
    options: argparse.Namespace, remote: RemoteOrchestrator, execution_id: str, sinks: Sequence[Sink] = ()
) -> int:
    """Show an execution to its end; return the exit status."""
    from openhcs_core.pipeline.command import progress_shown

    last = ""
    try:
        with progress_shown() as show:

            def progress(event: Any) -> None:
                nonlocal last
                if event.total:
                    show(event)
                elif event.what != last:
                    print(event.what, file=sys.stderr, flush=True)
                last = event.what

            execution = remote.wait(execution_id, progress, sinks=sinks)
    except KeyboardInterrupt:
        print(
            "Not watched any more; the execution goes on.\n"
            f"Watch it again: openhcs remote status {options.execution_server} {execution_id} --wait\n"
            f"End it:         openhcs remote cancel {options.execution_server} {execution_id}",
            file=sys.stderr,
            flush=True,
        )
        return DETACHED
    return _tell(options, execution)


def _tell(options: argparse.Namespace, execution: Execution) -> int:
    """Print how an execution is doing; return the exit status."""
    print(f"{execution.plate}: {_state(execution)}", flush=True)
    if execution.results:
        print(f"Results: {' '.join(execution.results)}", flush=True)
    if execution.can_resume:
        where = f"{options.execution_server} {execution.execution_id}"
        print(f"Go on with:   openhcs remote resume {where}\nLook why with: openhcs remote logs {where}", flush=True)
        return 1
    return 0


def _state(execution: Execution) -> str:
    """An execution in a line."""
    from openhcs_core.progress import duration_text

    text: str = execution.state
    if execution.wells_total:
        text += f", {execution.wells_processed} of {execution.wells_total} wells"
    if execution.state == "running":
        text += f", {execution.percent} %"
        if execution.seconds_left is not None:
            text += f", about {duration_text(execution.seconds_left)} left"
    if execution.ahead:
        text += f", {execution.ahead} before it"
    return f"{text}. {execution.message}" if execution.message else text


def _stay(sinks: Sequence[Sink]) -> None:
    """Leave viewers that this program has opened to the person."""
    from openhcs_core.execution.sinks import ViewerSink
    from openhcs_core.streaming.command import stay

    for sink in sinks:
        if isinstance(sink, ViewerSink) and sink.visualizer.is_running and not sink.visualizer.persistent:
            try:
                print(f"Close {sink.viewer}, or press Ctrl-C here, when you have seen enough.", flush=True)
                stay(sink.visualizer)
            except KeyboardInterrupt:  # at once
                sink.visualizer.stop()

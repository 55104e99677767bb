"""``openhcs run``, ``openhcs compile`` and ``openhcs plugins``."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openhcs_core.errors import OpenHCSError
from openhcs_core.progress import Lines, Progress

if TYPE_CHECKING:
    from openhcs_core.pipeline.config import PipelineConfig
    from openhcs_core.pipeline.orchestrator import PipelineOrchestrator
    from openhcs_core.pipeline.record import RunResult
    from openhcs_core.pipeline.source import Pipeline
    from openhcs_core.pipeline.viewers import Viewers

CANNOT_RUN = 2
"""Exit status where nothing could be begun."""


def add_commands(commands: Any) -> None:
    """Add the sub-commands to a parser.

    Parameters
    ----------
    commands : argparse sub-parsers
        Each sub-command sets ``action``, a function of the options that returns the exit status.
    """
    run_parser = commands.add_parser(
        "run",
        help="run a pipeline on a plate",
        description="Runs a pipeline on all wells of a plate. A run that was interrupted goes on when it is started "
        "again. Exit status: 0 if all wells are done, 1 if some have failed, 2 if the pipeline cannot run on this "
        "plate, 130 or 143 if it was stopped.",
    )
    _add_plate(run_parser)
    run_parser.add_argument("-o", "--output", help="folder for the results (default: beside the plate)")
    run_parser.add_argument(
        "--save-to", action="append", metavar="BACKEND", help="disk, zarr ...; may be given several times"
    )
    run_parser.add_argument(
        "--view",
        action="append",
        default=[],
        metavar="VIEWER",
        help="show results while they are made, in a viewer of this machine, which stays open: napari, fiji ..., or in "
        "one at an address such as `openhcs view` prints; may be given several times. Shown are the steps that have "
        "stream_to; if none has, everything that is saved",
    )
    run_parser.add_argument("--no-resume", action="store_true", help="work on wells again that are finished")
    run_parser.add_argument("--executor", metavar="NAME", help="what runs the wells: processes (default), dask ...")
    run_parser.add_argument("--address", help="of the executor, such as that of a scheduler of dask")
    run_parser.add_argument("--tracebacks", action="store_true", help="show where in the code wells have failed")
    run_parser.set_defaults(action=run)
    compile_parser = commands.add_parser(
        "compile",
        help="check a pipeline against a plate, without running it",
        description="Says everything that is wrong with a pipeline for a plate, or that nothing is.",
    )
    _add_plate(compile_parser)
    compile_parser.add_argument("--explain", action="store_true", help="print what a run would do")
    compile_parser.set_defaults(action=compile_only)
    plugins_parser = commands.add_parser("plugins", help="show the plugins, and what is wrong with them")
    plugins_parser.set_defaults(action=plugins)


def _add_plate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("plate", metavar="PLATE", help="folder of images, OME-Zarr plate, or Plate:ID of OMERO")
    parser.add_argument("pipeline", metavar="PIPELINE", help="file with the text of a pipeline, or name of a preset")
    parser.add_argument("--read-from", metavar="BACKEND", help="what holds the plate (default: found out)")
    parser.add_argument("--wells", metavar="A01,B02", help="only these (default: all)")
    parser.add_argument("--workers", type=int, metavar="N", help="wells that are worked on at a time")
    parser.add_argument("--memory", type=int, metavar="MB", help="for all workers together (default: what is free)")


def run(options: argparse.Namespace) -> int:
    """Run a pipeline as the options say; return the exit status."""
    with _stopping() as stopped:
        try:
            pipeline, orchestrator = _prepared(options)
            with progress_shown() as progress:
                result = orchestrator.run_pipeline(pipeline, progress=progress, cancelled=stopped.is_set)
        except OpenHCSError as error:
            return _refused(error)
    _tell(result, options.tracebacks)
    if result.cancelled:
        return 128 + stopped.signal
    return 0 if result.complete else 1


def compile_only(options: argparse.Namespace) -> int:
    """Compile a pipeline as the options say; return the exit status."""
    from openhcs_core.pipeline.explain import explain

    try:
        pipeline, orchestrator = _prepared(options)
        compiled = orchestrator.initialize(pipeline).compile_pipelines(pipeline)
    except OpenHCSError as error:
        return _refused(error)
    if options.explain:
        print(explain(compiled, orchestrator.config(pipeline)))
    else:
        print(f"The pipeline can run: {len(compiled.steps)} steps, {len(compiled)} wells.")
    return 0


def plugins(_options: argparse.Namespace) -> int:
    """Print all plugins; return the exit status, 1 if one is broken."""
    from openhcs_core.plugins import plugin_rows

    rows = plugin_rows()
    for row in rows:
        print(f"{row.name} ({row.source}): {row.state}" + (f", {row.reason}" if row.reason else ""))
        for offer in row.offers:
            print(f"  {offer}")
    return 1 if any(row.state == "broken" for row in rows) else 0


def read_text(name: str) -> str:
    """Text of a pipeline: of a file, or of a preset with that name.

    Raises
    ------
    OpenHCSError
        If there is neither.
    """
    from openhcs_core.plugins import presets

    path = Path(name)
    if not path.is_file():
        known = presets()
        if name in known:
            return known[name].text
        raise OpenHCSError(f"{name} is neither a file nor a preset. Presets: {', '.join(known) or 'none'}.")
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise OpenHCSError(f"{name} cannot be read as text: {error}.") from error


def _prepared(options: argparse.Namespace) -> tuple[Pipeline, PipelineOrchestrator]:
    from openhcs_core.pipeline.orchestrator import PipelineOrchestrator
    from openhcs_core.pipeline.source import read_pipeline

    pipeline = read_pipeline(read_text(options.pipeline))
    viewers = _viewers(getattr(options, "view", []))
    return pipeline, PipelineOrchestrator(options.plate, _config(options), viewers=viewers)


def _config(options: argparse.Namespace) -> PipelineConfig:
    """What the options set."""
    from openhcs_core.pipeline.config import PipelineConfig

    given: dict[str, Any] = {
        "read_from": options.read_from,
        "wells": tuple(options.wells.split(",")) if options.wells else None,
        "num_workers": options.workers,
        "memory_limit_mb": options.memory,
        "output": getattr(options, "output", None),
        "save_to": getattr(options, "save_to", None),
        "resume": False if getattr(options, "no_resume", False) else None,
        "executor": getattr(options, "executor", None),
        "executor_address": getattr(options, "address", None),
    }
    return PipelineConfig(**{name: value for name, value in given.items() if value is not None})


def _viewers(named: list[str]) -> Viewers | None:
    """Viewers by names or addresses; None for those that the steps ask for."""
    from openhcs_core import plugins
    from openhcs_core.pipeline.viewers import Viewers
    from openhcs_core.pipeline.viewing import StreamingConfig
    from openhcs_core.streaming.security import CurveKeys, key_text
    from openhcs_core.streaming.sockets import Server

    if not named:
        return None
    given = list(dict.fromkeys(named))
    servers = [Server.from_text(text) for text in given if "://" in text]
    names = [plugins.viewer(text).name for text in given if "://" not in text]
    keys = CurveKeys.new() if any(server.public_key for server in servers) else None

    def tell(_: object) -> None:
        if keys is not None:
            print(f"Public key of this run, for the viewer to allow: {key_text(keys.public)}", file=sys.stderr)

    start = [StreamingConfig(viewer=name) for name in names]
    return Viewers(connect=servers, start=start, keys=keys, everything=True, ready=tell)


def _refused(error: OpenHCSError) -> int:
    print(f"openhcs: {error}", file=sys.stderr)
    return CANNOT_RUN


def _tell(result: RunResult, tracebacks: bool) -> None:
    for well in result.wells.values():
        if well.state == "failed":
            print(f"openhcs: {well.well} failed in {well.error}", file=sys.stderr)
            if tracebacks and well.traceback:
                print(well.traceback, file=sys.stderr)
    for statement in result.statements:
        print(statement)
    for name, location in result.locations.items():
        print(f"{name}: {location}")
    print(f"{result}, {result.seconds:.1f} s")


class _Stopped(threading.Event):
    signal = signal.SIGINT.value


@contextlib.contextmanager
def _stopping() -> Iterator[_Stopped]:
    """Context manager: an event that is set by the signals to end; a second one ends at once."""
    stopped = _Stopped()

    def stop(number: int, _frame: object) -> None:
        if stopped.is_set():
            raise KeyboardInterrupt
        stopped.signal = number
        stopped.set()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def progress_shown() -> Iterator[Callable[[Progress], object]]:
    """Context manager: a listener that shows progress, in a terminal as a bar, else as a line now and then."""
    try:
        from rich.console import Console
        from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bars
    except ImportError:
        terminal = False
    else:
        console = Console(stderr=True)
        terminal = console.is_terminal
    if not terminal:
        yield Lines(lambda event: print(_line(event), file=sys.stderr, flush=True))
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Bars(*columns, console=console, transient=True) as bars:
        task = bars.add_task("starting", total=None)

        def show(event: Progress) -> None:
            description = f"{event.subject} ({event.item} of {event.items}) {event.what.partition(';')[0]}"
            bars.update(task, description=description, completed=event.done, total=event.total)

        yield show


def _line(event: Progress) -> str:
    return f"{event.subject} ({event.item} of {event.items}): {event}"

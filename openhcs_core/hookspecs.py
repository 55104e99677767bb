"""The hooks that plugins implement. A plugin is a package with an entry point in the group ``openhcs_omero``."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from openhcs_core.pipeline.executors import Executor
    from openhcs_core.storage.backend import StorageBackend

PROJECT = "openhcs_omero"
"""Name of the project for pluggy, and group of the entry points."""

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@dataclass(frozen=True)
class BackendSpec:
    """A place where planes come from or results go to.

    Attributes
    ----------
    name : str
        As in configurations: "disk", "zarr" ...
    summary : str
        One line for people.
    factory : callable
        ``factory()`` makes the backend; imports what it needs only then.
    """

    name: str
    summary: str
    factory: Callable[[], StorageBackend]


@dataclass(frozen=True)
class CommandSpec:
    """A sub-command of ``openhcs``.

    Attributes
    ----------
    name : str
        As people type it.
    help : str
        One line, for ``openhcs --help``.
    add : callable
        ``add(parser)`` adds the options to an `argparse.ArgumentParser` and sets ``action`` by its ``set_defaults``: a
        function of the options that returns the exit status. Called only for the command that is run.
    """

    name: str
    help: str
    add: Callable[[argparse.ArgumentParser], None]


@dataclass(frozen=True)
class ExecutorSpec:
    """A way to run wells.

    Attributes
    ----------
    name : str
        As in configurations: "processes", "dask" ...
    summary : str
    factory : callable
        ``factory(workers, address)`` makes the executor.
    """

    name: str
    summary: str
    factory: Callable[[int, str | None], Executor]


@dataclass(frozen=True)
class PresetSpec:
    """A pipeline that is ready for use.

    Attributes
    ----------
    name : str
        How one asks for it: "nuclei" ...
    summary : str
        One line for people: what it needs and what it gives.
    path : Path
        File with its text, in UTF-8.
    """

    name: str
    summary: str
    path: Path

    @property
    def text(self) -> str:
        """Text of the pipeline."""
        return self.path.read_text(encoding="utf-8")


@dataclass(frozen=True)
class ViewerSpec:
    """A viewer: a program that shows images while they are made.

    Attributes
    ----------
    name : str
        As in configurations: "napari", "fiji" ...
    summary : str
    port : int
        That it listens at unless told otherwise; control is at this + 1000.
    module : str
        Started as ``python -m MODULE`` with the options of `openhcs_core.streaming.viewer_process`.
    missing : callable
        ``missing()`` says what it lacks here and how to install that; "" if it can be started.
    """

    name: str
    summary: str
    port: int
    module: str
    missing: Callable[[], str]


@hookspec
def openhcs_backends() -> Sequence[BackendSpec]:
    """Storage backends of a plugin.

    Examples
    --------
    >>> @hookimpl
    ... def openhcs_backends():
    ...     return [BackendSpec("tape", "Planes on tape", lambda: TapeBackend())]
    """
    raise NotImplementedError


@hookspec
def openhcs_commands() -> Sequence[CommandSpec]:
    """Sub-commands of ``openhcs`` of a plugin; those of the core cannot be replaced.

    Examples
    --------
    >>> @hookimpl
    ... def openhcs_commands():
    ...     return [CommandSpec("tape", "rewind the tape", add_options)]
    """
    raise NotImplementedError


@hookspec
def openhcs_functions() -> Sequence[Callable[..., Any]]:
    """Processing functions of a plugin, each declared with `openhcs_core.functions.processing_function`.

    Examples
    --------
    >>> @hookimpl
    ... def openhcs_functions():
    ...     return [deconvolve, unmix]
    """
    raise NotImplementedError


@hookspec
def openhcs_executors() -> Sequence[ExecutorSpec]:
    """Executors of a plugin.

    Examples
    --------
    >>> @hookimpl
    ... def openhcs_executors():
    ...     return [ExecutorSpec("grid", "Wells as jobs of the grid engine", GridExecutor)]
    """
    raise NotImplementedError


@hookspec
def openhcs_presets() -> Sequence[PresetSpec]:
    """Pipelines of a plugin that are ready for use.

    Examples
    --------
    >>> @hookimpl
    ... def openhcs_presets():
    ...     return [PresetSpec("spots", "Count spots per cell", Path(__file__).with_name("spots.py"))]
    """
    raise NotImplementedError


@hookspec
def openhcs_viewers() -> Sequence[ViewerSpec]:
    """Viewers of a plugin.

    Examples
    --------
    >>> @hookimpl
    ... def openhcs_viewers():
    ...     return [ViewerSpec("vaa3d", "Vaa3D", 5575, "openhcs_vaa3d", lambda: "")]
    """
    raise NotImplementedError

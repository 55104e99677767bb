"""Plugins: found by entry points of the group ``openhcs_omero``, loaded when first asked for.

A plugin that cannot be used is left out with a warning; its reason is kept, and said again to whoever asks for a name
that nothing offers. Names of plugins in ``OPENHCS_BLOCK_PLUGINS`` (separated by commas) or in the setting
``block_plugins`` are not loaded.
"""

from __future__ import annotations

import difflib
import inspect
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any, TypeVar

import pluggy

from openhcs_core import hookspecs
from openhcs_core.errors import OpenHCSError
from openhcs_core.functions import FunctionSpec, spec_of
from openhcs_core.hookspecs import PROJECT, BackendSpec, CommandSpec, ExecutorSpec, PresetSpec, ViewerSpec, hookimpl
from openhcs_core.settings import load_settings

if TYPE_CHECKING:
    from openhcs_core.pipeline.executors import Executor
    from openhcs_core.storage.backend import StorageBackend

logger = logging.getLogger(__name__)

BLOCK_VARIABLE = "OPENHCS_BLOCK_PLUGINS"
CORE = "openhcs_core"
"""Name of the plugin that the core itself is."""

S = TypeVar("S")


class PluginError(OpenHCSError):
    """No plugin offers what is wanted."""


@dataclass(frozen=True)
class PluginRow:
    """One plugin, for a listing.

    Attributes
    ----------
    name : str
    source : str
        Distribution and version that it comes with.
    state : {"loaded", "broken", "blocked"}
        "broken" if it, or a part of it, is left out.
    offers : tuple of str
        What it offers, such as "backend disk".
    reason : str
        Why it, or a part of it, is left out.
    """

    name: str
    source: str
    state: str
    offers: tuple[str, ...] = ()
    reason: str = ""


class PluginRegistry:
    """The plugins of one set of entry points.

    Parameters
    ----------
    found : sequence of EntryPoint
        A plugin that is found twice, such as through metadata left behind by an older installation, counts once.
    blocked : sequence of str
        Names of plugins that are not loaded.

    Attributes
    ----------
    manager : pluggy.PluginManager
        More plugins can be registered with it at any time.
    problems : dict of str to str
        Name of each broken plugin, and what is wrong with it.
    blocked : dict of str to str
        Name of each plugin that was found but not loaded, and why.
    """

    def __init__(self, found: Sequence[EntryPoint], blocked: Sequence[str] = ()) -> None:
        self.manager = pluggy.PluginManager(PROJECT)
        self.manager.add_hookspecs(hookspecs)
        self.problems: dict[str, str] = {}
        self.blocked: dict[str, str] = {}
        self._sources: dict[str, str] = {CORE: CORE}
        self.manager.register(_Core(), CORE)
        seen: dict[str, str] = {}
        for entry in sorted(found, key=lambda entry: entry.name):
            source = _distribution(entry)
            if entry.name in seen or entry.name == CORE:
                if seen.get(entry.name) != entry.value:
                    self._problem(f"{entry.name} of {source}", f"{self._sources[entry.name]} has a plugin of this name")
                continue
            seen[entry.name], self._sources[entry.name] = entry.value, source
            if entry.name in blocked:
                self.blocked[entry.name] = "it is on the list of blocked plugins"
            else:
                self._load(entry)

    def _load(self, entry: EntryPoint) -> None:
        try:
            plugin = entry.load()
            self.manager.register(plugin, entry.name)
        except (Exception, SystemExit) as error:
            self._problem(entry.name, f"{type(error).__name__}: {error}", error)
            return
        reason = self._unusable(plugin)
        if reason:
            self.manager.unregister(plugin)
            self._problem(entry.name, reason)

    def _unusable(self, plugin: Any) -> str:
        try:
            self.manager.check_pending()
        except pluggy.PluginValidationError as error:
            return f"{error}. Hooks: {', '.join(hook_names())}"
        if not self.manager.get_hookcallers(plugin):
            return f"it implements no hook ({', '.join(hook_names())}); mark its functions with @hookimpl"
        return ""

    def _problem(self, plugin: str, reason: str, error: BaseException | None = None) -> None:
        known = self.problems.get(plugin, "")
        if reason in known:
            return
        self.problems[plugin] = f"{known}; {reason}" if known else reason
        logger.warning("Plugin '%s' (%s): %s", plugin, self._sources.get(plugin, plugin), reason)
        logger.debug("Traceback of plugin '%s'", plugin, exc_info=error)

    def offers(self, hook: str, name_of: Callable[[Any], str]) -> Iterator[tuple[str, str, Any]]:
        """Yield plugin, name and offer for all that plugins answer to a hook; what cannot be used becomes a problem."""
        owners: dict[str, str] = {}
        for implementation in getattr(self.manager.hook, hook).get_hookimpls():  # in the order of registration
            plugin = implementation.plugin_name
            try:
                answer = implementation.function()
                items = [(name_of(item), item) for item in answer]
            except (Exception, SystemExit) as error:
                self._problem(plugin, f"{hook}: {type(error).__name__}: {error}", error)
                continue
            for name, item in items:
                if name in owners:
                    first = owners[name]
                    by = " twice" if first == plugin else f" by '{first}' ({self._sources.get(first, first)}), too"
                    self._problem(plugin, f"{hook}: '{name}' is offered{by}; the first counts")
                    continue
                owners[name] = plugin
                yield plugin, name, item

    def all_of(self, hook: str, name_of: Callable[[Any], str]) -> dict[str, Any]:
        """All offers to a hook by name."""
        return {name: item for _, name, item in self.offers(hook, name_of)}

    def pick(self, kind: str, known: Mapping[str, S], name: str) -> S:
        """The offer of a name.

        Raises
        ------
        PluginError
            If there is none: names those that there are, similar ones, and plugins that are left out.
        """
        if name in known:
            return known[name]
        parts = [f"There is no {kind} '{name}'."]
        # Of full names, the last part is what people remember.
        tails = {candidate.rpartition(".")[2]: candidate for candidate in known}
        similar = difflib.get_close_matches(name, known, 3) + [
            tails[tail] for tail in difflib.get_close_matches(name.rpartition(".")[2], tails, 3)
        ]
        if similar:
            parts.append(f"Did you mean {' or '.join(repr(item) for item in dict.fromkeys(similar))}?")
        for plugin, reason in (*self.problems.items(), *self.blocked.items()):
            parts.append(f"The plugin '{plugin}' is left out, or a part of it: {reason}.")
        parts.append(f"Known: {', '.join(known) or 'none'}.")
        raise PluginError(" ".join(parts))

    def rows(self) -> list[PluginRow]:
        """All plugins with what they offer, by name; the core first."""
        offers: dict[str, list[str]] = {}
        for hook, (kind, name_of) in _HOOKS.items():
            for plugin, name, _ in self.offers(hook, name_of):
                offers.setdefault(plugin, []).append(f"{kind} {name}")
        names = [name for name, _ in self.manager.list_name_plugin()]
        rows = [
            PluginRow(
                name,
                self._sources.get(name, name.rpartition(" of ")[2]),
                "blocked" if name in self.blocked else "broken" if name in self.problems else "loaded",
                tuple(offers.get(name, ())),
                self.blocked.get(name) or self.problems.get(name, ""),
            )
            for name in dict.fromkeys([*names, *self.problems, *self.blocked])
        ]
        return sorted(rows, key=lambda row: (row.name != CORE, row.name))


class _Core:
    """What the core offers, as a plugin like any other."""

    @hookimpl
    def openhcs_backends(self) -> list[BackendSpec]:
        def memory() -> StorageBackend:
            from openhcs_core.storage.memory import MemoryBackend

            return MemoryBackend()

        return [BackendSpec("memory", "Planes in the memory of one process", memory)]

    @hookimpl
    def openhcs_executors(self) -> list[ExecutorSpec]:
        def processes(workers: int, address: str | None) -> Executor:
            from openhcs_core.pipeline.executors import ProcessExecutor

            return ProcessExecutor(workers, address)

        return [ExecutorSpec("processes", "Processes on this machine", processes)]


def _named(spec_class: type[Any]) -> Callable[[Any], str]:
    def name_of(item: Any) -> str:
        if not isinstance(item, spec_class):
            raise TypeError(f"{item!r} is no {spec_class.__name__}")
        return item.name

    return name_of


def _function_name(item: Any) -> str:
    return spec_of(item).name


_HOOKS: dict[str, tuple[str, Callable[[Any], str]]] = {
    "openhcs_backends": ("backend", _named(BackendSpec)),
    "openhcs_commands": ("command", _named(CommandSpec)),
    "openhcs_executors": ("executor", _named(ExecutorSpec)),
    "openhcs_functions": ("function", _function_name),
    "openhcs_presets": ("preset", _named(PresetSpec)),
    "openhcs_viewers": ("viewer", _named(ViewerSpec)),
}


def hook_names() -> list[str]:
    """Names of all hooks."""
    return [name for name, item in inspect.getmembers(hookspecs) if hasattr(item, f"{PROJECT}_spec")]


def _distribution(entry: EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist else entry.value


@lru_cache(maxsize=1)
def registry() -> PluginRegistry:
    """The plugins of this environment, loaded by the first call."""
    blocked = {name.strip() for name in os.environ.get(BLOCK_VARIABLE, "").split(",")}
    blocked.update(load_settings().block_plugins)
    return PluginRegistry(list(entry_points(group=PROJECT)), sorted(blocked))


def get_plugin_manager() -> pluggy.PluginManager:
    """The manager of the plugins of this environment, loaded by the first call."""
    return registry().manager


def _offered(hook: str) -> dict[str, Any]:
    return registry().all_of(hook, _HOOKS[hook][1])


def functions() -> dict[str, FunctionSpec]:
    """All processing functions by full name, such as ``openhcs_functions.smoothing.gaussian``."""
    return {name: spec_of(item) for name, item in _offered("openhcs_functions").items()}


def function(full_name: str) -> FunctionSpec:
    """A processing function.

    Raises
    ------
    PluginError
        If no plugin offers it.
    """
    return registry().pick("function", functions(), full_name)


def backends() -> dict[str, BackendSpec]:
    """All storage backends by name."""
    return _offered("openhcs_backends")


def backend(name: str) -> BackendSpec:
    """A storage backend.

    Raises
    ------
    PluginError
        If no plugin offers it.
    """
    return registry().pick("backend", backends(), name)


def commands() -> dict[str, CommandSpec]:
    """All sub-commands of plugins by name."""
    return _offered("openhcs_commands")


def executors() -> dict[str, ExecutorSpec]:
    """All executors by name."""
    return _offered("openhcs_executors")


def executor(name: str) -> ExecutorSpec:
    """An executor.

    Raises
    ------
    PluginError
        If no plugin offers it.
    """
    return registry().pick("executor", executors(), name)


def presets() -> dict[str, PresetSpec]:
    """All preset pipelines by name."""
    return _offered("openhcs_presets")


def preset(name: str) -> PresetSpec:
    """A preset pipeline.

    Raises
    ------
    PluginError
        If no plugin offers it.
    """
    return registry().pick("preset", presets(), name)


def viewers() -> dict[str, ViewerSpec]:
    """All viewers by name."""
    return _offered("openhcs_viewers")


def viewer(name: str) -> ViewerSpec:
    """A viewer.

    Raises
    ------
    PluginError
        If no plugin offers it.
    """
    return registry().pick("viewer", viewers(), name)


def problems() -> dict[str, str]:
    """Name of each plugin that is left out, wholly or in part, and the reason; as far as it has been asked yet."""
    return dict(registry().problems)


def plugin_rows() -> list[PluginRow]:
    """All plugins, asked for everything that they offer."""
    return registry().rows()

"""Which functions a module declares."""

from __future__ import annotations

from types import ModuleType

from openhcs_core.functions import FunctionSpec


def declared(module: ModuleType) -> list[FunctionSpec]:
    """The processing functions that a module declares, not those that it imports, in their order."""
    specs = (getattr(item, "__openhcs__", None) for item in vars(module).values())
    return [spec for spec in specs if isinstance(spec, FunctionSpec) and spec.function.__module__ == module.__name__]

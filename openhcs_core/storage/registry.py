"""All backends by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from openhcs_core.hookspecs import BackendSpec
from openhcs_core.plugins import backends
from openhcs_core.storage.backend import StorageBackend


class StorageRegistry(Mapping[str, StorageBackend]):
    """Backends by name, each made when it is first asked for.

    Parameters
    ----------
    specs : mapping of str to BackendSpec
    """

    def __init__(self, specs: Mapping[str, BackendSpec]) -> None:
        self._specs = specs
        self._made: dict[str, StorageBackend] = {}

    def __getitem__(self, name: str) -> StorageBackend:
        if name not in self._made:
            self._made[name] = self._specs[name].factory()
        return self._made[name]

    def __contains__(self, name: object) -> bool:
        return name in self._specs

    def __iter__(self) -> Iterator[str]:
        return iter(self._specs)

    def __len__(self) -> int:
        return len(self._specs)


def create_storage_registry() -> StorageRegistry:
    """Every backend of every plugin, "memory" among them."""
    return StorageRegistry(backends())

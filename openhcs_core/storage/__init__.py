"""Where planes come from and results go to."""

from openhcs_core.storage.backend import Plate, Results, ResultWriter, StorageBackend, StorageError
from openhcs_core.storage.filemanager import FileManager
from openhcs_core.storage.memory import MemoryBackend
from openhcs_core.storage.registry import StorageRegistry, create_storage_registry

__all__ = [
    "FileManager",
    "MemoryBackend",
    "Plate",
    "ResultWriter",
    "Results",
    "StorageBackend",
    "StorageError",
    "StorageRegistry",
    "create_storage_registry",
]

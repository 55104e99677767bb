"""What this plugin offers."""

from __future__ import annotations

from openhcs_core.hookspecs import BackendSpec, hookimpl
from openhcs_core.storage.backend import StorageBackend


def _disk() -> StorageBackend:
    from openhcs_backends.disk import DiskBackend

    return DiskBackend()


def _zarr() -> StorageBackend:
    from openhcs_backends.zarr_backend import ZarrBackend

    return ZarrBackend()


def _omero_local() -> StorageBackend:
    from openhcs_backends.omero_local import OMEROLocalBackend

    return OMEROLocalBackend()


@hookimpl
def openhcs_backends() -> list[BackendSpec]:
    """The backends of this plugin; what they need is imported when they are first used."""
    return [
        BackendSpec("disk", "Folders of TIFF files", _disk),
        BackendSpec("zarr", "OME-Zarr plates", _zarr),
        BackendSpec("omero_local", "Plates of an OMERO.server, read where its data lie", _omero_local),
    ]

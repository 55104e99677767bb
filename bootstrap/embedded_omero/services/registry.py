"""Which class implements which service. To add one: write a class with the operations of its Slice interface
(``def operation(self, call, *arguments)``) in a module of this folder and name it here."""

from __future__ import annotations

import importlib
from dataclasses import dataclass

import omero

from .. import slices  # noqa: F401


@dataclass(frozen=True)
class Service:
    """A service by the name which clients use.

    Attributes
    ----------
    interface : type
        Class generated from Slice.
    module, cls : str
        Where the implementation is; it is imported at the first use.
    stateful : bool
        Whether each call of createX makes a new one.
    """

    interface: type
    module: str
    cls: str
    stateful: bool = False

    def implementation(self) -> type:
        return getattr(importlib.import_module(f".{self.module}", __package__), self.cls)


SERVICES: dict[str, Service] = {
    "omero.api.Exporter": Service(omero.api.Exporter, "exporter", "Exporter", stateful=True),
    "omero.api.IAdmin": Service(omero.api.IAdmin, "admin", "Admin"),
    "omero.api.IConfig": Service(omero.api.IConfig, "config", "Config"),
    "omero.api.IContainer": Service(omero.api.IContainer, "container", "Container"),
    "omero.api.IMetadata": Service(omero.api.IMetadata, "metadata", "Metadata"),
    "omero.api.IPixels": Service(omero.api.IPixels, "pixels", "Pixels"),
    "omero.api.IQuery": Service(omero.api.IQuery, "query", "Query"),
    "omero.api.IRenderingSettings": Service(omero.api.IRenderingSettings, "rendering_settings", "RenderingSettings"),
    "omero.api.IRepositoryInfo": Service(omero.api.IRepositoryInfo, "repository_info", "RepositoryInfo"),
    "omero.api.IRoi": Service(omero.api.IRoi, "roi", "Rois"),
    "omero.api.IScript": Service(omero.api.IScript, "script", "Scripts"),
    "omero.api.ISession": Service(omero.api.ISession, "session", "SessionService"),
    "omero.api.ITypes": Service(omero.api.ITypes, "types", "Types"),
    "omero.api.IUpdate": Service(omero.api.IUpdate, "update", "Update"),
    "omero.api.JobHandle": Service(omero.api.JobHandle, "job", "JobHandle", stateful=True),
    "omero.api.RawFileStore": Service(omero.api.RawFileStore, "raw_file", "RawFileStore", stateful=True),
    "omero.api.RawPixelsStore": Service(omero.api.RawPixelsStore, "raw_pixels", "RawPixelsStore", stateful=True),
    "omero.api.RenderingEngine": Service(omero.api.RenderingEngine, "rendering", "RenderingEngine", stateful=True),
    "omero.api.Search": Service(omero.api.Search, "search", "Search", stateful=True),
    "omero.api.ThumbnailStore": Service(omero.api.ThumbnailStore, "thumbnail", "ThumbnailStore", stateful=True),
    "omero.grid.SharedResources": Service(omero.grid.SharedResources, "shared_resources", "SharedResources"),
}
# What a client can ask for by method; a service which is not in SERVICES is reported as not implemented.
GETTERS = {
    "get" + name.rpartition(".I")[2] + "Service": name
    for name in (
        "omero.api.IAdmin", "omero.api.IConfig", "omero.api.IContainer", "omero.api.ILdap", "omero.api.IMetadata",
        "omero.api.IPixels", "omero.api.IProjection", "omero.api.IQuery", "omero.api.IRenderingSettings",
        "omero.api.IRepositoryInfo", "omero.api.IRoi", "omero.api.IScript", "omero.api.ISession", "omero.api.IShare",
        "omero.api.ITimeline", "omero.api.ITypes", "omero.api.IUpdate",
    )
}  # fmt: skip
CREATORS = {
    "create" + name.rpartition(".")[2]: name
    for name in (
        "omero.api.Exporter", "omero.api.JobHandle", "omero.api.RawFileStore", "omero.api.RawPixelsStore",
        "omero.api.RenderingEngine", "omero.api.ThumbnailStore",
    )
} | {"createSearchService": "omero.api.Search"}  # fmt: skip

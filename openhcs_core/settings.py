"""Settings of a site: one TOML file, read into a typed `Settings`.

A file, because OMERO processors hand only a few environment variables on to a script. All settings:

.. code-block:: toml

    scratch = "/scratch"          # folder for files that are being made
    export_dir = "/data/exports"  # folder for exports that stay on the server
    threads = 4                   # of one export
    bioformats_jar = "/opt/bioformats_package.jar"  # or a folder of jars; for formats other than TIFF and OME-Zarr
    java_home = "/usr/lib/jvm/default"              # Java for it, if not the one of JAVA_HOME
    block_plugins = ["openhcs_dask"]                # plugins that are not loaded
    trusted_pipelines = false                       # may administrators run pipelines that are programs?

    [path_map]                    # where this machine sees folders of the OMERO.server
    "/OMERO/ManagedRepository" = "/mnt/omero/ManagedRepository"
"""

from __future__ import annotations

import difflib
import os
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from openhcs_core.errors import OpenHCSError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


class SettingsError(OpenHCSError):
    """The settings file cannot be read or holds something it should not."""


@dataclass(frozen=True)
class Settings:
    """All settings, with their defaults.

    Attributes
    ----------
    scratch : Path
        Folder for files that are being made. They may be large; the system's temporary folder unless set.
    export_dir : Path, optional
        Folder for exports that stay on the server. Without it exports can only be attached in OMERO.
    threads : int, optional
        Threads that compress one export; as many as there are CPUs unless set.
    bioformats_jar : Path, optional
        Bio-Formats: ``bioformats_package.jar``, or a folder of jars. Without it other formats than TIFF and
        OME-Zarr are read through the API of OMERO only.
    java_home : Path, optional
        Folder of the Java that runs Bio-Formats; found as ``JAVA_HOME`` says, or where the system has it, unless set.
    block_plugins : tuple of str
        Names of plugins that are not loaded.
    trusted_pipelines : bool
        Whether administrators of OMERO may run pipelines that are programs; see `openhcs_core.pipeline.trusted`.
    path_map : mapping of str to Path
        Where this machine sees folders of the OMERO.server, if elsewhere.
    source : Path, optional
        The file that these settings came from.
    """

    scratch: Path = field(default_factory=lambda: Path(tempfile.gettempdir()))
    export_dir: Path | None = None
    threads: int | None = None
    bioformats_jar: Path | None = None
    java_home: Path | None = None
    block_plugins: tuple[str, ...] = ()
    trusted_pipelines: bool = False
    path_map: Mapping[str, Path] = field(default_factory=dict)
    source: Path | None = None

    def local_path(self, path: str) -> Path:
        """Where this machine sees `path` of the OMERO.server: the longest entry of `path_map` counts."""
        for start in sorted(self.path_map, key=len, reverse=True):
            if path == start or path.startswith(start.rstrip("/") + "/"):
                return self.path_map[start] / path[len(start) :].lstrip("/")
        return Path(path)


def settings_files() -> list[Path]:
    """Where the settings are searched; the first file that exists counts.

    ``$OPENHCS_CONFIG``, ``$OMERODIR/etc/openhcs.toml``, ``/etc/openhcs.toml``, ``~/.config/openhcs.toml``.
    """
    files = [Path("/etc/openhcs.toml"), Path("~/.config/openhcs.toml").expanduser()]
    if os.environ.get("OMERODIR"):
        files.insert(0, Path(os.environ["OMERODIR"], "etc", "openhcs.toml"))
    if os.environ.get("OPENHCS_CONFIG"):
        files.insert(0, Path(os.environ["OPENHCS_CONFIG"]))
    return files


def load_settings() -> Settings:
    """Settings of the first file found; the defaults if there is none.

    Raises
    ------
    SettingsError
        If the file cannot be read, or ``$OPENHCS_CONFIG`` names one that does not exist.
    """
    for file in settings_files():
        if file.is_file():
            return read_settings(file)
        if str(file) == os.environ.get("OPENHCS_CONFIG"):
            raise SettingsError(f"OPENHCS_CONFIG names {file}, which is not a file. Correct it, or unset it.")
    return Settings()


def read_settings(file: Path) -> Settings:
    """Settings of one file.

    Raises
    ------
    SettingsError
        If it cannot be read, is not TOML, or holds an unknown key or a value of the wrong type.
    """
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{file} cannot be read: {error.strerror}.") from error
    except ValueError as error:  # neither UTF-8 nor TOML
        raise SettingsError(f"{file} is not a TOML file: {error}.") from error
    known = [setting.name for setting in fields(Settings) if setting.name != "source"]
    for key in table:
        if key not in known:
            similar = difflib.get_close_matches(key, known, 1)
            hint = f"Did you mean '{similar[0]}'?" if similar else f"Known settings: {', '.join(known)}."
            raise SettingsError(f"{file}: there is no setting '{key}'. {hint}")
    paths = ("scratch", "export_dir", "bioformats_jar", "java_home")
    values: dict[str, Any] = {key: _path(file, key, table[key]) for key in paths if key in table}
    if "threads" in table:
        threads = table["threads"]
        if type(threads) is not int or threads < 1:
            raise SettingsError(f"{file}: 'threads' must be a whole number from 1, not {threads!r}.")
        values["threads"] = threads
    if "block_plugins" in table:
        names = table["block_plugins"]
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise SettingsError(f"{file}: 'block_plugins' must be a list of names, not {names!r}.")
        values["block_plugins"] = tuple(names)
    if "trusted_pipelines" in table:
        trusted = table["trusted_pipelines"]
        if not isinstance(trusted, bool):
            raise SettingsError(f"{file}: 'trusted_pipelines' must be true or false, not {trusted!r}.")
        values["trusted_pipelines"] = trusted
    if "path_map" in table:
        entries = table["path_map"]
        if not isinstance(entries, dict):
            raise SettingsError(f"{file}: 'path_map' must be a table of folders, not {entries!r}.")
        for start in entries:
            _path(file, "path_map", start)
        values["path_map"] = {start: _path(file, f"path_map.{start}", entries[start]) for start in entries}
    return Settings(**values, source=file)


def _path(file: Path, key: str, value: object) -> Path:
    if not isinstance(value, str) or not value.startswith("/"):
        raise SettingsError(f"{file}: '{key}' must be a full path, beginning with '/', not {value!r}.")
    return Path(value)

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

    viewer_targets = ["127.0.0.1:5555-5600"]  # where scripts may connect to, to show images
    viewer_listen = "0.0.0.0:5700-5799"       # where scripts may listen for viewers; unset: nowhere
    viewer_host = "omero.example.org"         # what viewers are told to connect to then
    stream_memory_mb = 512                    # for images on their way to viewers, of each script
    stream_spool_mb = 16384                   # for those that do not fit into it, in scratch
    stream_overflow = "wait"                  # or "drop": once that is full, too

    server_listen = "127.0.0.1:7777"        # where `openhcs serve` listens; 0.0.0.0:7777 for other machines
    server_health_port = 7778               # on the same address
    server_omero = "localhost:4064"         # the OMERO.server whose users it serves
    server_state = "/var/lib/openhcs"       # its key and the records of executions
    server_logs = "/var/log/openhcs"
    server_jobs = 1                         # executions at a time
    server_jobs_per_user = 1
    server_queue_per_user = 100
    server_grace_s = 60                     # for executions to finish when the server is told to end
    executor = "processes"                  # what runs wells for it: or "dask", with
    executor_address = "tls://scheduler:8786"
    executor_workers = 4                    # wells of one execution at a time; as many as there are CPUs unless set

    [path_map]                    # where this machine sees folders of the OMERO.server
    "/OMERO/ManagedRepository" = "/mnt/omero/ManagedRepository"

    [known_servers]               # execution servers that this machine uses, as `openhcs serve --show-key` prints them
    "omero.example.org:7777" = "KEY"
"""

from __future__ import annotations

import difflib
import ipaddress
import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from openhcs_core.errors import OpenHCSError
from openhcs_core.streaming.endpoints import hosts_and_ports, parse, tcp
from openhcs_core.streaming.errors import StreamingError

if TYPE_CHECKING:
    from openhcs_core.streaming.publisher import PublisherOptions

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


_Reader = Callable[[Path, str, object], Any]
"""Given the file, the name of the setting, and what the file says: its value."""


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
    viewer_targets : tuple of str
        Where scripts may connect to: networks, addresses or names of hosts, each with an optional port or range of
        ports; see `openhcs_core.streaming.endpoints.check_target`.
    viewer_listen : str, optional
        Address and range of ports where scripts may listen for viewers. Without it they do not.
    viewer_host : str, optional
        Name or address that these viewers connect to; that of `viewer_listen`, or of this machine, unless set.
    stream_memory_mb, stream_spool_mb : int
        What one script may hold of images for viewers, in memory and beyond that in `scratch`.
    stream_overflow : {"wait", "drop"}
        Once both are full: wait for the viewers (a minute at most), or drop images; these are counted.
    server_listen : str
        Address and port where ``openhcs serve`` listens.
    server_health_port : int
        On the same address: how the server is doing. 0 for any port that is free.
    server_omero : str
        Host and port of the OMERO.server whose users it serves.
    server_state, server_logs : Path, optional
        Folders for its key and records, and for logs; see `openhcs_core.execution.places` for where else.
    server_jobs, server_jobs_per_user : int
        Executions at a time, of all and of one user.
    server_queue_per_user : int
        Executions of a user that may wait.
    server_grace_s : int
        Seconds that executions get to finish when the server is told to end.
    executor, executor_address
        What runs the wells of its executions, and where.
    executor_workers : int, optional
        Wells of an execution that are worked on at a time; as many as there are CPUs unless set.
    path_map : mapping of str to Path
        Where this machine sees folders of the OMERO.server, if elsewhere.
    known_servers : mapping of str to str
        Public keys of execution servers by host and port.
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
    viewer_targets: tuple[str, ...] = ("127.0.0.1:5555-5600",)
    viewer_listen: str | None = None
    viewer_host: str | None = None
    stream_memory_mb: int = 512
    stream_spool_mb: int = 16 << 10
    stream_overflow: Literal["wait", "drop"] = "wait"
    server_listen: str = "127.0.0.1:7777"
    server_health_port: int = 7778
    server_omero: str = "localhost:4064"
    server_state: Path | None = None
    server_logs: Path | None = None
    server_jobs: int = 1
    server_jobs_per_user: int = 1
    server_queue_per_user: int = 100
    server_grace_s: int = 60
    executor: str = "processes"
    executor_address: str | None = None
    executor_workers: int | None = None
    path_map: Mapping[str, Path] = field(default_factory=dict)
    known_servers: Mapping[str, str] = field(default_factory=dict)
    source: Path | None = None

    def local_path(self, path: str) -> Path:
        """Where this machine sees `path` of the OMERO.server: the longest entry of `path_map` counts."""
        for start in sorted(self.path_map, key=len, reverse=True):
            if path == start or path.startswith(start.rstrip("/") + "/"):
                return self.path_map[start] / path[len(start) :].lstrip("/")
        return Path(path)

    def publisher_options(self) -> PublisherOptions:
        """How much a publisher may hold, and where."""
        from openhcs_core.streaming.publisher import PublisherOptions

        return PublisherOptions(
            memory_bytes=self.stream_memory_mb << 20,
            spool_bytes=self.stream_spool_mb << 20,
            overflow=self.stream_overflow,
            scratch=self.scratch,
        )


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
    values = {name: _READERS[name](file, name, table[name]) for name in known if name in table}
    return Settings(**values, source=file)


def _path(file: Path, key: str, value: object) -> Path:
    if not isinstance(value, str) or not value.startswith("/"):
        raise SettingsError(f"{file}: '{key}' must be a full path, beginning with '/', not {value!r}.")
    return Path(value)


def _paths(file: Path, key: str, value: object) -> dict[str, Path]:
    if not isinstance(value, dict):
        raise SettingsError(f"{file}: '{key}' must be a table of folders, not {value!r}.")
    for start in value:
        _path(file, key, start)
    return {start: _path(file, f"{key}.{start}", value[start]) for start in value}


def _number(least: int) -> _Reader:
    def read(file: Path, key: str, value: object) -> int:
        if type(value) is not int or value < least:
            raise SettingsError(f"{file}: '{key}' must be a whole number from {least}, not {value!r}.")
        return value

    return read


def _truth(file: Path, key: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise SettingsError(f"{file}: '{key}' must be true or false, not {value!r}.")
    return value


def _choice(*choices: str) -> _Reader:
    def read(file: Path, key: str, value: object) -> str:
        if value not in choices:
            raise SettingsError(f"{file}: '{key}' must be {' or '.join(map(repr, choices))}, not {value!r}.")
        return str(value)

    return read


def _names(file: Path, key: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise SettingsError(f"{file}: '{key}' must be a list of names, not {value!r}.")
    return tuple(value)


def _targets(file: Path, key: str, value: object) -> tuple[str, ...]:
    for target in (targets := _names(file, key, value)):
        _place(file, key, target)
    return targets


def _listen(file: Path, key: str, value: object) -> str:
    if not 1 <= _place(file, key, value)[1] <= _place(file, key, value)[2] <= 65535:
        raise SettingsError(f"{file}: '{key}' needs ports, such as 0.0.0.0:5700-5799, unlike {value!r}.")
    return str(value)


def _place(file: Path, key: str, value: object) -> tuple[str, int, int]:
    try:
        place, first, last = hosts_and_ports(str(value))
        if "/" in place or place.replace(".", "").isdecimal():
            ipaddress.ip_network(place, strict=False)
    except (StreamingError, ValueError) as error:
        raise SettingsError(f"{file}: '{key}': {error}") from error
    return place, first, last


def _endpoint(file: Path, key: str, value: object) -> str:
    try:
        parse(f"tcp://{value}")
    except StreamingError:
        raise SettingsError(f"{file}: '{key}' must be host and port, such as 127.0.0.1:7777, not {value!r}.") from None
    return str(value)


def _name(file: Path, key: str, value: object) -> str:
    if not isinstance(value, str) or not value:
        raise SettingsError(f"{file}: '{key}' must be a text, not {value!r}.")
    return value


def _keys(file: Path, key: str, value: object) -> dict[str, str]:
    if not isinstance(value, dict):
        raise SettingsError(f"{file}: '{key}' must be a table of keys by host and port, not {value!r}.")
    from openhcs_core.streaming.security import key_from_text

    try:
        return {_endpoint(file, key, place): key_from_text(str(text)) for place, text in value.items()}
    except StreamingError as error:
        raise SettingsError(f"{file}: '{key}': {error}") from error


def _host(file: Path, key: str, value: object) -> str:
    try:
        return parse(tcp(str(value), 1)).host
    except StreamingError:
        raise SettingsError(f"{file}: '{key}' must be the name or address of a host, not {value!r}.") from None


_READERS: dict[str, _Reader] = {
    "scratch": _path,
    "export_dir": _path,
    "threads": _number(1),
    "bioformats_jar": _path,
    "java_home": _path,
    "block_plugins": _names,
    "trusted_pipelines": _truth,
    "viewer_targets": _targets,
    "viewer_listen": _listen,
    "viewer_host": _host,
    "stream_memory_mb": _number(1),
    "stream_spool_mb": _number(0),
    "stream_overflow": _choice("wait", "drop"),
    "server_listen": _endpoint,
    "server_health_port": _number(0),
    "server_omero": _endpoint,
    "server_state": _path,
    "server_logs": _path,
    "server_jobs": _number(1),
    "server_jobs_per_user": _number(1),
    "server_queue_per_user": _number(1),
    "server_grace_s": _number(0),
    "executor": _name,
    "executor_address": _name,
    "executor_workers": _number(1),
    "path_map": _paths,
    "known_servers": _keys,
}

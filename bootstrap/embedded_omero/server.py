"""`EmbeddedOmero`: the server with its sockets, in this process."""

from __future__ import annotations

import json
import logging
import os
import secrets
import shutil
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import Ice

from . import imports
from .certificate import write_certificate
from .core import Core
from .imports import ImportResult
from .knobs import Knobs

if TYPE_CHECKING:
    from .scripts.processor import LocalProcessor

log = logging.getLogger(__name__)


class EmbeddedOmero:
    """An OMERO.server for tests and demonstrations.

    Parameters
    ----------
    host : str
        Address to listen on. Anything but a loopback address opens the server to the network.
    port, tcp_port : int
        Encrypted and plain port; 0 picks a free one.
    data_dir : path, optional
        Where files and pixels go, an empty folder; a temporary one, removed at the end, unless given.
    password : str, optional
        Password of root; generated unless given.
    processor : bool
        Whether a script processor runs in this process.

    Attributes
    ----------
    host, port, tcp_port, user, password
        How to log in, filled in by `start`.

    Examples
    --------
    >>> from omero.gateway import BlitzGateway
    >>> with EmbeddedOmero() as server:
    ...     conn = BlitzGateway(server.user, server.password, host=server.host, port=server.port)
    ...     connected = conn.connect()
    ...     conn.close()
    >>> connected
    True
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        tcp_port: int = 0,
        data_dir: str | os.PathLike | None = None,
        password: str | None = None,
        processor: bool = True,
    ) -> None:
        self.host, self.port, self.tcp_port = host, port, tcp_port
        self.user, self.password = "root", password or secrets.token_hex(12)
        self.data_dir = Path(data_dir).absolute() if data_dir is not None else None
        self._with_processor = processor
        self._temporary: Path | None = None
        self._communicator: Ice.Communicator | None = None
        self._stopping = threading.Event()
        self._processor: LocalProcessor | None = None
        self.core: Core | None = None

    def start(self) -> EmbeddedOmero:
        """Listen and serve; returns when clients can log in.

        Raises
        ------
        OSError
            If a port is taken, or the data directory is not writable or not empty.
        """
        self._temporary = Path(tempfile.mkdtemp(prefix="embedded-omero-"))
        if self.data_dir is None:
            self.data_dir = self._temporary / "OMERO"
        try:
            self.data_dir.mkdir(parents=True, exist_ok=True)
            if any(self.data_dir.iterdir()):
                raise OSError(f"{self.data_dir} is not empty; the embedded OMERO does not go on with older data.")
            self.core = Core(self.data_dir, self.password)
            self._listen()
            threading.Thread(target=self._housekeeping, name="sessions", daemon=True).start()
            if self._with_processor:
                self.start_processor()
        except BaseException:
            self.stop()
            raise
        return self

    def _listen(self) -> None:
        properties = Ice.createProperties()
        for name, value in {
            "Ice.Plugin.IceSSL": "IceSSL:createIceSSL",
            "IceSSL.CertFile": str(write_certificate(self._temporary)),
            "IceSSL.VerifyPeer": "0",
            # Scripts, processors and callbacks call each other while calls are pending.
            "Ice.ThreadPool.Server.Size": "4",
            "Ice.ThreadPool.Server.SizeMax": "100",
            "Ice.ThreadPool.Client.SizeMax": "50",
            "Ice.MessageSizeMax": "65536",  # kB, as in the server's templates
            "Ice.ACM.Server.Close": "0",  # quiet clients stay connected, sessions have their own limits
            "Ice.Warn.Connections": "0",
            "Ice.Warn.Dispatch": "0",
            "Ice.Override.ConnectTimeout": "10000",
        }.items():
            properties.setProperty(name, value)
        data = Ice.InitializationData()
        data.properties = properties
        self._communicator = Ice.initialize(data)
        # OMERO's own object factories: requests then carry objects of omero.model with their methods.
        import omero.ObjectFactoryRegistrar as ofr
        import omero.rtypes

        ofr.registerObjectFactory(self._communicator, None)
        for factory in omero.rtypes.ObjectFactories.values():
            factory.register(self._communicator)
        endpoints = f"ssl -h {self.host} -p {self.port}:tcp -h {self.host} -p {self.tcp_port}"
        try:
            adapter = self._communicator.createObjectAdapterWithEndpoints("embedded", endpoints)
        except Ice.SocketException as exc:
            raise OSError(f"Cannot listen on {self.host}, ports {self.port} and {self.tcp_port}: {exc}") from exc
        self.core.adapter = adapter
        adapter.add(self.core.router, Ice.stringToIdentity("OMERO.Glacier2/router"))
        for endpoint in adapter.getEndpoints():
            info = endpoint.getInfo()
            if info.secure():
                self.port = info.port
            else:
                self.tcp_port = info.port
        self.core.config["omero.router.insecure"] = f"OMERO.Glacier2/router:tcp -p {self.tcp_port} -h @omero.host@"
        adapter.activate()

    def start_processor(self) -> None:
        """Run omero-py's script processor in this process."""
        from .scripts.processor import LocalProcessor

        self._processor = LocalProcessor(self, self._temporary)

    def stop_processor(self) -> None:
        """From now on no official script can run."""
        processor, self._processor = self._processor, None
        if processor is not None:
            processor.stop()

    @property
    def knobs(self) -> Knobs:
        """Faults which a test can ask for."""
        return self.core.knobs

    def drop_connections(self, user: str) -> int:
        """Cut the connections of all clients of a user, as a broken network does; answers how many there were."""
        with self.core.store.lock:
            sessions = [s for s in self.core.sessions.open.values() if s.user["omeName"] == user]
            connections = [c.connection for s in sessions for c in s.clients.values()]
        for connection in connections:
            connection.close(True)
        return len(connections)

    def go_away(self) -> None:
        """Cut all connections and do not answer any more, as a server that is being restarted; sessions last."""
        self._communicator.destroy()
        self._communicator = None

    def come_back(self) -> None:
        """Listen again on the same ports, after `go_away`."""
        self._listen()

    def _housekeeping(self) -> None:
        while not self._stopping.wait(1):
            with self.core.store.lock:
                self.core.sessions.reap()

    def stop(self) -> None:
        """Kill running scripts, close all sessions, free the ports; what was in a temporary folder is gone."""
        self._stopping.set()
        if self.core is not None and self.core.adapter is not None:
            self.core.processors.kill_all()
            self.stop_processor()
        if self._communicator is not None:
            self._communicator.destroy()
            self._communicator = None
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)

    def __enter__(self) -> EmbeddedOmero:
        return self.start()

    def __exit__(self, *exc: object) -> None:
        self.stop()

    # -- images

    def import_files(self, paths, **options) -> list[ImportResult]:
        """Import TIFF, ImageJ and OME-TIFF files; options as of `embedded_omero.imports.import_files`."""
        return imports.import_files(self.core, paths, **options)

    def import_plate(self, wells, **options) -> ImportResult:
        """Import single files as a plate; options as of `embedded_omero.imports.import_plate`."""
        return imports.import_plate(self.core, wells, **options)

    def write_ready_file(self, path: str | os.PathLike) -> None:
        """Write how to log in as JSON, readable by the owner only, all at once."""
        values = {n: getattr(self, n) for n in ("host", "port", "tcp_port", "user", "password")}
        path = Path(path)
        part = path.with_name(path.name + ".part")
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(values, file)
        part.replace(path)
